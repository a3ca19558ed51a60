//! Meshes over real loopback sockets. Every wait is for a condition, under one timeout.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::Mesh;
use crate::transport::stream::Named;
use crate::transport::tls::{Authority, CertFolder, Validity};
use crate::transport::{
    Checked, CloseCode, Endpoint, Identity, Inbox, Link, PacketTime, PeerIdentities, StreamClass,
    TransportOptions, init_certs,
};
use crate::types::NodeId;
use crate::wire::{ClockProbe, NodeHello, NodeMessage, PROTOCOL_VERSION, encode_packet};

const LIMIT: Duration = Duration::from_secs(10);
/// Marks the messages of `exchange`.
const PROBE: u64 = 1 << 40;
const ANY_PORT: &str = "127.0.0.1:0";

type Received = (NodeId, NodeMessage, Bytes);

struct Recorder(mpsc::UnboundedSender<Received>);

impl Inbox for Recorder {
    fn on_message(&self, from: NodeId, message: NodeMessage, payload: Bytes) {
        let _ = self.0.send((from, message, payload));
    }

    fn on_probe(&self, _from: NodeId, _probe: ClockProbe) {}
}

#[derive(Clone, Default)]
struct Remembered(Arc<Mutex<BTreeMap<NodeId, u64>>>);

impl PeerIdentities for Remembered {
    fn check(&self, node: NodeId, identity: u64) -> Checked<'_> {
        let remembered = *self.0.lock().unwrap().entry(node).or_insert(identity);
        let is_known = remembered == identity;
        let why = || format!("data folder {identity}, not {remembered}");
        Box::pin(std::future::ready(is_known.then_some(()).ok_or_else(why)))
    }
}

struct TestNode {
    mesh: Mesh,
    endpoint: Endpoint,
    received: mpsc::UnboundedReceiver<Received>,
}

impl TestNode {
    /// Messages may be lost around a connection's start: one is sent again until the other has it.
    async fn exchange(&mut self, to: &mut Self, payload: &Bytes) {
        let (me, you) = (self.node(), to.node());
        loop {
            self.mesh.send(
                you,
                message(PROBE),
                vec![payload.slice(..1), payload.slice(1..)],
                StreamClass::Raft,
            );
            let received = tokio::time::timeout(Duration::from_millis(50), to.received.recv()).await;
            if let Ok(Some((from, got, bytes))) = received {
                assert_eq!((from, got, bytes), (me, message(PROBE), payload.clone()));
                return;
            }
        }
    }

    fn node(&self) -> NodeId {
        NodeId(self.endpoint.name().strip_prefix("node-").unwrap().parse().unwrap())
    }

    async fn trouble_with(&self, node: u64, words: &[&str]) {
        let found = until(|| {
            let error = self.mesh.status(NodeId(node))?.last_error?;
            words.iter().all(|word| error.contains(word)).then_some(())
        });
        let found = within(found).await;
        assert!(found.is_some(), "wanted {words:?}, found {:?}", self.mesh.status(NodeId(node)));
        assert!(!self.mesh.connected(NodeId(node)));
    }
}

async fn within<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(LIMIT, future).await.ok()
}

async fn until<T>(mut condition: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = condition() {
            return found;
        }
        tokio::task::yield_now().await;
    }
}

fn message(earliest_ns: u64) -> NodeMessage {
    NodeMessage { earliest_ns, ..NodeMessage::default() }
}

fn certs(nodes: u64) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    init_certs(dir.path(), nodes).unwrap();
    dir
}

fn hello(node: u64) -> NodeHello {
    let cluster = "test".to_owned();
    NodeHello { protocol: PROTOCOL_VERSION, cluster, node, identity: 100 + node, boot: 1 }
}

fn bind(certs: &Path, node: u64, options: TransportOptions) -> Endpoint {
    bind_at(certs, node, ANY_PORT.parse().unwrap(), options)
}

fn bind_at(certs: &Path, node: u64, address: SocketAddr, options: TransportOptions) -> Endpoint {
    Endpoint::bind(address, &Identity::node(certs, NodeId(node)).unwrap(), options).unwrap()
}

fn start(endpoint: Endpoint, me: NodeHello, peers: &[(u64, SocketAddr)], memory: &Remembered) -> TestNode {
    let (sender, received) = mpsc::unbounded_channel();
    let peers = peers.iter().map(|(node, address)| (NodeId(*node), address.to_string())).collect();
    let mesh = Mesh::start(endpoint.clone(), me, peers, Box::new(memory.clone()), Arc::new(Recorder(sender)));
    TestNode { mesh, endpoint, received }
}

