//! What a window sends, asks and ends, step by step.

use std::time::Duration;

use super::*;
use crate::client::error::Refusal;
use crate::codec::encode_records;
use crate::types::{Durability, NodeId, Offset, Record, ShardId, StageTimes, Term};
use crate::wire::ErrorCode;

#[path = "window_model_tests.rs"]
mod model;

fn refused(code: ErrorCode, outcome: Outcome, expected_sequence: u64) -> Error {
    let message = format!("{code:?}");
    Error::Refused(Box::new(Refusal {
        node: NodeId(1),
        code,
        message,
        retryable: true,
        outcome,
        leader: None,
        expected_sequence,
        trimmed: None,
        found: None,
        floor: Timestamp::ZERO,
    }))
}

fn busy() -> Error {
    refused(ErrorCode::Busy, Outcome::NotApplied, 0)
}

fn receipt(at: Timestamp) -> Receipt {
    Receipt {
        shard: ShardId(1),
        first_offset: Offset(at.0),
        first_timestamp: at,
        record_count: 1,
        uncertainty_ns: 0,
        term: Term(1),
        header_crc: None,
        durability: Durability::Disk,
        wait: StageTimes::default(),
    }
}

fn lost() -> Error {
    Error::Disconnected { address: "a:1".into(), reason: "reset".into() }
}

fn timeout(_limit: Duration, last: Option<Error>) -> Error {
    Error::Timeout { what: "the batch".into(), after: Duration::from_secs(1), last: last.map(Box::new) }
}

fn ready(id: u64, deadline: Instant) -> Ready<u64> {
    let batch = encode_records(&[Record::default()]).unwrap();
    Ready { batch, after: Timestamp::ZERO, deadline, limit: Duration::ZERO, waiter: id }
}

fn window_of(batches: u64, deadline: Instant) -> Window<u64> {
    let mut window = Window::new(4, false);
    (1..=batches).for_each(|id| window.push(ready(id, deadline)));
    window
}

fn send_all(window: &mut Window<u64>) -> Vec<Sending> {
    std::iter::from_fn(|| window.next_sending()).collect()
}

fn lose(window: &mut Window<u64>, sent: &[Sending]) {
    for sending in sent {
        window.on_refused(sending.attempt, lost());
    }
}

fn sequences(sendings: &[Sending]) -> Vec<u64> {
    sendings.iter().map(|sending| sending.attempt.sequence).collect()
}

#[test]
fn no_more_sequences_are_open_than_the_shard_remembers() {
    let mut window = window_of(9, Instant::now());
    let sent = send_all(&mut window);
    assert_eq!(sequences(&sent), [1, 2, 3, 4]);
    assert!(window.on_receipt(sent[2].attempt, receipt(Timestamp(7))).is_some());
    assert!(window.next_sending().is_none(), "1 is open, so 5 would be four ahead of it");
    assert!(window.on_receipt(sent[0].attempt, receipt(Timestamp(5))).is_some());
    let more = send_all(&mut window);
    assert_eq!((sequences(&more), more[0].lowest_open), (vec![5], 2));
}

#[test]
fn a_batch_keeps_the_floor_of_its_first_sending_through_every_retry() {
    let mut window = window_of(3, Instant::now());
    let first = window.next_sending().unwrap();
    window.on_receipt(first.attempt, receipt(Timestamp(100)));
    let second = window.next_sending().unwrap();
    assert_eq!([first.floor, second.floor], [Timestamp::ZERO, Timestamp(100)]);
    let third = window.next_sending().unwrap();
    window.on_receipt(third.attempt, receipt(Timestamp(200)));
    lose(&mut window, &[second]);
    assert_eq!(window.next_sending().unwrap().floor, Timestamp(100), "the lost attempt may still come");
}

fn forgotten() -> Error {
    refused(ErrorCode::Forgotten, Outcome::NotApplied, 0)
}

#[test]
fn forgotten_batches_of_which_every_attempt_was_refused_are_sent_again_with_the_floor_told() {
    let mut window = window_of(2, Instant::now());
    let sent = send_all(&mut window);
    assert!(window.on_forgotten(sent[0].attempt, Timestamp(100), forgotten()).0);
    let (again, ended) = window.on_forgotten(sent[1].attempt, Timestamp(101), forgotten());
    assert!(!again && ended.is_none(), "the first refusal asked for the round");
    let again = send_all(&mut window);
    assert_eq!(again.iter().map(|sending| sending.floor).collect::<Vec<_>>(), [Timestamp(101); 2]);
    assert_eq!(again[0].attempt.epoch, 0);
}

