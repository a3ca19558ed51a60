//! Bytes between processes: QUIC with mutual TLS 1.3, for nodes among themselves and for clients.
//!
//! Knows nothing of Raft, shards or sessions: it moves packets of `wire` and says who sent them.
//! Invariants: a packet's lengths are checked before memory is taken for it; every queue, window and number of
//! streams is bounded; a peer is known by its certificate, and a refusal names the peer and the reason.

mod client;
mod endpoint;
mod error;
mod link;
mod memory;
mod mesh;
mod options;
mod socket;
mod stream;
mod tls;
mod warnings;

pub use client::{ClientConnection, ClientEndpoint, ClientListener, ServerConnection};
pub use endpoint::Endpoint;
pub use error::{CloseCode, Error};
pub use link::{Checked, Inbox, Link, PeerIdentities, StreamClass};
pub use memory::{MemoryLink, MemoryNetwork};
pub use mesh::{Mesh, PeerStatus};
pub use options::{ClientOptions, PacketTime, TransportOptions};
pub use socket::{RECEIVE_BUFFER_BYTES, Socket};
pub use stream::{ClientStream, PacketReceiver, PacketSender, PacketStream, ServerStream};
pub use tls::{CertReport, CertificateTerm, Identity, certificate_terms, init_certs};

#[cfg(test)]
mod tests;
