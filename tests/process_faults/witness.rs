//! Everything that clients asked, were told and saw, written down as it happens for the checkers.
//!
//! Knows nothing of faults. All times are of the system clock, which all nodes of this machine declare too. They are
//! taken where they excuse most: before a request leaves, after an answer came.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use timberline::client::{Consumed, ReplicaStatus};
use timberline::types::{NodeId, Offset, ShardId, Term, Timestamp};
use timberline_checkers::{
    Append, Closing, Entry, History, Leading, MergedRecord, MergedStream, Outcome, Positions, Shown, Stamp,
};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

pub(crate) fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    u64::try_from(since.as_nanos()).expect("it is earlier than 2554")
}

/// A record's value: whose it is, and some more bytes.
pub(crate) fn value_of(append: u64, len: usize) -> Vec<u8> {
    let filling = append.to_le_bytes().into_iter().cycle().take(len);
    append.to_be_bytes().into_iter().chain(filling).collect()
}

/// A record read as the entry that it is: the producers send one record a batch.
pub(crate) fn entry_of(consumed: &Consumed) -> Entry {
    let record = &consumed.record;
    let append = record.value.as_ref().and_then(|value| value.first_chunk()).copied();
    let mut hasher = DefaultHasher::new();
    (&record.key, &record.value, record.event_time_ns, record.headers.len()).hash(&mut hasher);
    Entry {
        stamp: Stamp { offset: consumed.offset, timestamp: consumed.timestamp },
        count: 1,
        append: append.map_or(u64::MAX, u64::from_be_bytes),
        digest: hasher.finish(),
    }
}

/// The history so far, and what tests wait for in it.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) history: History,
    /// Appends that were neither acknowledged nor given up.
    pub(crate) open: BTreeSet<u64>,
    /// Acknowledged appends and the highest offset among them, by shard.
    pub(crate) acknowledged: BTreeMap<ShardId, (u64, Offset)>,
    /// The highest place acknowledged in the order of everything.
    pub(crate) last: (Timestamp, ShardId),
    /// The highest offset shown to a node's reader.
    pub(crate) shown: BTreeMap<(NodeId, ShardId), Offset>,
    /// The newest leadership anybody told of.
    pub(crate) leaders: BTreeMap<ShardId, (Term, NodeId)>,
    /// Why replicas stand still that do.
    pub(crate) failures: BTreeMap<(NodeId, ShardId), String>,
    /// Replicas that said last that their disk is full.
    pub(crate) full: BTreeSet<(NodeId, ShardId)>,
    leadings: BTreeSet<Leading>,
    /// Where appends stand in the history.
    places: BTreeMap<u64, usize>,
    /// What must not happen whatever the faults are.
    pub(crate) complaints: Vec<String>,
}

/// Writes the history down.
pub(crate) struct Witness {
    seen: Mutex<Seen>,
    changed: watch::Sender<()>,
    next_append: AtomicU64,
    next_reader: AtomicU64,
    /// How often each node was started, node 1 first.
    lives: Mutex<Vec<u64>>,
}

impl Witness {
    pub(crate) fn new(nodes: u16) -> Self {
        Self {
            seen: Mutex::default(),
            changed: watch::Sender::new(()),
            next_append: AtomicU64::new(0),
            next_reader: AtomicU64::new(0),
            lives: Mutex::new(vec![0; usize::from(nodes)]),
        }
    }

    pub(crate) fn look(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no panic under the lock")
    }

