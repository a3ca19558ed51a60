//! A replica whose clock is not to be trusted (TIME.md, rule 3): it replicates and votes, but never campaigns,
//! and gives its leadership away.
//!
//! Knows nothing of why the clock is distrusted, but for one thing: while it is open whether this clock is wrong or another
//! one, a leader only waits, for most often that is told after one round trip. One election timeout is enough.

use super::replica::Shard;
use crate::clock::Reading;
use crate::types::ReplicaId;

/// Set while the clock is not trusted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fence {
    /// Ticks that it may stay open whether the clock is wrong, before a leader hands over all the same.
    waits: Option<u32>,
    /// Ticks a leader has left for handing over, once it began to.
    handing_over: Option<u32>,
}

impl Shard {
    /// Notes whether the clock is trusted, and acts on a change.
    pub(super) fn observe(&mut self, now: &Reading) {
        if self.failure.is_some() {
            return;
        }
        match (self.fault(now), self.fence) {
            (Some(fault), None) => {
                let waits = fault.is_open().then_some(self.options.election_ticks_min);
                self.fence = Some(Fence { waits, handing_over: None });
                self.rest.end();
                self.group.set_campaigning(false);
                if waits.is_none() {
                    self.hand_over();
                }
            }
            (Some(fault), Some(Fence { waits: Some(_), .. })) if !fault.is_open() => {
                self.fence = Some(Fence { waits: None, handing_over: None });
                self.hand_over();
            }
            (None, Some(_)) => {
                self.fence = None;
                self.group.set_campaigning(!self.retired && !self.full);
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    /// One election timeout after a hand-over began, a leader that still leads steps down: followers may refuse
    /// its wild entries, so that no transfer ever finishes.
    pub(super) fn tick_fence(&mut self) {
        let leads = self.is_leader();
        let Some(fence) = self.fence.as_mut() else { return };
        if let Some(ticks) = fence.waits {
            fence.waits = ticks.checked_sub(1);
            return;
        }
        match fence.handing_over {
            _ if !leads => fence.handing_over = None,
            None => self.hand_over(),
            Some(0) => {
                fence.handing_over = None;
                self.group.step_down();
                self.drain();
            }
            Some(ticks) => fence.handing_over = Some(ticks - 1),
        }
    }

    /// A leader gives its leadership to the voter that has most of its log; anybody else does nothing. It may
    /// not succeed: ask again.
    pub fn hand_over(&mut self) {
        if self.failure.is_some() || !self.is_leader() {
            return;
        }
        let ticks = self.options.election_ticks_min;
        self.rest.end();
        if let Some(fence) = self.fence.as_mut() {
            fence.handing_over = Some(ticks);
        }
        if let Some(peer) = self.most_caught_up() {
            self.group.transfer_leader(peer);
            self.drain();
        }
    }

    /// Its disk is full, or has room again. Without room a replica takes no leadership and gives away what it has: it
    /// could only refuse appends that another may take.
    pub fn set_full(&mut self, full: bool) {
        self.full = full;
        self.rest.end();
        self.group.set_campaigning(!full && !self.retired && self.fence.is_none());
        if full {
            self.hand_over();
        }
    }

    /// This replica leads, and `peer` has all of its log.
    pub fn has_all(&self, peer: ReplicaId) -> bool {
        self.is_leader() && self.group.peer_matched(peer) == Some(self.tail.index)
    }

    fn most_caught_up(&self) -> Option<ReplicaId> {
        let peers = self.voters().voters.into_iter().filter(|peer| *peer != self.options.replica);
        peers.max_by_key(|peer| self.group.peer_matched(*peer))
    }
}
