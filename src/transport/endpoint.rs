//! One UDP socket of a node: takes connections of clients and peers, and dials peers.
//!
//! Knows nothing of hellos or requests. Handshakes in progress, client connections, streams and windows are
//! bounded; a connection leaves here authenticated, with its name, for whom its ALPN says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quinn::crypto::rustls::HandshakeData;
use quinn::{EndpointConfig, MtuDiscoveryConfig, TransportConfig, VarInt};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};

use super::stream::Named;
use super::tls::{self, ResetKey, explain, is_untrusted, peer_name};
use super::warnings::Warnings;
use super::{ClientConnection, ClientListener, CloseCode, Error, Identity, Socket, TransportOptions};
use crate::types::NodeId;
use crate::wire::{CLIENT_ALPN, NODE_ALPN};

/// What a peer may send on one stream, and on one connection, before it is read. Also what may wait in this
/// process for a peer that does not read.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// The largest datagram that is tried (the path decides). A send of many that is too large for one UDP packet fails
/// whole, looks like loss and stalls the connection for good.
const DATAGRAM_BYTES_MAX: u16 = 6500;
/// The most datagrams that quinn joins into one send.
const DATAGRAMS_PER_SEND_MAX: u32 = 10;
const _: () =
    assert!(DATAGRAMS_PER_SEND_MAX * (DATAGRAM_BYTES_MAX as u32) <= 65_507, "a send fits one UDP packet");
/// Streams that anybody may open before its ALPN and certificate are judged; enough for a peer's hello and classes.
const FIRST_STREAMS_MAX: u32 = 4;
/// Unreliable datagrams that wait, each way: probes of clocks, some sixty bytes each. Clients send none.
const DATAGRAM_BUFFER_BYTES: usize = 16 << 10;
/// Assumed before the first measurement; a lost first packet is sent again after about three of these.
const INITIAL_RTT: Duration = Duration::from_millis(100);
const CONNECTION_ID_BYTES: usize = 8;
/// How long a closing endpoint waits for its peers to know.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Authenticated connections waiting for the mesh or the listener to take them.
const ACCEPT_QUEUE_MAX: usize = 64;
/// Addresses tried side by side when a name has several.
const ADDRESSES_MAX: usize = 4;

/// A connection of a peer that has not said hello yet.
pub(super) struct Arrival {
    pub(super) connection: quinn::Connection,
    /// The name in its certificate.
    pub(super) name: String,
}

/// One UDP socket: serves clients and nodes, and dials nodes. Clones share the socket.
#[derive(Clone)]
pub struct Endpoint {
    shared: Arc<Shared>,
}

struct Shared {
    socket: quinn::Endpoint,
    dial: quinn::ClientConfig,
    options: TransportOptions,
    name: String,
    address: SocketAddr,
    arrivals: Mutex<Option<mpsc::Receiver<Arrival>>>,
    clients: Mutex<Option<mpsc::Receiver<ClientConnection>>>,
    accepting: AbortHandle,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.accepting.abort();
        self.socket.close(CloseCode::Done.varint(), b"shutting down");
    }
}

impl Endpoint {
    /// Binds `address`; must be called within a tokio runtime, which then runs the socket.
    pub fn bind(address: SocketAddr, identity: &Identity, options: TransportOptions) -> Result<Self, Error> {
        Self::on(Socket::bind(address)?, identity, options)
    }

