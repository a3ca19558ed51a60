//! stub
use super::{ClientListener, Error, Identity, TransportOptions};
use std::net::SocketAddr;
/// One UDP socket: serves clients and nodes, and dials nodes. Clones share the socket.
#[derive(Clone)]
pub struct Endpoint;
impl Endpoint {
    /// Binds; must be called within a tokio runtime.
    #[expect(clippy::needless_pass_by_value, reason = "kept by the endpoint")]
    pub fn bind(
        _address: SocketAddr,
        _identity: &Identity,
        _options: TransportOptions,
    ) -> Result<Self, Error> {
        todo!()
    }
    /// The address really bound (with the port the system chose).
    pub fn local_address(&self) -> SocketAddr {
        todo!()
    }
    /// The queue of client connections; call once.
    pub fn client_listener(&self) -> ClientListener {
        todo!()
    }
    /// Closes every connection, tells the peers, and waits (bounded) until they were told.
    pub async fn close(&self) {
        todo!()
    }
}
