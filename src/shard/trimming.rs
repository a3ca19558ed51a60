//! Trims: the leader says in the log where it begins from now on.
//!
//! Knows nothing of ages and sizes: the caller says where. A trim is an entry like any other, stamped and without records;
//! it takes effect on each replica once it is released there, so all agree on the start.

use super::replica::Shard;
use super::request::Refusal;
use crate::clock::Reading;
use crate::codec::{FrameHeader, FrameKind};
use crate::types::Index;

impl Shard {
    /// Where the log begins by its last trim, released or not.
    pub fn proposed_start(&self) -> Index {
        self.tail.start
    }

    /// Proposes, as leader, that the log begins at `start`; gives the index of the entry that says so. `None` if the
    /// log says so already. Only what is released here is ever trimmed.
    pub fn trim(&mut self, start: Index, now: &Reading) -> Result<Option<Index>, Refusal> {
        self.observe(now);
        self.drain();
        self.may_lead(now)?;
        assert!(start <= self.released().plus(1), "only what is released is trimmed");
        if start <= self.tail.start {
            return Ok(None);
        }
        let header = FrameHeader { start, ..self.stamp(FrameKind::Trim, 1, now)? };
        let Ok(_) = self.group.propose(header.encode(), bytes::Bytes::new()) else {
            return Err(self.refuse_proposal());
        };
        self.note_assigned(header.last_timestamp());
        self.drain();
        Ok(Some(header.index))
    }
}