fn pair(one: (Endpoint, NodeHello), two: (Endpoint, NodeHello)) -> (TestNode, TestNode) {
    let addresses = [(one.1.node, one.0.local_address()), (two.1.node, two.0.local_address())];
    let first = start(one.0, one.1, &addresses, &Remembered::default());
    (first, start(two.0, two.1, &addresses, &Remembered::default()))
}

fn default_pair(certs: &Path) -> (TestNode, TestNode) {
    let endpoint = |node| bind(certs, node, TransportOptions::default());
    pair((endpoint(1), hello(1)), (endpoint(2), hello(2)))
}

#[tokio::test]
async fn messages_arrive_whole_and_in_order_both_ways_in_both_classes() {
    let certs = certs(2);
    let (mut one, mut two) = default_pair(certs.path());
    let first = Bytes::from_static(b"first");
    within(one.exchange(&mut two, &first)).await.expect("exchanged");
    within(two.exchange(&mut one, &first)).await.expect("exchanged");
    while two.received.try_recv().is_ok() {}
    let large = Bytes::from((0..3_000_000_u32).map(|i| (i % 251) as u8).collect::<Vec<_>>());
    for class in StreamClass::ALL {
        for n in 0..20 {
            assert!(one.mesh.send(NodeId(2), message(n), vec![large.slice(..n as usize * 1000)], class));
        }
        assert!(one.mesh.send(NodeId(2), message(20), vec![large.slice(..10), large.slice(10..)], class));
        let mut expected = 0;
        while expected <= 20 {
            let (from, got, payload) = within(two.received.recv()).await.expect("in time").unwrap();
            if got == message(PROBE) {
                continue;
            }
            let bytes = if expected == 20 { large.len() } else { expected as usize * 1000 };
            assert_eq!((from, got), (NodeId(1), message(expected)));
            assert!(payload == large.slice(..bytes), "payload of message {expected}");
            expected += 1;
        }
    }
    assert!(one.mesh.rtt(NodeId(2)).is_some());
}

#[tokio::test]
async fn one_connection_of_a_pair_is_left_after_both_dialled() {
    let certs = certs(2);
    let (one, two) = default_pair(certs.path());
    within(async { tokio::join!(one.mesh.wait_connected(NodeId(2)), two.mesh.wait_connected(NodeId(1))) })
        .await
        .expect("connected");
    let open = |node: &TestNode| node.endpoint.open_connections();
    within(until(|| (open(&one) == 1 && open(&two) == 1).then_some(()))).await.expect("one is left");
    assert!(one.mesh.connected(NodeId(2)) && two.mesh.connected(NodeId(1)));
}

