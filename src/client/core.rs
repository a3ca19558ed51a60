//! What producers, consumers and questions share: connections, who lives where, and topics as last heard.
//!
//! Knows nothing of batches or cursors. Invariants: a question to "any" node goes round the nodes, the next
//! one beside those that are silent (`beside`), with a jittered backoff between rounds, and ends within its time limit; a topic is asked for by one task at a time, and
//! not again within a jittered pause, however many shards complain at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::seq::SliceRandom as _;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::backoff::Backoff;
use super::beside::{Beside, Reached};
use super::connections::{Connected, Connections, Lasting};
use super::error::{Error, Outcome};
use super::fates::Fates;
use super::session::Session;
use super::topic::Topic;
use crate::types::{NodeId, TopicName};
use crate::wire::{ClusterBody, ErrorCode, RequestBody, ResponseBody, TopicNameBody};

/// An attempt at one node, before it is given up.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// All attempts at a node that alone is asked.
const NODE_TIMEOUT: Duration = Duration::from_secs(2);
/// The shortest time between two descriptions of a topic.
const REFRESH_PAUSE: Duration = Duration::from_millis(60);

pub(super) struct Core {
    pub(super) connections: Connections,
    pub(super) request_timeout: Duration,
    pub(super) session: Session,
    pub(super) fates: Fates,
    endpoints: Vec<String>,
    nodes: Mutex<BTreeMap<NodeId, String>>,
    topics: Mutex<HashMap<TopicName, Arc<Known>>>,
    next_request: AtomicU64,
}

/// A topic as last described.
#[derive(Default)]
struct Known {
    topic: Mutex<Option<Arc<Topic>>>,
    /// Held while asking; when it may next be asked.
    asking: tokio::sync::Mutex<Option<Instant>>,
}

/// An answer, and whether an earlier attempt may have done the work already.
pub(super) struct Asked {
    pub(super) answer: Result<(NodeId, ResponseBody), Error>,
    pub(super) repeated_in_doubt: bool,
}

/// Why a question is not answered yet.
#[derive(Default)]
struct Silence {
    /// An attempt that may have done the work.
    doubt: Option<Error>,
    last: Option<Error>,
    /// In the last round nobody failed who may do better in another.
    is_hopeless: bool,
    /// A node may not have heard of a new topic yet: the others are asked too.
    unknown: Option<Error>,
}

