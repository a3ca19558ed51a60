//! Messages from peers: proved before they are taken, refused while they lie too far ahead.

use bytes::Bytes;

use super::bench::{Bench, request};
use crate::clock::Fault;
use crate::codec::{Frame, FrameHeader, FrameKind, ShardState};
use crate::consensus::{LogEntry, Message, MessageKind};
use crate::shard::test_time::EPS;
use crate::shard::{ShardLog, StepRefusal};
use crate::types::{BatchId, Index, NodeId, ReplicaId, Timestamp};

/// What leader 1 would send replica 2 next, stamped `stamp`.
fn next_append(bench: &mut Bench, stamp: Timestamp) -> (Message, FrameHeader) {
    let log = bench.node(2).log.clone();
    let tail = log.state_at(Index(log.frames().len() as u64)).unwrap();
    let batch = request(0, 0, 1);
    let header = header_after(&tail, &batch.body, batch.body_crc, stamp);
    let entry = LogEntry {
        term: header.term,
        index: header.index,
        membership: false,
        context: header.encode(),
        data: batch.body,
    };
    let message = Message {
        kind: MessageKind::Append,
        from: ReplicaId(1),
        to: ReplicaId(2),
        term: tail.term,
        log_term: tail.term,
        index: tail.index,
        commit: tail.index,
        commit_term: tail.term,
        reject: false,
        reject_hint: Index(0),
        context: Bytes::new(),
        entries: vec![entry],
        manifest: None,
    };
    (message, header)
}

fn header_after(tail: &ShardState, body: &Bytes, body_crc: u32, stamp: Timestamp) -> FrameHeader {
    FrameHeader {
        kind: FrameKind::Data,
        compression: crate::codec::Compression::None,
        body_crc,
        body_len: body.len() as u32,
        record_count: 1,
        term: tail.term,
        index: tail.index.plus(1),
        first_offset: tail.next_offset,
        first_timestamp: stamp,
        uncertainty_ns: EPS,
        committed: tail.index,
        batch: BatchId::default(),
        chain: tail.chain,
        start: Index(0),
    }
}

fn led_and_heard() -> Bench {
    let mut bench = Bench::led();
    for _ in 0..4 {
        bench.tick(1);
    }
    bench
}

fn step(bench: &mut Bench, message: &Message) -> Result<(), StepRefusal> {
    let now = bench.now(2);
    let stepped = bench.shard(2).step(message.clone(), &now);
    bench.node(1).is_cut_off = true;
    bench.settle();
    stepped
}

#[test]
fn an_entry_that_fails_its_checksums_is_refused_with_the_reason() {
    let mut bench = led_and_heard();
    let stamp = bench.now(1).interval.latest;
    let (good, _) = next_append(&mut bench, stamp);
    let before = bench.node(2).log.frames().len();
    let mut body = good.clone();
    body.entries[0].data = Bytes::from(vec![0; body.entries[0].data.len()]);
    assert!(matches!(step(&mut bench, &body), Err(StepRefusal::Unproven { .. })));
    let mut header = good.clone();
    let mut context = header.entries[0].context.to_vec();
    context[60] ^= 1;
    header.entries[0].context = context.into();
    assert!(matches!(step(&mut bench, &header), Err(StepRefusal::Unproven { .. })));
    assert_eq!(bench.node(2).log.frames().len(), before);
    assert_eq!(step(&mut bench, &good), Ok(()));
    assert_eq!(bench.node(2).log.frames().len(), before + 1);
}

