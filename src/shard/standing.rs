//! What many unchanged shards share of closed timestamps: one time promised, and one published, for all of them at once.
//!
//! A shard that nobody appends to is promised and published at every tick with the same index; of thousands of them only the two
//! times move. While it *stands*, a shard looks them up here instead of being told. Knows nothing of quorums: whoever moves the
//! times answers for it that they hold for every shard that stands here. Invariants: both times only rise; a shard that stops
//! standing, for whatever reason, keeps what they were at that moment, and its name is told to whoever moves them before they
//! move again.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::types::{ShardId, Timestamp};

/// The two times, and who left since they were last looked at.
#[derive(Debug, Default)]
pub struct Standing {
    promised: Cell<Timestamp>,
    published: Cell<Timestamp>,
    left: RefCell<Vec<ShardId>>,
}

impl Standing {
    /// Every shard that stands here has promised, or accepted the promise of, `closed`.
    pub fn promise(&self, closed: Timestamp) {
        self.promised.set(self.promised.get().max(closed));
    }

    /// For every shard that stands here a quorum has accepted the promise of `closed`, and its index is released here.
    pub fn publish(&self, closed: Timestamp) {
        self.published.set(self.published.get().max(closed));
    }

    pub fn promised(&self) -> Timestamp {
        self.promised.get()
    }

    pub fn published(&self) -> Timestamp {
        self.published.get()
    }

    /// The shards that stood here and no longer do. Ask before either time is moved.
    pub fn take_left(&self) -> Vec<ShardId> {
        self.left.take()
    }
}

/// A shard's place among those that stand. Dropping it is leaving.
#[derive(Debug)]
pub(super) struct Place {
    shard: ShardId,
    standing: Rc<Standing>,
    leads: bool,
}

impl Place {
    pub(super) fn new(shard: ShardId, standing: &Rc<Standing>, leads: bool) -> Self {
        Self { shard, standing: Rc::clone(standing), leads }
    }

    /// What the shard has accepted here. Of its own promises a leader accepts what a quorum did, and last (C3): one made on a
    /// clock that lied binds nobody else.
    pub(super) fn accepted(&self) -> Timestamp {
        if self.leads { self.standing.published() } else { self.standing.promised() }
    }

    pub(super) fn promised(&self) -> Timestamp {
        self.standing.promised()
    }

    pub(super) fn published(&self) -> Timestamp {
        self.standing.published()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.standing.left.borrow_mut().push(self.shard);
    }
}
