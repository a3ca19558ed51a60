//! Clients and nodes over real loopback sockets, and one law book for both links.

use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;

use super::tls::{Authority, CertFolder, Validity};
use super::*;
use crate::types::NodeId;
use crate::wire::{
    ClockProbe, HelloBody, NodeMessage, PacketLimits, Request, RequestBody, Response, ResponseBody,
    StatedTime,
};

const LIMIT: Duration = Duration::from_secs(10);

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("in time")
}

fn certs() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    init_certs(dir.path(), 1).unwrap();
    dir
}

fn serve(certs: &Path, options: TransportOptions) -> (Endpoint, ClientListener) {
    let identity = Identity::node(certs, NodeId(1)).unwrap();
    let endpoint = Endpoint::bind("127.0.0.1:0".parse().unwrap(), &identity, options).unwrap();
    let listener = endpoint.client_listener();
    (endpoint, listener)
}

fn client(certs: &Path) -> ClientEndpoint {
    ClientEndpoint::new(&Identity::client(certs).unwrap(), ClientOptions::default()).unwrap()
}

struct Connected {
    _certs: TempDir,
    _endpoints: (Endpoint, ClientEndpoint),
    _listener: ClientListener,
    node_end: ClientConnection,
    client_end: ServerConnection,
}

async fn connected(options: TransportOptions) -> Connected {
    let certs = certs();
    let (endpoint, mut listener) = serve(certs.path(), options);
    let dialling = client(certs.path());
    let address = format!("localhost:{}", endpoint.local_address().port());
    let (client_end, node_end) =
        within(async { tokio::join!(dialling.connect(&address), listener.accept()) }).await;
    Connected {
        _certs: certs,
        _endpoints: (endpoint, dialling),
        _listener: listener,
        node_end: node_end.expect("accepted"),
        client_end: client_end.unwrap(),
    }
}

fn request(id: u64) -> Request {
    Request { id, body: Some(RequestBody::Cluster(true)) }
}

fn response(id: u64) -> Response {
    let hello = HelloBody { protocol: 1, cluster: "c".to_owned(), node: 1, ..HelloBody::default() };
    Response { id, body: Some(ResponseBody::Hello(hello)) }
}

#[tokio::test]
async fn requests_and_responses_cross_with_their_payloads_intact() {
    let ends = connected(TransportOptions::default()).await;
    assert_eq!((ends.node_end.name(), ends.client_end.name()), ("client", "node-1"));
    let mut asking = within(ends.client_end.open_stream()).await.unwrap();
    let payload = Bytes::from(vec![7; 3 << 20]);
    let asked = async {
        asking.send(&request(1), vec![payload.slice(..100), payload.slice(100..)]).await.unwrap();
        asking.recv().await.unwrap().expect("answered")
    };
    let answered = async {
        let mut stream = ends.node_end.accept_stream().await.unwrap();
        let (got, got_payload) = stream.recv().await.unwrap().expect("asked");
        assert_eq!(got, request(1));
        let (mut sender, mut receiver) = stream.split();
        sender.send_all(vec![(response(1), vec![got_payload])]).await.unwrap();
        sender.finish();
        assert!(receiver.recv().await.is_err() || ends.client_end.is_closed());
    };
    let ((got, got_payload), ()) = within(async {
        tokio::join!(
            async {
                let answer = asked.await;
                ends.client_end.close();
                answer
            },
            answered
        )
    })
    .await;
    assert_eq!(got, response(1));
    assert!(got_payload == payload);
}

