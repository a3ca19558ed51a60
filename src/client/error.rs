//! Why a client's request failed, and what that means for what it asked for.

use std::time::Duration;

use crate::codec;
use crate::routing;
use crate::types::{Found, NodeId, Offset, ShardId, Timestamp};
use crate::wire::{self, ErrorCode};

/// What became of a request that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Certainly nothing: it is safe to send it again.
    NotApplied,
    /// It may have been applied, now or later.
    Unknown,
}

impl From<Outcome> for wire::Outcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::NotApplied => Self::NotApplied,
            Outcome::Unknown => Self::Unknown,
        }
    }
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotApplied => "not_applied",
            Self::Unknown => "unknown",
        }
    }
}

/// The families of failures, by what a user does about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    NotFound,
    Denied,
    /// Something stands in the way: a name taken, a producer fenced.
    Conflict,
    /// Nobody answered in time; trying later may help.
    Unavailable,
    /// Bytes are not what was written.
    Corruption,
    /// The request itself is wrong.
    Usage,
    Failure,
}

/// A refusal that a node sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub node: NodeId,
    pub code: ErrorCode,
    pub message: String,
    pub retryable: bool,
    pub outcome: Outcome,
    /// The node that leads, if the refusing node knew it.
    pub leader: Option<NodeId>,
    /// With `SequenceGap`: the sequence the shard expects.
    pub expected_sequence: u64,
    /// With `Trimmed`: the first record kept, and the last timestamp before it; `None` from a node that does not tell.
    pub trimmed: Option<(Offset, Timestamp)>,
    /// With `ConditionFailed`: what refuted the condition.
    pub found: Option<Found>,
    /// With `Forgotten`: a timestamp released in the shard.
    pub floor: Timestamp,
}

impl Refusal {
    pub(super) fn of(node: NodeId, body: wire::ErrorBody) -> Self {
        // An outcome this build does not know must not be taken for "certainly nothing".
        let outcome = match wire::Outcome::try_from(body.outcome) {
            Ok(wire::Outcome::NotApplied) => Outcome::NotApplied,
            Ok(wire::Outcome::Unknown) | Err(_) => Outcome::Unknown,
        };
        let found = if body.found_ns == 0 {
            Found::NextOffset(Offset(body.found_offset))
        } else {
            Found::KeyChanged(Timestamp(body.found_ns))
        };
        Self {
            node,
            found: (body.code() == ErrorCode::ConditionFailed).then_some(found),
            code: body.code(),
            retryable: body.retryable,
            outcome,
            leader: (body.leader != 0).then_some(NodeId(body.leader)),
            expected_sequence: body.expected_sequence,
            trimmed: (body.trimmed_through_ns != 0)
                .then_some((Offset(body.kept_from_offset), Timestamp(body.trimmed_through_ns))),
            floor: Timestamp(body.floor_ns),
            message: body.message,
        }
    }
}

