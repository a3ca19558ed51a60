//! Appends: stamps, duplicates, refusals, and when an answer may leave.

use super::bench::{Bench, START, records, request};
use crate::codec::{self, Compression, checksum, encode_records};
use crate::shard::test_time::EPS;
use crate::shard::{Admission, AppendRequest, Refusal};
use crate::types::{Offset, Timestamp};

#[test]
fn a_batch_is_answered_once_it_is_committed_and_earliest_is_past_it() {
    let mut bench = Bench::led();
    let ticket = bench.append(1, 3);
    assert_eq!(bench.answer(1, ticket), None, "committed, but the clock is not past it");
    let stamped = Timestamp(START + EPS);
    bench.pass(2 * EPS + 2);
    assert_eq!(bench.now(1).interval.earliest, stamped.plus_ns(2));
    assert_eq!(bench.answer(1, ticket), None, "its last record's time counts");
    assert_eq!(bench.shard(1).wake_after(), Some(stamped.plus_ns(2)));
    bench.pass(1);
    let receipt = bench.answer(1, ticket).unwrap().unwrap();
    assert_eq!((receipt.first_timestamp, receipt.first_offset), (stamped, Offset(0)));
    assert_eq!((receipt.record_count, receipt.uncertainty_ns), (3, EPS));
}

#[test]
fn the_clock_alone_releases_nothing() {
    let mut bench = Bench::led();
    bench.node(2).is_cut_off = true;
    bench.node(3).is_cut_off = true;
    let ticket = bench.append(1, 1);
    bench.pass_wait();
    assert_eq!(bench.answer(1, ticket), None);
    assert!(bench.shard(1).released() < bench.node(1).log.data()[0].index);
}

#[test]
fn no_replica_releases_before_its_own_clock_is_past() {
    let mut bench = Bench::led();
    bench.node(2).skew_ns = -(EPS.cast_signed());
    bench.append(1, 1);
    bench.tick(1);
    bench.tick(1);
    let index = bench.node(1).log.data()[0].index;
    bench.pass(2 * EPS + 1);
    assert_eq!(bench.shard(1).released(), index);
    assert!(bench.shard(2).committed() == index && bench.shard(2).released() < index);
    bench.pass(EPS);
    assert_eq!(bench.shard(2).released(), index);
}

#[test]
fn answers_leave_in_index_order() {
    let mut bench = Bench::led();
    let tickets: Vec<u64> = (0..5).map(|_| bench.append(1, 2)).collect();
    bench.pass_wait();
    assert_eq!(bench.node(1).answered, tickets);
    let stamps: Vec<_> = bench.node(1).log.data().iter().map(|header| header.first_timestamp.0).collect();
    assert!(stamps.windows(2).all(|pair| pair[0] + 2 <= pair[1]), "{stamps:?}");
}

#[test]
fn a_duplicate_of_an_unreleased_batch_waits_for_its_release() {
    let mut bench = Bench::led();
    let first = bench.append(1, 2);
    let (second, admitted) = bench.try_append(1, 0, 2);
    assert_eq!(admitted, Ok(Admission::Duplicate));
    assert_eq!(bench.answer(1, second), None, "a duplicate's reply is an exposure too");
    bench.pass_wait();
    let (original, repeated) = (bench.answer(1, first).unwrap().unwrap(), bench.answer(1, second).unwrap());
    let repeated = repeated.unwrap();
    assert_eq!(repeated.first_timestamp, original.first_timestamp);
    assert_eq!(repeated.wait, crate::types::StageTimes::default());
    assert_eq!(bench.node(1).log.data().len(), 1, "it is in the log once");
}

#[test]
fn a_duplicate_of_a_released_batch_is_answered_at_once() {
    let mut bench = Bench::led();
    let first = bench.append(1, 2);
    bench.pass_wait();
    let (second, admitted) = bench.try_append(1, 0, 2);
    assert_eq!(admitted, Ok(Admission::Duplicate));
    let (original, repeated) = (bench.answer(1, first).unwrap().unwrap(), bench.answer(1, second).unwrap());
    assert_eq!(repeated.unwrap().first_offset, original.first_offset);
}

#[test]
fn a_retried_batch_is_answered_with_the_original_receipt_by_the_next_leader() {
    let mut bench = Bench::led();
    let first = bench.append(1, 2);
    bench.pass_wait();
    let original = bench.answer(1, first).unwrap().unwrap();
    bench.elect(2);
    let (again, admitted) = bench.try_append(2, 0, 2);
    assert_eq!(admitted, Ok(Admission::Duplicate));
    let repeated = bench.answer(2, again).unwrap().unwrap();
    assert_eq!(
        (repeated.first_offset, repeated.first_timestamp, repeated.term, repeated.record_count),
        (original.first_offset, original.first_timestamp, original.term, original.record_count)
    );
}

