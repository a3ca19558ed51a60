//! One shard's subscription, kept alive over replicas.
//!
//! The task subscribes from where it stands, proves what arrives and hands it on, one delivery per permit
//! of its gate: with none, it leaves its stream unread and the node's flow control does the rest. A lost,
//! silent or damaged stream is followed by another replica's (`nearest`), from the first record not yet delivered.
//! A stream may be silent because its shard has no leader for a moment; so the node is asked whether it still answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::time::{Instant, sleep_until, timeout};

use super::nearest::{Candidate, Nearest};
use super::proof::{Delivered, Progress};
use super::{Item, OnTrimmed};
use crate::client::backoff::Backoff;
use crate::client::connections::{Connected, Lasting};
use crate::client::core::{Core, list};
use crate::client::error::{Error, Kind};
use crate::client::topic::Topic;
use crate::transport::{self, ClientStream};
use crate::types::{NodeId, Offset, ShardId, Timestamp, TopicName};
use crate::wire::{ErrorCode, Request, RequestBody, Response, ResponseBody, SubscribeBody};

/// A replica that says nothing for so long, not even that time passes, is left for another one.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// After so long a silence a node is asked whether it still answers: ten closed ticks.
const ASK_AFTER: Duration = Duration::from_millis(200);
/// How long its answer is waited for at first; doubled from replica to replica while nothing is read, for all may be slow.
const PATIENCE_LEAST: Duration = Duration::from_millis(300);

/// What a subscription tells its consumer.
pub(super) enum News {
    Delivered(Delivered),
    /// The latest that a node's clock means by now.
    Time(Timestamp),
    Failed(Error),
}

/// One shard's subscription.
pub(super) struct Subscription {
    pub(super) core: Arc<Core>,
    pub(super) topic: Arc<TopicName>,
    pub(super) shard: ShardId,
    pub(super) node: Option<NodeId>,
    pub(super) timeout: Duration,
    pub(super) on_trimmed: OnTrimmed,
    pub(super) gate: Arc<Semaphore>,
    pub(super) news: mpsc::Sender<(ShardId, News)>,
}

impl Subscription {
    /// Runs until the consumer is gone or reading on is hopeless.
    pub(super) async fn run(self, mut progress: Progress) {
        let error = self.keep_reading(&mut progress).await;
        // A closed channel means that nobody is interested any more.
        let _gone = self.news.send((self.shard, News::Failed(error))).await;
    }

    /// Reads from one replica after the other. Returns why it gave up.
    async fn keep_reading(&self, progress: &mut Progress) -> Error {
        let mut backoff = Backoff::of_requests();
        let mut damaged: usize = 0;
        let mut course =
            Course { nearest: Nearest::default(), last_heard: Instant::now(), patience: PATIENCE_LEAST };
        loop {
            let before = progress.from();
            let ended = self.read_one(progress, &mut course).await;
            if progress.from() > before {
                backoff.reset();
                damaged = 0;
                course.nearest.has_read(Instant::now());
                course.patience = PATIENCE_LEAST;
            } else {
                course.patience = (course.patience * 2).min(SILENCE_MAX);
            }
            if let Some(node) = ended.node {
                course.nearest.failed(node, Instant::now());
            }
            if let Some((kept_from, through)) = ended.error.trimmed()
                && progress.from() <= through
            {
                match self.pass_trimmed(progress, kept_from, through).await {
                    Ok(()) => continue,
                    Err(error) => return error,
                }
            }
            damaged += usize::from(ended.error.kind() == Kind::Corruption);
            let out_of_time = course.last_heard.elapsed() >= self.timeout;
            if ended.error.is_hopeless() || damaged >= ended.replicas {
                return ended.error;
            }
            if out_of_time {
                let what = format!("shard {} of topic {}", self.shard, self.topic);
                return Error::Timeout { what, after: self.timeout, last: Some(Box::new(ended.error)) };
            }
            sleep_until(Instant::now() + backoff.next_wait()).await;
        }
    }

