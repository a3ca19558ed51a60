//! stub
use super::{ClientOptions, ClientStream, CloseCode, Error, Identity, ServerStream};
use std::net::SocketAddr;
/// Client connections as they finish their handshakes.
pub struct ClientListener;
impl ClientListener {
    /// The next connection; `None` once the endpoint is closed. Cancel-safe.
    pub async fn accept(&mut self) -> Option<ClientConnection> {
        todo!()
    }
}
/// A node's end of one client's connection. Clones share it.
#[derive(Clone)]
pub struct ClientConnection;
impl ClientConnection {
    pub fn remote(&self) -> SocketAddr {
        todo!()
    }
    /// The name in the client's certificate.
    pub fn name(&self) -> &str {
        todo!()
    }
    /// The next stream the client opened; an error once the connection ended.
    pub async fn accept_stream(&self) -> Result<ServerStream, Error> {
        todo!()
    }
    pub fn close(&self, _code: CloseCode, _reason: &str) {
        todo!()
    }
    /// Waits for the end of the connection.
    pub async fn closed(&self) -> Error {
        todo!()
    }
}
/// A client's socket; dials any node. Clones share it.
#[derive(Clone)]
pub struct ClientEndpoint;
impl ClientEndpoint {
    /// Binds; must be called within a tokio runtime.
    pub fn new(_identity: &Identity, _options: ClientOptions) -> Result<Self, Error> {
        todo!()
    }
    /// Connects to `host:port`.
    pub async fn connect(&self, _address: &str) -> Result<ServerConnection, Error> {
        todo!()
    }
    /// Closes every connection and waits (bounded) until the peers were told.
    pub async fn close(&self) {
        todo!()
    }
}
/// A client's end of one connection. Clones share it.
#[derive(Clone)]
pub struct ServerConnection;
impl ServerConnection {
    /// Opens a stream; waits while the peer's bound on streams is reached.
    pub async fn open_stream(&self) -> Result<ClientStream, Error> {
        todo!()
    }
    pub fn remote(&self) -> SocketAddr {
        todo!()
    }
    pub fn is_closed(&self) -> bool {
        todo!()
    }
    pub fn close(&self) {
        todo!()
    }
    /// Waits for the end of the connection.
    pub async fn closed(&self) -> Error {
        todo!()
    }
}
