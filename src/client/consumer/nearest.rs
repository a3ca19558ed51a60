//! Which replica a shard is read from: the nearest by measured round trip, and another one once that has failed.
//!
//! Sans-IO: round trips, time and chance are arguments. Invariants: a replica that failed comes after all that did not; where
//! all have, the one whose failure is longest ago is next, so that as many attempts as there are replicas reach each.

use std::time::Duration;

use tokio::time::Instant;

use crate::types::NodeId;

/// Round trips that differ by less than a quarter and this are alike: readers spread over their nodes.
const ALIKE: Duration = Duration::from_micros(200);
/// A failure is held against a replica for so long, and until another one was read from.
const HELD_AGAINST: Duration = Duration::from_secs(1);

/// A replica's node, and the round trip to it if a connection stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) node: NodeId,
    pub(super) rtt: Option<Duration>,
}

/// What one shard's reader knows of its replicas.
#[derive(Debug, Default)]
pub(super) struct Nearest {
    /// The last failure of each, the oldest first.
    failed: Vec<(NodeId, Instant)>,
}

impl Nearest {
    /// The replica to read from now; `draw` decides between those that are alike. There must be one.
    pub(super) fn choose(&self, candidates: &[Candidate], draw: usize) -> NodeId {
        let failure = |node: NodeId| self.failed.iter().position(|(failed, _)| *failed == node);
        let sound: Vec<&Candidate> = candidates.iter().filter(|one| failure(one.node).is_none()).collect();
        let nearest = sound.iter().filter_map(|one| one.rtt).min();
        let alike = nearest.map(|rtt| rtt.mul_f64(1.25) + ALIKE);
        let is_near = |one: &&&Candidate| alike.is_none_or(|most| one.rtt.is_some_and(|rtt| rtt <= most));
        let near: Vec<&Candidate> = sound.iter().filter(is_near).copied().collect();
        let longest_failed = || candidates.iter().min_by_key(|one| failure(one.node));
        let chosen = if near.is_empty() { longest_failed() } else { Some(near[draw % near.len()]) };
        chosen.expect("a shard has a replica").node
    }

    /// Reading from `node` ended, whatever the reason.
    pub(super) fn failed(&mut self, node: NodeId, now: Instant) {
        self.failed.retain(|(failed, _)| *failed != node);
        self.failed.push((node, now));
    }

    /// Something was read: failures of long ago count no longer.
    pub(super) fn has_read(&mut self, now: Instant) {
        self.failed.retain(|(_, at)| now.duration_since(*at) < HELD_AGAINST);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn candidates(rtts_us: &[Option<u64>]) -> Vec<Candidate> {
        let node = |(id, rtt): (u64, &Option<u64>)| Candidate {
            node: NodeId(id),
            rtt: rtt.map(Duration::from_micros),
        };
        (1..).zip(rtts_us).map(node).collect()
    }

    fn choices(nearest: &Nearest, candidates: &[Candidate]) -> Vec<u64> {
        let drawn: BTreeSet<u64> = (0..60).map(|draw| nearest.choose(candidates, draw).0).collect();
        drawn.into_iter().collect()
    }

    #[test]
    fn the_nearest_replica_is_read_and_chance_decides_between_those_alike() {
        let nearest = Nearest::default();
        assert_eq!(choices(&nearest, &candidates(&[Some(30_000), Some(900), Some(80_000)])), [2]);
        assert_eq!(choices(&nearest, &candidates(&[Some(1_400), Some(1_000), Some(1_500)])), [1, 2]);
        assert_eq!(choices(&nearest, &candidates(&[Some(250), Some(60), Some(90)])), [1, 2, 3]);
        assert_eq!(
            choices(&nearest, &candidates(&[None, Some(70_000), None])),
            [2],
            "measured before unknown"
        );
        assert_eq!(choices(&nearest, &candidates(&[None, None, None])), [1, 2, 3]);
    }

    #[test]
    fn as_many_attempts_as_there_are_replicas_reach_each_however_long_they_take() {
        let candidates = candidates(&[Some(300), Some(40_000), None]);
        let (mut nearest, mut now) = (Nearest::default(), Instant::now());
        let mut tried = Vec::new();
        for _ in 0..6 {
            let node = nearest.choose(&candidates, 0);
            now += Duration::from_secs(3);
            nearest.failed(node, now);
            tried.push(node.0);
        }
        assert_eq!(tried, [1, 2, 3, 1, 2, 3]);
    }

    #[test]
    fn a_failure_is_forgotten_once_another_was_read_from_and_a_second_has_passed() {
        let candidates = candidates(&[Some(300), Some(40_000), Some(90_000)]);
        let (mut nearest, now) = (Nearest::default(), Instant::now());
        nearest.failed(NodeId(1), now);
        nearest.has_read(now + Duration::from_millis(900));
        assert_eq!(
            choices(&nearest, &candidates),
            [2],
            "not at once: a node that comes and goes is left alone"
        );
        nearest.has_read(now + Duration::from_secs(1));
        assert_eq!(choices(&nearest, &candidates), [1]);
    }
}
