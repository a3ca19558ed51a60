//! One shard's way to its leader: who leads, when to try again, how long to wait for an answer.
//!
//! Sans-IO. A round of sending goes over one stream, so that batches arrive in order; the leader is chosen
//! anew only when a round begins.

use std::time::Duration;

use tokio::time::Instant;

use crate::client::backoff::Backoff;
use crate::types::NodeId;

/// How often an attempt's time limit is doubled.
const DOUBLINGS_MAX: u32 = 3;
/// How long a node that did not answer is passed over for others: they name the new leader, or, if the silent
/// one was only slow, it is asked again.
const SUSPECTED_FOR: Duration = Duration::from_secs(1);

pub(super) struct Route {
    /// The stream this round goes over, by id, and the node at its end.
    pub(super) stream: Option<(NodeId, u64)>,
    /// A leader that a refusal named.
    pub(super) hint: Option<NodeId>,
    /// A node that did not answer, and until when it is passed over.
    suspect: Option<(NodeId, Instant)>,
    /// Which replica to ask next, where the leader is not known or suspect.
    next_replica: usize,
    pause_until: Option<Instant>,
    backoff: Backoff,
    attempt_timeout: Duration,
    late: u32,
    progress_at: Instant,
}

impl Route {
    pub(super) fn new(attempt_timeout: Duration, now: Instant) -> Self {
        Self {
            stream: None,
            hint: None,
            suspect: None,
            next_replica: 0,
            pause_until: None,
            backoff: Backoff::of_requests(),
            attempt_timeout,
            late: 0,
            progress_at: now,
        }
    }

    /// Ends this round; the next one begins after a jittered pause.
    pub(super) fn pause(&mut self, now: Instant) {
        self.stream = None;
        self.pause_until = Some(now + self.backoff.next_wait());
    }

    /// The same, but the first time since a success the next round begins at once: the shard told what it takes.
    pub(super) fn pause_unless_first(&mut self, now: Instant) {
        let is_first = self.backoff.is_reset();
        self.pause(now);
        self.pause_until.take_if(|_| is_first);
    }

    pub(super) fn is_paused(&self, now: Instant) -> bool {
        self.pause_until.is_some_and(|until| until > now)
    }

    pub(super) fn pause_until(&self) -> Option<Instant> {
        self.pause_until
    }

    /// Something was sent while nothing was awaited, or an answer came.
    pub(super) fn progressed(&mut self, now: Instant) {
        self.progress_at = now;
    }

    /// The shard works: forget past trouble.
    pub(super) fn succeeded(&mut self, now: Instant) {
        self.progressed(now);
        self.backoff.reset();
        self.late = 0;
        self.suspect = None;
    }

    /// The node of this round has gone silent.
    pub(super) fn suspect_stream(&mut self, now: Instant) {
        if let Some((node, _)) = self.stream {
            self.suspect = Some((node, now + SUSPECTED_FOR));
        }
    }

    /// Where the next round goes: to the leader, or, while that one is silent, to the other replicas in turn.
    pub(super) fn choose(
        &mut self,
        leader: Option<NodeId>,
        replicas: &[NodeId],
        now: Instant,
    ) -> Option<NodeId> {
        let hint = self.hint.take();
        self.suspect.take_if(|(_, until)| *until <= now);
        let suspect = self.suspect.map(|(node, _)| node);
        let leader = hint.or(leader)?;
        if suspect != Some(leader) {
            return Some(leader);
        }
        let others: Vec<NodeId> = replicas.iter().copied().filter(|node| Some(*node) != suspect).collect();
        self.next_replica = self.next_replica.wrapping_add(1);
        others.get(self.next_replica % others.len().max(1)).copied().or(Some(leader))
    }

    /// When answers that are awaited count as lost.
    pub(super) fn late_at(&self) -> Instant {
        self.progress_at + self.attempt_timeout * 2_u32.pow(self.late)
    }

    /// Answers did not come in time: the next attempt goes elsewhere, and waits longer.
    pub(super) fn was_late(&mut self, now: Instant) {
        self.late = (self.late + 1).min(DOUBLINGS_MAX);
        self.suspect_stream(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

    #[test]
    fn a_silent_leader_is_passed_over_for_the_other_replicas_and_asked_again_later() {
        let now = Instant::now();
        let mut route = Route::new(Duration::from_millis(400), now);
        assert_eq!(route.choose(Some(NODES[0]), &NODES, now), Some(NODES[0]));
        route.stream = Some((NODES[0], 1));
        route.was_late(now);
        let chosen = [(); 4].map(|()| route.choose(Some(NODES[0]), &NODES, now).unwrap());
        assert!(!chosen.contains(&NODES[0]), "{chosen:?}");
        assert!(chosen.contains(&NODES[1]) && chosen.contains(&NODES[2]), "{chosen:?}");
        assert_eq!(route.choose(Some(NODES[0]), &NODES, now + SUSPECTED_FOR), Some(NODES[0]));
    }

    #[test]
    fn a_hint_leads_away_from_a_silent_leader_at_once() {
        let now = Instant::now();
        let mut route = Route::new(Duration::from_millis(400), now);
        route.stream = Some((NODES[0], 1));
        route.was_late(now);
        route.hint = Some(NODES[2]);
        assert_eq!(route.choose(Some(NODES[0]), &NODES, now), Some(NODES[2]));
    }

    #[test]
    fn a_lone_replica_is_asked_however_silent() {
        let now = Instant::now();
        let mut route = Route::new(Duration::from_millis(400), now);
        route.stream = Some((NODES[0], 1));
        route.was_late(now);
        assert_eq!(route.choose(Some(NODES[0]), &NODES[..1], now), Some(NODES[0]));
    }
}