    /// As [`Self::bind`], on a socket that is bound already.
    pub fn on(socket: Socket, identity: &Identity, options: TransportOptions) -> Result<Self, Error> {
        let mut server = quinn::ServerConfig::with_crypto(Arc::new(tls::server_config(identity)?));
        server.transport_config(Arc::new(transport(options.client_idle_timeout, None)));
        let dial = dial_config(
            tls::client_config(identity, NODE_ALPN)?,
            transport(options.node_idle_timeout, Some(options.node_keep_alive)),
        );
        let address = socket.address();
        let socket = socket.open(endpoint_config(identity), Some(server))?;
        let (arrivals_in, arrivals) = mpsc::channel(ACCEPT_QUEUE_MAX);
        let (clients_in, clients) = mpsc::channel(ACCEPT_QUEUE_MAX);
        let door = Door {
            arrivals: arrivals_in,
            clients: clients_in,
            handshakes: Arc::new(Semaphore::new(options.handshakes_max)),
            client_permits: Arc::new(Semaphore::new(options.client_connections_max)),
            options: options.clone(),
            warnings: Warnings::default(),
        };
        let accepting = tokio::spawn(accept(socket.clone(), Arc::new(door))).abort_handle();
        let shared = Shared {
            socket,
            dial,
            options,
            name: identity.name().to_owned(),
            address,
            arrivals: Mutex::new(Some(arrivals)),
            clients: Mutex::new(Some(clients)),
            accepting,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The address really bound (with the port the system chose, if asked for port 0).
    pub fn local_address(&self) -> SocketAddr {
        self.shared.address
    }

    /// The queue of client connections; can be taken once.
    pub fn client_listener(&self) -> ClientListener {
        let clients = self.shared.clients.lock().expect("no panic under the lock").take();
        ClientListener::new(clients.expect("the client listener is taken once"))
    }

    /// Closes every connection, tells the peers, and waits up to a second until they were told.
    pub async fn close(&self) {
        self.shared.socket.close(CloseCode::Done.varint(), b"shutting down");
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.shared.socket.wait_idle()).await;
    }

    /// Connections that are not fully closed, of nodes and clients.
    pub fn open_connections(&self) -> usize {
        self.shared.socket.open_connections()
    }

    pub(super) fn take_arrivals(&self) -> mpsc::Receiver<Arrival> {
        let arrivals = self.shared.arrivals.lock().expect("no panic under the lock").take();
        arrivals.expect("an endpoint carries one mesh")
    }

    pub(super) fn options(&self) -> &TransportOptions {
        &self.shared.options
    }

    /// The common name in this node's certificate.
    pub(super) fn name(&self) -> &str {
        &self.shared.name
    }

    pub(super) async fn dial(&self, node: NodeId, address: &str) -> Result<quinn::Connection, Error> {
        let limit = self.shared.options.handshake_timeout;
        connect(&self.shared.socket, &self.shared.dial, address, &tls::server_name(node), limit).await
    }
}

/// The side of an endpoint that lets connections in.
struct Door {
    arrivals: mpsc::Sender<Arrival>,
    clients: mpsc::Sender<ClientConnection>,
    handshakes: Arc<Semaphore>,
    client_permits: Arc<Semaphore>,
    options: TransportOptions,
    warnings: Warnings,
}

async fn accept(socket: quinn::Endpoint, door: Arc<Door>) {
    let mut handshakes = JoinSet::new();
    while let Some(incoming) = socket.accept().await {
        while handshakes.try_join_next().is_some() {}
        let Ok(permit) = door.handshakes.clone().try_acquire_owned() else {
            incoming.ignore();
            continue;
        };
        let door = door.clone();
        handshakes.spawn(async move {
            door.let_in(incoming).await;
            drop(permit);
        });
    }
}

impl Door {
    async fn let_in(&self, incoming: quinn::Incoming) {
        let remote = incoming.remote_address();
        let handshake = async { incoming.accept()?.await };
        let reason = match tokio::time::timeout(self.options.handshake_timeout, handshake).await {
            Ok(Ok(connection)) => match self.route(connection) {
                Ok(()) => return,
                Err(error) => error.to_string(),
            },
            Ok(Err(error)) => explain(&error),
            Err(_) => "the handshake took too long".to_owned(),
        };
        if self.warnings.is_due(&reason) {
            tracing::warn!(%remote, %reason, "a connection was refused");
        }
    }

