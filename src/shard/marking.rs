//! Order marks: the leader says in the log of which timestamps the order against other shards is not guaranteed.
//!
//! Knows nothing of how a wrong clock is found: the caller says whose it was and which of its timestamps are in doubt. A mark
//! is an entry like any other, stamped, after the floor, and without records.

use super::replica::Shard;
use super::request::Refusal;
use crate::clock::Reading;
use crate::codec::{FrameHeader, FrameKind, checksum, encode_order_mark};
use crate::types::OrderMark;

impl Shard {
    /// Proposes a mark, as leader; gives it as it is written. `None` if nothing in the log is stamped in the range. The
    /// range grows at its end by what a leader may stamp ahead of its clock, and ends with the log.
    pub fn mark_order(&mut self, mark: &OrderMark, now: &Reading) -> Result<Option<OrderMark>, Refusal> {
        self.observe(now);
        self.drain();
        self.may_lead(now)?;
        let until = mark.until.plus_ns(self.guard().reach_ns()).min(self.tail.last_timestamp);
        if until < mark.from {
            return Ok(None);
        }
        let mark = OrderMark { until, ..*mark };
        let body = encode_order_mark(&mark);
        let header = FrameHeader {
            body_crc: checksum(&[&body]),
            body_len: body.len() as u32,
            ..self.stamp(FrameKind::OrderMark, 1, now)?
        };
        let Ok(_) = self.group.propose(header.encode(), body) else {
            return Err(self.refuse_proposal());
        };
        self.note_assigned(header.last_timestamp());
        self.drain();
        Ok(Some(mark))
    }
}
