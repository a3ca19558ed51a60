//! Errors in the words and codes of the wire.

use crate::codec;
use crate::lane::ReadRefusal;
use crate::node::lane_thread::Busy;
use crate::node::shared::NodeShared;
use crate::shard::{self, Refusal};
use crate::types::{Durability, Found, Receipt, ShardId};
use crate::wire::{AppendedBody, ErrorBody, ErrorCode, Outcome};

/// An error after which nothing was applied.
pub(super) fn error(code: ErrorCode, retryable: bool, message: impl Into<String>) -> ErrorBody {
    ErrorBody {
        code: code as i32,
        message: message.into(),
        retryable,
        outcome: Outcome::NotApplied as i32,
        ..ErrorBody::default()
    }
}

/// The request was taken in and its fate is not known.
pub(super) fn unknown(code: ErrorCode, message: impl Into<String>) -> ErrorBody {
    ErrorBody { outcome: Outcome::Unknown as i32, ..error(code, true, message) }
}

pub(super) fn busy(busy: Busy) -> ErrorBody {
    error(ErrorCode::Busy, true, busy.to_string())
}

/// The lane ended while the answer was awaited.
pub(super) fn stopped() -> ErrorBody {
    unknown(ErrorCode::Unavailable, "this node stopped before it had an answer; ask another node")
}

pub(super) fn refused(host: &NodeShared, shard: ShardId, refusal: &Refusal) -> ErrorBody {
    let leader = match refusal {
        Refusal::NotLeader { leader: Some(replica) } => host.node_of(shard, *replica),
        _ => None,
    };
    let leader = leader.map_or(0, |node| node.0);
    let next = match refusal {
        Refusal::NotLeader { .. } if leader != 0 => format!("; ask node {leader}"),
        Refusal::NotLeader { .. } => "; no leader is known here: try again shortly".to_owned(),
        _ if refusal.is_retryable() => "; try again shortly".to_owned(),
        _ => String::new(),
    };
    let outcome = match refusal.outcome() {
        shard::Outcome::NotApplied => Outcome::NotApplied,
        shard::Outcome::Unknown => Outcome::Unknown,
    };
    let (found_offset, found_ns) = match refusal {
        Refusal::ConditionFailed { found: Found::NextOffset(offset) } => (offset.0, 0),
        Refusal::ConditionFailed { found: Found::KeyChanged(timestamp) } => (0, timestamp.0),
        _ => (0, 0),
    };
    let expected_sequence = if let Refusal::SequenceGap { expected } = refusal { *expected } else { 0 };
    let floor_ns = if let Refusal::Forgotten { floor } = refusal { floor.0 } else { 0 };
    ErrorBody {
        code: code_of(refusal) as i32,
        message: format!("shard {shard} on node {}: {refusal}{next}", host.node),
        retryable: refusal.is_retryable(),
        outcome: outcome as i32,
        leader,
        expected_sequence,
        found_offset,
        found_ns,
        floor_ns,
        ..ErrorBody::default()
    }
}

fn code_of(refusal: &Refusal) -> ErrorCode {
    match refusal {
        Refusal::NotLeader { .. } | Refusal::Moving => ErrorCode::NotLeader,
        Refusal::Fenced { .. } | Refusal::Unheard | Refusal::FloorPending => ErrorCode::Fenced,
        Refusal::Busy { .. } | Refusal::AheadOfClock { .. } | Refusal::Unsettled => ErrorCode::Busy,
        Refusal::NoSpace => ErrorCode::NoSpace,
        Refusal::SequenceGap { .. } => ErrorCode::SequenceGap,
        Refusal::ProducerFenced { .. } => ErrorCode::ProducerFenced,
        Refusal::ConditionFailed { .. } => ErrorCode::ConditionFailed,
        Refusal::Future { .. } => ErrorCode::Future,
        Refusal::Forgotten { .. } => ErrorCode::Forgotten,
        Refusal::TooOld | Refusal::Membership { .. } => ErrorCode::Conflict,
        Refusal::LeadershipLost | Refusal::Replaced => ErrorCode::LeadershipLost,
        Refusal::TooLarge { .. } => ErrorCode::TooLarge,
        Refusal::Empty | Refusal::Invalid(_) => ErrorCode::Invalid,
        Refusal::Stopped { .. } => ErrorCode::Unavailable,
        Refusal::NotHosted => ErrorCode::UnknownShard,
    }
}