#[test]
fn a_forgotten_batch_with_a_lost_attempt_ends_unknown_at_once_and_the_rest_goes_on() {
    let mut window = window_of(2, Instant::now());
    let sent = send_all(&mut window);
    lose(&mut window, &sent[..1]);
    window.on_refused(sent[1].attempt, busy());
    let again = window.next_sending().unwrap();
    let (_, ended) = window.on_forgotten(again.attempt, Timestamp(100), forgotten());
    let ended = ended.expect("nothing can be told of it any more");
    assert_eq!((ended.waiter, ended.outcome, ended.is_asked), (1, Outcome::Unknown, false));
    window.drained();
    let rest = send_all(&mut window);
    assert_eq!((rest.len(), rest[0].attempt.epoch, rest[0].floor), (1, 1, Timestamp(100)));
}

#[test]
fn a_forgotten_batch_waits_for_the_attempts_that_are_still_under_way() {
    let mut window = window_of(2, Instant::now());
    let sent = send_all(&mut window);
    // The second's refusal begins a round while the first's answer is awaited.
    window.on_refused(sent[1].attempt, busy());
    let again = window.next_sending().unwrap();
    let (_, ended) = window.on_forgotten(again.attempt, Timestamp(100), forgotten());
    assert!(ended.is_none());
    assert_eq!(window.next_sending().unwrap().floor, Timestamp::ZERO, "the first attempt may be applied yet");
    assert_eq!(window.on_receipt(sent[0].attempt, receipt(Timestamp(90))), Some(1));
}

#[test]
fn a_refusal_sends_everything_open_again_in_order_and_once() {
    let mut window = window_of(3, Instant::now());
    let sent = send_all(&mut window);
    assert!(window.on_refused(sent[0].attempt, busy()));
    let again = send_all(&mut window);
    assert_eq!(sequences(&again), [1, 2, 3]);
    assert!(
        !window.on_refused(sent[1].attempt, busy()),
        "a late refusal of the first round asks for nothing"
    );
    assert!(window.next_sending().is_none());
}

#[test]
fn a_batch_whose_attempts_were_all_refused_ends_not_applied() {
    let now = Instant::now();
    let mut window = window_of(1, now);
    let sent = send_all(&mut window);
    window.on_refused(sent[0].attempt, busy());
    let failed = window.expire(now, timeout);
    assert_eq!(failed[0].outcome, Outcome::NotApplied);
    assert!(matches!(&failed[0].error, Error::Timeout { last: Some(_), .. }));
}

#[test]
fn a_batch_with_a_lost_attempt_ends_unknown_even_if_a_later_one_was_refused() {
    let now = Instant::now();
    let mut window = window_of(1, now);
    let sent = send_all(&mut window);
    lose(&mut window, &sent);
    let again = send_all(&mut window);
    window.on_refused(again[0].attempt, busy());
    assert_eq!(window.expire(now, timeout)[0].outcome, Outcome::Unknown);
}

#[test]
fn a_gap_outside_the_window_begins_a_new_epoch_with_nothing_lost() {
    let mut window = window_of(2, Instant::now());
    let sent = send_all(&mut window);
    window.on_gap(sent[0].attempt, 77, refused(ErrorCode::SequenceGap, Outcome::NotApplied, 77));
    window.on_gap(sent[1].attempt, 77, refused(ErrorCode::SequenceGap, Outcome::NotApplied, 77));
    window.drained();
    let again = send_all(&mut window);
    assert_eq!((sequences(&again), again[0].attempt.epoch, again[1].lowest_open), (vec![3, 4], 1, 3));
}

#[test]
fn a_named_producer_sends_nothing_before_it_was_told_its_epoch_and_has_the_fence_for_its_floor() {
    let mut window = Window::new(4, true);
    assert!(!window.next_fence(), "there is nothing to send");
    (1..=2).for_each(|id| window.push(ready(id, Instant::now())));
    assert!(window.next_sending().is_none());
    assert!(window.next_fence() && !window.next_fence());
    assert!(window.awaits_answer() && !window.wants_to_send());
    window.on_fence_refused();
    assert!(window.next_fence(), "what was lost is asked again");
    window.on_fenced(512, Timestamp(9));
    window.on_fenced(256, Timestamp(3));
    let sent = send_all(&mut window);
    assert_eq!((sent[0].attempt.epoch, sent[0].floor, sent.len()), (512, Timestamp(9), 2));
}

