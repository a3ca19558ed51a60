//! Agreement on one log among its replicas: `TiKV`'s `raft` crate behind a narrow interface.
//!
//! Knows nothing of frames, timestamps, disks or sockets: entries are opaque context and data, time is
//! `tick`, the network is messages in and out, the durable log is read through `LogReader`. No other
//! folder names the `raft` crate. No message from a peer and no damage in the log makes this folder panic:
//! what raft would panic on is checked first (`guard`) or reported beside it (`adapter`).
//!
//! Reading order: `group` (what goes in), `outbox` (what comes out), `membership`, then the parts they use.

mod adapter;
mod convert;
mod election;
mod error;
mod group;
mod guard;
mod membership;
mod message;
mod outbox;
mod reader;
mod rest;
mod status;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use group::{Group, GroupOptions};
pub use membership::{MembershipChange, MembershipStep, encode_membership_change};
pub use message::{LogEntry, Manifest, Message, MessageKind};
pub use outbox::Ready;
pub use reader::{LogReader, ReadError};
pub use status::{Role, Status};
