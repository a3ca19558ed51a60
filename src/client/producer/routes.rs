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

pub(super) struct Route {
    /// The stream this round goes over, by id, and the node at its end.
    pub(super) stream: Option<(NodeId, u64)>,
    /// A leader that a refusal named.
    pub(super) hint: Option<NodeId>,
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
    }

    /// When answers that are awaited count as lost.
    pub(super) fn late_at(&self) -> Instant {
        self.progress_at + self.attempt_timeout * 2_u32.pow(self.late)
    }

    /// Answers did not come in time: the next attempt waits longer.
    pub(super) fn was_late(&mut self) {
        self.late = (self.late + 1).min(DOUBLINGS_MAX);
    }
}
