//! When a clock was wrong, and who knows of it: what order marks are judged by.
//!
//! An episode is a stretch of time in which one clock was off by one and the same error. Somebody *knows* of it whose own vote
//! went against that clock, or found no majority; a restart forgets, and who starts meanwhile knows only of what comes after.
//! A mark is written by who leads and knows, or was told: somebody may have done so for long enough at any time, and in the calm
//! whoever still knows tells all others. *Untold* is an episode, or its part, of which nobody knew who
//! did so: an error too small or too short for any vote, or for those before, or knowledge lost in restarts (docs/TIME.md, "What is not marked").
//! Whether votes find what they must is judged elsewhere (`clock_laws`). Of clocks that lie together the first has an episode.

use std::collections::{BTreeMap, BTreeSet};

use timberline::clock::{Fault, PeerStanding, Standing};
use timberline::types::{NodeId, ShardId, Term};
use timberline_checkers::Untold;

use super::World;
use super::scene::{EPOCH_NS, REFRESH_NS};
use crate::plan::{FaultClass, SECOND};

/// A doubt ripens within a second, and a leader looks once a second for what it has to mark.
const LEADS_NS: u64 = 3 * SECOND;
/// Whoever knows and is trusted tells one wrong clock with every question, ten times a second; and some questions are lost.
const TELLS_NS: u64 = 3 * SECOND;
/// A vote counts what was answered in the last second.
const HINDSIGHT_NS: u64 = 2 * SECOND;

/// A process: a node, and which of its lives.
type Life = (NodeId, u64);

#[derive(Debug)]
struct Episode {
    node: NodeId,
    error: (i64, u64),
    since_ns: u64,
    /// Until then votes may still be of the error before this one.
    hazy_ns: u64,
    until_ns: Option<u64>,
    /// Who voted against it, and when first.
    known: BTreeMap<Life, u64>,
    /// Whose fresh vote last found it right, before one went against it: an error at the edge of what votes can tell.
    unnoticed: BTreeMap<Life, u64>,
    /// Shards that were led by somebody who knew, and since when the first of these had lived and not found it right.
    told: BTreeMap<ShardId, u64>,
}

#[derive(Debug, Default)]
pub(super) struct Episodes {
    all: Vec<Episode>,
    /// Who leads, in which term, and since when with a clock that is trusted.
    leads: BTreeMap<(ShardId, NodeId), (Life, Term, u64)>,
    /// Since when each process's clock is trusted.
    trusted: BTreeMap<Life, u64>,
    /// In the calm: whose knowledge each shard has in its log, as far as there is anything to mark.
    heard: BTreeSet<(ShardId, Life)>,
}

impl World {
    /// The error of a clock may have changed.
    pub(super) fn note_error(&mut self, id: NodeId) {
        let (now_ns, error) = (self.now_ns, self.nodes[&id].clock.error());
        let open = self.episodes.all.last_mut().filter(|episode| episode.until_ns.is_none());
        if open.as_ref().is_some_and(|open| open.node != id || open.error == error) {
            return;
        }
        if let Some(open) = open {
            // The clock has yet to look at its source.
            open.until_ns = Some(now_ns + REFRESH_NS);
        }
        if error != (0, 0) {
            let is_another =
                |last: &Episode| last.until_ns.is_some_and(|until| now_ns < until + HINDSIGHT_NS);
            let hazy_ns = if self.episodes.all.last().is_some_and(is_another) { HINDSIGHT_NS } else { 0 };
            let (known, unnoticed, told) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
            self.episodes.all.push(Episode {
                node: id,
                error,
                since_ns: now_ns,
                hazy_ns: now_ns + hazy_ns,
                until_ns: None,
                known,
                unnoticed,
                told,
            });
        }
    }

    /// A node took something in: it may have voted.
    pub(super) fn note_vote(&mut self, id: NodeId) {
        let now_ns = self.now_ns;
        let Some(last) = self.episodes.all.last() else { return };
        if last.until_ns.is_some_and(|until_ns| now_ns > until_ns + HINDSIGHT_NS) {
            return;
        }
        let (wrong, life) = (last.node, self.nodes[&id].life);
        let Some(clocks) = self.clocks(id) else { return };
        let misses = |standing| matches!(standing, Standing::Misses { .. });
        let knows = match clocks.fault {
            // A fence outlasts the votes that went against this clock.
            Some((fault, _)) => {
                !clocks.is_heard && matches!(fault, Fault::Outvoted { .. } | Fault::NoMajority)
            }
            None => clocks.peers.iter().any(|peer| peer.node == wrong && misses(peer.standing)),
        };
        // When an answer was asked for, by this node's monotonic clock: those of before are of no error, or of another.
        let monotonic = self.node(id).clock.read(now_ns).monotonic;
        let asked_ns = |peer: &PeerStanding| Some(now_ns.saturating_sub(monotonic.0 - peer.vouched_at?.0));
        let since_ns = self.episodes.all.last().map_or(0, |last| last.since_ns);
        let agrees = |peer: &PeerStanding| {
            peer.node == wrong
                && matches!(peer.standing, Standing::Agrees)
                && asked_ns(peer).is_some_and(|asked_ns| asked_ns > since_ns)
        };
        // Its own clock a node looks at whenever it looks at the time.
        let finds_right =
            if id == wrong { !knows && clocks.is_heard } else { clocks.peers.iter().any(agrees) };
        let Some(last) = self.episodes.all.last_mut() else { return };
        if finds_right && !last.known.contains_key(&(id, life)) {
            last.unnoticed.insert((id, life), now_ns);
        }
        if knows && now_ns >= last.hazy_ns {
            last.known.entry((id, life)).or_insert_with(|| {
                self.trace.tell(now_ns, || format!("node {id} knows that node {wrong}'s clock is wrong"));
                now_ns
            });
        }
    }