#[test]
fn a_batch_that_was_sent_is_named_when_it_fails_by_what_it_was_sent_as() {
    let now = Instant::now();
    let mut window = window_of(5, now);
    send_all(&mut window);
    let named: Vec<_> = window.expire(now, timeout).into_iter().map(|failed| failed.batch).collect();
    assert_eq!(named, [Some((0, 1)), Some((0, 2)), Some((0, 3)), Some((0, 4)), None]);
}

#[test]
fn a_batch_never_sent_ends_not_applied() {
    let now = Instant::now();
    let failed = window_of(1, now).expire(now, timeout);
    assert_eq!(failed[0].outcome, Outcome::NotApplied);
}

/// A window that drained, with batch 1 reported as unknown, and 2 and 3 open and in doubt.
fn drained_window() -> (Window<u64>, Vec<Sending>) {
    let now = Instant::now();
    let mut window = Window::new(4, false);
    (1..=4).for_each(|id| window.push(ready(id, now + Duration::from_secs(if id == 1 { 1 } else { 9 }))));
    let sent = send_all(&mut window);
    let failed = window.expire(now + Duration::from_secs(1), timeout);
    assert_eq!(failed.iter().map(|failed| (failed.waiter, failed.is_asked)).collect::<Vec<_>>(), [(1, true)]);
    window.drained();
    assert_eq!(window.next_question(), None, "2 to 4 are still under way");
    lose(&mut window, &sent[1..3]);
    window.on_refused(sent[3].attempt, refused(ErrorCode::SequenceGap, Outcome::NotApplied, 2));
    window.drained();
    assert!(window.next_sending().is_none(), "it asks first");
    (window, sent)
}

fn told(fate: Fate, at: u64) -> Told {
    Told { fate, at: Timestamp(at) }
}

fn question(epoch: u32, sequence: u64) -> Question {
    Question { epoch, sequence }
}

#[test]
fn what_is_in_doubt_is_asked_about_from_the_lowest_on_before_the_next_epoch_begins() {
    let (mut window, _) = drained_window();
    assert_eq!(window.next_question(), Some(question(0, 1)));
    assert!(window.awaits_answer() && !window.wants_to_send() && window.next_question().is_none());
    let fates = [1, 2, 3].map(|at| Fate::Applied(receipt(Timestamp(at))));
    assert!(window.on_told(question(0, 1), told(fates[0], 1)).is_none(), "nobody waits for it any more");
    for sequence in [2, 3] {
        window.drained();
        assert!(window.next_sending().is_none());
        assert_eq!(window.next_question(), Some(question(0, sequence)));
        let ended = window.on_told(question(0, sequence), told(fates[sequence as usize - 1], sequence));
        assert!(
            matches!(ended, Some(Ended::Applied(id, receipt)) if id == sequence && receipt.first_offset.0 == id)
        );
    }
    window.drained();
    let rest = send_all(&mut window);
    let (attempt, floor) = (rest[0].attempt, rest[0].floor);
    assert_eq!((rest.len(), attempt.epoch, attempt.sequence, rest[0].lowest_open), (1, 1, 5, 5));
    assert_eq!(floor, Timestamp(3), "what a fate tells of is released");
    assert_eq!(window.take_verdicts(), [(question(0, 1), Some(fates[0]))]);
}

#[test]
fn one_that_is_not_applied_settles_all_above_and_they_are_sent_again_as_never_sent() {
    let (mut window, _) = drained_window();
    let first = window.next_question().unwrap();
    assert!(window.on_told(first, told(Fate::NotApplied, 7)).is_none());
    let again = send_all(&mut window);
    assert_eq!((sequences(&again), again[0].attempt.epoch), (vec![5, 6, 7], 1));
    assert!(again.iter().all(|sending| sending.floor == Timestamp(7) && sending.lowest_open == 5));
    assert_eq!(window.take_verdicts(), [(first, Some(Fate::NotApplied))]);
    window.on_refused(again[0].attempt, busy());
    let failed = window.expire(Instant::now() + Duration::from_secs(10), timeout);
    assert_eq!(failed[0].outcome, Outcome::NotApplied, "the lost attempt is no doubt any more");
}

