//! One shard of the topic of groups on this node: its fold, how far that is, and who was heard.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::group::{Change, GroupRecord, Groups, Keeping, Liveness};
use crate::node::metrics::GroupMetrics;
use crate::types::{GroupName, MemberId, Monotonic, Offset, ShardId};

/// Groups of one shard.
const GROUPS_MAX: usize = 1024;
/// Shards that all groups of one shard read.
const PLACES_MAX: usize = 1 << 16;

/// The shards of the topic of groups that this node has.
#[derive(Default)]
pub(crate) struct Coordinators {
    hosted: Mutex<BTreeMap<ShardId, Arc<Hosted>>>,
}

pub(crate) struct Hosted {
    pub(crate) shard: ShardId,
    groups: Mutex<Groups>,
    /// Released records below this are folded in.
    folded: watch::Sender<Offset>,
    keeping: Keeping,
    /// This node coordinates what is folded by now, as far as it knows.
    is_led: AtomicBool,
    /// What `liveness` counts time from.
    began: Instant,
    liveness: Mutex<Liveness>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Coordinators {
    pub(crate) fn hosted(&self, shard: ShardId) -> Option<Arc<Hosted>> {
        lock(&self.hosted).get(&shard).cloned()
    }

    pub(super) fn host(&self, shard: ShardId, keeping: Keeping) -> Arc<Hosted> {
        let began = Instant::now();
        let hosted = Arc::new(Hosted {
            shard,
            groups: Mutex::default(),
            folded: watch::Sender::new(Offset(0)),
            keeping,
            is_led: AtomicBool::new(false),
            began,
            liveness: Mutex::new(Liveness::new(Monotonic::default(), keeping)),
        });
        lock(&self.hosted).insert(shard, Arc::clone(&hosted));
        hosted
    }

    /// Of each hosted shard that is one of `led`: its groups, and their members.
    pub(crate) fn sizes(&self, led: impl Fn(ShardId) -> bool) -> (usize, usize) {
        let hosted: Vec<_> =
            lock(&self.hosted).values().filter(|hosted| led(hosted.shard)).cloned().collect();
        let sizes = hosted.iter().map(|hosted| {
            hosted.look(|groups| {
                (groups.iter().count(), groups.iter().map(|(_, group)| group.members.len()).sum())
            })
        });
        sizes.fold((0, 0), |(groups, members), (more, of_them): (usize, usize)| {
            (groups + more, members + of_them)
        })
    }

    pub(super) fn forget(&self, shard: ShardId) {
        lock(&self.hosted).remove(&shard);
    }
}

impl Hosted {
    fn now(&self) -> Monotonic {
        Monotonic::default().plus(self.began.elapsed())
    }

    /// Whether this node coordinates: what is folded from now on it did itself.
    pub(crate) fn lead(&self, leads: bool) {
        self.is_led.store(leads, Ordering::Relaxed);
    }

    pub(super) fn is_led(&self) -> bool {
        self.is_led.load(Ordering::Relaxed)
    }

    /// Looks at the groups as they are folded by now.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&Groups) -> T) -> T {
        at(&lock(&self.groups))
    }

    /// Waits until everything below `offset` is folded in.
    pub(crate) async fn folded(&self, offset: Offset) {
        // The sender is part of `self`.
        let _ = self.folded.subscribe().wait_for(|folded| *folded >= offset).await;
    }

    /// A member spoke.
    pub(crate) fn hear(&self, group: &GroupName, member: MemberId) {
        lock(&self.liveness).hear(group, member, self.now());
    }

    /// Why no group of this shard may be changed; one more is `founded`, for so many shards more.
    pub(crate) fn refusal(&self, founded: bool, places: usize) -> Option<String> {
        let groups = lock(&self.groups);
        if groups.not_whole_for(self.keeping.unwhole_bytes_max).next().is_some() {
            return Some("its groups are about to be written whole; try again shortly".to_owned());
        }
        if founded && groups.len() >= GROUPS_MAX {
            return Some(format!("it has {GROUPS_MAX} groups, the most there may be; delete some"));
        }
        if places > 0 && groups.places() + places > PLACES_MAX {
            return Some(format!(
                "all its groups would read more than {PLACES_MAX} shards together; delete some groups"
            ));
        }
        None
    }

