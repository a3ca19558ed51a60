//! Doubts about clocks, written into the logs of the shards that they concern.
//!
//! Knows nothing of how doubts come about. Invariants: only a leader with a trusted clock marks; each doubt once a term, for what
//! was marked by a leader before may be lost, and a second mark of the same range changes nothing.

use super::Lane;
use super::replica::{Failure, Replica};
use crate::clock::{Doubt, Reading};
use crate::codec::ORDER_MARK_BYTES;
use crate::simulation::{Bug, is_planted};
use crate::types::{MarkReason, OrderMark};

impl Lane {
    /// From time to time: what is doubted and not marked yet, is marked in each shard that this node leads.
    pub(super) fn marking_tick(&mut self, now: &Reading) {
        let doubts: Vec<Doubt> = self.probing.agreement.doubts(now.monotonic).collect();
        if doubts.is_empty() || is_planted(Bug::NoMarks) || !now.is_trusted() || self.probing.is_unheard(now)
        {
            return;
        }
        let mut failures = Vec::new();
        for (shard, replica) in &mut self.replicas {
            replica.marked.retain(|number, _| doubts.iter().any(|doubt| doubt.number == *number));
            for doubt in &doubts {
                match replica.mark(doubt, now) {
                    Ok(mark) => self.output.marked.extend(mark.map(|mark| (*shard, mark))),
                    Err(failure) => {
                        failures.push((*shard, failure));
                        break;
                    }
                }
            }
            self.touched.insert(*shard);
        }
        for (shard, failure) in failures {
            self.fail(shard, &failure);
        }
    }
}

impl Replica {
    /// Writes down the doubt as leader, if a replica of this shard is, or may be, where the clock was wrong; gives the mark, if there is
    /// anything to mark. A refusal passes: it is tried again.
    fn mark(&mut self, doubt: &Doubt, now: &Reading) -> Result<Option<OrderMark>, Failure> {
        let node = doubt.mark.node;
        let term = self.shard.term();
        // Where no majority agreed, any node's clock may have been the wrong one.
        let concerns = doubt.mark.reason == MarkReason::NoMajority || self.replica_on(node).is_some();
        if !self.shard.is_leader() || !concerns || self.marked.get(&doubt.number) == Some(&term) {
            return Ok(None);
        }
        if self.has_room(std::iter::once(ORDER_MARK_BYTES))?
            && let Ok(mark) = self.shard.mark_order(&doubt.mark, now)
        {
            self.marked.insert(doubt.number, term);
            return Ok(mark);
        }
        Ok(None)
    }
}
