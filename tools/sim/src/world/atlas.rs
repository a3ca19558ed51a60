//! The fault atlas: which damage is allowed, so that no committed entry ever loses every good copy.
//!
//! Damage that a replica can prove (a frame behind which another says it was committed) costs that replica; damage
//! at the very end of its log looks like an unsynced tail and is cut in silence. So damage strikes one node of the
//! cluster only, and only while every other replica of its shards has durably all that it has.

use timberline::types::NodeId;

use super::World;
use super::agenda::SyncEnd;

#[derive(Debug)]
pub(super) struct Atlas {
    /// The only node whose disk tells lies.
    victim: NodeId,
    /// A cluster of one has no other copy.
    is_open: bool,
}

impl Atlas {
    pub(super) fn new(victim: NodeId, is_open: bool) -> Self {
        Self { victim, is_open }
    }
}

impl World {
    /// Whether the victim's disk may lose anything now.
    fn may_damage(&mut self) -> bool {
        if !self.atlas.is_open {
            return false;
        }
        let victim = self.atlas.victim;
        for spec in self.specs.clone() {
            if spec.replica_on(victim).is_none() {
                continue;
            }
            let statuses: Vec<_> = spec
                .replicas
                .iter()
                .map(|placed| {
                    let statuses = self.statuses(placed.node);
                    (placed.node, statuses.into_iter().find(|status| status.shard == spec.shard))
                })
                .collect();
            let held =
                statuses.iter().find(|(node, _)| *node == victim).and_then(|(_, status)| status.clone());
            let Some(held) = held else { return false };
            let covered = statuses.iter().all(|(node, status)| {
                *node == victim
                    || status.as_ref().is_some_and(|other| {
                        other.synced >= held.appended && other.committed >= held.appended
                    })
            });
            if !covered {
                return false;
            }
        }
        true
    }

    /// A bit of one of the victim's segments rots.
    pub(super) fn rot(&mut self) -> bool {
        if !self.may_damage() {
            return false;
        }
        let victim = self.atlas.victim;
        let mut files = self.disk_of(victim).sizes();
        files.retain(|(path, bytes)| !path.ends_with("vote") && *bytes > 0);
        if files.is_empty() {
            return false;
        }
        let (path, bytes) = files.swap_remove(self.random.below(files.len() as u64) as usize);
        // Most of a segment is empty: what is near its start matters.
        let at_byte =
            if self.random.chance(800) { self.random.below(bytes / 2) } else { self.random.below(bytes) };
        let mask = 1 << self.random.below(8);
        self.disk_of(victim).flip(&path, at_byte, mask).expect("the file was just listed");
        self.trace.tell(self.now_ns, || {
            format!("node {victim}: a bit of byte {at_byte} of {} rots", path.display())
        });
        true
    }

    /// The victim's next sync of a segment tells a lie.
    pub(super) fn lie_about_next_sync(&mut self, end: SyncEnd) -> bool {
        let victim = self.atlas.victim;
        if self.atlas.is_open {
            self.node(victim).next_sync = Some(end);
        }
        self.atlas.is_open
    }

    /// Before the page cache is lost: what syncs hid is lost with it, or was written after all.
    pub(super) fn settle_damage(&mut self, id: NodeId) {
        if self.disk_of(id).is_damaged() && !self.may_damage() {
            self.disk_of(id).heal();
        }
    }
}