/// A client's failure.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = timberline::testing::Cluster::start()?;
/// # let client = cluster.client().await?;
/// use timberline::client::{ConsumerOptions, Kind, Outcome};
/// use timberline::types::TopicName;
///
/// let nowhere: TopicName = "nowhere".parse()?;
/// let error = client.consumer(nowhere, ConsumerOptions::default()).await.err().expect("no such topic");
/// assert_eq!((error.kind(), error.is_retryable(), error.outcome()), (Kind::NotFound, false, Outcome::NotApplied));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("node {}: {}", .0.node, .0.message)]
    Refused(Box<Refusal>),
    #[error("cannot connect to {address}: {reason}")]
    Unreachable { address: String, reason: String },
    #[error("the connection to {address} was lost: {reason}")]
    Disconnected { address: String, reason: String },
    #[error("{what} was not answered within {after:?}{}", last.as_ref().map(|last| format!("; last: {last}")).unwrap_or_default())]
    Timeout { what: String, after: Duration, last: Option<Box<Self>> },
    #[error(
        "{address} belongs to cluster {found:?}, the others to {expected:?}: name endpoints of one cluster"
    )]
    OtherCluster { address: String, expected: String, found: String },
    #[error("{address} speaks protocol {found}, this client {expected}: use client and nodes of one release")]
    Protocol { address: String, expected: wire::Versions, found: u32 },
    #[error("{address} answered something that does not follow the protocol: {what}")]
    Malformed { address: String, what: String },
    #[error("{reason}")]
    Identity { reason: String },
    #[error("node {node} is not in the cluster; its nodes are {known}")]
    UnknownNode { node: NodeId, known: String },
    #[error("topic {topic} has no shard {shard}")]
    UnknownShard { topic: String, shard: ShardId },
    #[error("shard {shard} has no replica on node {node}; its replicas are on {replicas}")]
    NoReplica { shard: ShardId, node: NodeId, replicas: String },
    #[error("a topic's description from node {node} makes no sense: {source}")]
    Description { node: NodeId, source: routing::Error },
    #[error(
        "shard {shard} from {address}: {source}; the bytes were damaged on their way or on that node's disk"
    )]
    Corrupt { shard: ShardId, address: String, source: codec::Error },
    #[error("shard {shard} from {address}: records go from offset {found} where {expected} follows")]
    Gap { shard: ShardId, address: String, expected: Offset, found: Offset },
    #[error(
        "shard {shard} from {address}: the record at offset {offset} is stamped {found}, but the shard was closed before {expected_from}"
    )]
    BrokenOrder {
        shard: ShardId,
        address: String,
        offset: Offset,
        found: Timestamp,
        expected_from: Timestamp,
    },
    #[error(
        "shard {shard} keeps records from offset {kept_from} on, stamped {first} or later: those in between are trimmed away; \
         read from `begin`, from a time at or after that, or ask for the earliest kept"
    )]
    Trimmed { shard: ShardId, kept_from: Offset, first: Timestamp },
    #[error(
        "the cursor stands in shard {shard}, which belongs to none of the topics that are read: use it with the topics it was \
         taken from, or read from the time {timestamp} instead"
    )]
    ForeignCursor { shard: ShardId, timestamp: Timestamp },
    #[error("a record of {bytes} bytes does not fit a batch of at most {max} bytes")]
    RecordTooLarge { bytes: usize, max: usize },
    #[error("{option} is {found}: {rule}")]
    Option { option: &'static str, found: String, rule: &'static str },
    #[error("node {node} does not know {feature}, which its build lacks: bring it to this client's release")]
    Unsupported { node: NodeId, feature: &'static str },
    #[error("the append's condition does not hold in shard {shard}: {found}")]
    ConditionFailed { shard: ShardId, found: Found },
    #[error(
        "{at} lies in the future: nothing is stamped later than {admissible} by now, so a read of it would wait; ask again after that, \
         or check where the time, cursor or token comes from"
    )]
    Future { at: Timestamp, admissible: Timestamp },
    #[error(
        "at {latest} the stream had come only up to {closed}, further behind than {age:?}: its replicas are cut off or slow, or it is \
         read too slowly; resume at its cursor"
    )]
    Stale { closed: Timestamp, latest: Timestamp, age: Duration },
    #[error("topic {topic} was created at {created}, so it has no snapshot at {at}: name a later time")]
    BeforeTopic { topic: String, at: Timestamp, created: Timestamp },
    #[error("the client's own thread cannot start: {reason}")]
    Runtime { reason: String },
    #[error("there is no group {group}; list the groups")]
    UnknownGroup { group: String },
    #[error("the producer is closed")]
    Closed,
}