impl Silence {
    fn note(&mut self, error: Error) {
        if error.code() == Some(ErrorCode::UnknownTopic) {
            self.unknown = Some(error);
            return;
        }
        self.is_hopeless &= !error.is_retryable();
        let slot = if error.outcome() == Outcome::Unknown { &mut self.doubt } else { &mut self.last };
        *slot = Some(error);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Core {
    pub(super) fn new(connections: Connections, endpoints: Vec<String>, request_timeout: Duration) -> Self {
        Self {
            connections,
            request_timeout,
            session: Session::default(),
            fates: Fates::default(),
            endpoints,
            nodes: Mutex::default(),
            topics: Mutex::default(),
            next_request: AtomicU64::new(2),
        }
    }

    pub(super) fn request_id(&self) -> u64 {
        self.next_request.fetch_add(1, Ordering::Relaxed)
    }

    /// Every address known: those that stand connected first, each part shuffled so that clients spread.
    fn addresses(&self) -> Vec<String> {
        let mut addresses: Vec<String> = lock(&self.nodes).values().cloned().collect();
        let unlisted = self.endpoints.iter().filter(|endpoint| !addresses.contains(endpoint));
        let unlisted: Vec<String> = unlisted.cloned().collect();
        addresses.extend(unlisted);
        addresses.shuffle(&mut rand::rng());
        addresses.sort_by_key(|address| !self.connections.is_live(address));
        addresses
    }

    async fn attempt(
        &self,
        address: &str,
        body: &RequestBody,
        limit: Instant,
        reached: Reached,
    ) -> Result<(NodeId, ResponseBody), Error> {
        let attempt = async {
            let connected = self.connections.get(address).await?;
            reached.note();
            let answer = connected.ask(self.request_id(), body.clone()).await;
            Ok((connected.node, answer.map_err(|error| unless_unknown(body, error))?))
        };
        let answer = timeout_at(limit.min(Instant::now() + ATTEMPT_TIMEOUT), attempt).await;
        answer.unwrap_or_else(|_| {
            let (address, reason) = (address.to_owned(), "no answer in time".to_owned());
            Err(if reached.is_noted() {
                Error::Disconnected { address, reason }
            } else {
                Error::Unreachable { address, reason }
            })
        })
    }

    /// Asks one node after the other, and beside those that are silent, until one answers, or refuses for good.
    pub(super) async fn ask_any(&self, what: &str, body: RequestBody) -> Asked {
        self.ask_any_within(what, body, self.request_timeout).await
    }

    /// As [`Self::ask_any`], for so long.
    pub(super) async fn ask_any_within(&self, what: &str, body: RequestBody, limit: Duration) -> Asked {
        self.ask_round(what, body, limit, || self.addresses()).await
    }

    /// The same among these nodes, in this order.
    pub(super) async fn ask_in_turn(&self, nodes: &[NodeId], what: &str, body: RequestBody) -> Asked {
        let mut addresses = Vec::new();
        for node in nodes {
            match self.address_of(*node).await {
                Ok(address) => addresses.push(address),
                Err(error) => return Asked { answer: Err(error), repeated_in_doubt: false },
            }
        }
        self.ask_round(what, body, self.request_timeout, || addresses.clone()).await
    }

    /// Asks one node for what no other can tell. That it says nothing is an answer, too, and worth less waiting.
    pub(super) async fn ask_node(
        &self,
        node: NodeId,
        what: &str,
        body: RequestBody,
    ) -> Result<ResponseBody, Error> {
        let address = self.address_of(node).await?;
        let within = NODE_TIMEOUT.min(self.request_timeout);
        let asked = self.ask_round(what, body, within, || vec![address.clone()]).await;
        asked.answer.map(|(_, body)| body)
    }

    async fn ask_round(
        &self,
        what: &str,
        body: RequestBody,
        within: Duration,
        addresses: impl Fn() -> Vec<String>,
    ) -> Asked {
        let limit = Instant::now() + within;
        let mut backoff = Backoff::of_requests();
        let mut silence = Silence::default();
        loop {
            (silence.is_hopeless, silence.unknown) = (true, None);
            if let Some(asked) = self.ask_each(&body, addresses(), limit, &mut silence).await {
                return asked;
            }
            let repeated_in_doubt = silence.doubt.is_some();
            if let Some(error) = silence.unknown {
                return Asked { answer: Err(error), repeated_in_doubt };
            }
            let next = Instant::now() + backoff.next_wait();
            if silence.is_hopeless || next >= limit {
                let answer = Err(match silence.doubt.or(silence.last) {
                    Some(error) if silence.is_hopeless => error,
                    last => Error::Timeout { what: what.to_owned(), after: within, last: last.map(Box::new) },
                });
                return Asked { answer, repeated_in_doubt };
            }
            sleep_until(next).await;
        }
    }

    /// Asks each of them once. What none of them answered is in `silence`.
    async fn ask_each(
        &self,
        body: &RequestBody,
        addresses: Vec<String>,
        limit: Instant,
        silence: &mut Silence,
    ) -> Option<Asked> {
        let mut left = addresses.into_iter().peekable();
        let mut beside = Beside::new();
        loop {
            if let Some(address) = left.next_if(|_| beside.has_room()) {
                let reached = Reached::default();
                let noted = reached.clone();
                let attempt = async move { self.attempt(&address, body, limit, noted).await };
                beside.begin(reached, attempt);
            }
            let may_begin = left.peek().is_some() && beside.has_room();
            let ended = match () {
                () if beside.is_empty() => return None,
                () if may_begin => beside.next_soon().await,
                () => Some(beside.next().await),
            };
            // Those that are still under way may do what is asked, too.
            let is_in_doubt = |silence: &Silence| silence.doubt.is_some() || beside.any_reached();
            match ended {
                None => {}
                Some(Ok(answer)) => {
                    return Some(Asked { answer: Ok(answer), repeated_in_doubt: is_in_doubt(silence) });
                }
                Some(Err(error @ Error::Refused(_)))
                    if !error.is_retryable() && error.code() != Some(ErrorCode::UnknownTopic) =>
                {
                    return Some(Asked { answer: Err(error), repeated_in_doubt: is_in_doubt(silence) });
                }
                Some(Err(error)) => silence.note(error),
            }
        }
    }

    /// Asks any node for the cluster, and remembers where its nodes live.
    pub(super) async fn cluster(&self) -> Result<ClusterBody, Error> {
        let (node, answer) =
            self.ask_any("the cluster's description", RequestBody::Cluster(true)).await.answer?;
        let ResponseBody::Cluster(cluster) = answer else { return Err(unexpected(node, "Cluster")) };
        *lock(&self.nodes) =
            cluster.nodes.iter().map(|node| (NodeId(node.node), node.address.clone())).collect();
        Ok(cluster)
    }

    /// Where a node lives.
    pub(super) async fn address_of(&self, node: NodeId) -> Result<String, Error> {
        if let Some(address) = lock(&self.nodes).get(&node) {
            return Ok(address.clone());
        }
        self.cluster().await?;
        let nodes = lock(&self.nodes);
        nodes.get(&node).cloned().ok_or_else(|| Error::UnknownNode { node, known: list(nodes.keys()) })
    }

    /// The connection to a node.
    pub(super) async fn connected(&self, node: NodeId) -> Result<Connected, Error> {
        self.connections.get(&self.address_of(node).await?).await
    }

    /// A stream to a node that is kept for long.
    pub(super) async fn lasting_stream(&self, node: NodeId) -> Result<Lasting, Error> {
        self.connections.lasting_stream(&self.address_of(node).await?).await
    }

    /// The measured round trip to a node, if it is connected.
    pub(super) fn rtt(&self, node: NodeId) -> Option<Duration> {
        let address = lock(&self.nodes).get(&node).cloned()?;
        self.connections.rtt(&address)
    }

    fn known(&self, name: &TopicName) -> Arc<Known> {
        Arc::clone(lock(&self.topics).entry(name.clone()).or_default())
    }

    /// The topic as last heard, asked for if it was never.
    pub(super) async fn topic(&self, name: &TopicName) -> Result<Arc<Topic>, Error> {
        let topic = lock(&self.known(name).topic).clone();
        match topic {
            Some(topic) => Ok(topic),
            None => self.refresh(name, None).await,
        }
    }

    /// A description of the topic that is newer than `seen`.
    pub(super) async fn refresh(
        &self,
        name: &TopicName,
        seen: Option<&Arc<Topic>>,
    ) -> Result<Arc<Topic>, Error> {
        let known = self.known(name);
        let mut not_before = known.asking.lock().await;
        let current = lock(&known.topic).clone();
        if let Some(current) =
            current.as_ref().filter(|current| seen.is_none_or(|seen| !Arc::ptr_eq(current, seen)))
        {
            return Ok(Arc::clone(current));
        }
        if let Some(not_before) = *not_before {
            sleep_until(not_before).await;
        }
        let body = RequestBody::DescribeTopic(TopicNameBody { name: name.to_string() });
        let answer = self.ask_any(&format!("the description of topic {name}"), body).await.answer;
        *not_before = Some(Instant::now() + REFRESH_PAUSE.mul_f64(rand::random_range(0.5..1.5)));
        let (node, answer) = answer?;
        let ResponseBody::Topic(body) = answer else { return Err(unexpected(node, "Topic")) };
        let topic = Topic::of(node, &body)?;
        let topic = Arc::new(match &current {
            Some(current) => topic.with_leaders_of(current),
            None => topic,
        });
        *lock(&known.topic) = Some(Arc::clone(&topic));
        Ok(topic)
    }

    /// Notes a topic that was just created: not every node may know it yet.
    pub(super) fn remember(&self, topic: &Topic) {
        *lock(&self.known(&topic.name).topic) = Some(Arc::new(topic.clone()));
    }

    /// Forgets a topic, so that it is asked for again.
    pub(super) fn forget(&self, name: &TopicName) {
        lock(&self.topics).remove(name);
    }
}

/// The refusal, or what it means of a request that nodes of the first builds do not know: those that know it never call it invalid.
fn unless_unknown(body: &RequestBody, error: Error) -> Error {
    let feature = match body {
        RequestBody::Now(_) => "Now",
        RequestBody::Locate(_) => "Locate",
        RequestBody::FenceProducer(_) => "FenceProducer",
        _ => return error,
    };
    match &error {
        Error::Refused(refusal) if refusal.code == ErrorCode::Invalid => {
            Error::Unsupported { node: refusal.node, feature }
        }
        _ => error,
    }
}

/// An answer of another kind than was asked for.
pub(super) fn unexpected(node: NodeId, expected: &str) -> Error {
    Error::Malformed { address: format!("node {node}"), what: format!("the answer is not `{expected}`") }
}

/// Ids in a sentence.
pub(super) fn list<T: ToString>(ids: impl IntoIterator<Item = T>) -> String {
    ids.into_iter().map(|id| id.to_string()).collect::<Vec<_>>().join(", ")
}
