//! Doubts about clocks, written into the logs of the shards that they concern.
//!
//! Knows nothing of how doubts come about. Invariants: only a leader with a trusted clock marks; each doubt once a term, for what
//! was marked by a leader before may be lost, and a second mark of the same range changes nothing.

use super::Lane;
use super::replica::{Failure, Replica};
use crate::clock::{Doubt, Reading};
use crate::codec::ORDER_MARK_BYTES;
use crate::simulation::{Bug, is_planted};

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
            let marked = doubts.iter().try_for_each(|doubt| replica.mark(doubt, now));
            if let Err(failure) = marked {
                failures.push((*shard, failure));
            }
            self.touched.insert(*shard);
        }
        for (shard, failure) in failures {
            self.fail(shard, &failure);
        }
    }
}

impl Replica {
    /// Writes down the doubt as leader, if a replica of this shard is where the clock was wrong. A refusal passes: it is
    /// tried again.
    fn mark(&mut self, doubt: &Doubt, now: &Reading) -> Result<(), Failure> {
        let node = doubt.mark.node;
        let written = (doubt.number, self.shard.term());
        let concerns = self.shard.is_leader() && self.replica_on(node).is_some();
        if !concerns || self.marked.get(&node) == Some(&written) {
            return Ok(());
        }
        if self.has_room(std::iter::once(ORDER_MARK_BYTES))?
            && self.shard.mark_order(&doubt.mark, now).is_ok()
        {
            self.marked.insert(node, written);
        }
        Ok(())
    }
}
