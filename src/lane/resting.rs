//! Which replicas a tick of Raft reaches: all but those that rest.
//!
//! A replica rests (`shard::Shard::rest`) as long as the closing of the past says in its place that its leader lives: a follower
//! while its leader's node closes, a leader while its own node may. Invariants: on a node whose clock is held against it, or that
//! hears no majority, none rests; a leader's node that falls silent costs its shards half an election timeout more at most; a
//! node that missed a tick, or is heard again after it was away, is told by every shard led here that has a replica on it, and a
//! replica that does not accept its promise by its own leader.

use std::collections::BTreeMap;

use super::{Event, Lane};
use crate::clock::Reading;
use crate::simulation::{Bug, is_planted};
use crate::types::{NodeId, ShardId, Term};

/// How many ticks of Raft ago other nodes were heard of, in whatever way.
#[derive(Debug, Default)]
pub(super) struct Attendance {
    silent_ticks: BTreeMap<NodeId, u32>,
}

impl Attendance {
    fn count(&mut self) {
        self.silent_ticks.values_mut().for_each(|ticks| *ticks = ticks.saturating_add(1));
    }

    /// Gives for how many ticks it had been silent; a node never heard of, for ever.
    fn hear(&mut self, node: NodeId) -> u32 {
        self.silent_ticks.insert(node, 0).unwrap_or(u32::MAX)
    }

    /// A node never heard of is.
    fn is_away(&self, node: NodeId, ticks_max: u32) -> bool {
        self.silent_ticks.get(&node).is_none_or(|ticks| *ticks >= ticks_max)
    }
}

impl Lane {
    /// Counts time for elections, heartbeats, and whatever a leader has to repeat.
    pub(super) fn raft_tick(&mut self, now: &Reading) {
        let draining = self.drain_ticks_left.is_some();
        self.drain_ticks_left = self.drain_ticks_left.map(|ticks| ticks.saturating_sub(1));
        self.attendance.count();
        let silence_ticks = self.options.silence_ticks();
        if let Some(ticks) = silence_ticks {
            self.rouse_silenced(ticks);
        }
        let closes = self.may_promise(now) && !self.probing.is_unheard(now);
        let may_rest = silence_ticks.is_some() && closes && !draining;
        let hears = |leader| {
            let is_heard = silence_ticks.is_some_and(|ticks| self.acceptor.hears(leader, ticks));
            is_heard || is_planted(Bug::RestThroughSilence)
        };
        let away = |node| self.attendance.is_away(node, self.options.election_ticks.end);
        for (shard, replica) in &mut self.replicas {
            if may_rest && replica.shard.rests() {
                continue;
            }
            if draining {
                replica.shard.retire();
            }
            let is_led = replica.is_led_from(self.options.node, hears);
            if is_led {
                replica.shard.note_heard();
            }
            replica.shard.tick(now);
            replica.ask_floor(&mut self.outbox);
            // Thousands of shards have nothing to tell at a tick.
            if !replica.shard.is_idle() {
                self.touched.insert(*shard);
            } else if may_rest && is_led {
                replica.rest(away);
            }
        }
    }

    /// A leader's node has closed nothing for a while: its followers wait for it as if they had been ticked since.
    fn rouse_silenced(&mut self, ticks: u32) {
        let silenced = self.acceptor.count_silence(ticks);
        for shard in silenced.into_iter().filter(|_| !is_planted(Bug::RestThroughSilence)) {
            if let Some(replica) = self.replicas.get_mut(&shard) {
                replica.shard.rouse(ticks);
            }
        }
    }

    /// Notes which node an event comes from. One that was away may lack what its leaders here no longer said, and not know it: where
    /// only what it says was lost, it missed no tick.
    pub(super) fn attend(&mut self, event: &Event) {
        let (Event::Message { from, .. } | Event::Probe { from, .. } | Event::Connected(from)) = event else {
            return;
        };
        let was_away = self.attendance.hear(*from) >= self.options.election_ticks.end;
        if was_away && !is_planted(Bug::RestPastReturns) {
            self.rouse_led(*from);
        }
    }

    /// The leaders here of shards with a replica on `node` say that they live.
    pub(super) fn rouse_led(&mut self, node: NodeId) {
        for replica in self.replicas.values_mut() {
            if replica.shard.is_leader() && replica.replica_on(node).is_some() {
                replica.shard.rouse(0);
            }
        }
    }

    /// By closing the past of a shard, the node of its leader says that it leads. Whether the replica here follows it.
    pub(super) fn hear_leader(&mut self, node: NodeId, shard: ShardId, term: Term) -> bool {
        let Some(replica) = self.replicas.get_mut(&shard) else { return false };
        replica.replica_on(node).is_some_and(|leader| replica.shard.hear_leader(leader, term))
    }
}