    /// Operators look at who leads: who knows and has led for long has marked what it knows.
    pub(super) fn look_at_leaders(&mut self, id: NodeId) {
        if self.episodes.all.is_empty() {
            return;
        }
        let (now_ns, life) = (self.now_ns, (id, self.nodes[&id].life));
        let is_trusted = self.node(id).clock.read(now_ns).fault.is_none()
            && self.clocks(id).is_some_and(|clocks| clocks.fault.is_none() && clocks.is_heard);
        if is_trusted {
            self.episodes.trusted.entry(life).or_insert(now_ns);
        } else {
            self.episodes.trusted.remove(&life);
        }
        let statuses = if is_trusted { self.statuses(id) } else { Vec::new() };
        let led: Vec<_> = statuses.into_iter().filter(|status| status.leader == Some(id)).collect();
        self.episodes
            .leads
            .retain(|(shard, leader), _| *leader != id || led.iter().any(|status| status.shard == *shard));
        for status in led {
            let (shard, now) = (status.shard, (life, status.term, now_ns));
            let leads = self.episodes.leads.entry((shard, id)).or_insert(now);
            if (leads.0, leads.1) != (now.0, now.1) {
                *leads = now;
            }
            let led_ns = now_ns - leads.2;
            // On a full disk it goes on without marking.
            let has_room = self.calm || !self.plan.has(FaultClass::DiskFull);
            if led_ns >= LEADS_NS && has_room && status.committed_index == status.appended_index {
                self.has_marked(shard, life);
                self.was_told(shard, led_ns);
            }
        }
    }

    /// The leader of a shard, all faults over, has heard of everybody who knew and was trusted for long.
    fn was_told(&mut self, shard: ShardId, led_ns: u64) {
        if !self.has_been_calm_for(TELLS_NS + LEADS_NS) || led_ns < TELLS_NS + LEADS_NS {
            return;
        }
        for life in self.knowing() {
            let trusted_ns = self.episodes.trusted.get(&life).map(|since_ns| self.now_ns - since_ns);
            if trusted_ns.is_some_and(|trusted_ns| trusted_ns >= TELLS_NS + LEADS_NS) {
                self.has_marked(shard, life);
            }
        }
    }

    /// The knowledge of a process is in a shard's log, as far as there is anything to mark.
    fn has_marked(&mut self, shard: ShardId, life: Life) {
        let (now_ns, born_ns) = (self.now_ns, self.nodes[&life.0].born_ns);
        if self.calm {
            self.episodes.heard.insert((shard, life));
        }
        for episode in &mut self.episodes.all {
            if episode.known.get(&life).is_some_and(|known_ns| now_ns >= known_ns + LEADS_NS) {
                let knows_ns = born_ns.max(episode.unnoticed.get(&life).copied().unwrap_or(0));
                let told_ns = episode.told.entry(shard).or_insert(knows_ns);
                *told_ns = knows_ns.min(*told_ns);
            }
        }
    }

    /// Who knows of a wrong clock, and has not forgotten it in a restart.
    fn knowing(&self) -> BTreeSet<Life> {
        let known = self.episodes.all.iter().flat_map(|episode| episode.known.keys().copied());
        known.filter(|(id, life)| self.is_up(*id) && self.nodes[id].life == *life).collect()
    }

    /// What somebody knows is not told everywhere yet.
    pub(crate) fn untold(&mut self) -> Option<String> {
        let knowing = self.knowing();
        for spec in self.specs.clone() {
            let shard = spec.shard;
            let is_untold = |life: &&Life| !self.episodes.heard.contains(&(shard, **life));
            if let Some((id, _)) = knowing.iter().find(is_untold).copied()
                && !self.is_stopped(&spec)
            {
                return Some(format!("shard {shard}: what node {id} knows of a wrong clock is not marked"));
            }
        }
        None
    }

    /// Notes when a clock was wrong and nobody who led knew of it: who started meanwhile knows of what came after.
    pub(crate) fn note_untold(&mut self) {
        let true_ns = |ns: u64| ns.saturating_add(EPOCH_NS);
        for spec in &self.specs {
            let shard = spec.shard;
            for episode in &self.episodes.all {
                let told_ns = episode.told.get(&shard).copied().unwrap_or(u64::MAX);
                let until_ns = told_ns.min(episode.until_ns.unwrap_or(u64::MAX));
                if episode.since_ns < until_ns {
                    let (from_ns, until_ns) = (true_ns(episode.since_ns), true_ns(until_ns));
                    self.history.untold.push(Untold { shard, from_ns, until_ns });
                }
            }
        }
        self.history.awaited_marks = true;
    }
}
