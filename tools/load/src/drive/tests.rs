//! Laws of the two loops, under a clock that only the test moves.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use timberline::types::StageTimes;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

use super::budget::Budget;
use super::closed;
use super::meter::Meter;
use super::offer::{Append, Offer};
use super::open::OpenLoop;
use super::run::watch;
use super::{Tally, Window};
use crate::records::Records;
use crate::schedule::Schedule;

const ANSWER: Duration = Duration::from_millis(2);
const RUN: Duration = Duration::from_secs(10);

/// Answers after 2 ms, but nothing at all from the 5th second to the 6th; or fails; or never answers.
#[derive(Clone, Copy)]
enum Served {
    WithAStall { began: Instant },
    Never,
    Refused,
}

impl Append for Served {
    async fn append(&self, _: Vec<Bytes>, _: i64) -> Result<Option<StageTimes>, String> {
        match *self {
            Self::WithAStall { began } => {
                let at = Instant::now() + ANSWER;
                let (from, to) = (began + Duration::from_secs(5), began + Duration::from_secs(6));
                sleep_until(if from <= at && at < to { to } else { at }).await;
                Ok(None)
            }
            Self::Never => std::future::pending().await,
            Self::Refused => Err("no".to_owned()),
        }
    }
}

fn offer(served: Served, window: Window) -> Offer<Served> {
    let (producers, meter) = ([Arc::new(served)].into(), Arc::new(Meter::new(window)));
    Offer { producers, batch_records: 1, records: Records::made_up(8), window, meter }
}

fn silent(_: Duration, _: u64) {}

/// Releases appends as the pacer does, on the test's clock.
async fn pace(schedule: Schedule, window: Window, released: &Semaphore, tasks: usize) {
    for n in 0..schedule.due_before(window.ends - window.began) {
        sleep_until(window.began + schedule.due(n)).await;
        released.add_permits(1);
    }
    released.add_permits(tasks);
}

async fn open(served: impl Fn(Window) -> Served, rate: u64, outstanding_max: usize) -> Tally {
    let window = Window::open(Duration::ZERO, RUN);
    let schedule = Schedule::new(NonZeroU64::new(rate).unwrap(), 1);
    let (offer, released) = (offer(served(window), window), Arc::new(Semaphore::new(0)));
    let mut open = OpenLoop::start(&offer, outstanding_max, schedule, &released);
    tokio::join!(
        pace(schedule, window, &released, outstanding_max),
        watch(&mut open.tasks, window, &offer.meter, &silent)
    );
    offer.meter.finish(open.never_sent())
}

async fn closed(served: impl Fn(Window) -> Served, warmup: Duration) -> Tally {
    closed_with(served, warmup, &Budget::endless()).await
}

async fn closed_with(served: impl Fn(Window) -> Served, warmup: Duration, budget: &Budget) -> Tally {
    let window = Window::open(warmup, RUN.saturating_sub(warmup));
    let offer = offer(served(window), window);
    let mut tasks = closed::start(&offer, 1, budget);
    watch(&mut tasks, window, &offer.meter, &silent).await;
    offer.meter.finish(std::iter::empty())
}

fn stall(window: Window) -> Served {
    Served::WithAStall { began: window.began }
}

#[tokio::test(start_paused = true)]
async fn a_stall_of_a_second_is_met_by_all_that_was_due_in_it() {
    // With room for all, and with one append under way at a time: that the others could not even be sent hides nothing.
    for outstanding_max in [1_000, 1] {
        let tally = open(stall, 200, outstanding_max).await;
        let ack = tally.ack.percentiles().unwrap();
        assert_eq!((ack.count, tally.unanswered), (2_000, 0));
        // A tenth of all was due in the stall, evenly; the worst of a hundred waited for nine tenths of a second.
        assert!(ack.p99_us > 880_000.0, "p99 is {} us", ack.p99_us);
        assert!(ack.p50_us < 4_000.0, "p50 is {} us", ack.p50_us);
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_loop_meets_the_same_stall_once() {
    let tally = closed(stall, Duration::ZERO).await;
    let ack = tally.ack.percentiles().unwrap();
    assert!(ack.p99_us < 4_000.0, "p99 is {} us", ack.p99_us);
    assert!(ack.max_us > 990_000.0, "the most is {} us", ack.max_us);
}

#[tokio::test(start_paused = true)]
async fn arrivals_do_not_depend_on_answers() {
    let (answered, stuck) = (open(stall, 200, 1_000).await, open(|_| Served::Never, 200, 3_000).await);
    assert_eq!((answered.batches, stuck.batches), (2_000, 2_000));
    assert_eq!(answered.send_delay.percentiles(), stuck.send_delay.percentiles());
}

#[tokio::test(start_paused = true)]
async fn what_is_never_answered_counts_with_its_age_whether_it_could_be_sent_or_not() {
    for outstanding_max in [3_000, 10] {
        let tally = open(|_| Served::Never, 200, outstanding_max).await;
        let ack = tally.ack.percentiles().unwrap();
        assert_eq!((tally.unanswered, ack.count, tally.records), (2_000, 2_000, 0));
        assert!(ack.min_us >= 5_000_000.0, "answers were waited for, for 5 s: {} us", ack.min_us);
        assert!(ack.max_us >= 14_900_000.0, "the first was due 15 s before the end: {} us", ack.max_us);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept_if_what_was_due_was_done_as_fast_whatever_was_under_way_at_the_end() {
    // 400 a second take 2.5 ms each; one at a time takes 2.
    for (rate, outstanding_max, kept) in [(400, 1, true), (600, 1, false), (600, 2, true), (5, 1, true)] {
        let tally = open(stall, rate, outstanding_max).await;
        assert_eq!(
            (tally.kept_up(), tally.batches),
            (kept, rate * 10),
            "{rate}, {outstanding_max}: {tally:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn failures_are_counted_and_the_first_is_told() {
    let tally = open(|_| Served::Refused, 200, 10).await;
    assert_eq!((tally.failed, tally.records, tally.first_error.as_deref()), (2_000, 0, Some("no")));
    assert_eq!((tally.ack.percentiles(), tally.kept_up()), (None, false));
    let patient = closed(|_| Served::Refused, Duration::ZERO).await;
    assert!(patient.failed <= 501, "a refusal is followed by a pause: {}", patient.failed);
}

#[tokio::test(start_paused = true)]
async fn the_warm_up_is_not_measured() {
    let tally = closed(stall, RUN / 2).await;
    assert!(tally.acknowledged > tally.records + 2_000, "{tally:?}");
    assert!(tally.batches <= tally.records + 2, "{tally:?}");
}

#[tokio::test(start_paused = true)]
async fn a_loop_of_so_many_records_ends_with_them_and_with_the_window_at_the_latest() {
    let began = Instant::now();
    let tally = closed_with(stall, Duration::ZERO, &Budget::of(500)).await;
    assert_eq!((tally.records, tally.batches, began.elapsed()), (500, 500, ANSWER * 500));
    let late = closed_with(stall, Duration::ZERO, &Budget::of(1_000_000)).await;
    assert!(late.records < 5_000, "{late:?}");
}
