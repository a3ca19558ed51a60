//! A lane owns many shards' replicas and is the only one to touch them: events go in, and what they
//! cause (writes, syncs, messages, answers) comes out.
//!
//! Knows nothing of threads, sockets or tokio, and reads no clock: the shell that drives it, a node's
//! thread or a test, hands it a `Reading` with every call. Writes go to the `Disk` at once, into the page
//! cache; syncs are requests, answered by an event. Invariants: an answer that promises durability leaves
//! only after the sync that it needs; messages may be lost, duplicated and reordered; a replica that fails stops
//! alone.

mod beginning;
mod closing;
mod convert;
mod error;
mod event;
mod executor;
mod log_view;
mod marking;
mod opening;
mod options;
mod outbox;
mod output;
mod probing;
mod promising;
mod receive;
mod recollection;
mod repair;
mod replica;
mod resting;

pub use crate::consensus::{MembershipChange, MembershipStep};
pub use error::Error;
pub use event::{AppendCommand, Event, FenceCommand, ReadCommand, ReadFrom, Ticket};
pub use executor::Lane;
pub use opening::OpenReport;
pub use options::{LaneOptions, Placement, ScrubOptions, ShardSpec};
pub use output::{
    CareNote, ClockNote, Leadership, Output, PrepareRequest, ReadAnswer, ReadRefusal, RemoveRequest,
    ReplicaStatus, Send, SyncRequest, TaskRequest,
};
