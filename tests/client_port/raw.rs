//! A node, and a client that is nothing but QUIC: it writes whatever bytes a test has.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{TransportConfig, VarInt};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use timberline::clock::{ClockOptions, SourceOptions};
use timberline::node::{Limits, Node, NodeHandle, NodeOptions, ReplicationOptions};
use timberline::transport::{PacketTime, TransportOptions, init_certs};
use timberline::types::NodeId;
use timberline::wire::{
    CLIENT_ALPN, CreateTopicBody, ErrorBody, HelloBody, PacketDecoder, PacketLimits, Request, RequestBody,
    Response, ResponseBody, encode_packet,
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// A limit of time that a test can wait for.
pub(crate) const HURRIED: PacketTime =
    PacketTime { least: Duration::from_millis(300), per_mib: Duration::ZERO };

pub(crate) struct OneNode {
    // Dropped in this order: the node does not outlive its files.
    node: NodeHandle,
    folder: tempfile::TempDir,
}

impl OneNode {
    pub(crate) fn start(limits: Limits) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        init_certs(&folder.path().join("certs"), 1).expect("certificates");
        let options = NodeOptions {
            node: NodeId(1),
            cluster: "recorded".parse().expect("a good name"),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data_dir: folder.path().join("node"),
            certs_dir: folder.path().join("certs"),
            peers: vec![(NodeId(1), "127.0.0.1:1".to_owned())],
            metrics_listen: None,
            clock: ClockOptions::default(),
            clock_source: SourceOptions::declared(Duration::from_millis(1)),
            clock_inject_file: None,
            replication: ReplicationOptions::default(),
            first_segment_bytes: 64 << 10,
            segment_bytes_max: 1 << 20,
            sync_threads: 2,
            scrub_bytes_per_second: 0,
            limits,
            drain_timeout: Duration::from_secs(1),
        };
        let node = Node::start(options).unwrap_or_else(|error| panic!("{error}"));
        for _ in 0..PATIENCE.as_millis() {
            if node.ready() {
                return Self { node, folder };
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        panic!("the node does not become ready");
    }

    /// A connection without a hello; each of its streams takes so many bytes unread.
    pub(crate) async fn connect(&self, stream_window_bytes: u32) -> Raw {
        let mut endpoint = quinn::Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a socket");
        endpoint.set_default_client_config(config(&self.folder.path().join("certs"), stream_window_bytes));
        let connecting = endpoint.connect(self.node.address(), "timberline.internal").expect("a good name");
        Raw { connection: connecting.await.expect("a handshake"), _endpoint: endpoint }
    }

    /// A connection that said hello, and the stream that it said it on.
    pub(crate) async fn greet(&self) -> (Raw, RawStream) {
        let raw = self.connect(1 << 20).await;
        let mut stream = raw.stream().await;
        let hello = HelloBody { protocol: 1, ..HelloBody::default() };
        let answer = stream.ask(RequestBody::Hello(hello), Bytes::new()).await;
        assert!(matches!(answer, ResponseBody::Hello(_)), "{answer:?}");
        (raw, stream)
    }
}

fn config(certs: &Path, stream_window_bytes: u32) -> quinn::ClientConfig {
    let certificate = |name: &str| CertificateDer::from_pem_file(certs.join(name)).expect("a certificate");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate("ca.pem")).expect("a root");
    let key = PrivateKeyDer::from_pem_file(certs.join("client.key")).expect("a key");
    let mut tls =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate("client.pem")], key)
            .expect("a pair");
    tls.alpn_protocols = vec![CLIENT_ALPN.to_vec()];
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).expect("TLS 1.3")));
    let mut transport = TransportConfig::default();
    transport
        .stream_receive_window(VarInt::from_u32(stream_window_bytes))
        .keep_alive_interval(Some(Duration::from_millis(250)));
    config.transport_config(Arc::new(transport));
    config
}

pub(crate) struct Raw {
    pub(crate) connection: quinn::Connection,
    _endpoint: quinn::Endpoint,
}

impl Raw {
    pub(crate) async fn stream(&self) -> RawStream {
        let (send, receive) = self.connection.open_bi().await.expect("the connection stands");
        RawStream::of(send, receive)
    }
}

/// A stream of bytes one way, and of answers the other.
pub(crate) struct RawStream {
    pub(crate) send: quinn::SendStream,
    receive: quinn::RecvStream,
    answers: PacketDecoder,
    last_id: u64,
}

impl RawStream {
    pub(crate) fn of(send: quinn::SendStream, receive: quinn::RecvStream) -> Self {
        let limits = PacketLimits { header_bytes_max: 1 << 20, payload_bytes_max: 8 << 20 };
        Self { send, receive, answers: PacketDecoder::new(limits), last_id: 0 }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        within(self.send.write_all(bytes)).await.expect("the stream stands");
    }

    /// The next answer; `None` at the end of the stream.
    pub(crate) async fn answer(&mut self) -> Option<(Response, Bytes)> {
        loop {
            if let Some(answer) = self.answers.next_packet().expect("answers follow the protocol") {
                return Some(answer);
            }
            let chunk = within(self.receive.read_chunk(64 << 10, true)).await.ok()??;
            self.answers.buffer().extend_from_slice(&chunk.bytes);
        }
    }

    pub(crate) async fn ask(&mut self, body: RequestBody, payload: Bytes) -> ResponseBody {
        self.last_id += 1;
        let id = self.last_id;
        self.write(&packet(id, body, payload)).await;
        let (response, _) = self.answer().await.expect("the stream stands");
        assert_eq!(response.id, id);
        response.body.expect("a body that is known")
    }

    /// The same, again and again while the refusal says that this may help.
    pub(crate) async fn insist(&mut self, body: RequestBody, payload: Bytes) -> ResponseBody {
        let asking = async {
            loop {
                match self.ask(body.clone(), payload.clone()).await {
                    ResponseBody::Error(ErrorBody { retryable: true, .. }) => {}
                    answer => return answer,
                }
            }
        };
        within(asking).await
    }

    /// Makes a topic of one shard and gives its number.
    pub(crate) async fn topic(&mut self, name: &str) -> u64 {
        let create =
            CreateTopicBody { name: name.to_owned(), shards: 1, replicas: 1, ..CreateTopicBody::default() };
        match self.insist(RequestBody::CreateTopic(create), Bytes::new()).await {
            ResponseBody::Topic(topic) => topic.shards[0].shard,
            other => panic!("{other:?}"),
        }
    }

    /// Whether the node still answers on this stream.
    pub(crate) async fn assert_served(&mut self) {
        let answer = self.ask(RequestBody::Cluster(true), Bytes::new()).await;
        assert!(matches!(answer, ResponseBody::Cluster(_)), "{answer:?}");
    }
}

pub(crate) fn packet(id: u64, body: RequestBody, payload: Bytes) -> Vec<u8> {
    let limits = TransportOptions::default().request_limits;
    encode_packet(&Request { id, body: Some(body) }, vec![payload], &limits).expect("within limits").concat()
}

pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("in time")
}

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}
