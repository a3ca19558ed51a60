//! One run from its first append to its tally.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout_at};

use super::budget::Budget;
use super::meter::{Meter, Tally};
use super::offer::{Append, Offer};
use super::open::OpenLoop;
use super::window::Window;
use super::{closed, pacer};
use crate::failure::Failure;
use crate::records::Records;
use crate::schedule::Schedule;
use crate::workload::{Mode, Shape, Workload};

/// How long answers are waited for after the end.
const ANSWERS_MAX: Duration = Duration::from_secs(5);
/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// Told how far a run is: what has passed, and records acknowledged.
pub(crate) type Progress<'a> = &'a (dyn Fn(Duration, u64) + Sync);

/// Offers the workload to the producers, within the window. Ends at most [`ANSWERS_MAX`] after it.
pub(crate) async fn drive<A: Append>(
    workload: &Workload,
    producers: Vec<Arc<A>>,
    records: &Records,
    window: Window,
    progress: Progress<'_>,
) -> Result<Tally, Failure> {
    let meter = Arc::new(Meter::new(window));
    let Shape { in_flight, batch_records, .. } = workload.shape;
    let (producers, records) = (producers.into(), records.clone());
    let offer = Offer { producers, batch_records, records, window, meter };
    let Mode::Open { records_per_second, outstanding_max } = workload.mode else {
        let budget = match workload.mode {
            Mode::Count { records } => Budget::of(records),
            Mode::Closed | Mode::Open { .. } | Mode::Replay { .. } => Budget::endless(),
        };
        let mut tasks = closed::start(&offer, in_flight, &budget);
        watch(&mut tasks, window, &offer.meter, progress).await;
        return Ok(offer.meter.finish(std::iter::empty()));
    };
    let schedule = Schedule::new(records_per_second, batch_records);
    let released = Arc::new(Semaphore::new(0));
    let mut open = OpenLoop::start(&offer, outstanding_max, schedule, &released);
    // Ends by itself before the tasks do.
    pacer::start(schedule, window, released, outstanding_max)
        .map_err(|source| Failure::Machine { what: "start a thread", source })?;
    watch(&mut open.tasks, window, &offer.meter, progress).await;
    Ok(offer.meter.finish(open.never_sent()))
}

/// Waits for the tasks, and no longer than answers are waited for; tells how far they are.
pub(super) async fn watch(tasks: &mut JoinSet<()>, window: Window, meter: &Meter, progress: Progress<'_>) {
    let limit = window.ends + ANSWERS_MAX;
    let mut tell = interval(TELL_EVERY);
    loop {
        tokio::select! {
            ended = timeout_at(limit, tasks.join_next()) => match ended {
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(_) => return tasks.shutdown().await,
            },
            _ = tell.tick() => {
                let passed = Instant::now().saturating_duration_since(window.began);
                progress(passed.min(window.ends - window.began), meter.acknowledged());
            }
        }
    }
}