    /// Goes on with the first record kept, if the consumer wants that.
    async fn pass_trimmed(
        &self,
        progress: &mut Progress,
        kept_from: Offset,
        through: Timestamp,
    ) -> Result<(), Error> {
        if self.on_trimmed == OnTrimmed::Fail {
            return Err(Error::Trimmed { shard: self.shard, kept_from, first: through.next() });
        }
        let permit = self.gate.acquire().await.map_err(|_| Error::Closed)?;
        let delivered = progress.skip(kept_from, through);
        permit.forget();
        self.news.send((self.shard, News::Delivered(delivered))).await.map_err(|_| Error::Closed)
    }

    /// Reads from the replica that is best now, until that ends.
    async fn read_one(&self, progress: &mut Progress, course: &mut Course) -> Ended {
        let before = |error| Ended { error, node: None, replicas: 1 };
        let topic = match self.core.topic(&self.topic).await {
            Ok(topic) => topic,
            Err(error) => return before(error),
        };
        let nodes = match self.nodes(&topic) {
            Ok(nodes) => nodes,
            Err(error) => return before(error),
        };
        let candidate = |node: &NodeId| Candidate { node: *node, rtt: self.core.rtt(*node) };
        let candidates: Vec<Candidate> = nodes.iter().map(candidate).collect();
        let node = course.nearest.choose(&candidates, rand::random_range(0..1 << 16));
        let ended = |error| Ended { error, node: Some(node), replicas: nodes.len() };
        let error = match self.subscribe(node, progress.from()).await {
            Ok((lasting, id)) => self.follow(lasting, id, progress, course).await,
            Err(error) => error,
        };
        if matches!(
            error.code(),
            Some(ErrorCode::UnknownShard | ErrorCode::UnknownTopic | ErrorCode::NotLeader)
        ) {
            // Whether the replica moved or the topic is gone: the description tells.
            if let Err(error) = self.core.refresh(&self.topic, Some(&topic)).await {
                return ended(error);
            }
        }
        ended(error)
    }

    /// The nodes to read from.
    fn nodes(&self, topic: &Topic) -> Result<Vec<NodeId>, Error> {
        let unknown = || Error::UnknownShard { topic: self.topic.to_string(), shard: self.shard };
        let info = topic.shard(self.shard).ok_or_else(unknown)?;
        let nodes: Vec<NodeId> = info.replicas.iter().map(|replica| replica.node).collect();
        match self.node {
            None if nodes.is_empty() => Err(unknown()),
            None => Ok(nodes),
            Some(node) if nodes.contains(&node) => Ok(vec![node]),
            Some(node) => Err(Error::NoReplica { shard: self.shard, node, replicas: list(&nodes) }),
        }
    }

    async fn subscribe(&self, node: NodeId, from: Timestamp) -> Result<(Lasting, u64), Error> {
        let subscribing = async {
            let mut lasting = self.core.lasting_stream(node).await?;
            let id = self.core.request_id();
            let body = SubscribeBody { shard: self.shard.0, from_timestamp_ns: from.0 };
            let request = Request { id, body: Some(RequestBody::Subscribe(body)) };
            let sent = lasting.stream.send(&request, Vec::new()).await;
            sent.map_err(|error| lasting.connected.lost(&error))?;
            Ok((lasting, id))
        };
        let late = |_| Err(Error::Unreachable { address: format!("node {node}"), reason: silence() });
        timeout(SILENCE_MAX, subscribing).await.unwrap_or_else(late)
    }

    /// Hands on what a stream delivers. Returns why it ended.
    async fn follow(
        &self,
        mut lasting: Lasting,
        id: u64,
        progress: &mut Progress,
        course: &mut Course,
    ) -> Error {
        let Lasting { connected, stream, .. } = &mut lasting;
        loop {
            // Waiting here is the consumer's pause, not the replica's silence.
            let paused = Instant::now();
            let Ok(permit) = self.gate.acquire().await else { return Error::Closed };
            course.last_heard += paused.elapsed();
            let Some(received) = self.hear(connected, stream, course.patience).await else {
                return Error::Disconnected { address: connected.address.to_string(), reason: silence() };
            };
            let before = progress.from();
            let handed_on = match self.delivery(connected, received, id) {
                Ok(delivery) => self.hand_on(&connected.address, delivery, permit, progress).await,
                Err(error) => Err(error),
            };
            // A replica that is cut off says with each new stream what it said before: that is no news.
            if progress.from() > before {
                course.last_heard = Instant::now();
            }
            if let Err(error) = handed_on {
                return error;
            }
        }
    }

