//! Disks that change places: an older copy, or an empty one, stands where a node's disk was.
//!
//! A node whose disk is empty makes nothing anew: it was here before. An older copy may have forgotten what it
//! acknowledged, so the atlas decides when it may come.

use std::sync::Arc;

use timberline::disk::MemoryDisk;
use timberline::types::NodeId;

use super::World;
use super::agenda::{Happening, Heal};
use crate::plan::MS;

impl World {
    /// The first time the victim's disk is copied, then the copy takes its place.
    pub(super) fn swap_for_older(&mut self) -> bool {
        let victim = self.atlas.victim;
        if !self.is_up(victim) || self.nodes[&victim].set_aside.is_some() {
            return false;
        }
        if self.atlas.older.is_none() {
            let copy = self.disk_of(victim).fork();
            copy.lose_unsynced();
            self.atlas.older = Some(Arc::new(copy));
            return false;
        }
        if !self.may_damage() {
            return false;
        }
        let older = self.atlas.older.take();
        self.kill(victim, true);
        self.atlas.has_struck = true;
        self.history.damaged.insert(victim);
        self.trace.tell(self.now_ns, || format!("node {victim}: an older copy of its disk takes its place"));
        if let Some(older) = older {
            self.node(victim).disk = older;
        }
        self.restart_after(victim, 50 * MS);
        true
    }

    /// An empty disk takes the place of a node's, until somebody notices.
    pub(super) fn swap_for_empty(&mut self, id: NodeId) -> bool {
        if !self.is_up(id) || self.nodes[&id].set_aside.is_some() {
            return false;
        }
        self.kill(id, true);
        self.trace.tell(self.now_ns, || format!("node {id}: an empty disk takes the place of its own"));
        let node = self.node(id);
        let own = std::mem::replace(&mut node.disk, Arc::new(MemoryDisk::new()));
        node.set_aside = Some(own);
        self.restart_after(id, 50 * MS);
        let for_ns = self.random.between(500 * MS, 4000 * MS);
        self.after(for_ns, Happening::Heal(Heal::RightDisk { node: id }));
        true
    }

    pub(super) fn put_back(&mut self, id: NodeId) {
        let Some(own) = self.node(id).set_aside.take() else { return };
        if self.is_up(id) {
            self.kill(id, true);
        }
        self.node(id).disk = own;
        self.restart_after(id, 50 * MS);
    }
}
