//! Every bound of the transport, in one place, with its default.
//!
//! Knows nothing of how the bounds are kept.

use std::time::Duration;

use crate::wire::PacketLimits;

const REQUEST_LIMITS: PacketLimits = PacketLimits { header_bytes_max: 64 << 10, payload_bytes_max: 8 << 20 };
/// Lists of many topics need a large header.
const RESPONSE_LIMITS: PacketLimits = PacketLimits { header_bytes_max: 1 << 20, payload_bytes_max: 8 << 20 };

/// How long a packet may take from its first byte to its last. Between packets a stream may be idle for as long as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketTime {
    pub least: Duration,
    /// In addition, for each whole mebibyte that its prefix claims.
    pub per_mib: Duration,
}

impl PacketTime {
    /// The time for a packet of so many bytes.
    pub fn limit(&self, claimed_bytes: usize) -> Duration {
        let whole_mib = u32::try_from(claimed_bytes >> 20).unwrap_or(u32::MAX);
        self.least.saturating_add(self.per_mib.saturating_mul(whole_mib))
    }
}

impl Default for PacketTime {
    fn default() -> Self {
        Self { least: Duration::from_secs(10), per_mib: Duration::from_secs(1) }
    }
}

/// Bounds of a node's endpoint.
#[derive(Clone, Debug)]
pub struct TransportOptions {
    /// Client connections at one time; one more is closed with `Busy`.
    pub client_connections_max: usize,
    /// Streams a client may have open on one connection.
    pub client_streams_max: u32,
    /// Handshakes in progress at one time; further attempts wait for the sender's retry.
    pub handshakes_max: usize,
    /// From the first packet to a finished TLS handshake; and again for the hello after it.
    pub handshake_timeout: Duration,
    /// Limits of requests, which clients send.
    pub request_limits: PacketLimits,
    /// Limits of responses.
    pub response_limits: PacketLimits,
    /// Limits of messages between nodes.
    pub node_limits: PacketLimits,
    /// What a packet of a client or of a node may take; a stream whose packet takes longer is given up with `Stalled`.
    pub packet_time: PacketTime,
    /// Messages waiting for one peer in one stream class; one more is dropped.
    pub queue_messages_max: usize,
    /// Bytes waiting for one peer in one stream class.
    pub queue_bytes_max: usize,
    /// Silence after which a node connection is dead.
    pub node_idle_timeout: Duration,
    /// How often an otherwise silent node connection is probed.
    pub node_keep_alive: Duration,
    /// Silence after which a client connection is dead.
    pub client_idle_timeout: Duration,
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self {
            client_connections_max: 1024,
            client_streams_max: 256,
            handshakes_max: 128,
            handshake_timeout: Duration::from_secs(2),
            request_limits: REQUEST_LIMITS,
            response_limits: RESPONSE_LIMITS,
            node_limits: PacketLimits { header_bytes_max: 4 << 20, payload_bytes_max: 32 << 20 },
            packet_time: PacketTime::default(),
            queue_messages_max: 4096,
            queue_bytes_max: 64 << 20,
            node_idle_timeout: Duration::from_secs(2),
            node_keep_alive: Duration::from_millis(250),
            client_idle_timeout: Duration::from_secs(10),
        }
    }
}

/// Bounds of a client's endpoint.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// From the first packet to a finished handshake.
    pub connect_timeout: Duration,
    /// Limits of requests.
    pub request_limits: PacketLimits,
    /// Limits of responses, which nodes send.
    pub response_limits: PacketLimits,
    /// Silence after which a connection is dead.
    pub idle_timeout: Duration,
    /// How often an otherwise silent connection is probed.
    pub keep_alive: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            request_limits: REQUEST_LIMITS,
            response_limits: RESPONSE_LIMITS,
            idle_timeout: Duration::from_secs(2),
            keep_alive: Duration::from_millis(250),
        }
    }
}
