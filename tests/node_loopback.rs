//! Three nodes in one process over loopback: they form a cluster, lose one, go on, and take it back.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use timberline::clock::{ClockOptions, SourceOptions};
use timberline::codec::{Frame, FrameHeader, FrameKind, HEADER_BYTES, decode_records, encode_records};
use timberline::node::{Limits, Node, NodeHandle, NodeOptions, ReplicationOptions};
use timberline::transport::{ClientEndpoint, ClientOptions, ClientStream, Identity, init_certs};
use timberline::types::{NodeId, Record};
use timberline::wire::{
    AppendBody, AppendedBody, CreateTopicBody, ErrorBody, ErrorCode, HelloBody, PROTOCOL_VERSION, Request,
    RequestBody, ResponseBody, SubscribeBody, TopicBody, TopicNameBody,
};

const PATIENCE: Duration = Duration::from_secs(30);
const RETRY_EVERY: Duration = Duration::from_millis(20);

struct Cluster {
    folder: tempfile::TempDir,
    addresses: Vec<SocketAddr>,
    nodes: Vec<Option<NodeHandle>>,
}

impl Cluster {
    fn start(count: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        init_certs(&folder.path().join("certs"), count).unwrap();
        let sockets: Vec<UdpSocket> = (0..count).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let addresses = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        drop(sockets);
        let mut cluster = Self { folder, addresses, nodes: (0..count).map(|_| None).collect() };
        for node in 1..=count {
            cluster.start_node(node);
        }
        cluster
    }

    fn options(&self, node: u64) -> NodeOptions {
        let peers = (1..).map(NodeId).zip(self.addresses.iter().map(ToString::to_string)).collect();
        NodeOptions {
            node: NodeId(node),
            cluster: "loopback".parse().unwrap(),
            listen: self.addresses[node as usize - 1],
            data_dir: self.folder.path().join(format!("node-{node}")),
            certs_dir: self.folder.path().join("certs"),
            peers,
            metrics_listen: Some("127.0.0.1:0".parse().unwrap()),
            clock: ClockOptions::default(),
            clock_source: SourceOptions::declared(Duration::from_millis(1)),
            clock_inject_file: None,
            replication: ReplicationOptions::default(),
            first_segment_bytes: 64 << 10,
            segment_bytes_max: 1 << 20,
            sync_threads: 2,
            scrub_bytes_per_second: 16 << 20,
            limits: Limits::default(),
            drain_timeout: Duration::from_secs(5),
        }
    }

    fn start_node(&mut self, node: u64) {
        let handle = Node::start(self.options(node)).unwrap_or_else(|error| panic!("{error}"));
        self.nodes[node as usize - 1] = Some(handle);
    }

    fn kill(&mut self, node: u64) {
        drop(self.nodes[node as usize - 1].take().expect("it runs"));
    }

    fn wait_ready(&self) {
        let started = Instant::now();
        while !self.nodes.iter().flatten().all(NodeHandle::ready) {
            assert!(started.elapsed() < PATIENCE, "the nodes do not become ready");
            std::thread::park_timeout(RETRY_EVERY);
        }
    }
}

struct Client {
    endpoint: ClientEndpoint,
    addresses: Vec<SocketAddr>,
    last_id: u64,
}

impl Client {
    fn new(certs: &Path, addresses: &[SocketAddr]) -> Self {
        let identity = Identity::client(certs).unwrap();
        let endpoint = ClientEndpoint::new(&identity, ClientOptions::default()).unwrap();
        Self { endpoint, addresses: addresses.to_vec(), last_id: 0 }
    }

    async fn stream(&self, node: u64) -> Option<ClientStream> {
        let address = self.addresses[node as usize - 1].to_string();
        let connection = self.endpoint.connect(&address).await.ok()?;
        let mut stream = connection.open_stream().await.ok()?;
        let hello = HelloBody {
            protocol: PROTOCOL_VERSION,
            cluster: "loopback".to_owned(),
            node: 0,
            ..HelloBody::default()
        };
        stream.send(&request(1, RequestBody::Hello(hello)), Vec::new()).await.ok()?;
        let (response, _) = stream.recv().await.ok()??;
        assert!(matches!(response.body, Some(ResponseBody::Hello(_))), "{response:?}");
        Some(stream)
    }

    /// One request, sent on to the node that a refusal names, and again until it is answered.
    async fn ask(
        &mut self,
        first: u64,
        body: RequestBody,
        payload: Bytes,
    ) -> Result<ResponseBody, ErrorBody> {
        let (started, mut node) = (Instant::now(), first);
        loop {
            assert!(started.elapsed() < PATIENCE, "no answer to {body:?}");
            self.last_id += 1;
            match self.ask_once(node, body.clone(), payload.clone()).await {
                Some(ResponseBody::Error(error)) if error.retryable => {
                    node = if error.leader == 0 { self.next(node) } else { error.leader };
                }
                Some(ResponseBody::Error(error)) => return Err(error),
                Some(answer) => return Ok(answer),
                None => node = self.next(node),
            }
        }
    }