#[test]
fn an_entry_that_disagrees_with_its_frame_is_refused() {
    let mut bench = led_and_heard();
    let stamp = bench.now(1).interval.latest;
    let (good, header) = next_append(&mut bench, stamp);
    let forged = [
        FrameHeader { index: header.index.plus(1), ..header },
        FrameHeader { term: header.term.plus(1), ..header },
        FrameHeader { kind: FrameKind::Membership, record_count: 0, ..header },
        FrameHeader { kind: FrameKind::LeaderStart, record_count: 0, body_len: 0, body_crc: 0, ..header },
        FrameHeader { first_timestamp: Timestamp::MAX, record_count: 9, ..header },
    ];
    for header in forged {
        let mut message = good.clone();
        message.entries[0].context = header.encode();
        message.entries[0].data.truncate(header.body_len as usize);
        let refused = step(&mut bench, &message);
        assert!(matches!(refused, Err(StepRefusal::Disagrees { .. })), "{header:?}: {refused:?}");
    }
    let mut misaddressed = good;
    misaddressed.to = ReplicaId(3);
    assert!(matches!(step(&mut bench, &misaddressed), Err(StepRefusal::WrongReplica { .. })));
    assert!(bench.shard(2).failure().is_none());
}

#[test]
fn an_entry_that_breaks_the_chain_stops_the_shard() {
    let mut bench = led_and_heard();
    let stamp = bench.now(1).interval.latest;
    let (mut message, header) = next_append(&mut bench, stamp);
    let body = message.entries[0].data.clone();
    let before = bench.node(2).log.frames().len();
    message.entries[0].context = Frame::new(FrameHeader { chain: 1, ..header }, body).header_bytes;
    let _ = step(&mut bench, &message);
    let failure = bench.shard(2).failure().unwrap().to_string();
    assert!(failure.contains("chain"), "{failure}");
    assert_eq!(bench.node(2).log.frames().len(), before, "nothing of it is written");
    assert!(matches!(step(&mut bench, &message), Err(StepRefusal::Stopped { .. })));
}

#[test]
fn a_wild_uncommitted_entry_is_put_off_but_by_a_clock_that_was_outvoted() {
    let mut bench = led_and_heard();
    let edge = bench.now(2).interval.latest.plus_ns(6 * EPS + 1_000);
    let (wild, _) = next_append(&mut bench, edge.next());
    let before = bench.node(2).log.frames().len();
    assert_eq!(step(&mut bench, &wild), Ok(()), "refused as retry-later, not as an error");
    let now = bench.now(2);
    assert_eq!((bench.node(2).log.frames().len(), bench.shard(2).status(&now).guarded), (before, 1));
    // Its sender is what contradicts this clock: all the more reason to wait.
    bench.node(2).fault = Some(Fault::Contradicted { by: NodeId(1), by_ns: 1 });
    assert_eq!(step(&mut bench, &wild), Ok(()));
    assert_eq!(bench.node(2).log.frames().len(), before);
    // A clock that was outvoted is nothing to hold others against.
    bench.node(2).fault = Some(Fault::Outvoted { by_ns: 1 });
    assert_eq!(step(&mut bench, &wild), Ok(()));
    assert_eq!(bench.node(2).log.frames().len(), before + 1);
}

#[test]
fn a_wild_entry_is_taken_once_its_time_has_come() {
    let mut bench = led_and_heard();
    let edge = bench.now(2).interval.latest.plus_ns(6 * EPS + 1_000);
    let (wild, _) = next_append(&mut bench, edge.next());
    let before = bench.node(2).log.frames().len();
    assert_eq!(step(&mut bench, &wild), Ok(()));
    bench.true_ns += 1;
    assert_eq!(step(&mut bench, &wild), Ok(()));
    assert_eq!(bench.node(2).log.frames().len(), before + 1);
}

#[test]
fn a_wild_entry_that_is_committed_is_taken() {
    let mut bench = led_and_heard();
    let wild = bench.now(2).interval.latest.plus_ns(1_000 * EPS);
    let (mut message, header) = next_append(&mut bench, wild);
    message.commit = header.index;
    let before = bench.node(2).log.frames().len();
    assert_eq!(step(&mut bench, &message), Ok(()));
    assert_eq!(bench.node(2).log.frames().len(), before + 1);
    assert!(bench.shard(2).released() < header.index, "but shown to nobody before its time");
}