#[test]
fn what_cannot_be_told_ends_unknown_and_the_rest_goes_on() {
    let (mut window, _) = drained_window();
    let mut ended = Vec::new();
    while let Some(question) = window.next_question() {
        ended.extend(window.on_told(question, told(Fate::Forgotten, 0)));
    }
    let ends = ended.iter().map(|ended| match ended {
        Ended::Failed(failed) => (failed.waiter, failed.outcome, failed.batch, failed.is_asked),
        Ended::Applied(..) => panic!("nobody told so"),
    });
    let unknown = |id| (id, Outcome::Unknown, Some((0, id)), false);
    assert_eq!(ends.collect::<Vec<_>>(), [unknown(2), unknown(3)]);
    assert_eq!(window.take_verdicts(), [(question(0, 1), None)]);
    window.drained();
    assert_eq!(sequences(&send_all(&mut window)), [5]);
}

#[test]
fn a_node_that_cannot_be_asked_leaves_all_in_doubt_unknown_and_the_rest_goes_on() {
    let (mut window, _) = drained_window();
    let first = window.next_question().unwrap();
    let failed = window.on_unanswerable(first);
    assert_eq!(failed.iter().map(|failed| failed.waiter).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(window.take_verdicts(), [(first, None)]);
    window.drained();
    assert_eq!(sequences(&send_all(&mut window)), [5]);
}

#[test]
fn a_lost_question_is_asked_again_while_batches_expire() {
    let (mut window, _) = drained_window();
    let first = window.next_question().unwrap();
    assert!(window.on_unanswered(first));
    assert_eq!(window.next_question(), Some(first));
    let soon = Instant::now() + Duration::from_millis(31_500);
    let failed: Vec<_> =
        window.expire(soon, timeout).iter().map(|failed| (failed.waiter, failed.outcome)).collect();
    let expected = [(2, Outcome::Unknown), (3, Outcome::Unknown), (4, Outcome::NotApplied)];
    assert_eq!(failed, expected);
    assert_eq!(window.take_verdicts(), [(first, None)], "asked about for long enough");
    assert!(window.on_told(first, told(Fate::NotApplied, 7)).is_none());
    let settled = |sequence| (question(0, sequence), Some(Fate::NotApplied));
    assert_eq!(window.take_verdicts(), [settled(2), settled(3)], "by the question about one below");
    assert!(!window.on_unanswered(first), "that epoch is over");
}

#[test]
fn a_window_whose_shard_is_silent_goes_on_once_everything_asked_about_is_over() {
    let (mut window, _) = drained_window();
    let first = window.next_question().unwrap();
    let late = Instant::now() + Duration::from_secs(60);
    window.expire(late, timeout);
    let silent = window.expire(late, timeout);
    assert!(silent.is_empty() && window.deadline().is_none());
    window.drained();
    assert!(window.awaits_answer(), "the question's answer is late, or comes");
    window.on_unanswered(first);
    window.drained();
    assert!(!window.awaits_answer() && !window.wants_to_send());
    assert!(window.take_verdicts().iter().all(|(_, fate)| fate.is_none()));
    window.push(ready(5, late));
    assert_eq!(window.next_sending().unwrap().attempt.epoch, 1);
}

#[test]
fn a_receipt_that_comes_late_tells_what_became_of_the_batch() {
    let (mut window, sent) = drained_window();
    let first = window.next_question().unwrap();
    let late = receipt(Timestamp(9));
    assert!(window.on_receipt(sent[0].attempt, late).is_none());
    assert_eq!(window.take_verdicts(), [(first, Some(Fate::Applied(late)))]);
    assert!(window.on_told(first, told(Fate::Applied(late), 9)).is_none());
    assert_eq!((window.next_question(), window.take_verdicts()), (Some(question(0, 2)), vec![]));
}

#[test]
fn a_named_run_goes_on_in_its_own_epochs_and_begins_another_when_they_are_used_up() {
    for (fate, begun, asks_for_fence) in [
        (Fate::NotApplied, 257, false),
        (Fate::Forgotten, 257, false),
        (Fate::NotApplied, 512, false),
        (Fate::Forgotten, 512, true),
    ] {
        let now = Instant::now();
        let mut window = Window::new(4, true);
        window.push(ready(1, now));
        assert!(window.next_fence());
        window.on_fenced(begun - 1, Timestamp(1));
        let sent = send_all(&mut window);
        lose(&mut window, &sent);
        window.expire(now, timeout);
        let asked = window.next_question().unwrap();
        window.on_told(asked, told(fate, 2));
        window.drained();
        window.push(ready(2, now));
        assert_eq!(window.next_fence(), asks_for_fence);
        let next = window.next_sending().map(|sending| sending.attempt.epoch);
        assert_eq!(next, (!asks_for_fence).then_some(begun));
    }
}
