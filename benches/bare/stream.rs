//! The least that bytes can cost on their way over QUIC: one stream from memory to a reader who drops them.
//!
//! Tuned as Timberline's own connections are. No frames, no checksums, no files. As many bytes lie in memory as are read, so that no cache
//! makes them cheaper than a page cache's.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use bytes::Bytes;
use quinn::udp::UdpSocketState;
use quinn::{
    Connection, Endpoint, EndpointConfig, MtuDiscoveryConfig, TokioRuntime, TransportConfig, VarInt,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use timberline::transport::RECEIVE_BUFFER_BYTES;

const NAME: &str = "bare";
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
const DATAGRAM_BYTES_MAX: u16 = 6500;
/// What is handed to the stream at a time: as large as a delivery of Timberline's is at most.
const PIECE_BYTES: usize = 1 << 20;
/// What the bytes are: not zeros, for which the kernel may keep one page.
const BYTE: u8 = 7;

/// A server on threads of its own, and a connection to it.
pub(crate) struct Bare {
    connection: Connection,
    _client: Endpoint,
    _server: tokio::runtime::Runtime,
}

impl Bare {
    /// Starts a server that answers each stream with `bytes` bytes, and connects from the current runtime.
    pub(crate) async fn start(bytes: usize) -> Self {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
        let certificate = CertificateDer::from(made.cert.der().to_vec());
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let server = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let server = server.expect("a runtime");
        let mut config =
            quinn::ServerConfig::with_single_cert(vec![certificate.clone()], key.into()).expect("it holds");
        config.transport_config(transport());
        let listening = {
            let _entered = server.enter();
            endpoint(Some(config))
        };
        let address = listening.local_addr().expect("it is bound");
        server.spawn(serve(listening, Bytes::from(vec![BYTE; bytes])));

        let mut roots = RootCertStore::empty();
        roots.add(certificate).expect("a good certificate");
        let mut config = quinn::ClientConfig::with_root_certificates(Arc::new(roots)).expect("it holds");
        config.transport_config(transport());
        let mut client = endpoint(None);
        client.set_default_client_config(config);
        let connection = client.connect(address, NAME).expect("a good address").await.expect("it accepts");
        Self { connection, _client: client, _server: server }
    }

    /// Reads one stream to its end; how many bytes came.
    pub(crate) async fn read(&self) -> usize {
        let (mut send, mut receive) = self.connection.open_bi().await.expect("the server lives");
        send.write_all(&[1]).await.expect("the server lives");
        let mut read = 0;
        while let Some(chunk) = receive.read_chunk(usize::MAX, true).await.expect("the server lives") {
            read += chunk.bytes.len();
        }
        read
    }
}

async fn serve(endpoint: Endpoint, bytes: Bytes) {
    while let Some(incoming) = endpoint.accept().await {
        let connection = incoming.await.expect("a client connects");
        while let Ok((mut send, _receive)) = connection.accept_bi().await {
            let mut left = bytes.clone();
            while !left.is_empty() {
                let piece = left.split_to(left.len().min(PIECE_BYTES));
                send.write_chunk(piece).await.expect("the client reads");
            }
            send.finish().expect("it was open");
        }
    }
}

fn endpoint(server: Option<quinn::ServerConfig>) -> Endpoint {
    let socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
    let state = UdpSocketState::new((&socket).into()).expect("a socket of Linux");
    state.set_recv_buffer_size((&socket).into(), RECEIVE_BUFFER_BYTES).expect("the kernel gives what it has");
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(DATAGRAM_BYTES_MAX).expect("a good size");
    Endpoint::new(config, server, socket, Arc::new(TokioRuntime)).expect("an endpoint")
}

fn transport() -> Arc<TransportConfig> {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(DATAGRAM_BYTES_MAX);
    let mut config = TransportConfig::default();
    config
        .mtu_discovery_config(Some(mtu))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(u64::from(CONNECTION_WINDOW_BYTES));
    Arc::new(config)
}
