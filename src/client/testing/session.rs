//! One node's side of the protocol, stream by stream.

use std::sync::Arc;

use bytes::Bytes;

use super::cluster::Shared;
use super::shards::{Fault, World, refusal, topic_name};
use crate::transport::{ClientConnection, ClientListener, CloseCode, ServerStream};
use crate::types::{BatchId, NodeId, ProducerId, ShardId};
use crate::wire::{
    AppendBody, ClockBody, ClusterBody, DeliverBody, ErrorBody, ErrorCode, FEATURES, HelloBody, NodeBody,
    Outcome, PROTOCOL_VERSION, Request, RequestBody, Response, ResponseBody, ShardStatusBody,
    ShardStatusesBody, SubscribeBody, TopicsBody,
};

/// Frames put into one delivery.
const DELIVERY_FRAMES: usize = 3;

pub(super) async fn serve(shared: Arc<Shared>, node: NodeId, mut listener: ClientListener) {
    while let Some(connection) = listener.accept().await {
        tokio::spawn(converse(Arc::clone(&shared), node, connection));
    }
}

async fn converse(shared: Arc<Shared>, node: NodeId, connection: ClientConnection) {
    let Ok(mut first) = connection.accept_stream().await else { return };
    let Ok(Some((Request { id, body }, _))) = first.recv().await else { return };
    let Some(RequestBody::Hello(hello)) = body else { panic!("a connection's first request is its hello") };
    assert_eq!(hello.protocol, PROTOCOL_VERSION);
    let is_older = shared.world.lock().expect("no test panicked").older == Some(node);
    let features: &[&str] = if is_older { &[] } else { &FEATURES };
    let hello = HelloBody {
        features: features.iter().map(ToString::to_string).collect(),
        protocol: shared.world.lock().expect("no session panicked").protocol,
        cluster: "test".into(),
        node: node.0,
        ..HelloBody::default()
    };
    let response = Response { id, body: Some(ResponseBody::Hello(hello)) };
    if first.send(&response, Vec::new()).await.is_err() {
        return;
    }
    while let Ok(stream) = connection.accept_stream().await {
        let session = Session { shared: Arc::clone(&shared), node, connection: connection.clone() };
        tokio::spawn(session.run(stream));
    }
}

struct Session {
    shared: Arc<Shared>,
    node: NodeId,
    connection: ClientConnection,
}

impl Session {
    async fn run(self, mut stream: ServerStream) {
        let mut last = 0;
        while let Ok(Some((Request { id, body }, payload))) = stream.recv().await {
            assert!(id > last, "request ids rise on a stream");
            last = id;
            self.stand_still_if_hung().await;
            let answer = match body.expect("every request of this protocol is known") {
                RequestBody::Append(append) => match self.append(&append, payload) {
                    Some(answer) => answer,
                    None => continue,
                },
                RequestBody::Subscribe(subscribe) => return self.deliver(id, &subscribe, stream).await,
                RequestBody::FenceProducer(fence) => self
                    .answer_fresh(|world| world.fence(self.node, &fence).map(ResponseBody::ProducerFenced)),
                RequestBody::Now(_) => {
                    self.answer_fresh(|world| world.tell_time(self.node).map(ResponseBody::Now))
                }
                RequestBody::Locate(locate) => {
                    self.answer_fresh(|world| world.locate(&locate).map(ResponseBody::Located))
                }
                other => self.answer(other),
            };
            if stream.send(&Response { id, body: Some(answer) }, Vec::new()).await.is_err() {
                return;
            }
        }
    }

    async fn stand_still_if_hung(&self) {
        let is_hung = self.shared.world.lock().expect("no test panicked").hung == Some(self.node);
        if is_hung {
            std::future::pending::<()>().await;
        }
    }

    /// The answer to an append; `None` if it is never answered.
    fn append(&self, append: &AppendBody, payload: Bytes) -> Option<ResponseBody> {
        let mut world = self.shared.world.lock().expect("no test panicked");
        let shard = world.shard(append.shard);
        let producer = ProducerId(append.producer);
        shard.attempts.push(BatchId { producer, epoch: append.epoch, sequence: append.sequence });
        let fault = if shard.leader == self.node { shard.faults.pop_front() } else { None };
        if matches!(fault, Some(Fault::Crowd)) {
            world.crowd(append.shard);
        }
        let result = match &fault {
            Some(Fault::Refuse(code, outcome)) => Err(refusal(*code, *outcome)),
            Some(Fault::Cut | Fault::Ignore) => Err(refusal(ErrorCode::Internal, Outcome::NotApplied)),
            Some(Fault::ApplyAndCut | Fault::Crowd) | None => world.append(self.node, append, payload),
        };
        drop(world);
        self.shared.version.send_modify(|version| *version += 1);
        match fault {
            Some(Fault::ApplyAndCut | Fault::Cut) => {
                self.connection.close(CloseCode::Done, "cut by the test");
                None
            }
            Some(Fault::Ignore) => None,
            _ => Some(result.map_or_else(ResponseBody::Error, ResponseBody::Appended)),
        }
    }