    fn write(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.look());
        self.changed.send_replace(());
    }

    /// Waits until what was seen satisfies `done`; answers whether it did in time.
    pub(crate) async fn sees(&self, limit: Duration, done: impl Fn(&Seen) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        let mut changes = self.changed.subscribe();
        loop {
            if done(&self.look()) {
                return true;
            }
            if timeout_at(deadline, changes.changed()).await.is_err() {
                return false;
            }
        }
    }

    pub(crate) fn complain(&self, what: String) {
        self.write(|seen| seen.complaints.push(what));
    }

    pub(crate) fn next_append(&self) -> u64 {
        self.next_append.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn next_reader(&self) -> u64 {
        self.next_reader.fetch_add(1, Ordering::Relaxed)
    }

    /// The node is about to be started again.
    pub(crate) fn begin_life(&self, node: u16) {
        self.lives.lock().expect("no panic under the lock")[usize::from(node) - 1] += 1;
        self.write(|seen| seen.failures.retain(|(failed, _), _| *failed != NodeId(node.into())));
    }

    pub(crate) fn lives(&self) -> Vec<u64> {
        self.lives.lock().expect("no panic under the lock").clone()
    }

    pub(crate) fn invoked(&self, append: Append) {
        self.write(|seen| {
            seen.open.insert(append.id);
            seen.places.insert(append.id, seen.history.appends.len());
            seen.history.appends.push(append);
        });
    }

    pub(crate) fn ended(&self, append: u64, outcome: Outcome) {
        self.write(|seen| {
            seen.open.remove(&append);
            let append = &mut seen.history.appends[seen.places[&append]];
            append.outcome = outcome;
            if let Outcome::Acknowledged { stamp, .. } = outcome {
                let (count, highest) = seen.acknowledged.entry(append.shard).or_default();
                *count += 1;
                *highest = stamp.offset.max(*highest);
                seen.last = seen.last.max((stamp.timestamp, append.shard));
            }
        });
    }

    pub(crate) fn shown(&self, reader: u64, node: NodeId, consumed: &Consumed) {
        let (shard, at_ns, entry) = (consumed.shard, now_ns(), entry_of(consumed));
        self.write(|seen| {
            seen.history.shown.push(Shown { reader, node, shard, at_ns, entry });
            seen.shown.insert((node, shard), entry.stamp.offset);
        });
    }

    /// A new merged stream; answers its place.
    pub(crate) fn merged_begins(&self) -> usize {
        let stream = MergedStream {
            reader: self.next_reader(),
            from: Timestamp::ZERO,
            kept_from: BTreeMap::new(),
            records: Vec::new(),
        };
        let merged = &mut self.look().history.merged;
        merged.push(stream);
        merged.len() - 1
    }

    pub(crate) fn merged(&self, stream: usize, consumed: &Consumed) {
        let record = MergedRecord {
            timestamp: consumed.timestamp,
            shard: consumed.shard,
            offset: consumed.offset,
            append: entry_of(consumed).append,
        };
        self.write(|seen| seen.history.merged[stream].records.push(record));
    }

    /// What a node said of a replica in one life.
    pub(crate) fn told(&self, node: NodeId, life: u64, status: &ReplicaStatus) {
        let ReplicaStatus { shard, closed, .. } = *status;
        if let Some(failure) = status.failure.clone() {
            // One that stands still has no positions.
            return self.write(|seen| drop(seen.failures.insert((node, shard), failure)));
        }
        let positions = Positions {
            node,
            life,
            at_ns: now_ns(),
            shard,
            trimmed: status.trimmed,
            released: status.released,
            committed: status.committed,
            appended: status.appended,
            synced: status.synced,
            closed,
        };
        let closing = Closing { node, shard, at_ns: now_ns(), closed, next: status.released };
        self.write(|seen| {
            seen.failures.remove(&(node, shard));
            if status.disk_full {
                seen.full.insert((node, shard));
            } else {
                seen.full.remove(&(node, shard));
            }
            seen.history.positions.push(positions);
            seen.history.closings.push(closing);
            if let Some(leader) = status.leader {
                let leading = Leading { shard, term: status.term, node: leader };
                if seen.leadings.insert(leading) {
                    seen.history.leaders.push(leading);
                }
                let newest = seen.leaders.entry(shard).or_insert((leading.term, leader));
                *newest = (*newest).max((leading.term, leader));
            }
        });
    }
}