/// A node on a runtime of its own, which can die without a word to its peers.
fn start_mortal(
    certs: &Path,
    address: SocketAddr,
    boot: u64,
    peer: (u64, SocketAddr),
) -> (Runtime, TestNode) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let guard = runtime.enter();
    let identity = Identity::node(certs, NodeId(2)).unwrap();
    let deadline = Instant::now() + LIMIT;
    let endpoint = loop {
        // The dead process's socket may need a moment to close.
        match Endpoint::bind(address, &identity, TransportOptions::default()) {
            Ok(endpoint) => break endpoint,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    let me = NodeHello { boot, ..hello(2) };
    let node = start(endpoint, me, &[peer], &Remembered::default());
    drop(guard);
    (runtime, node)
}

#[tokio::test]
async fn a_peer_that_died_without_a_word_is_reconnected_well_under_a_second_after_it_is_back() {
    let certs = certs(2);
    let endpoint = bind(certs.path(), 1, TransportOptions::default());
    let my_address = endpoint.local_address();
    let (runtime, two) = start_mortal(certs.path(), ANY_PORT.parse().unwrap(), 1, (1, my_address));
    let address = two.endpoint.local_address();
    let mut one = start(endpoint, hello(1), &[(2, address)], &Remembered::default());
    within(one.mesh.wait_connected(NodeId(2))).await.expect("connected");

    runtime.shutdown_background();
    drop(two);
    let (runtime, mut two) = start_mortal(certs.path(), address, 2, (1, my_address));
    let back = Instant::now();
    within(one.exchange(&mut two, &Bytes::from_static(b"welcome back"))).await.expect("reconnected");
    assert!(back.elapsed() < Duration::from_millis(800), "{:?}", back.elapsed());
    runtime.shutdown_background();
}

#[tokio::test]
async fn a_restarted_process_resets_a_stale_connection_long_before_the_idle_timeout() {
    let certs = certs(2);
    let patient =
        TransportOptions { node_idle_timeout: Duration::from_secs(60), ..TransportOptions::default() };
    let one = bind(certs.path(), 1, patient);
    let nowhere: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let (runtime, two) = start_mortal(certs.path(), ANY_PORT.parse().unwrap(), 1, (1, nowhere));
    let address = two.endpoint.local_address();
    let one = start(one, hello(1), &[(2, address)], &Remembered::default());
    within(one.mesh.wait_connected(NodeId(2))).await.expect("connected");
    let mut standing = one.mesh.standing(NodeId(2));
    standing.borrow_and_update();

    runtime.shutdown_background();
    drop(two);
    let back = Instant::now();
    // It cannot dial node 1: only a reset can end the old connection now.
    let (runtime, _two) = start_mortal(certs.path(), address, 2, (1, nowhere));
    within(standing.changed()).await.expect("the old connection ends").unwrap();
    assert!(back.elapsed() < Duration::from_secs(2), "{:?}", back.elapsed());
    within(one.mesh.wait_connected(NodeId(2))).await.expect("reconnected");
    runtime.shutdown_background();
}

#[tokio::test]
async fn a_peer_of_another_cluster_is_refused_on_both_sides_by_name() {
    let certs = certs(2);
    let endpoint = |node| bind(certs.path(), node, TransportOptions::default());
    let stranger = NodeHello { cluster: "other".to_owned(), ..hello(2) };
    let (one, two) = pair((endpoint(1), hello(1)), (endpoint(2), stranger));
    one.trouble_with(2, &["WrongCluster", "node 2", "`other`", "`test`"]).await;
    two.trouble_with(1, &["WrongCluster", "`other`", "`test`"]).await;
}

#[tokio::test]
async fn a_peer_of_another_protocol_version_is_refused() {
    let certs = certs(2);
    let endpoint = |node| bind(certs.path(), node, TransportOptions::default());
    let newer = NodeHello { protocol: PROTOCOL_VERSION + 1, ..hello(2) };
    let (one, _two) = pair((endpoint(1), hello(1)), (endpoint(2), newer));
    one.trouble_with(2, &["WrongProtocol", "upgrade"]).await;
}

#[tokio::test]
async fn a_node_that_answers_in_the_place_of_another_is_refused_by_its_certificate() {
    let certs = certs(3);
    let endpoint = |node| bind(certs.path(), node, TransportOptions::default());
    let (one, three) = (endpoint(1), endpoint(3));
    let address = three.local_address();
    let _three = start(three, hello(3), &[], &Remembered::default());
    let one = start(one, hello(1), &[(2, address)], &Remembered::default());
    one.trouble_with(2, &["we refuse the peer", "node-3.timberline.internal"]).await;
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_the_hello_is_refused() {
    let certs = certs(2);
    let one = bind(certs.path(), 1, TransportOptions::default());
    let two = bind(certs.path(), 2, TransportOptions::default());
    let _one = start(one.clone(), hello(1), &[(2, two.local_address())], &Remembered::default());
    let connection = two.dial(NodeId(1), &one.local_address().to_string()).await.unwrap();
    let named = Named { connection, peer: "node 1".into() };
    let error = within(super::hello::ask(&named, &hello(9), LIMIT)).await.expect("answered").unwrap_err();
    let words = error.to_string();
    assert!(words.contains("WrongName") && words.contains("`node-2`") && words.contains("node 9"), "{words}");
}

#[tokio::test]
async fn a_node_that_is_no_peer_is_refused() {
    let certs = certs(3);
    let endpoint = |node| bind(certs.path(), node, TransportOptions::default());
    let (one, three) = (endpoint(1), endpoint(3));
    let address = one.local_address();
    let _one = start(one, hello(1), &[], &Remembered::default());
    let three = start(three, hello(3), &[(1, address)], &Remembered::default());
    three.trouble_with(1, &["UnknownNode", "node 3 is not among the peers of node 1"]).await;
}

#[tokio::test]
async fn a_peer_that_comes_back_with_another_data_folder_is_refused() {
    let certs = certs(2);
    let memory = Remembered::default();
    memory.check(NodeId(2), 555).await.unwrap();
    let one = bind(certs.path(), 1, TransportOptions::default());
    let two = bind(certs.path(), 2, TransportOptions::default());
    let (address, other) = (one.local_address(), two.local_address());
    let one = start(one, hello(1), &[(2, other)], &memory);
    let two = start(two, hello(2), &[(1, address)], &Remembered::default());
    one.trouble_with(2, &["IdentityChanged", "node 2", "102", "555"]).await;
    two.trouble_with(1, &["IdentityChanged", "node 2"]).await;
}

#[tokio::test]
async fn a_peer_of_an_unknown_ca_is_refused() {
    let (ours, theirs) = (certs(2), certs(2));
    let one = bind(ours.path(), 1, TransportOptions::default());
    let two = bind(theirs.path(), 2, TransportOptions::default());
    let (one, two) = pair((one, hello(1)), (two, hello(2)));
    one.trouble_with(2, &["unknown CA"]).await;
    two.trouble_with(1, &["unknown CA"]).await;
}

#[tokio::test]
async fn a_peer_with_an_expired_certificate_is_refused_in_words_that_say_so_on_both_sides() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::generate("test CA").unwrap();
    std::fs::write(dir.path().join("ca.pem"), &authority.certificate_pem).unwrap();
    let mut folder = CertFolder { dir: dir.path(), files: Vec::new() };
    let now = SystemTime::now();
    let hour = Duration::from_secs(3600);
    let expired = Validity { from: now - 2 * hour, to: now - hour };
    for (node, validity) in [(1, Validity::ten_years()), (2, expired)] {
        let name = format!("node-{node}");
        let (certificate, key) = authority.issue(&name, Some(NodeId(node)), validity).unwrap();
        folder.write(&name, &certificate, &key).unwrap();
    }
    let one = bind(dir.path(), 1, TransportOptions::default());
    // It expired while its holder ran: loading it now would be refused.
    let unchecked = Identity::read(dir.path(), "node-2").unwrap();
    let two = Endpoint::bind(ANY_PORT.parse().unwrap(), &unchecked, TransportOptions::default()).unwrap();
    let (one, two) = pair((one, hello(1)), (two, hello(2)));
    one.trouble_with(2, &["we refuse the peer", "expired"]).await;
    two.trouble_with(1, &["the peer refuses us", "expired"]).await;
}

#[tokio::test]
async fn a_full_queue_and_an_absent_peer_refuse_instead_of_growing() {
    let certs = certs(3);
    let options = TransportOptions { queue_messages_max: 4, ..TransportOptions::default() };
    let endpoint = |node| bind(certs.path(), node, options.clone());
    let (one, two) = pair((endpoint(1), hello(1)), (endpoint(2), hello(2)));
    assert!(!one.mesh.send(NodeId(3), message(0), Vec::new(), StreamClass::Raft), "not a peer");
    within(one.mesh.wait_connected(NodeId(2))).await.expect("connected");
    // Nothing is awaited meanwhile, so nothing leaves the queue.
    let sent =
        (0..10).filter(|n| one.mesh.send(NodeId(2), message(*n), Vec::new(), StreamClass::Bulk)).count();
    assert_eq!(sent, 4);
    assert_eq!(one.mesh.status(NodeId(2)).unwrap().dropped, 6);
    drop(two);
}

#[tokio::test]
async fn a_message_over_the_limits_is_not_sent_and_the_connection_stands() {
    let certs = certs(2);
    let mut options = TransportOptions::default();
    options.node_limits.payload_bytes_max = 1000;
    let endpoint = |node| bind(certs.path(), node, options.clone());
    let (mut one, mut two) = pair((endpoint(1), hello(1)), (endpoint(2), hello(2)));
    within(one.mesh.wait_connected(NodeId(2))).await.expect("connected");
    let large = Bytes::from(vec![0; 1001]);
    assert!(!one.mesh.send(NodeId(2), message(0), vec![large], StreamClass::Raft));
    within(one.exchange(&mut two, &Bytes::from_static(b"still here"))).await.expect("exchanged");
}

#[tokio::test]
async fn half_a_message_of_a_peer_is_dropped_in_time_and_its_next_stream_is_read() {
    let certs = certs(2);
    let packet_time = PacketTime { least: Duration::from_millis(200), per_mib: Duration::ZERO };
    let serving = bind(certs.path(), 1, TransportOptions { packet_time, ..TransportOptions::default() });
    let bare = bind(certs.path(), 2, TransportOptions::default());
    let address = serving.local_address().to_string();
    let mut node = start(serving, hello(1), &[(2, bare.local_address())], &Remembered::default());
    let connection = within(bare.dial(NodeId(1), &address)).await.unwrap().unwrap();
    let named = Named { connection, peer: "node 1".into() };
    super::hello::ask(&named, &hello(2), LIMIT).await.unwrap();

    let mut half = named.connection.open_uni().await.unwrap();
    half.write_all(&[1, 0, 0]).await.unwrap();
    let given_up = within(half.stopped()).await.unwrap().unwrap();
    assert_eq!(given_up, Some(CloseCode::Stalled.varint()));

    let mut whole = named.connection.open_uni().await.unwrap();
    let limits = TransportOptions::default().node_limits;
    let packet = encode_packet(&message(7), vec![Bytes::from_static(b"behind")], &limits).unwrap();
    whole.write_all(&packet.concat()).await.unwrap();
    let received = within(node.received.recv()).await.unwrap().unwrap();
    assert_eq!(received, (NodeId(2), message(7), Bytes::from_static(b"behind")));
}
