//! One stream: requests in, replies out, matched by id. A task writes, this one reads, others wait.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::connection::Session;
use super::{answers, append, groups, locate, now, producers, status, subscribe, topics};
use crate::codec::{BODY_BYTES_MAX, RECORD_BYTES_MAX};
use crate::transport::{PacketSender, ServerStream};
use crate::wire::{
    ErrorBody, ErrorCode, FEATURES, HelloBody, HelloLimits, Request, RequestBody, Response, ResponseBody,
    Versions,
};

/// Replies that may wait for the stream's window.
const REPLIES_MAX: usize = 16;
/// Subscriptions of one stream.
const SUBSCRIPTIONS_MAX: usize = 64;

/// A response and the bytes beside it.
pub(super) struct Reply {
    pub(super) response: Response,
    pub(super) payload: Vec<Bytes>,
    /// Given back as the answer leaves: what waits for a reader counts as unanswered.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

impl Reply {
    pub(super) fn new(id: u64, body: ResponseBody) -> Self {
        Self { response: Response { id, body: Some(body) }, payload: Vec::new(), permit: None }
    }
}

/// Serves one stream until the client ends it. Subscriptions end with it; other requests are still answered.
pub(super) async fn serve(stream: ServerStream, session: Arc<Session>) {
    let (sender, mut receiver) = stream.split();
    let (replies, outgoing) = mpsc::channel(REPLIES_MAX);
    let mut writer = JoinSet::new();
    writer.spawn(write(sender, outgoing));
    let in_flight = Arc::new(Semaphore::new(session.host.limits.requests_per_stream));
    let mut stream =
        Stream { session, replies, in_flight, work: JoinSet::new(), subscriptions: JoinSet::new() };
    loop {
        tokio::select! {
            packet = receiver.recv() => match packet {
                Ok(Some((request, payload))) => stream.take(request, payload).await,
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, "client stream ended");
                    break;
                }
            },
            Some(_) = stream.work.join_next() => {}
            Some(_) = stream.subscriptions.join_next() => {}
            // Nobody reads the replies any more.
            _ = writer.join_next() => return,
        }
    }
    stream.subscriptions.shutdown().await;
    while stream.work.join_next().await.is_some() {}
    drop(stream);
    writer.join_next().await;
}

/// Ends when all who reply are gone, or the client.
async fn write(mut sender: PacketSender<Response>, mut outgoing: mpsc::Receiver<Reply>) {
    let mut batch = Vec::with_capacity(REPLIES_MAX);
    while outgoing.recv_many(&mut batch, REPLIES_MAX).await > 0 {
        let leaving = |reply: Reply| {
            drop(reply.permit);
            (reply.response, reply.payload)
        };
        let packets = batch.drain(..).map(leaving).collect();
        if sender.send_all(packets).await.is_err() {
            return;
        }
    }
    sender.finish();
}

struct Stream {
    session: Arc<Session>,
    replies: mpsc::Sender<Reply>,
    in_flight: Arc<Semaphore>,
    work: JoinSet<()>,
    subscriptions: JoinSet<()>,
}

impl Stream {
    async fn take(&mut self, request: Request, payload: Bytes) {
        let id = request.id;
        if let Err(error) = self.start(id, request.body, payload).await {
            self.reply(id, ResponseBody::Error(error)).await;
        }
    }

    /// Answers at once, or starts what will answer.
    async fn start(&mut self, id: u64, body: Option<RequestBody>, payload: Bytes) -> Result<(), ErrorBody> {
        let Some(body) = body else {
            let message = "this node does not know that request; use a client of its version";
            return Err(answers::error(ErrorCode::Invalid, false, message));
        };
        if let RequestBody::Hello(hello) = body {
            let body = self.hello(&hello)?;
            self.reply(id, ResponseBody::Hello(body)).await;
            return Ok(());
        }
        if !self.session.is_greeted() {
            let message = "a connection begins with a hello; send one first";
            return Err(answers::error(ErrorCode::Denied, false, message));
        }
        if let RequestBody::Subscribe(request) = body {
            if self.subscriptions.len() >= SUBSCRIPTIONS_MAX {
                let message =
                    format!("a stream has at most {SUBSCRIPTIONS_MAX} subscriptions; open another stream");
                return Err(answers::error(ErrorCode::Busy, true, message));
            }
            let held = self.held_read()?;
            let (session, replies) = (Arc::clone(&self.session), self.replies.clone());
            self.subscriptions.spawn(async move {
                subscribe::run(&session.host, id, request, replies).await;
                drop(held);
            });
            return Ok(());
        }
        let Ok(permit) = Arc::clone(&self.in_flight).try_acquire_owned() else {
            let message = format!(
                "this stream has {} requests unanswered; wait for answers",
                self.session.host.limits.requests_per_stream
            );
            return Err(answers::error(ErrorCode::Busy, true, message));
        };
        let (session, replies) = (Arc::clone(&self.session), self.replies.clone());
        if let RequestBody::Append(request) = body {
            let pending = append::submit(&session.host, &request, payload)?;
            self.work.spawn(async move {
                let answer = pending.answer(&session.host).await;
                let reply = Reply { permit: Some(permit), ..Reply::new(id, answer) };
                // A client that left needs no answer.
                let _ = replies.send(reply).await;
            });
        } else {
            let waits = matches!(&body, RequestBody::Locate(request) if request.waits_closed);
            let held = waits.then(|| self.held_read()).transpose()?;
            self.work.spawn(async move {
                let answer = answer(&session, body).await.unwrap_or_else(ResponseBody::Error);
                drop(held);
                let reply = Reply { permit: Some(permit), ..Reply::new(id, answer) };
                let _ = replies.send(reply).await;
            });
        }
        Ok(())
    }