    /// What is to be appended about members that fell silent, and of groups that were not written whole for long.
    pub(super) fn due(&self, leading_since: Option<Monotonic>) -> Vec<GroupRecord> {
        lock(&self.liveness).due(self.now(), leading_since, &lock(&self.groups))
    }

    pub(super) fn begin(&self, start: Offset) {
        *lock(&self.groups) = Groups::from(start);
        self.folded.send_replace(start);
    }

    /// Folds what stands before `next`, of which these are the groups' records, each with its bytes.
    pub(super) fn fold(
        &self,
        records: Vec<(Offset, u64, GroupRecord)>,
        next: Offset,
        metrics: &GroupMetrics,
    ) {
        {
            let mut groups = lock(&self.groups);
            for (offset, bytes, record) in records {
                let is_commit = matches!(record.change, Change::Committed(_));
                let name = record.group.clone();
                let before = groups.get(&name).map(|group| group.generation);
                groups.fold(offset, bytes, record);
                if !self.is_led() {
                    continue;
                }
                metrics.commits.inc_by(is_commit.into());
                if let Some(group) =
                    groups.get(&name).filter(|group| before.is_some_and(|it| it < group.generation))
                {
                    metrics.shards_moved.inc_by(group.moved_last() as u64);
                }
            }
            groups.skip_to(next);
        }
        self.folded.send_replace(next);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::group::{Commit, Group, Joining};
    use crate::node::metrics::Metrics;
    use crate::types::Timestamp;

    const SHARD: ShardId = ShardId(9);

    fn name() -> GroupName {
        "g".parse().unwrap()
    }

    fn joined(member: u64) -> Change {
        let topics = BTreeMap::from([("t".parse().unwrap(), vec![ShardId(1), ShardId(2)])]);
        let (name, from) = (String::new(), Timestamp(0));
        Change::Joined(Joining { member: MemberId(member), name, session_timeout_ms: 1000, topics, from })
    }

    fn committed(member: u64, yields: &[u64]) -> Change {
        let yields = yields.iter().copied().map(ShardId).collect();
        Change::Committed(Commit { member: MemberId(member), generation: 2, read: None, yields })
    }

    #[test]
    fn a_coordinator_counts_what_it_did_itself_and_nothing_that_others_did_before() {
        let (coordinators, metrics) = (Coordinators::default(), Metrics::new());
        let hosted = coordinators.host(SHARD, Keeping::of(1 << 20));
        let fold = |changes: Vec<Change>| {
            let first = hosted.look(Groups::next);
            let record = |(nth, change)| (first.plus(nth), 100, GroupRecord { group: name(), change });
            let records: Vec<_> = (0..).zip(changes).map(record).collect();
            let next = first.plus(records.len() as u64);
            hosted.fold(records, next, &metrics.groups);
        };
        let counted = || (metrics.groups.commits.get(), metrics.groups.shards_moved.get());
        let founding = Change::Whole { at: Offset(0), group: Group::default() };
        fold(vec![founding, joined(1), committed(1, &[])]);
        assert_eq!(counted(), (0, 0), "another node led, or this one in an earlier life");
        hosted.lead(true);
        fold(vec![joined(2), committed(1, &[2]), committed(2, &[])]);
        assert_eq!(counted(), (2, 1), "one of two shards goes to the newcomer");
        fold(vec![Change::Left { member: MemberId(2) }]);
        assert_eq!(counted(), (2, 2), "and back");
        assert_eq!(coordinators.sizes(|shard| shard == SHARD), (1, 1));
        assert_eq!(coordinators.sizes(|_| false), (0, 0));
    }
}
