//! Everything at once, at random from a seed, with every law checked after every step: honest but moving clocks,
//! faults, partitions, lost messages, slow disks, restarts, promises with any set of acceptors.

use super::bench::Bench;
use crate::clock::Fault;
use crate::codec::Frame;
use crate::consensus::MessageKind;
use crate::shard::test_time::EPS;
use crate::types::{Index, Timestamp};

const SEEDS: u64 = 20;
const STEPS: usize = 400;

/// `SplitMix64` (Steele, Lea, Flood 2014).
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn one_in(&mut self, chance: u64) -> bool {
        self.below(chance) == 0
    }
}

/// What has been shown to somebody, and must hold for ever.
#[derive(Default)]
struct Witness {
    committed: Vec<Frame>,
    published: Vec<(Timestamp, Index)>,
    /// A reader was told that everything at or below the time is released, and saw this much.
    served: Vec<(Timestamp, Index)>,
    last_closed: [Timestamp; 3],
    acknowledged: usize,
}

impl Witness {
    fn check(&mut self, bench: &mut Bench) {
        for replica in 1..=3 {
            self.check_replica(bench, replica);
        }
        let records = |frame: &&Frame| frame.header.record_count > 0;
        let stamps = self.committed.iter().filter(records).map(|frame| frame.header);
        let mut last = Timestamp::ZERO;
        for header in stamps {
            assert!(header.first_timestamp > last, "I2");
            last = header.last_timestamp();
            let breaks = |(closed, index): &&(Timestamp, Index)| {
                header.index > *index && header.first_timestamp <= *closed
            };
            assert_eq!(self.published.iter().find(breaks), None, "I5: {header:?}");
            assert_eq!(self.served.iter().find(breaks), None, "C5: {header:?}");
        }
    }

    fn check_replica(&mut self, bench: &mut Bench, replica: u64) {
        let now = bench.now(replica);
        assert!(bench.shard(replica).failure().is_none(), "{:?}", bench.shard(replica).failure());
        let frames = bench.node(replica).log.frames();
        let (committed, released) = (bench.shard(replica).committed(), bench.shard(replica).released());
        for frame in &frames[..committed.0 as usize] {
            match self.committed.get(frame.header.index.0 as usize - 1) {
                Some(known) => assert_eq!(known, frame, "no fork"),
                None => self.committed.push(frame.clone()),
            }
        }
        let status = bench.shard(replica).status(&now);
        assert!(status.released.index <= status.committed.index);
        assert!(status.committed.index <= status.appended.index);
        let closed = status.closed;
        if now.is_trusted() {
            let last = released.0.checked_sub(1).map(|at| frames[at as usize].header.last_timestamp());
            // The clock may have moved back inside its own bounds since the release, by two uncertainties at most.
            assert!(last.is_none_or(|last| last < now.interval.earliest.plus_ns(2 * EPS)), "I4");
            assert!(last.is_none_or(|last| last.0 < bench.true_ns), "I4: shown before its time");
        }
        let known = &mut self.last_closed[replica as usize - 1];
        assert!(closed >= *known, "closed never goes back");
        if closed > *known {
            assert!(now.is_trusted() && closed.0 < bench.true_ns, "I7, I4");
            *known = closed;
            self.served.push((closed, released));
        }
    }

    /// Every acknowledged batch stands, committed, where its receipt says; every definitely refused one does not.
    fn check_answers(&mut self, bench: &mut Bench) {
        for replica in 1..=3 {
            let answers = std::mem::take(&mut bench.node(replica).answers);
            for receipt in answers.into_values().flatten() {
                self.acknowledged += 1;
                let mut held = self.committed.iter().map(|frame| frame.header);
                let held = held.any(|header| {
                    (header.first_offset, header.first_timestamp, header.record_count)
                        == (receipt.first_offset, receipt.first_timestamp, receipt.record_count)
                });
                assert!(held, "I10: {receipt:?}");
            }
        }
    }
}

fn promise(bench: &mut Bench, draw: &mut Draw, witness: &mut Witness) {
    for leader in 1..=3 {
        let now = bench.now(leader);
        let closed = now.interval.latest;
        let Some(promise) = bench.shard(leader).promise(closed, &now) else { continue };
        let mut accepted = 0;
        for peer in 1..=3 {
            let now = bench.now(peer);
            let reaches = peer == leader || (!bench.node(peer).is_cut_off && !draw.one_in(4));
            accepted += u64::from(reaches && bench.shard(peer).accept_promise(promise, closed, &now));
        }
        if accepted >= 2 {
            witness.published.push((closed, promise.index));
            for replica in 1..=3 {
                if !draw.one_in(3) {
                    bench.shard(replica).publish(closed, promise.index);
                }
            }
        }
    }
}

fn act(bench: &mut Bench, draw: &mut Draw, witness: &mut Witness, sequence: &mut u64) {
    let replica = 1 + draw.below(3);
    match draw.below(18) {
        0..=3 => {
            if bench.try_append(replica, *sequence, 1 + draw.below(600) as u32).1.is_ok() {
                *sequence += 1;
            } else if draw.one_in(8) {
                *sequence = sequence.saturating_sub(1);
            }
        }
        4..=6 => bench.pass(draw.below(3 * EPS)),
        7..=9 => (0..draw.below(16)).for_each(|_| bench.tick(replica)),
        10 => promise(bench, draw, witness),
        11 => bench.node(replica).is_cut_off = draw.one_in(3),
        12 => bench.node(replica).syncs = !draw.one_in(3),
        13 => bench.node(replica).skew_ns = draw.below(2 * EPS + 1).cast_signed() - EPS.cast_signed(),
        14 => bench.node(replica).fault = draw.one_in(4).then_some(Fault::Unsynchronised),
        15 if draw.one_in(3) => {
            bench.restart(replica);
            // Readers of a process that died are gone; what they were told stays in `served`.
            witness.last_closed[replica as usize - 1] = Timestamp::ZERO;
        }
        15 => {
            let kinds = [MessageKind::AppendAnswer, MessageKind::Append, MessageKind::TimeoutNow];
            bench.lost = kinds.into_iter().filter(|_| draw.one_in(4)).collect();
            bench.floors = !draw.one_in(3);
        }
        _ => {
            (bench.lost, bench.floors) = (Vec::new(), true);
            for node in &mut bench.nodes {
                (node.is_cut_off, node.syncs, node.fault) = (false, true, None);
            }
        }
    }
    bench.settle();
    witness.check(bench);
    witness.check_answers(bench);
}

#[test]
fn every_law_holds_through_faults_at_random() {
    let (mut acknowledged, mut published, mut terms) = (0, 0, 0);
    for seed in 0..SEEDS {
        let (mut draw, mut witness, mut sequence) = (Draw(seed), Witness::default(), 0);
        let mut bench = Bench::led();
        for _ in 0..STEPS {
            act(&mut bench, &mut draw, &mut witness, &mut sequence);
        }
        acknowledged += witness.acknowledged;
        published += witness.published.len();
        terms += (1..=3).map(|replica| bench.shard(replica).term().0).max().unwrap_or(0);
    }
    // The run means something only if much happened in it.
    assert!(acknowledged > 200 && published > 150 && terms > 80, "{acknowledged} {published} {terms}");
}