    async fn ask_once(&self, node: u64, body: RequestBody, payload: Bytes) -> Option<ResponseBody> {
        let mut stream = self.stream(node).await?;
        let id = self.last_id;
        stream.send(&request(id, body), vec![payload]).await.ok()?;
        let (response, _) = stream.recv().await.ok()??;
        assert_eq!(response.id, id);
        response.body
    }

    fn next(&self, node: u64) -> u64 {
        node % self.addresses.len() as u64 + 1
    }

    async fn create(&mut self, name: &str, shards: u32) -> Result<TopicBody, ErrorBody> {
        let create = CreateTopicBody { name: name.to_owned(), shards, replicas: 0, ..Default::default() };
        match self.ask(1, RequestBody::CreateTopic(create), Bytes::new()).await? {
            ResponseBody::Topic(topic) => Ok(topic),
            other => panic!("{other:?}"),
        }
    }

    async fn append(&mut self, first: u64, shard: u64, values: &[String]) -> AppendedBody {
        let record = |value: &String| Record { value: Some(value.clone().into()), ..Record::default() };
        let batch = encode_records(&values.iter().map(record).collect::<Vec<_>>()).unwrap();
        let append = AppendBody {
            shard,
            record_count: batch.count,
            body_crc: batch.crc,
            // A producer of its own for each batch: its retries are recognised.
            producer: 1000 + self.last_id,
            epoch: 1,
            ..Default::default()
        };
        match self.ask(first, RequestBody::Append(append), batch.body).await.unwrap() {
            ResponseBody::Appended(receipt) => receipt,
            other => panic!("{other:?}"),
        }
    }

    /// All records of a shard on one node up to `until_ns`, which must become closed there.
    async fn read(&mut self, node: u64, shard: u64, until_ns: u64) -> Vec<(u64, String)> {
        let started = Instant::now();
        loop {
            assert!(
                started.elapsed() < PATIENCE,
                "shard {shard} cannot be read to {until_ns} on node {node}"
            );
            if let Some(records) = self.read_once(node, shard, until_ns).await {
                return records;
            }
        }
    }

    async fn read_once(&mut self, node: u64, shard: u64, until_ns: u64) -> Option<Vec<(u64, String)>> {
        let mut stream = self.stream(node).await?;
        let subscribe = SubscribeBody { shard, from_timestamp_ns: 0 };
        stream.send(&request(2, RequestBody::Subscribe(subscribe)), Vec::new()).await.ok()?;
        let mut records = Vec::new();
        loop {
            let received =
                tokio::time::timeout(PATIENCE, stream.recv()).await.expect("it stays open and speaks");
            let (response, payload) = received.ok()??;
            match response.body? {
                ResponseBody::Deliver(delivery) => {
                    records.extend(records_of(payload));
                    if delivery.closed_ns >= until_ns {
                        return Some(records);
                    }
                }
                ResponseBody::Error(error) if error.retryable => return None,
                other => panic!("{other:?}"),
            }
        }
    }
}

fn request(id: u64, body: RequestBody) -> Request {
    Request { id, body: Some(body) }
}

fn records_of(mut payload: Bytes) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    while !payload.is_empty() {
        let header_bytes = payload.split_to(HEADER_BYTES);
        let body_len = FrameHeader::decode(&header_bytes).unwrap().body_len as usize;
        let frame = Frame::decode(header_bytes, payload.split_to(body_len)).unwrap();
        let header = frame.header;
        if header.kind == FrameKind::Data {
            let records = decode_records(&frame.body, header.compression, header.record_count).unwrap();
            let value = |record: Record| String::from_utf8(record.value.unwrap().to_vec()).unwrap();
            found.extend((header.first_timestamp.0..).zip(records.into_iter().map(value)));
        }
    }
    found
}

fn values(word: &str, shard: u64) -> Vec<String> {
    (0..5).map(|nth| format!("{word}-{shard}-{nth}")).collect()
}

async fn http(address: SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(work)
}

