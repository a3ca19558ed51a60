//! What can go wrong between processes, with what a repairer needs; and the codes a connection closes with.
//!
//! Knows nothing of retries: the callers decide.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::wire::PacketError;

/// Why a connection or a stream was closed, as the peer sees it. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum CloseCode {
    /// Shutdown, or nothing more to say.
    Done = 0,
    /// A better connection between the same two nodes stands.
    Replaced = 1,
    /// The hello names another protocol version.
    WrongProtocol = 2,
    /// The hello names another cluster.
    WrongCluster = 3,
    /// The certificate's name does not allow what the peer claims to be.
    WrongName = 4,
    /// The node is not in the list of peers.
    UnknownNode = 5,
    /// The node came back with another data folder.
    IdentityChanged = 6,
    /// A packet's prefix is over the limits.
    PacketTooLarge = 7,
    /// A packet's header is not what the protocol says.
    Malformed = 8,
    /// No hello in time.
    HelloTimeout = 9,
    /// A bound on connections is reached; try again later or another node.
    Busy = 10,
    /// A packet was begun and not finished in time. Ends its stream, not the connection.
    Stalled = 11,
}

impl CloseCode {
    /// The code of a number on the wire; `None` for one that a newer peer made up.
    pub fn from_wire(code: u64) -> Option<Self> {
        Some(match code {
            0 => Self::Done,
            1 => Self::Replaced,
            2 => Self::WrongProtocol,
            3 => Self::WrongCluster,
            4 => Self::WrongName,
            5 => Self::UnknownNode,
            6 => Self::IdentityChanged,
            7 => Self::PacketTooLarge,
            8 => Self::Malformed,
            9 => Self::HelloTimeout,
            10 => Self::Busy,
            11 => Self::Stalled,
            _ => return None,
        })
    }

    pub(crate) fn varint(self) -> quinn::VarInt {
        quinn::VarInt::from_u32(self as u32)
    }
}

/// A transport operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: {problem}; {advice}", path.display())]
    Certificate { path: PathBuf, problem: String, advice: String },
    #[error("{} is not empty; give another folder, or remove it if no node uses it any more", path.display())]
    FolderNotEmpty { path: PathBuf },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot make certificates: {0}")]
    Generate(String),
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    #[error("cannot listen on {address} (UDP): {source}")]
    Bind { address: SocketAddr, source: io::Error },
    #[error("cannot find the address of {address}: {reason}")]
    Resolve { address: String, reason: String },
    #[error("cannot connect to {address}: {reason}")]
    Connect { address: String, reason: String },
    /// One side's certificate is not good enough for the other: trying again changes nothing.
    #[error("{peer} cannot be talked to: {reason}")]
    Untrusted { peer: String, reason: String },
    /// The peer closed with a code of ours, or we refused the peer.
    #[error("{peer} refused ({code:?}): {reason}")]
    Refused { peer: String, code: CloseCode, reason: String },
    #[error("the connection to {peer} ended: {reason}")]
    Closed { peer: String, reason: String },
    #[error("{peer} gave up a stream (code {code})")]
    StreamEnded { peer: String, code: u64 },
    #[error("{peer} began a packet of {claimed_bytes} bytes and did not finish it within {after:?}")]
    Stalled { peer: String, claimed_bytes: usize, after: Duration },
    #[error("packet to or from {peer}: {source}")]
    Packet { peer: String, source: PacketError },
}
