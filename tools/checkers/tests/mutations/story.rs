//! A small true history: two shards, three producers, two replicas, readers of every kind, told step by step.

use std::collections::BTreeMap;

use timberline::types::{NodeId, Offset, ShardId, Term, Timestamp};
use timberline_checkers::{
    Append, Begun, Closing, Demand, Entry, FreshRead, GroupPlace, GroupRead, GroupStep, History, Leading,
    Load, MergedRecord, MergedStream, Outcome, Positions, ReplicaLog, Shown, Stamp, Terms,
};

pub(crate) const HOUR_NS: u64 = 3_600_000_000_000;
const EPOCH_NS: u64 = 1_700_000_000_000_000_000;
const STEP_NS: u64 = 10_000_000;
const NODES: [NodeId; 2] = [NodeId(1), NodeId(2)];

/// Sixty appends, one after the other; every tenth fails, every seventh is never answered.
pub(crate) fn told() -> History {
    let mut history = History::default();
    let mut logs = [Vec::new(), Vec::new()];
    for id in 0..60_u64 {
        let (which, producer) = ((id % 2) as usize, id % 3);
        let shard = ShardId(1 + which as u64);
        let (invoked_ns, count) = (EPOCH_NS + id * STEP_NS, 1 + (id % 4) as u32);
        let mut outcome = Outcome::Failed;
        if id % 10 != 9 {
            let log: &mut Vec<Entry> = &mut logs[which];
            let offset = log.last().map_or(Offset(0), Entry::next_offset);
            let stamp = Stamp { offset, timestamp: Timestamp(invoked_ns + 1_000) };
            let entry = Entry { stamp, count, append: id, digest: id * 7 };
            log.push(entry);
            let at_ns = invoked_ns + 5_000;
            outcome = if id % 7 == 6 { Outcome::Unknown } else { Outcome::Acknowledged { at_ns, stamp } };
            show(&mut history, shard, entry, at_ns);
        }
        history.appends.push(Append {
            id,
            shard,
            producer,
            number: id,
            count,
            invoked_ns,
            terms: Terms { key: Some(1), ..Terms::default() },
            outcome,
        });
    }
    history.merged.push(merged(&logs));
    history.fresh_reads = fresh(&logs);
    grouped(&mut history, &logs);
    for (shard, entries) in [ShardId(1), ShardId(2)].into_iter().zip(logs) {
        let log = |node| ReplicaLog { node, shard, kept_from: Offset(0), entries: entries.clone() };
        history.logs.extend(NODES.map(log));
        history.leaders.push(Leading { shard, term: Term(1), node: NodeId(1) });
    }
    let begun =
        |node: &NodeId| Begun { reader: node.0, node: *node, shard: ShardId(1), kept_from: Offset(0) };
    history.begun.extend(NODES.iter().map(begun));
    history.kept_ns = Some(1_000_000);
    history.awaited_marks = true;
    history.loads.push(Load { what: "unanswered appends", found: 3, max: 64 });
    history
}

/// A read of each level when forty appends were acknowledged and the next was not sent yet, none fresher than its level needs.
fn fresh(logs: &[Vec<Entry>; 2]) -> Vec<FreshRead> {
    let sent = |id: u64| EPOCH_NS + id * STEP_NS;
    let invoked_ns = sent(40) - 1;
    let read = |demand, mark: u64| {
        let end = |log: &Vec<Entry>| {
            let mut read = log.iter().filter(|entry| entry.last_timestamp() <= Timestamp(mark));
            read.next_back().map_or(Offset(0), Entry::next_offset)
        };
        let ends = [ShardId(1), ShardId(2)].into_iter().zip(logs.iter().map(end)).collect();
        FreshRead { client: 77, demand, invoked_ns, mark: Timestamp(mark), ends }
    };
    let token = Timestamp(sent(20));
    // Of the producer of every third append the last acknowledged one is the thirty-seventh.
    vec![
        read(Demand::Everything, sent(38) + 2_000),
        read(Demand::Own { producer: 1 }, sent(37) + 2_000),
        read(Demand::Told { token }, token.0),
        read(Demand::OlderThan { age_ns: 10 * STEP_NS }, sent(28) + 2_000),
    ]
}

/// A member reads both shards, commits twenty appends' time and yields the second one to another, who commits ten more.
fn grouped(history: &mut History, logs: &[Vec<Entry>; 2]) {
    let at = |id: u64| EPOCH_NS + id * STEP_NS;
    let mut next = [Timestamp(0), Timestamp(0)];
    let mut step = |offset: u64, at_ns, commits, owners: [Option<(u64, u64)>; 2], next: [Timestamp; 2]| {
        let place = |which: usize| {
            let (owner, since) = owners[which].unzip();
            let place = GroupPlace { owner, since: since.unwrap_or_default(), next: next[which] };
            (ShardId(1 + which as u64), place)
        };
        let places = BTreeMap::from([place(0), place(1)]);
        let steps = NODES.map(|node| GroupStep {
            node,
            offset: Offset(offset),
            at_ns,
            commits,
            places: places.clone(),
        });
        history.group_steps.extend(steps);
    };
    step(0, at(0), None, [None, None], next);
    step(1, at(1), None, [Some((70, 1)), Some((70, 1))], next);
    next = [Timestamp(at(20)); 2];
    step(2, at(21), Some((70, 1)), [Some((70, 1)), Some((71, 2))], next);
    next[1] = Timestamp(at(30));
    step(3, at(31), Some((71, 2)), [Some((70, 1)), Some((71, 2))], next);
    for (which, entries) in logs.iter().enumerate() {
        for entry in entries {
            for nth in 0..u64::from(entry.count) {
                let timestamp = entry.stamp.timestamp.plus_ns(nth);
                let (member, generation) = match timestamp.0 {
                    ns if ns < at(20) => (70, 1),
                    ns if ns < at(30) && which == 1 => (71, 2),
                    _ => continue,
                };
                let (shard, at_ns) = (ShardId(1 + which as u64), timestamp.0 + 10);
                history.group_reads.push(GroupRead { member, generation, shard, timestamp, at_ns });
            }
        }
    }
}

fn show(history: &mut History, shard: ShardId, entry: Entry, at_ns: u64) {
    for node in NODES {
        history.shown.push(Shown { reader: node.0, node, shard, at_ns, entry });
        let (closed, next) = (entry.last_timestamp(), entry.next_offset());
        history.closings.push(Closing { node, shard, at_ns, closed, next });
        history.positions.push(Positions {
            node,
            life: 1,
            at_ns,
            shard,
            trimmed: Offset(0),
            released: next,
            committed: next,
            appended: next,
            synced: next,
            closed,
        });
    }
}

fn merged(logs: &[Vec<Entry>; 2]) -> MergedStream {
    let mut records = Vec::new();
    for (shard, log) in [ShardId(1), ShardId(2)].into_iter().zip(logs) {
        for entry in log {
            records.extend((0..u64::from(entry.count)).map(|i| MergedRecord {
                timestamp: entry.stamp.timestamp.plus_ns(i),
                shard,
                offset: Offset(entry.stamp.offset.0 + i),
                append: entry.append,
            }));
        }
    }
    records.sort_unstable();
    records.drain(..5);
    MergedStream { reader: 9, from: records[0].timestamp, kept_from: BTreeMap::new(), records }
}