pub(super) fn unreadable(host: &NodeShared, refusal: &ReadRefusal) -> ErrorBody {
    let on = format!("node {}: {refusal}", host.node);
    match refusal {
        ReadRefusal::UnknownShard(shard) => unknown_shard(host, *shard),
        ReadRefusal::Trimmed { kept_from, trimmed_through, .. } => {
            let message = format!("{refusal}; read from `begin`, or from a time or cursor after that");
            ErrorBody {
                kept_from_offset: kept_from.0,
                trimmed_through_ns: trimmed_through.0,
                ..error(ErrorCode::Trimmed, false, message)
            }
        }
        ReadRefusal::Failed { .. } => {
            error(ErrorCode::Unavailable, true, format!("{on}; read from another replica"))
        }
    }
}

/// The shard is not here: elsewhere, or nowhere.
pub(super) fn unknown_shard(host: &NodeShared, shard: ShardId) -> ErrorBody {
    let node = host.node;
    let Some(view_shard) = host.view().shard(shard).map(|(_, shard)| shard.clone()) else {
        let message =
            format!("node {node} knows no shard {shard}: its topic was deleted, or not yet created here");
        return error(ErrorCode::UnknownShard, true, message);
    };
    let on: Vec<String> = view_shard.replicas.iter().map(|replica| replica.node.to_string()).collect();
    let message =
        format!("shard {shard} has no working replica on node {node}; ask one of nodes {}", on.join(", "));
    error(ErrorCode::UnknownShard, true, message)
}

pub(super) fn invalid_batch(shard: ShardId, problem: &codec::Error) -> ErrorBody {
    error(
        ErrorCode::Invalid,
        false,
        format!("the batch for shard {shard} does not hold what it claims: {problem}"),
    )
}

pub(super) fn receipt_body(receipt: &Receipt) -> AppendedBody {
    let ns = |duration: std::time::Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    AppendedBody {
        shard: receipt.shard.0,
        first_offset: receipt.first_offset.0,
        first_timestamp_ns: receipt.first_timestamp.0,
        record_count: receipt.record_count,
        uncertainty_ns: receipt.uncertainty_ns,
        term: receipt.term.0,
        durability: durability_number(receipt.durability),
        queue_ns: ns(receipt.wait.queue),
        sync_ns: ns(receipt.wait.sync),
        replication_ns: ns(receipt.wait.replication),
        commit_wait_ns: ns(receipt.wait.commit_wait),
        header_crc: receipt.header_crc,
    }
}

pub(super) fn durability_number(durability: Durability) -> u32 {
    match durability {
        Durability::Disk => 0,
        Durability::Memory => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Fault;

    /// What docs/PROTOCOL.md tells of a code: whether it is retryable, and the outcome.
    fn told(code: ErrorCode) -> [&'static str; 2] {
        let document = include_str!("../../../docs/PROTOCOL.md");
        let begin = format!("| {} | {code:?} |", code as i32);
        let row = document.lines().find(|line| line.starts_with(&begin)).expect("a row");
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        [cells[4], cells[5]]
    }

    #[test]
    fn a_refusal_is_answered_as_the_protocol_tells_of_its_code() {
        let reason = String::new;
        for refusal in [
            Refusal::NotHosted,
            Refusal::NotLeader { leader: None },
            Refusal::Fenced { fault: Fault::Unsynchronised },
            Refusal::Unheard,
            Refusal::FloorPending,
            Refusal::Busy { unanswered: 1, max: 1 },
            Refusal::NoSpace,
            Refusal::AheadOfClock { ahead_ns: 2, max_ns: 1 },
            Refusal::Moving,
            Refusal::Unsettled,
            Refusal::SequenceGap { expected: 1 },
            Refusal::ProducerFenced { epoch: 1 },
            Refusal::TooOld,
            Refusal::LeadershipLost,
            Refusal::Replaced,
            Refusal::TooLarge { found: 2, max: 1 },
            Refusal::Empty,
            Refusal::Invalid(codec::Error::Magic { found: 1 }),
            Refusal::Membership { reason: reason() },
            Refusal::Stopped { reason: reason() },
        ] {
            let [retryable, outcome] = told(code_of(&refusal));
            let is_retryable = if refusal.is_retryable() { "yes" } else { "no" };
            let came = match refusal.outcome() {
                shard::Outcome::NotApplied => "not applied",
                shard::Outcome::Unknown => "unknown",
            };
            assert!([is_retryable, "either"].contains(&retryable), "{refusal:?}: {retryable}");
            assert!([came, "either"].contains(&outcome), "{refusal:?}: {outcome}");
        }
    }
}