    async fn deliver(&self, id: u64, subscribe: &SubscribeBody, mut stream: ServerStream) {
        let shard = ShardId(subscribe.shard);
        let mut from = subscribe.from_timestamp_ns;
        let mut version = self.shared.version.subscribe();
        self.shared.world.lock().expect("no test panicked").subscribed.push((self.node, shard, from));
        let mut told = 0;
        loop {
            self.stand_still_if_hung().await;
            let seen = *version.borrow_and_update();
            let ((frames, closed), is_damaging, kept_from_offset, trimmed) = {
                let world = self.shared.world.lock().expect("no test panicked");
                let (kept_from, trimmed) = (world.kept_from(shard), world.trimmed(shard, from));
                let read = world.read(shard, from, DELIVERY_FRAMES);
                (read, world.damaging == Some(self.node), kept_from, trimmed)
            };
            if let Some(trimmed) = trimmed {
                // A stream that is gone needs no last word.
                let _ =
                    stream.send(&Response { id, body: Some(ResponseBody::Error(trimmed)) }, Vec::new()).await;
                return;
            }
            if frames.is_empty() && closed <= told {
                if version.wait_for(|now| *now != seen).await.is_err() {
                    return;
                }
                continue;
            }
            from = frames.last().map_or(from, |last| last.header.last_timestamp().0 + 1);
            told = closed;
            let body =
                ResponseBody::Deliver(DeliverBody { shard: shard.0, closed_ns: closed, kept_from_offset });
            let mut payload: Vec<Bytes> =
                frames.into_iter().flat_map(|frame| [frame.header_bytes, frame.body]).collect();
            if is_damaging && let Some(last) = payload.last_mut() {
                *last = last.iter().map(|byte| byte ^ 1).collect();
            }
            if stream.send(&Response { id, body: Some(body) }, payload).await.is_err() {
                return;
            }
        }
    }

    /// The answer to what a node of the first builds does not know.
    fn answer_fresh(&self, answer: impl Fn(&mut World) -> Result<ResponseBody, ErrorBody>) -> ResponseBody {
        let mut world = self.shared.world.lock().expect("no test panicked");
        if world.older == Some(self.node) {
            return ResponseBody::Error(refusal(ErrorCode::Invalid, Outcome::NotApplied));
        }
        answer(&mut world).unwrap_or_else(ResponseBody::Error)
    }

    fn answer(&self, request: RequestBody) -> ResponseBody {
        let addresses = self.shared.addresses.lock().expect("no test panicked").clone();
        let nodes: Vec<NodeId> = addresses.keys().copied().collect();
        let mut world = self.shared.world.lock().expect("no test panicked");
        let unknown = || ResponseBody::Error(refusal(ErrorCode::UnknownTopic, Outcome::NotApplied));
        match request {
            RequestBody::DescribeTopic(name) | RequestBody::DeleteTopic(name)
                if !world.has_topic(&name.name) || world.ignorant == Some(self.node) =>
            {
                unknown()
            }
            RequestBody::DescribeTopic(name) => {
                ResponseBody::Topic(world.topic(&name.name.parse().expect("a valid name"), &nodes))
            }
            RequestBody::CreateTopic(_) if world.topic_exists => {
                ResponseBody::Error(refusal(ErrorCode::Conflict, Outcome::NotApplied))
            }
            RequestBody::CreateTopic(_) => {
                world.topic_exists = true;
                ResponseBody::Topic(world.topic(&topic_name(), &nodes))
            }
            RequestBody::DeleteTopic(_) => {
                world.topic_exists = false;
                ResponseBody::Topics(TopicsBody::default())
            }
            RequestBody::ListTopics(_) => {
                ResponseBody::Topics(TopicsBody { topics: vec![world.topic(&topic_name(), &nodes)] })
            }
            RequestBody::Cluster(_) => {
                let nodes = addresses.iter().map(node_row).collect();
                ResponseBody::Cluster(ClusterBody { cluster: "test".into(), node: self.node.0, nodes })
            }
            RequestBody::Clock(_) => {
                let (earliest_ns, latest_ns) = (world.now - 5, world.now + 5);
                ResponseBody::Clock(ClockBody {
                    node: self.node.0,
                    earliest_ns,
                    latest_ns,
                    ..ClockBody::default()
                })
            }
            RequestBody::ShardStatus(_) => {
                let row = |shard: &ShardId| ShardStatusBody { shard: shard.0, ..ShardStatusBody::default() };
                let shards = world.shards.keys().map(row).collect();
                ResponseBody::ShardStatuses(ShardStatusesBody { node: self.node.0, shards })
            }
            RequestBody::GroupBeat(_)
            | RequestBody::DescribeGroups(_)
            | RequestBody::ResetGroup(_)
            | RequestBody::DeleteGroup(_) => panic!("groups are tested with nodes"),
            RequestBody::Hello(_)
            | RequestBody::Append(_)
            | RequestBody::FenceProducer(_)
            | RequestBody::Subscribe(_)
            | RequestBody::Now(_)
            | RequestBody::Locate(_) => {
                panic!("answered elsewhere, and a hello only comes first")
            }
        }
    }
}

fn node_row((node, address): (&NodeId, &std::net::SocketAddr)) -> NodeBody {
    NodeBody { node: node.0, address: address.to_string(), connected: true, ..NodeBody::default() }
}
