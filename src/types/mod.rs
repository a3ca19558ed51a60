//! The vocabulary every layer shares: ids, positions, timestamps, records.
//!
//! Knows nothing of bytes on disk, of the network, or of any clock. Every type is a newtype that is
//! cheap to copy (records aside) and cannot be confused with its neighbour.

mod batch;
mod batch_ref;
mod ids;
mod order_mark;
mod position;
mod record;
mod replica;
mod retention;
mod terms;
mod time;
mod timestamp_ranges;
mod token;

pub use batch::{BatchId, Durability, EPOCHS_OF_A_RUN, Fate, Receipt, SHARD_IN_FLIGHT_MAX, StageTimes};
pub use batch_ref::{BatchRef, InvalidBatchRef};
pub use ids::{
    ClusterId, GroupName, InvalidName, MemberId, NodeId, ProducerId, ReplicaId, ShardId, TopicId, TopicName,
};
pub use order_mark::{MarkReason, OrderMark};
pub use position::{Index, Offset, Term};
pub use record::{Header, Record};
pub use replica::{Membership, Vote};
pub use retention::{InvalidRetention, Retention};
pub use terms::{AppendTerms, Condition, Found, Wait};
pub use time::{Monotonic, Timestamp};
pub use timestamp_ranges::TimestampRanges;
pub use token::{InvalidToken, Token};
