//! Connections between clients and nodes, both ends.
//!
//! Knows nothing of sessions or retries. A client dials an address and takes any node whose certificate its CA
//! signed; a node takes any client likewise.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{EndpointConfig, VarInt};
use tokio::sync::mpsc;

use super::endpoint::{connect, dial_config, set_datagram_bytes, transport};
use super::stream::{Named, hello_timeout};
use super::tls::{self, ANY_NODE_NAME, peer_name};
use super::{
    ClientOptions, ClientStream, CloseCode, Error, Identity, PacketTime, ServerStream, Socket,
    TransportOptions,
};
use crate::wire::{CLIENT_ALPN, PacketLimits};

/// What one stream may hold unread at a client. A reader pauses streams whose buffers are full and waits for another
/// stream of the same connection: so the connection's own window is never the narrower one.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// How long a closing client waits for the nodes to know.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// Client connections as they finish their handshakes.
pub struct ClientListener {
    connections: mpsc::Receiver<ClientConnection>,
}

impl ClientListener {
    pub(super) fn new(connections: mpsc::Receiver<ClientConnection>) -> Self {
        Self { connections }
    }

    /// The next connection; `None` once the endpoint is closed. May be cancelled and called again.
    pub async fn accept(&mut self) -> Option<ClientConnection> {
        self.connections.recv().await
    }
}

/// A node's end of one client's connection. Clones share it.
#[derive(Clone)]
pub struct ClientConnection {
    connection: Named,
    name: Arc<str>,
    request_limits: PacketLimits,
    response_limits: PacketLimits,
    packet_time: PacketTime,
}

impl ClientConnection {
    pub(super) fn new(connection: Named, name: String, options: &TransportOptions) -> Self {
        Self {
            connection,
            name: name.into(),
            request_limits: options.request_limits,
            response_limits: options.response_limits,
            packet_time: options.packet_time,
        }
    }

    /// Limits of the requests that this node takes.
    pub fn request_limits(&self) -> PacketLimits {
        self.request_limits
    }

    pub fn remote(&self) -> SocketAddr {
        self.connection.connection.remote_address()
    }

    /// The name in the client's certificate.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The next stream the client opened; an error once the connection ended. May be cancelled and called again.
    pub async fn accept_stream(&self) -> Result<ServerStream, Error> {
        let stream = self.connection.connection.accept_bi().await.map_err(|e| self.connection.ended(&e))?;
        let stream = ServerStream::new(&self.connection, stream, self.response_limits, self.request_limits);
        Ok(stream.limited(self.packet_time))
    }

    /// As [`Self::accept_stream`], but closes the connection with `HelloTimeout` if none came within `limit`.
    pub async fn accept_stream_within(&self, limit: Duration) -> Result<ServerStream, Error> {
        match tokio::time::timeout(limit, self.accept_stream()).await {
            Ok(accepted) => accepted,
            Err(_) => Err(hello_timeout(&self.connection, limit)),
        }
    }

    pub fn close(&self, code: CloseCode, reason: &str) {
        self.connection.close(code, reason);
    }

    /// Waits for the end of the connection.
    pub async fn closed(&self) -> Error {
        let error = self.connection.connection.closed().await;
        self.connection.ended(&error)
    }
}

/// A client's socket; dials any node. Clones share it.
#[derive(Clone)]
pub struct ClientEndpoint {
    socket: quinn::Endpoint,
    dial: quinn::ClientConfig,
    options: ClientOptions,
}

impl ClientEndpoint {
    /// Binds a socket of its own; must be called within a tokio runtime, which then runs it.
    pub fn new(identity: &Identity, options: ClientOptions) -> Result<Self, Error> {
        Self::on(Socket::bind_any()?, identity, options)
    }

    /// As [`Self::new`], on a socket that is bound already.
    pub fn on(socket: Socket, identity: &Identity, options: ClientOptions) -> Result<Self, Error> {
        let mut transport = transport(options.idle_timeout, Some(options.keep_alive));
        transport.stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES)).receive_window(VarInt::MAX);
        let dial = dial_config(tls::client_config(identity, CLIENT_ALPN)?, transport);
        let mut config = EndpointConfig::default();
        set_datagram_bytes(&mut config);
        Ok(Self { socket: socket.open(config, None)?, dial, options })
    }

    /// Connects to `host:port`, whichever node that is; its hello tells.
    ///
    /// A node that does not take this client's certificate says so only after the handshake: then the first
    /// stream fails with the reason.
    pub async fn connect(&self, address: &str) -> Result<ServerConnection, Error> {
        let limit = self.options.connect_timeout;
        let connection = connect(&self.socket, &self.dial, address, ANY_NODE_NAME, limit).await?;
        let name: Arc<str> = peer_name(&connection).unwrap_or_default().into();
        let peer = format!("{name} at {address}").into();
        Ok(ServerConnection {
            connection: Named { connection, peer },
            name,
            request_limits: self.options.request_limits,
            response_limits: self.options.response_limits,
        })
    }

    /// Closes every connection and waits up to half a second until the nodes were told.
    pub async fn close(&self) {
        self.socket.close(CloseCode::Done.varint(), b"");
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.socket.wait_idle()).await;
    }
}

/// A client's end of one connection. Clones share it.
#[derive(Clone)]
pub struct ServerConnection {
    connection: Named,
    name: Arc<str>,
    request_limits: PacketLimits,
    response_limits: PacketLimits,
}

impl ServerConnection {
    /// Opens a stream; waits while the node's bound on streams is reached.
    pub async fn open_stream(&self) -> Result<ClientStream, Error> {
        let stream = self.connection.connection.open_bi().await.map_err(|e| self.connection.ended(&e))?;
        Ok(ClientStream::new(&self.connection, stream, self.request_limits, self.response_limits))
    }

    /// Opens a stream, or gives `None` where [`Self::open_stream`] would wait.
    pub async fn open_stream_at_once(&self) -> Result<Option<ClientStream>, Error> {
        tokio::select! {
            biased;
            opened = self.open_stream() => opened.map(Some),
            () = std::future::ready(()) => Ok(None),
        }
    }

    pub fn remote(&self) -> SocketAddr {
        self.connection.connection.remote_address()
    }

    /// The name in the node's certificate: `node-N`.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn rtt(&self) -> Duration {
        self.connection.connection.rtt()
    }

    pub fn is_closed(&self) -> bool {
        self.connection.connection.close_reason().is_some()
    }

    pub fn close(&self) {
        self.connection.close(CloseCode::Done, "");
    }

    /// Waits for the end of the connection.
    pub async fn closed(&self) -> Error {
        let error = self.connection.connection.closed().await;
        self.connection.ended(&error)
    }
}