async fn story(cluster: &mut Cluster) {
    let mut client = Client::new(&cluster.folder.path().join("certs"), &cluster.addresses);
    let topic = client.create("flights", 3).await.unwrap();
    assert_eq!(topic.shards.len(), 3);
    let conflict = client.create("flights", 1).await.unwrap_err();
    assert_eq!(conflict.code(), ErrorCode::Conflict, "{conflict:?}");

    let mut expected: Vec<Vec<String>> = Vec::new();
    let mut last = 0;
    for shard in topic.shards.iter().map(|shard| shard.shard) {
        let receipt = client.append(1, shard, &values("before", shard)).await;
        last = last.max(receipt.first_timestamp_ns + 4);
        expected.push(values("before", shard));
    }
    for node in 1..=3 {
        for (shard, expected) in topic.shards.iter().zip(&expected) {
            let read = client.read(node, shard.shard, last).await;
            assert!(read.windows(2).all(|pair| pair[0].0 < pair[1].0), "timestamps rise");
            assert_eq!(&read.into_iter().map(|(_, value)| value).collect::<Vec<_>>(), expected);
        }
    }

    let describe = RequestBody::DescribeTopic(TopicNameBody { name: "flights".to_owned() });
    let Ok(ResponseBody::Topic(described)) = client.ask(2, describe, Bytes::new()).await else { panic!() };
    let killed = described.shards[0].leader;
    assert_ne!(killed, 0);
    tokio::task::block_in_place(|| cluster.kill(killed));
    let survivor = client.next(killed);
    for (shard, expected) in topic.shards.iter().map(|shard| shard.shard).zip(&mut expected) {
        let receipt = client.append(survivor, shard, &values("after", shard)).await;
        assert!(receipt.first_timestamp_ns > last);
        expected.extend(values("after", shard));
    }
    let end = client.append(survivor, topic.shards[0].shard, &values("end", 0)).await.first_timestamp_ns + 4;
    expected[0].extend(values("end", 0));

    tokio::task::block_in_place(|| {
        cluster.start_node(killed);
        cluster.wait_ready();
    });
    for (shard, expected) in topic.shards.iter().zip(&expected) {
        let on_survivor = client.read(survivor, shard.shard, end).await;
        let on_returned = client.read(killed, shard.shard, end).await;
        assert_eq!(on_survivor, on_returned);
        assert_eq!(&on_returned.into_iter().map(|(_, value)| value).collect::<Vec<_>>(), expected);
    }
    let metrics_address = cluster.nodes[survivor as usize - 1].as_ref().unwrap().metrics_address().unwrap();
    assert!(http(metrics_address, "/ready").await.starts_with("HTTP/1.1 200"));
    assert!(http(metrics_address, "/metrics").await.contains("timberline_appends_total"));
    client.endpoint.close().await;
}

#[test]
fn a_cluster_goes_on_without_a_leader_and_the_returned_node_reads_the_same() {
    let mut cluster = Cluster::start(3);
    cluster.wait_ready();
    block_on(story(&mut cluster));
    for node in cluster.nodes.drain(..).flatten() {
        node.shutdown();
    }
}

#[test]
fn a_replica_whose_files_are_gone_is_failed_and_never_made_again_blank() {
    let mut cluster = Cluster::start(1);
    cluster.wait_ready();
    let certs = cluster.folder.path().join("certs");
    let shards = block_on(async {
        let mut client = Client::new(&certs, &cluster.addresses);
        let topic = client.create("kept", 2).await.unwrap();
        client.append(1, topic.shards[0].shard, &values("x", 0)).await;
        topic.shards.iter().map(|shard| shard.shard).collect::<Vec<_>>()
    });
    cluster.nodes[0].take().unwrap().shutdown();
    let gone = cluster.folder.path().join(format!("node-1/shards/{}", shards[0]));
    std::fs::remove_dir_all(&gone).unwrap();
    cluster.start_node(1);
    let statuses = block_on(async {
        let mut client = Client::new(&certs, &cluster.addresses);
        let ask = || RequestBody::ShardStatus(TopicNameBody { name: "kept".to_owned() });
        loop {
            // The topic is unknown until the system topic is folded, its shards until they are opened.
            match client.ask(1, ask(), Bytes::new()).await {
                Ok(ResponseBody::ShardStatuses(body)) if body.shards.len() == 2 => break body.shards,
                Ok(_) => {}
                Err(error) => assert_eq!(error.code(), ErrorCode::UnknownTopic, "{error:?}"),
            }
        }
    });
    let failure = |shard: u64| &statuses.iter().find(|status| status.shard == shard).unwrap().failure;
    assert!(failure(shards[0]).contains("made again blank"), "{statuses:?}");
    assert_eq!(failure(shards[1]), "");
    assert!(!gone.exists());
    assert!(!cluster.nodes[0].as_ref().unwrap().ready());
}

#[test]
fn a_node_alone_starts_stops_and_starts_again_in_one_process() {
    let mut cluster = Cluster::start(1);
    for _ in 0..2 {
        cluster.wait_ready();
        cluster.nodes[0].take().unwrap().shutdown();
        cluster.start_node(1);
    }
    let twice = Node::start(cluster.options(1)).err().expect("the folder is locked");
    assert!(twice.to_string().contains("in use"), "{twice}");
}
