//! What the driver does about what was refused, or lost: asks again, ends batches, or stops.

use tokio::time::Instant;

use super::{Asked, Driver, Pending};
use crate::client::error::Error;
use crate::client::producer::batches::Attempt;
use crate::client::producer::doubts::Question;
use crate::client::producer::requests;
use crate::types::ShardId;
use crate::wire::ErrorCode;

impl Driver {
    pub(super) fn on_refusal(&mut self, pending: &Pending, error: Error) {
        match pending.asked {
            Asked::Append(attempt) => self.on_append_refused(pending.shard, attempt, error),
            Asked::Fence => self.on_fence_refused(pending.shard, error),
            Asked::Fate(question) => self.on_question_refused(pending.shard, question, &error),
        }
    }

    /// A fence is asked for again, or nothing can be written to the shard.
    fn on_fence_refused(&mut self, shard: ShardId, error: Error) {
        let Some(lane) = self.lanes.get_mut(&shard) else { return };
        lane.route.progressed(Instant::now());
        lane.window.on_fence_refused();
        if asks_for_another_attempt(&error) {
            return self.ask_again(shard, &error);
        }
        for failed in lane.window.fail_all(&requests::unless_unknown(error)) {
            self.fail(shard, failed);
        }
    }

    /// A question is asked again, or its window goes on without the answer.
    fn on_question_refused(&mut self, shard: ShardId, question: Question, error: &Error) {
        let Some(lane) = self.lanes.get_mut(&shard) else { return };
        lane.route.progressed(Instant::now());
        if asks_for_another_attempt(error) {
            lane.window.on_unanswered(question);
            return self.ask_again(shard, error);
        }
        if error.code() == Some(ErrorCode::ProducerFenced) {
            return self.stop(error);
        }
        for failed in lane.window.on_unanswerable(question) {
            self.fail(shard, failed);
        }
    }

    /// Pauses, and then asks whom the refusal names or who leads by then.
    fn ask_again(&mut self, shard: ShardId, error: &Error) {
        let Some(lane) = self.lanes.get_mut(&shard) else { return };
        if let Error::Refused(refusal) = error {
            lane.route.hint = refusal.leader.filter(|leader| *leader != refusal.node);
        }
        lane.route.pause(Instant::now());
        if error.code() != Some(ErrorCode::Busy) && lane.route.hint.is_none() {
            self.refresh();
        }
    }

    fn on_append_refused(&mut self, shard: ShardId, attempt: Attempt, error: Error) {
        let now = Instant::now();
        let Some(lane) = self.lanes.get_mut(&shard) else { return };
        lane.route.progressed(now);
        let code = error.code();
        let again = match &error {
            Error::Refused(refusal) if refusal.code == ErrorCode::SequenceGap => {
                let expected = refusal.expected_sequence;
                lane.window.on_gap(attempt, expected, error)
            }
            Error::Refused(refusal) if refusal.code == ErrorCode::Forgotten => {
                let (again, failed) = lane.window.on_forgotten(attempt, refusal.floor, error);
                if again {
                    lane.route.pause_unless_first(now);
                }
                return failed.map_or((), |failed| self.fail(shard, failed));
            }
            _ if asks_for_another_attempt(&error) => {
                if let Error::Refused(refusal) = &error {
                    lane.route.hint = refusal.leader.filter(|leader| *leader != refusal.node);
                }
                lane.window.on_refused(attempt, error)
            }
            _ if code == Some(ErrorCode::ProducerFenced) => {
                if lane.window.is_current(attempt) {
                    lane.window.on_refused(attempt, error.clone());
                    self.stop(&error);
                }
                return;
            }
            _ => {
                let failed = lane.window.on_rejected(attempt, error);
                return failed.map_or((), |failed| self.fail(shard, failed));
            }
        };
        if again {
            lane.route.pause(now);
            if code != Some(ErrorCode::Busy) && lane.route.hint.is_none() {
                self.refresh();
            }
        }
    }
}

/// Whether a batch is tried again after this. A shard unknown to a node may just have moved, and a malformed or
/// lost answer says nothing of the batch: its deadline ends it.
pub(in crate::client::producer) fn asks_for_another_attempt(error: &Error) -> bool {
    match error {
        Error::Refused(refusal) => {
            let passing = matches!(
                refusal.code,
                ErrorCode::NotLeader
                    | ErrorCode::Fenced
                    | ErrorCode::Busy
                    | ErrorCode::LeadershipLost
                    | ErrorCode::Unavailable
                    | ErrorCode::Timeout
                    | ErrorCode::UnknownShard
            );
            refusal.retryable || passing
        }
        Error::UnknownNode { .. } => true,
        _ => error.is_retryable(),
    }
}