    /// What the stream brings next; `None` if the node is gone, or says nothing for too long.
    async fn hear(
        &self,
        connected: &Connected,
        stream: &mut ClientStream,
        patience: Duration,
    ) -> Option<Result<Option<(Response, Bytes)>, transport::Error>> {
        let silent_at = Instant::now() + SILENCE_MAX;
        loop {
            if let Ok(received) = timeout(ASK_AFTER, stream.recv()).await {
                return Some(received);
            }
            let answers = connected.still_answers(self.core.request_id(), patience).await;
            if !answers || Instant::now() >= silent_at {
                return None;
            }
        }
    }

    /// Hands on a delivery part by part, each by a permit of its own.
    async fn hand_on<'a>(
        &'a self,
        address: &str,
        mut delivery: Delivery,
        mut permit: SemaphorePermit<'a>,
        progress: &mut Progress,
    ) -> Result<(), Error> {
        loop {
            let Delivery { payload, closed, kept_from } = &mut delivery;
            let delivered = progress.accept(address, payload, *closed, *kept_from)?;
            permit.forget();
            let sent = self.news.send((self.shard, News::Delivered(delivered))).await;
            sent.map_err(|_| Error::Closed)?;
            if delivery.payload.is_empty() {
                return Ok(());
            }
            permit = self.gate.acquire().await.map_err(|_| Error::Closed)?;
        }
    }

    fn delivery(
        &self,
        connected: &Connected,
        received: Result<Option<(Response, Bytes)>, transport::Error>,
        id: u64,
    ) -> Result<Delivery, Error> {
        let (response, payload) = connected.received(received)?;
        let of_this = response.id == id;
        match connected.body_of(response)? {
            ResponseBody::Deliver(body) if of_this && body.shard == self.shard.0 => {
                let (closed, kept_from) = (Timestamp(body.closed_ns), Offset(body.kept_from_offset));
                Ok(Delivery { payload, closed, kept_from })
            }
            _ => {
                Err(connected.malformed("a subscription was answered by something else than its deliveries"))
            }
        }
    }
}

/// A delivery as it came: its frames, the timestamp it closes, and the first record that its replica keeps.
struct Delivery {
    payload: Bytes,
    closed: Timestamp,
    kept_from: Offset,
}

/// How a shard's reader stands with its replicas.
struct Course {
    nearest: Nearest,
    last_heard: Instant,
    /// How long a silent node's sign of life is waited for.
    patience: Duration,
}

/// How reading from one replica ended, on which node, and how many replicas there are to turn to.
struct Ended {
    error: Error,
    node: Option<NodeId>,
    replicas: usize,
}

fn silence() -> String {
    "the node fell silent".to_owned()
}

impl Error {
    /// The first record kept and the last timestamp before it, if that is why a node refused to read.
    fn trimmed(&self) -> Option<(Offset, Timestamp)> {
        match self {
            Self::Refused(refusal) if refusal.code == ErrorCode::Trimmed => refusal.trimmed,
            _ => None,
        }
    }

    /// Whether no other replica and no later attempt can help a reader.
    fn is_hopeless(&self) -> bool {
        match self {
            // What was trimmed was read already, or is not wanted: a subscription by time goes on behind it.
            Self::Refused(refusal) if refusal.trimmed.is_some() => false,
            Self::Refused(refusal) => {
                let moved = matches!(refusal.code, ErrorCode::UnknownShard | ErrorCode::Corruption);
                !refusal.retryable && !moved
            }
            Self::Unreachable { .. }
            | Self::Disconnected { .. }
            | Self::Timeout { .. }
            | Self::Corrupt { .. }
            | Self::Gap { .. }
            | Self::BrokenOrder { .. }
            | Self::Malformed { .. } => false,
            _ => true,
        }
    }
}

/// The bytes an item counts for in a buffer: its own, and what holding it takes.
pub(super) fn weight(item: &Item) -> usize {
    let Item::Record(consumed) = item else { return size_of::<Item>() };
    let record = &consumed.record;
    let len = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
    let headers: usize =
        record.headers.iter().map(|header| header.name.len() + header.value.len() + 64).sum();
    size_of::<Item>() + len(&record.key) + len(&record.value) + headers
}