    /// Room for one more read that is held.
    fn held_read(&self) -> Result<OwnedSemaphorePermit, ErrorBody> {
        Arc::clone(&self.session.reads).try_acquire_owned().map_err(|_| {
            let message = format!(
                "this connection has its {} reads that last already; end some, or open another connection",
                self.session.host.limits.reads_per_connection
            );
            answers::error(ErrorCode::Busy, true, message)
        })
    }

    fn hello(&self, hello: &HelloBody) -> Result<HelloBody, ErrorBody> {
        let host = &self.session.host;
        let Some(protocol) = Versions::OWN.common(Versions::of(hello)) else {
            let (own, theirs) = (Versions::OWN, Versions::of(hello));
            let message = format!(
                "node {} speaks protocol {own}, the client {theirs}; use a client of the node's version",
                host.node
            );
            return Err(answers::error(ErrorCode::Denied, false, message));
        };
        if !hello.cluster.is_empty() && hello.cluster != host.cluster.as_str() {
            let message = format!(
                "node {} belongs to cluster {}, the client asked for {}; correct the endpoint",
                host.node, host.cluster, hello.cluster
            );
            return Err(answers::error(ErrorCode::Denied, false, message));
        }
        self.session.greet();
        Ok(HelloBody {
            protocol,
            protocol_oldest: Versions::OWN.oldest,
            cluster: host.cluster.to_string(),
            node: host.node.0,
            features: FEATURES.map(str::to_owned).to_vec(),
            limits: Some(self.limits()),
        })
    }

    fn limits(&self) -> HelloLimits {
        let (requests, limits) = (self.session.request_limits, &self.session.host.limits);
        HelloLimits {
            request_header_bytes: requests.header_bytes_max as u64,
            request_payload_bytes: requests.payload_bytes_max as u64,
            body_bytes: BODY_BYTES_MAX as u64,
            record_bytes: RECORD_BYTES_MAX as u64,
            streams: limits.streams_per_connection.into(),
            requests_per_stream: limits.requests_per_stream as u64,
            in_flight_per_shard: limits.unanswered_per_shard as u64,
            reads_per_connection: limits.reads_per_connection as u64,
            subscriptions_per_stream: SUBSCRIPTIONS_MAX as u64,
        }
    }

    async fn reply(&self, id: u64, body: ResponseBody) {
        // The writer's end is seen by the reading loop.
        let _ = self.replies.send(Reply::new(id, body)).await;
    }
}

async fn answer(session: &Session, body: RequestBody) -> Result<ResponseBody, ErrorBody> {
    let host = &session.host;
    Ok(match body {
        RequestBody::CreateTopic(request) => ResponseBody::Topic(topics::create(host, request).await?),
        RequestBody::DeleteTopic(request) => ResponseBody::Topic(topics::delete(host, &request.name).await?),
        RequestBody::DescribeTopic(request) => {
            ResponseBody::Topic(topics::describe(host, &request.name).await?)
        }
        RequestBody::ListTopics(_) => ResponseBody::Topics(topics::list(host).await?),
        RequestBody::Cluster(_) => ResponseBody::Cluster(status::cluster(host).await?),
        RequestBody::Clock(_) => ResponseBody::Clock(status::clock(host).await?),
        RequestBody::ShardStatus(request) => {
            ResponseBody::ShardStatuses(status::shards(host, &request.name).await?)
        }
        RequestBody::Now(request) => ResponseBody::Now(now::now(host, &request).await?),
        RequestBody::Locate(request) => ResponseBody::Located(locate::locate(host, &request).await?),
        RequestBody::FenceProducer(request) => {
            ResponseBody::ProducerFenced(producers::fence(host, &request).await?)
        }
        RequestBody::GroupBeat(request) => ResponseBody::GroupStanding(groups::beat(host, request).await?),
        RequestBody::DescribeGroups(request) => ResponseBody::Groups(groups::describe(host, &request).await?),
        RequestBody::ResetGroup(request) => ResponseBody::Groups(groups::reset(host, &request).await?),
        RequestBody::DeleteGroup(request) => ResponseBody::Groups(groups::delete(host, &request).await?),
        RequestBody::Hello(_) | RequestBody::Append(_) | RequestBody::Subscribe(_) => {
            unreachable!("answered where they are taken")
        }
    })
}
