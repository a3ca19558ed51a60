//! Conditions, waits for commitment alone, and stamps above a given timestamp.

use super::bench::{Bench, request};
use crate::clock::Fault;
use crate::codec::encode_records;
use crate::shard::test_time::EPS;
use crate::shard::{Admission, AppendRequest, Outcome, Refusal};
use crate::types::{
    AppendTerms, BatchId, Condition, Found, Offset, ProducerId, Receipt, Record, Timestamp, Wait,
};

/// A batch of records with these keys, by a producer of its own.
fn keyed(producer: u64, keys: &[&'static str], terms: AppendTerms) -> AppendRequest {
    let records: Vec<Record> =
        keys.iter().map(|key| Record { key: Some((*key).into()), ..Record::default() }).collect();
    let batch = encode_records(&records).unwrap();
    AppendRequest {
        batch: BatchId { producer: ProducerId(producer), epoch: 0, sequence: 0 },
        record_count: batch.count,
        body_crc: batch.crc,
        body: batch.body,
        terms,
        ..request(0, 0, 1)
    }
}

fn next(offset: u64) -> AppendTerms {
    AppendTerms { condition: Some(Condition::NextOffset(Offset(offset))), ..AppendTerms::default() }
}

fn unchanged(key: &'static str, as_of: Timestamp) -> AppendTerms {
    let condition = Condition::KeyUnchangedSince { key: key.into(), as_of };
    AppendTerms { condition: Some(condition), ..AppendTerms::default() }
}

/// What an append by a new producer is told at once.
fn told(
    bench: &mut Bench,
    producer: u64,
    key: &'static str,
    terms: AppendTerms,
) -> Result<Admission, Refusal> {
    bench.try_request(1, keyed(producer, &[key], terms)).1
}

fn failed(found: Found) -> Result<Admission, Refusal> {
    Err(Refusal::ConditionFailed { found })
}

/// Appends a batch without a condition; gives its receipt once time has passed.
fn written(bench: &mut Bench, producer: u64, keys: &[&'static str]) -> Receipt {
    let (ticket, admitted) = bench.try_request(1, keyed(producer, keys, AppendTerms::default()));
    assert_eq!(admitted, Ok(Admission::Assigned));
    bench.pass_wait();
    bench.answer(1, ticket).unwrap().unwrap()
}

#[test]
fn refusal_of_a_condition_tells_nothing_unreleased() {
    let mut bench = Bench::led();
    bench.append(1, 1);
    assert_eq!(told(&mut bench, 10, "a", next(0)), Err(Refusal::Unsettled));
    assert_eq!(told(&mut bench, 10, "a", unchanged("a", Timestamp::ZERO)), Err(Refusal::Unsettled));
    assert_eq!(
        (Refusal::Unsettled.is_retryable(), Refusal::Unsettled.outcome()),
        (true, Outcome::NotApplied)
    );
    bench.pass_wait();
    let horizon = bench.node(1).log.data()[0].last_timestamp();
    assert_eq!(told(&mut bench, 10, "a", next(0)), failed(Found::NextOffset(Offset(1))));
    assert_eq!(
        told(&mut bench, 10, "a", unchanged("a", Timestamp::ZERO)),
        failed(Found::KeyChanged(horizon))
    );
    bench.append(1, 1);
    assert_eq!(told(&mut bench, 10, "a", next(0)), failed(Found::NextOffset(Offset(1))), "not 2");
    assert_eq!(told(&mut bench, 10, "a", next(1)), Err(Refusal::Unsettled));
    assert_eq!(
        told(&mut bench, 10, "a", next(9)),
        failed(Found::NextOffset(Offset(1))),
        "so many there are not"
    );
    assert_eq!(told(&mut bench, 10, "a", next(2)), Ok(Admission::Assigned));
    assert_eq!(told(&mut bench, 11, "a", unchanged("a", horizon)), Err(Refusal::Unsettled));
    bench.pass_wait();
    let changed = bench.node(1).log.data()[2].last_timestamp();
    assert_eq!(told(&mut bench, 11, "a", unchanged("a", horizon)), failed(Found::KeyChanged(changed)));
    assert_eq!(told(&mut bench, 11, "a", unchanged("a", changed)), Ok(Admission::Assigned));
}

#[test]
fn of_two_writers_with_one_expectation_one_wins_however_early_the_other_comes() {
    let mut bench = Bench::led();
    assert_eq!(told(&mut bench, 10, "a", next(0)), Ok(Admission::Assigned));
    assert!(told(&mut bench, 11, "a", next(0)).is_err());
    assert!(
        told(&mut bench, 11, "a", unchanged("b", Timestamp::ZERO)).is_err(),
        "the leader was never asked before"
    );
    bench.pass_wait();
    let as_of = bench.node(1).log.data()[0].last_timestamp();
    assert_eq!(told(&mut bench, 12, "b", unchanged("b", as_of)), Ok(Admission::Assigned));
    assert!(told(&mut bench, 13, "b", unchanged("b", as_of)).is_err());
    assert_eq!(told(&mut bench, 14, "c", unchanged("c", as_of)), Ok(Admission::Assigned), "another key");
}

#[test]
fn a_key_in_the_middle_of_a_batch_counts_with_its_own_timestamp() {
    let mut bench = Bench::led();
    assert_eq!(told(&mut bench, 10, "x", unchanged("x", Timestamp::ZERO)), Ok(Admission::Assigned));
    let receipt = written(&mut bench, 11, &["a", "b", "c"]);
    let at = |n| receipt.first_timestamp.plus_ns(n);
    assert_eq!(told(&mut bench, 12, "b", unchanged("b", at(0))), failed(Found::KeyChanged(at(1))));
    assert_eq!(told(&mut bench, 12, "b", unchanged("b", at(1))), Ok(Admission::Assigned));
}

#[test]
fn a_retry_that_was_applied_gets_its_receipt_whatever_holds_by_now() {
    let mut bench = Bench::led();
    let conditional = keyed(10, &["a"], next(0));
    let (first, admitted) = bench.try_request(1, conditional.clone());
    assert_eq!(admitted, Ok(Admission::Assigned));
    bench.append(1, 3);
    bench.pass_wait();
    let (again, admitted) = bench.try_request(1, conditional);
    assert_eq!(admitted, Ok(Admission::Duplicate));
    let (first, again) = (bench.answer(1, first).unwrap().unwrap(), bench.answer(1, again).unwrap().unwrap());
    assert_eq!((again.first_offset, again.header_crc), (first.first_offset, first.header_crc));
}

#[test]
fn a_new_leader_decides_of_keys_only_above_the_end_of_its_log() {
    let mut bench = Bench::led();
    assert_eq!(told(&mut bench, 10, "a", unchanged("a", Timestamp::ZERO)), Ok(Admission::Assigned));
    bench.pass_wait();
    let end = written(&mut bench, 11, &["b"]).first_timestamp;
    bench.elect(2);
    let (_, refused) = bench.try_request(2, keyed(12, &["c"], unchanged("c", end.minus_ns(1))));
    assert_eq!(refused, failed(Found::KeyChanged(end)));
    let (_, admitted) = bench.try_request(2, keyed(12, &["c"], unchanged("c", end)));
    assert_eq!(admitted, Ok(Admission::Assigned));
}

#[test]
fn a_key_that_changes_without_pause_is_told_of_by_what_is_released_of_it() {
    let mut bench = Bench::led();
    assert_eq!(told(&mut bench, 10, "a", unchanged("a", Timestamp::ZERO)), Ok(Admission::Assigned));
    let as_of = bench.node(1).log.data()[0].last_timestamp();
    for producer in 11..40 {
        bench.pass(EPS / 2);
        assert_eq!(told(&mut bench, producer, "a", AppendTerms::default()), Ok(Admission::Assigned));
    }
    let (released, last) = (bench.shard(1).released(), bench.node(1).log.data().pop().unwrap());
    assert!(released < last.index, "there is always one that must not be told of");
    let refused = told(&mut bench, 50, "a", unchanged("a", as_of));
    let Err(Refusal::ConditionFailed { found: Found::KeyChanged(at) }) = refused else {
        panic!("{refused:?}")
    };
    assert!(as_of < at && at < bench.now(1).interval.earliest);
}

#[test]
fn who_waits_for_commitment_alone_is_answered_then_and_nobody_else() {
    let mut bench = Bench::led();
    let hasty = AppendTerms { wait: Wait::Committed, ..AppendTerms::default() };
    let plain = bench.append(1, 1);
    let (ticket, _) = bench.try_request(1, keyed(10, &["a"], hasty.clone()));
    let receipt = bench.answer(1, ticket).expect("it is committed").unwrap();
    assert!(receipt.first_timestamp > bench.now(1).interval.earliest, "its time has not passed");
    assert_eq!(bench.answer(1, plain), None);
    assert!(bench.shard(1).released() < bench.node(1).log.data()[0].index, "readers see neither");
    let (again, admitted) = bench.try_request(1, keyed(10, &["a"], hasty));
    assert_eq!(admitted, Ok(Admission::Duplicate));
    assert_eq!(bench.answer(1, again).unwrap().unwrap().first_timestamp, receipt.first_timestamp);
    bench.pass_wait();
    assert!(bench.answer(1, plain).is_some());
}

#[test]
fn who_waits_for_commitment_is_not_answered_without_it_nor_by_a_clock_that_is_not_trusted() {
    let mut bench = Bench::led();
    let hasty = || AppendTerms { wait: Wait::Committed, ..AppendTerms::default() };
    bench.node(2).is_cut_off = true;
    bench.node(3).is_cut_off = true;
    let (ticket, _) = bench.try_request(1, keyed(10, &["a"], hasty()));
    bench.pass_wait();
    assert_eq!(bench.answer(1, ticket), None);
    bench.node(1).fault = Some(Fault::Unsynchronised);
    bench.node(2).is_cut_off = false;
    bench.node(3).is_cut_off = false;
    bench.settle();
    assert_eq!(bench.answer(1, ticket), None);
    bench.node(1).fault = None;
    bench.settle();
    bench.tick(1);
    bench.tick(1);
    assert!(bench.answer(1, ticket).is_some());
}

#[test]
fn an_append_is_stamped_above_the_timestamp_it_names_but_not_far_into_the_future() {
    let mut bench = Bench::led();
    let latest = bench.now(1).interval.latest;
    let after = |after| AppendTerms { after, ..AppendTerms::default() };
    let (near, far) = (2 * EPS, 8 * EPS + 1_000);
    let refused = told(&mut bench, 10, "a", after(latest.plus_ns(far + 1)));
    assert_eq!(refused, Err(Refusal::Future { ahead_ns: far + 1, max_ns: far }));
    assert!(refused.is_err_and(|refusal| !refusal.is_retryable()));
    let refused = told(&mut bench, 10, "a", after(latest.plus_ns(far)));
    assert_eq!(refused, Err(Refusal::AheadOfClock { ahead_ns: far, max_ns: near }));
    assert!(refused.is_err_and(|refusal| refusal.is_retryable()));
    assert_eq!(told(&mut bench, 10, "a", AppendTerms::default()), Ok(Admission::Assigned));
    assert_eq!(bench.node(1).log.data()[0].first_timestamp, latest, "what was refused moved nothing");
    assert_eq!(told(&mut bench, 11, "a", after(latest.plus_ns(near))), Ok(Admission::Assigned));
    assert_eq!(bench.node(1).log.data()[1].first_timestamp, latest.plus_ns(near + 1));
    bench.pass_wait();
    let now = bench.now(1).interval.latest;
    assert_eq!(told(&mut bench, 12, "a", after(latest)), Ok(Admission::Assigned));
    assert_eq!(bench.node(1).log.data()[2].first_timestamp, now, "what has passed asks for nothing");
}
