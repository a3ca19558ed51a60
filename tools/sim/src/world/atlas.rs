//! The fault atlas: which damage is allowed, so that no committed entry ever loses every good copy.
//!
//! Damage that a replica can prove (a frame behind which another says it was committed) costs that replica; damage
//! at the very end of its log looks like an unsynced tail and is cut in silence. So damage strikes one node of the
//! cluster only, and where it cannot be proved only while every other replica of its shards has durably all that it
//! has.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use timberline::codec::FrameHeader;
use timberline::disk::{Disk, MemoryDisk};
use timberline::segment::SegmentHead;
use timberline::types::NodeId;

use super::World;
use super::agenda::SyncEnd;

#[derive(Debug)]
pub(super) struct Atlas {
    /// The only node whose disk tells lies.
    pub(super) victim: NodeId,
    /// A cluster of one has no other copy.
    is_open: bool,
    /// The victim's disk lost something, provable or not.
    pub(super) has_struck: bool,
    /// The victim's disk as it was once.
    pub(super) older: Option<Arc<MemoryDisk>>,
}

impl Atlas {
    pub(super) fn new(victim: NodeId, is_open: bool) -> Self {
        Self { victim, is_open, has_struck: false, older: None }
    }
}

impl World {
    /// Whether the victim's disk may lose anything now.
    pub(super) fn may_damage(&mut self) -> bool {
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
                        other.synced_index >= held.appended_index
                            && other.committed_index >= held.appended_index
                            && other.term >= held.term
                    })
            });
            if !covered {
                return false;
            }
        }
        true
    }

    /// A bit of one of the victim's segments rots: anywhere while the others have all of it, else where it can be proved.
    pub(super) fn rot(&mut self) -> bool {
        let victim = self.atlas.victim;
        if !self.atlas.is_open || !self.is_up(victim) {
            return false;
        }
        let covered = self.may_damage();
        let mut places: Vec<(PathBuf, Range<u64>)> = Vec::new();
        for (path, bytes) in self.disk_of(victim).sizes() {
            if path.ends_with("vote") || bytes == 0 {
                continue;
            }
            let place = if covered { Some(0..bytes / 2) } else { self.provable(victim, &path) };
            places.extend(place.map(|range| (path, range)));
        }
        if places.is_empty() {
            return false;
        }
        let (path, range) = places.swap_remove(self.random.below(places.len() as u64) as usize);
        let at_byte = self.random.between(range.start, range.end - 1);
        let mask = 1 << self.random.below(8);
        self.atlas.has_struck = true;
        if covered {
            self.history.damaged.insert(victim);
        }
        self.disk_of(victim).flip(&path, at_byte, mask).expect("the file was just listed");
        self.trace.tell(self.now_ns, || {
            format!("node {victim}: a bit of byte {at_byte} of {} rots", path.display())
        });
        true
    }

    /// The bytes of a segment's frames of which a later one, synced too, says that they were committed. That one is committed itself:
    /// another could be truncated, and an entry that Raft made in its place says nothing of others.
    fn provable(&mut self, victim: NodeId, path: &Path) -> Option<Range<u64>> {
        let file = self.disk_of(victim).open(path).ok()?;
        let (head, head_bytes) = SegmentHead::read(&*file).ok()?;
        let shard = head.identity.shard;
        let status = self.statuses(victim).into_iter().find(|status| status.shard == shard)?;
        let lasting = status.synced_index.min(status.committed_index);
        let bytes = file.copy(0..file.size_bytes());
        let mut frames = Vec::new();
        let mut at = head_bytes as usize;
        while let Some(header) = bytes.get(at..).and_then(|rest| FrameHeader::decode(rest).ok()) {
            if header.index > lasting {
                break;
            }
            frames.push((at as u64, header));
            at += header.frame_len().next_multiple_of(8);
        }
        let known = frames.last()?.1.committed;
        let proved = frames.iter().take_while(|(_, header)| header.index <= known).count();
        // The witness itself stays whole.
        let end = frames.get(proved.min(frames.len() - 1))?.0;
        (head_bytes < end).then_some(head_bytes..end)
    }

    /// The victim may lack what it had, and stop for that.
    pub(super) fn hurt_victim(&mut self) {
        self.atlas.has_struck = true;
        self.history.damaged.insert(self.atlas.victim);
    }

    pub(super) fn is_hurt(&self, id: NodeId) -> bool {
        self.atlas.has_struck && id == self.atlas.victim
    }

    /// Every stop has its reason: a sync that failed, a disk that is full, damage done. One without is kept.
    pub(super) fn explain(&mut self, id: NodeId, stop: &str) {
        let disk = ["a planted fault", "an earlier sync of", "an earlier write to"];
        let explained = self.is_hurt(id) || disk.iter().any(|reason| stop.contains(reason));
        if !explained {
            self.unexplained.get_or_insert(stop.to_owned());
        }
    }

    /// A replica that stopped though its disk did nothing wrong, and why it says it did.
    pub(crate) fn unexplained_stop(&mut self) -> Option<String> {
        if let Some(stop) = &self.unexplained {
            return Some(stop.clone());
        }
        for id in self.node_ids() {
            for (shard, reason) in self.failures(id) {
                // A power cut may keep a frame that says an unsynced one before it was committed by others: the log
                // cannot tell that from rot, and waits for a peer (`docs/SEGMENT_FORMAT.md`). Without a quorum of peers
                // it waits in vain.
                let specs = self.specs.clone();
                let alone = specs.iter().any(|spec| spec.shard == shard && self.is_stopped(spec));
                let torn = self.nodes[&id].lost_power && reason.contains("has rotted") && alone;
                if !self.is_hurt(id) && !self.nodes[&id].restart_waits && !torn {
                    return Some(format!("node {id} cannot open its replica of shard {shard}: {reason}"));
                }
            }
        }
        None
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
        if self.disk_of(id).is_damaged() {
            if self.may_damage() {
                self.atlas.has_struck = true;
                self.history.damaged.insert(id);
            } else {
                self.disk_of(id).heal();
            }
        }
    }
}
