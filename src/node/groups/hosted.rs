//! One shard of the topic of groups on this node: its fold, how far that is, and who was heard.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use super::liveness::Liveness;
use super::shape::Keeping;
use crate::group::{GroupRecord, Groups};
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
        let hosted = Arc::new(Hosted {
            shard,
            groups: Mutex::default(),
            folded: watch::Sender::new(Offset(0)),
            keeping,
            liveness: Mutex::new(Liveness::new(Instant::now(), keeping)),
        });
        lock(&self.hosted).insert(shard, Arc::clone(&hosted));
        hosted
    }

    pub(super) fn forget(&self, shard: ShardId) {
        lock(&self.hosted).remove(&shard);
    }
}

impl Hosted {
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
        lock(&self.liveness).hear(group, member, Instant::now());
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
        lock(&self.liveness).due(Instant::now(), leading_since, &lock(&self.groups))
    }

    pub(super) fn begin(&self, start: Offset) {
        *lock(&self.groups) = Groups::from(start);
        self.folded.send_replace(start);
    }

    /// Folds what stands before `next`, of which these are the groups' records, each with its bytes.
    pub(super) fn fold(&self, records: Vec<(Offset, u64, GroupRecord)>, next: Offset) {
        {
            let mut groups = lock(&self.groups);
            for (offset, bytes, record) in records {
                groups.fold(offset, bytes, record);
            }
            groups.skip_to(next);
        }
        self.folded.send_replace(next);
    }
}