#[tokio::test]
async fn an_over_limit_packet_closes_the_connection_with_the_limit_in_words() {
    let limits = PacketLimits { header_bytes_max: 64 << 10, payload_bytes_max: 1000 };
    let ends = connected(TransportOptions { request_limits: limits, ..TransportOptions::default() }).await;
    let mut asking = within(ends.client_end.open_stream()).await.unwrap();
    within(asking.send(&request(1), vec![Bytes::from(vec![0; 1001])])).await.unwrap();
    let mut stream = within(ends.node_end.accept_stream()).await.unwrap();
    let error = within(stream.recv()).await.unwrap_err().to_string();
    assert!(error.contains("client at 127.0.0.1") && error.contains("over the limit of 1000"), "{error}");
    match within(ends.client_end.closed()).await {
        Error::Refused { code: CloseCode::PacketTooLarge, reason, .. } => {
            assert!(reason.contains("1001") && reason.contains("1000"), "{reason}");
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_client_that_stops_reading_blocks_its_own_stream_within_the_windows() {
    let ends = connected(TransportOptions::default()).await;
    let mut asking = within(ends.client_end.open_stream()).await.unwrap();
    within(asking.send(&request(1), Vec::new())).await.unwrap();
    let mut stuck = within(ends.node_end.accept_stream()).await.unwrap();
    within(stuck.recv()).await.unwrap();
    let chunk = Bytes::from(vec![0; 256 << 10]);
    let mut sent = 0;
    while let Ok(result) =
        tokio::time::timeout(Duration::from_millis(300), stuck.send(&response(1), vec![chunk.clone()])).await
    {
        result.unwrap();
        sent += chunk.len();
        assert!(sent <= 16 << 20, "more than the windows hold went out");
    }
    // The window is one mebibyte: the chunk that did not fit into it is the one that blocked.
    assert!(sent + chunk.len() >= 1 << 20, "windows of a megabyte or more: {sent}");
    // Other streams of the same client go on.
    let mut other = within(ends.client_end.open_stream()).await.unwrap();
    within(other.send(&request(2), Vec::new())).await.unwrap();
    let mut other_end = within(ends.node_end.accept_stream()).await.unwrap();
    within(other_end.send(&response(2), vec![chunk.clone()])).await.unwrap();
    assert_eq!(within(other.recv()).await.unwrap().expect("answered").0, response(2));
}

#[tokio::test]
async fn a_client_that_says_nothing_is_dropped_with_the_reason() {
    let ends = connected(TransportOptions::default()).await;
    let error =
        within(ends.node_end.accept_stream_within(Duration::from_millis(50))).await.err().expect("refused");
    assert!(error.to_string().contains("no hello within"), "{error}");
    let seen = within(ends.client_end.closed()).await;
    assert!(matches!(seen, Error::Refused { code: CloseCode::HelloTimeout, .. }), "{seen}");
}

#[tokio::test]
async fn a_client_over_the_bound_of_connections_is_told_busy_until_another_leaves() {
    let certs = certs();
    let options = TransportOptions { client_connections_max: 1, ..TransportOptions::default() };
    let (endpoint, mut listener) = serve(certs.path(), options);
    let (dialling, address) = (client(certs.path()), endpoint.local_address().to_string());
    let first = within(dialling.connect(&address)).await.unwrap();
    let first_end = within(listener.accept()).await.unwrap();
    let second = within(dialling.connect(&address)).await.unwrap();
    let error = within(second.closed()).await;
    assert!(matches!(error, Error::Refused { code: CloseCode::Busy, .. }), "{error}");
    first.close();
    within(first_end.closed()).await;
    within(async {
        loop {
            let next = dialling.connect(&address).await.unwrap();
            tokio::select! {
                accepted = listener.accept() => return accepted.expect("open"),
                _ = next.closed() => {}
            }
        }
    })
    .await;
}

#[tokio::test]
async fn streams_of_one_connection_are_bounded() {
    let ends = connected(TransportOptions { client_streams_max: 4, ..TransportOptions::default() }).await;
    let mut streams = Vec::new();
    for n in 0..4 {
        let mut stream = within(ends.client_end.open_stream()).await.unwrap();
        within(stream.send(&request(n), Vec::new())).await.unwrap();
        streams.push(stream);
    }
    let fifth = tokio::time::timeout(Duration::from_millis(100), ends.client_end.open_stream()).await;
    assert!(fifth.is_err(), "the fifth stream waits");
    let served = within(ends.node_end.accept_stream()).await.unwrap();
    drop(served);
    drop(streams);
    within(ends.client_end.open_stream()).await.unwrap();
}

#[tokio::test]
async fn a_certificate_of_another_name_or_another_ca_gets_no_client_connection() {
    let certs = certs();
    let (endpoint, _listener) = serve(certs.path(), TransportOptions::default());
    let address = endpoint.local_address().to_string();

    let stranger = self::certs();
    let error = within(client(stranger.path()).connect(&address)).await.err().expect("refused").to_string();
    assert!(error.contains(&address) && error.contains("unknown CA"), "{error}");

    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::generate("test CA").unwrap();
    std::fs::write(dir.path().join("ca.pem"), &authority.certificate_pem).unwrap();
    let mut folder = CertFolder { dir: dir.path(), files: Vec::new() };
    for (name, node) in [("node-1", Some(NodeId(1))), ("printer", None)] {
        let (certificate, key) = authority.issue(name, node, Validity::ten_years()).unwrap();
        folder.write(name, &certificate, &key).unwrap();
    }
    let (endpoint, _listener) = serve(dir.path(), TransportOptions::default());
    let printer = Identity::read(dir.path(), "printer").unwrap();
    let dialling = ClientEndpoint::new(&printer, ClientOptions::default()).unwrap();
    let connection = within(dialling.connect(&endpoint.local_address().to_string())).await.unwrap();
    let error = within(connection.closed()).await.to_string();
    assert!(error.contains("WrongName") && error.contains("`printer`"), "{error}");
}

#[tokio::test]
async fn a_node_that_is_not_there_is_named_with_what_to_check() {
    let certs = certs();
    let options = ClientOptions { connect_timeout: Duration::from_millis(200), ..ClientOptions::default() };
    let dialling = ClientEndpoint::new(&Identity::client(certs.path()).unwrap(), options).unwrap();
    let error = within(dialling.connect("127.0.0.1:9")).await.err().expect("nobody there").to_string();
    assert!(error.contains("127.0.0.1:9") && error.contains("is the node running?"), "{error}");
}

#[derive(Default)]
struct Recorder(
    Mutex<Vec<(NodeId, u64, Bytes)>>,
    Mutex<Vec<(NodeId, bool)>>,
    Mutex<Vec<(NodeId, ClockProbe)>>,
);

impl Inbox for Recorder {
    fn on_message(&self, from: NodeId, message: NodeMessage, payload: Bytes) {
        self.0.lock().unwrap().push((from, message.earliest_ns, payload));
    }

    fn on_probe(&self, from: NodeId, probe: ClockProbe) {
        self.2.lock().unwrap().push((from, probe));
    }

    fn on_connected(&self, peer: NodeId) {
        self.1.lock().unwrap().push((peer, true));
    }

    fn on_disconnected(&self, peer: NodeId) {
        self.1.lock().unwrap().push((peer, false));
    }
}

struct Anyone;

impl PeerIdentities for Anyone {
    fn check(&self, _node: NodeId, _identity: u64) -> Checked<'_> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// What both twins promise: node 1's link to node 2, whose inbox is `arrived`; `settle` lets messages travel.
/// The queue holds eight messages, and nothing travels outside `settle`.
async fn keeps_the_laws<F: Future<Output = ()>>(
    link: &dyn Link,
    arrived: &Recorder,
    settle: impl Fn(usize) -> F,
) {
    let message = |n| NodeMessage { earliest_ns: n, ..NodeMessage::default() };
    assert!(!link.send(NodeId(1), message(0), Vec::new(), StreamClass::Raft), "not to oneself");
    assert!(!link.send(NodeId(77), message(0), Vec::new(), StreamClass::Raft), "not to a stranger");
    for round in 0..3 {
        let before = arrived.0.lock().unwrap().len();
        for n in 0..8 {
            let payload = vec![Bytes::from_static(b"one"), Bytes::new(), Bytes::from_static(b"two")];
            assert!(
                link.send(NodeId(2), message(n), payload, StreamClass::Raft),
                "round {round}, message {n}"
            );
        }
        assert!(!link.send(NodeId(2), message(8), Vec::new(), StreamClass::Raft), "a full queue refuses");
        settle(before + 8).await;
        let arrived = arrived.0.lock().unwrap();
        let expected = (0..8).map(|n| (NodeId(1), n, Bytes::from_static(b"onetwo")));
        assert_eq!(arrived[before..], expected.collect::<Vec<_>>(), "in order, whole, once");
    }
    let sent = StatedTime { earliest_ns: 1, latest_ns: u64::MAX };
    let probe = ClockProbe { number: 7, sent, received: Some(sent), doubt: Bytes::from_static(b"doubt") };
    assert!(
        !link.probe(NodeId(1), &probe) && !link.probe(NodeId(77), &probe),
        "not to oneself or a stranger"
    );
    let come = || arrived.2.lock().unwrap().first().cloned();
    // One may be lost.
    while come().is_none() {
        assert!(link.probe(NodeId(2), &probe), "past all queues");
        settle(0).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(come(), Some((NodeId(1), probe)), "as it was");
}

#[tokio::test]
async fn the_memory_link_keeps_the_laws_of_links() {
    let network = MemoryNetwork::new(1, 0, 8);
    let arrived = Arc::new(Recorder::default());
    let link = network.join(NodeId(1), Arc::new(Recorder::default()));
    let _other = network.join(NodeId(2), arrived.clone());
    keeps_the_laws(&link, &arrived, |_| {
        network.deliver();
        std::future::ready(())
    })
    .await;
    network.leave(NodeId(1));
    assert_eq!(*arrived.1.lock().unwrap(), [(NodeId(1), true), (NodeId(1), false)]);
}

#[tokio::test]
async fn the_mesh_keeps_the_laws_of_links() {
    let dir = tempfile::tempdir().unwrap();
    init_certs(dir.path(), 2).unwrap();
    let options = TransportOptions { queue_messages_max: 8, ..TransportOptions::default() };
    let endpoints = [1, 2].map(|node| {
        let identity = Identity::node(dir.path(), NodeId(node)).unwrap();
        Endpoint::bind("127.0.0.1:0".parse().unwrap(), &identity, options.clone()).unwrap()
    });
    let address = endpoints[1].local_address().to_string();
    let nowhere = "127.0.0.1:9".to_owned();
    let start = |node: u64, peer: (NodeId, String), inbox: Arc<Recorder>| {
        let me =
            crate::wire::NodeHello { protocol: 1, cluster: "c".to_owned(), node, identity: node, boot: 1 };
        Mesh::start(endpoints[node as usize - 1].clone(), me, vec![peer], Box::new(Anyone), inbox)
    };
    let arrived = Arc::new(Recorder::default());
    // One side alone dials, so that no second connection replaces the first midway.
    let one = start(1, (NodeId(2), address), Arc::new(Recorder::default()));
    let two = start(2, (NodeId(1), nowhere), arrived.clone());
    within(one.wait_connected(NodeId(2))).await;
    within(two.wait_connected(NodeId(1))).await;
    let laws = keeps_the_laws(&one, &arrived, |count| {
        let arrived = arrived.clone();
        within(async move {
            while arrived.0.lock().unwrap().len() < count {
                tokio::task::yield_now().await;
            }
        })
    });
    within(laws).await;
    drop(one);
    within(async {
        while *arrived.1.lock().unwrap() != [(NodeId(1), true), (NodeId(1), false)] {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[test]
fn a_lossy_memory_network_loses_the_same_messages_for_the_same_seed() {
    let run = |seed| {
        let network = MemoryNetwork::new(seed, 300, 1000);
        let arrived = Arc::new(Recorder::default());
        let link = network.join(NodeId(1), Arc::new(Recorder::default()));
        let _other = network.join(NodeId(2), arrived.clone());
        for n in 0..500 {
            let message = NodeMessage { earliest_ns: n, ..NodeMessage::default() };
            assert!(link.send(NodeId(2), message, Vec::new(), StreamClass::Bulk));
        }
        network.deliver();
        let numbers: Vec<u64> = arrived.0.lock().unwrap().iter().map(|(_, n, _)| *n).collect();
        numbers
    };
    let first = run(5);
    assert!(first.len() > 250 && first.len() < 450, "{}", first.len());
    assert!(first.is_sorted());
    assert_eq!(first, run(5));
    assert_ne!(first, run(6));
}