    fn route(&self, connection: quinn::Connection) -> Result<(), Error> {
        let remote = connection.remote_address();
        let alpn = connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
        let alpn = alpn.and_then(|data| data.protocol).unwrap_or_default();
        let name = peer_name(&connection).unwrap_or_default();
        let peer = format!("{name} at {remote}");
        let named = Named { connection, peer: peer.as_str().into() };
        let refuse = |code: CloseCode, reason: String| {
            named.close(code, &reason);
            Err(Error::Refused { peer, code, reason })
        };
        if alpn == NODE_ALPN {
            let arrival = Arrival { connection: named.connection.clone(), name };
            return match self.arrivals.try_send(arrival) {
                Ok(()) => Ok(()),
                Err(_) => refuse(CloseCode::Busy, "too many node connections at once".to_owned()),
            };
        }
        assert_eq!(alpn, CLIENT_ALPN, "TLS agrees only on what was offered");
        let is_client = name == "client" || name.starts_with("client-") || name.starts_with("node-");
        if !is_client {
            let reason = format!("the certificate is named `{name}`, not `client`, `client-...` or `node-N`");
            return refuse(CloseCode::WrongName, reason);
        }
        let Ok(permit) = self.client_permits.clone().try_acquire_owned() else {
            let limit = self.options.client_connections_max;
            return refuse(CloseCode::Busy, format!("this node has its {limit} client connections already"));
        };
        named.connection.set_max_concurrent_uni_streams(VarInt::from_u32(0));
        named.connection.set_max_concurrent_bi_streams(VarInt::from_u32(self.options.client_streams_max));
        let client = ClientConnection::new(named.clone(), name, &self.options);
        if self.clients.try_send(client).is_err() {
            return refuse(CloseCode::Busy, "too many clients connect at once".to_owned());
        }
        tokio::spawn(async move {
            named.connection.closed().await;
            drop(permit);
        });
        Ok(())
    }
}

fn endpoint_config(identity: &Identity) -> EndpointConfig {
    let mut config = EndpointConfig::new(Arc::new(ResetKey::derive(identity)));
    config.cid_generator(|| Box::new(RandomConnectionIds));
    set_datagram_bytes(&mut config);
    config
}

/// Connection ids without a mark of this process: quinn's own carry one, by which a restarted process would
/// ignore packets of its predecessor's connections instead of resetting them.
struct RandomConnectionIds;

impl quinn::ConnectionIdGenerator for RandomConnectionIds {
    fn generate_cid(&mut self) -> quinn::ConnectionId {
        quinn::ConnectionId::new(&rand::random::<[u8; CONNECTION_ID_BYTES]>())
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

pub(super) fn set_datagram_bytes(config: &mut EndpointConfig) {
    config.max_udp_payload_size(DATAGRAM_BYTES_MAX).expect("1,200 or more");
}

pub(super) fn dial_config(
    crypto: quinn::crypto::rustls::QuicClientConfig,
    transport: TransportConfig,
) -> quinn::ClientConfig {
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    config
}

/// The settings of every connection; the shorter idle timeout of the two sides holds.
pub(super) fn transport(idle_timeout: Duration, keep_alive: Option<Duration>) -> TransportConfig {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(DATAGRAM_BYTES_MAX);
    let mut config = TransportConfig::default();
    config
        .max_idle_timeout(Some(idle_timeout.try_into().expect("an idle timeout fits 62 bits of ms")))
        .keep_alive_interval(keep_alive)
        .initial_rtt(INITIAL_RTT)
        .mtu_discovery_config(Some(mtu))
        .max_concurrent_bidi_streams(VarInt::from_u32(FIRST_STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(FIRST_STREAMS_MAX))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(u64::from(CONNECTION_WINDOW_BYTES))
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER_BYTES))
        .datagram_send_buffer_size(DATAGRAM_BUFFER_BYTES);
    config
}

/// Connects to `host:port`, trying all its addresses side by side; the first that proves `server_name` wins.
pub(super) async fn connect(
    socket: &quinn::Endpoint,
    config: &quinn::ClientConfig,
    address: &str,
    server_name: &str,
    limit: Duration,
) -> Result<quinn::Connection, Error> {
    let resolve_error = |reason: String| Error::Resolve { address: address.to_owned(), reason };
    let connect_error = |reason: String| Error::Connect { address: address.to_owned(), reason };
    let attempt = async {
        let found = tokio::net::lookup_host(address).await.map_err(|e| resolve_error(e.to_string()))?;
        let mut attempts = JoinSet::new();
        let (mut reason, mut untrusted) = (None, false);
        for remote in found.take(ADDRESSES_MAX) {
            match socket.connect_with(config.clone(), remote, server_name) {
                Ok(connecting) => drop(attempts.spawn(connecting)),
                Err(error) => reason = Some(error.to_string()),
            }
        }
        while let Some(joined) = attempts.join_next().await {
            match joined.expect("a handshake does not panic") {
                Ok(connection) => return Ok(connection),
                Err(error) => {
                    untrusted |= is_untrusted(&error);
                    reason = Some(explain(&error));
                }
            }
        }
        if let Some(reason) = reason.take_if(|_| untrusted) {
            return Err(Error::Untrusted { peer: address.to_owned(), reason });
        }
        Err(reason.map_or_else(|| resolve_error("the name has no address".to_owned()), connect_error))
    };
    let no_answer =
        || connect_error(format!("no answer within {limit:?} (is the node running? is UDP let through?)"));
    tokio::time::timeout(limit, attempt).await.unwrap_or_else(|_| Err(no_answer()))
}