impl Error {
    /// The refusing node's code, if a node refused.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(refusal) => Some(refusal.code),
            _ => None,
        }
    }

    /// Whether it says that a group's member was taken for dead: others read on from its last commit, and it may join anew.
    pub fn is_stale_member(&self) -> bool {
        self.code() == Some(ErrorCode::StaleMember)
    }

    pub(super) fn is_unsupported(&self) -> bool {
        matches!(self, Self::Unsupported { .. })
    }

    /// Whether the same request may succeed when sent again.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.retryable,
            Self::Unreachable { .. }
            | Self::Disconnected { .. }
            | Self::Timeout { .. }
            | Self::Stale { .. } => true,
            _ => false,
        }
    }

    /// What became of the request.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Refused(refusal) => refusal.outcome,
            Self::Disconnected { .. } | Self::Malformed { .. } => Outcome::Unknown,
            Self::Timeout { last, .. } => last.as_ref().map_or(Outcome::Unknown, |last| last.outcome()),
            _ => Outcome::NotApplied,
        }
    }

    /// The family it belongs to.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Refused(refusal) => kind_of(refusal.code),
            Self::Unreachable { .. }
            | Self::Disconnected { .. }
            | Self::Timeout { .. }
            | Self::Stale { .. } => Kind::Unavailable,
            Self::Identity { .. } => Kind::Denied,
            Self::UnknownNode { .. }
            | Self::UnknownShard { .. }
            | Self::NoReplica { .. }
            | Self::UnknownGroup { .. }
            | Self::BeforeTopic { .. }
            | Self::Trimmed { .. } => Kind::NotFound,
            Self::Corrupt { .. } | Self::Gap { .. } | Self::BrokenOrder { .. } => Kind::Corruption,
            Self::OtherCluster { .. }
            | Self::ForeignCursor { .. }
            | Self::RecordTooLarge { .. }
            | Self::Option { .. }
            | Self::Future { .. } => Kind::Usage,
            Self::Protocol { .. }
            | Self::Malformed { .. }
            | Self::Description { .. }
            | Self::Unsupported { .. }
            | Self::Runtime { .. }
            | Self::Closed => Kind::Failure,
            Self::ConditionFailed { .. } => Kind::Conflict,
        }
    }
}

fn kind_of(code: ErrorCode) -> Kind {
    match code {
        ErrorCode::UnknownTopic | ErrorCode::UnknownShard | ErrorCode::UnknownGroup | ErrorCode::Trimmed => {
            Kind::NotFound
        }
        ErrorCode::Denied => Kind::Denied,
        ErrorCode::Conflict
        | ErrorCode::ConditionFailed
        | ErrorCode::ProducerFenced
        | ErrorCode::Forgotten
        | ErrorCode::Fenced
        | ErrorCode::StaleMember => Kind::Conflict,
        ErrorCode::NotLeader
        | ErrorCode::Busy
        | ErrorCode::Unavailable
        | ErrorCode::Timeout
        | ErrorCode::LeadershipLost
        | ErrorCode::NoSpace => Kind::Unavailable,
        ErrorCode::Corruption => Kind::Corruption,
        ErrorCode::Invalid | ErrorCode::TooLarge | ErrorCode::Future => Kind::Usage,
        ErrorCode::Internal | ErrorCode::SequenceGap => Kind::Failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_that_is_not_known_to_this_build_counts_as_unknown() {
        let body = wire::ErrorBody { outcome: 77, ..Default::default() };
        assert_eq!(Refusal::of(NodeId(1), body).outcome, Outcome::Unknown);
    }

    #[test]
    fn a_lost_connection_leaves_the_outcome_open_and_a_failed_connect_does_not() {
        let lost = Error::Disconnected { address: "a:1".into(), reason: "reset".into() };
        let unreachable = Error::Unreachable { address: "a:1".into(), reason: "refused".into() };
        assert_eq!((lost.outcome(), unreachable.outcome()), (Outcome::Unknown, Outcome::NotApplied));
        assert!(lost.is_retryable() && unreachable.is_retryable());
    }
}
