//! Agreement on one log among its replicas: TiKV's `raft` crate behind a narrow interface.
//!
//! Knows nothing of frames, timestamps, disks or sockets: entries are opaque context and data, time is
//! `tick`, the network is messages in and out, the durable log is read through `LogReader`. No other
//! folder names the `raft` crate.

mod message;
mod reader;

pub use message::{LogEntry, Manifest, Message, MessageKind};
pub use reader::{LogReader, ReadError};