#[test]
fn a_sequence_gap_is_refused_but_tells_of_nothing_unreleased() {
    let mut bench = Bench::led();
    bench.append(1, 1);
    assert_eq!(bench.try_append(1, 2, 1).1, Err(Refusal::Unsettled));
    bench.pass_wait();
    assert_eq!(bench.try_append(1, 2, 1).1, Err(Refusal::SequenceGap { expected: 1 }));
    assert_eq!(bench.try_append(1, 1, 1).1, Ok(Admission::Assigned));
}

#[test]
fn a_batch_that_is_not_what_it_claims_is_refused_and_leaves_nothing() {
    let mut bench = Bench::led();
    let now = bench.now(1);
    let good = request(1, 0, 3);
    let mut wrong_crc = good.clone();
    wrong_crc.body_crc ^= 1;
    let refused = bench.shard(1).append(wrong_crc, &now);
    assert!(matches!(refused, Err(Refusal::Invalid(codec::Error::BodyCrc { .. }))), "{refused:?}");
    let mut wrong_count = good.clone();
    wrong_count.record_count = 2;
    assert!(matches!(bench.shard(1).append(wrong_count, &now), Err(Refusal::Invalid(_))));
    let packed = encode_records(&records(300)).unwrap().compressed(Compression::Zstd);
    let mut wrong_codec = AppendRequest { record_count: 300, ..good.clone() };
    (wrong_codec.compression, wrong_codec.body) = (Compression::Lz4, packed.body.clone());
    wrong_codec.body_crc = packed.crc;
    assert!(matches!(bench.shard(1).append(wrong_codec, &now), Err(Refusal::Invalid(_))));
    let mut bomb = AppendRequest { record_count: 300, ..good.clone() };
    let stored = [&u32::MAX.to_le_bytes()[..], &packed.body[4..]].concat();
    (bomb.compression, bomb.body_crc, bomb.body) = (Compression::Zstd, checksum(&[&stored]), stored.into());
    let refused = bench.shard(1).append(bomb, &now);
    assert!(matches!(refused, Err(Refusal::Invalid(codec::Error::TooLarge { .. }))), "{refused:?}");
    let mut empty = good.clone();
    empty.record_count = 0;
    assert_eq!(bench.shard(1).append(empty, &now), Err(Refusal::Empty));
    let mut large = good;
    large.body = vec![0; codec::BODY_BYTES_MAX + 1].into();
    assert!(matches!(bench.shard(1).append(large, &now), Err(Refusal::TooLarge { .. })));
    bench.settle();
    assert!(bench.node(1).log.data().is_empty());
}

#[test]
fn a_compressed_batch_is_kept_as_it_came() {
    let mut bench = Bench::led();
    let now = bench.now(1);
    let stored = encode_records(&records(300)).unwrap().compressed(Compression::Lz4);
    let (compression, body_crc, body) = (stored.compression, stored.crc, stored.body);
    assert_eq!(compression, Compression::Lz4, "many alike records shrink");
    let packed = AppendRequest { compression, body_crc, body: body.clone(), ..request(1, 0, 300) };
    assert_eq!(bench.shard(1).append(packed, &now), Ok(Admission::Assigned));
    bench.settle();
    let frame = bench.node(1).log.frames().pop().expect("it was appended");
    assert_eq!((frame.header.compression, frame.body), (compression, body));
}

#[test]
fn more_unanswered_appends_than_the_limit_are_refused() {
    let mut bench = Bench::led();
    for _ in 0..8 {
        bench.append(1, 1);
    }
    assert_eq!(bench.try_append(1, 8, 1).1, Err(Refusal::Busy { unanswered: 8, max: 8 }));
    bench.pass_wait();
    assert_eq!(bench.try_append(1, 8, 1).1, Ok(Admission::Assigned));
}

#[test]
fn a_leader_does_not_stamp_beyond_its_own_entry_guard() {
    let mut bench = Bench::led();
    let beyond = 6 * EPS + 1_000;
    for sequence in 0..7 {
        assert_eq!(bench.try_append(1, sequence, 1_000).1, Ok(Admission::Assigned));
    }
    let refused = bench.try_append(1, 7, 1_000).1;
    assert_eq!(refused, Err(Refusal::AheadOfClock { ahead_ns: 7_999, max_ns: beyond }));
    assert!(refused.is_err_and(|refusal| refusal.is_retryable()));
    bench.pass(1_000);
    assert_eq!(bench.try_append(1, 7, 1_000).1, Ok(Admission::Assigned));
}

#[test]
fn a_receipt_tells_where_the_batchs_time_went() {
    let mut bench = Bench::led();
    bench.node(1).syncs = false;
    let ticket = bench.append(1, 1);
    bench.true_ns += 100;
    bench.node(1).syncs = true;
    bench.settle();
    bench.pass_wait();
    let wait = bench.answer(1, ticket).unwrap().unwrap().wait;
    assert_eq!(wait.queue.as_nanos(), 5);
    assert_eq!(wait.sync.as_nanos(), 100);
    assert_eq!(wait.replication.as_nanos(), 0, "two followers made a quorum without the leader's disk");
    assert_eq!(wait.commit_wait.as_nanos(), u128::from(100 + 100 * EPS));
}
