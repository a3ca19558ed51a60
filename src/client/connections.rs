//! One connection per address, shared by all who ask for it, remade with backoff when it is lost; and more of them where
//! streams that last need the room.
//!
//! Knows nothing of topics or shards. Invariants: at most one connect per address is under way of either kind, and after
//! a failed one nobody dials again before its jittered wait is over; every connection said `Hello` and
//! belongs to the same cluster; streams that last leave room on each connection for questions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::backoff::Backoff;
use super::error::{Error, Refusal};
use super::pulse::Pulse;
use crate::transport::{self, ClientEndpoint, ClientStream, CloseCode, ServerConnection};
use crate::types::NodeId;
use crate::wire::{HelloBody, PROTOCOL_VERSION, Request, RequestBody, Response, ResponseBody, Versions};

/// From dialling to the answered hello.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Streams that last, on the connection that also carries questions, each of which is a stream for a moment. A node takes at
/// least 32 streams of a connection.
const LASTING_BESIDE_MAX: usize = 16;
/// Streams that last, on a further connection, if the node takes as many: it takes 256 by default.
const LASTING_MAX: usize = 256;
/// Further connections to one address: room for any topic's shards on a single node.
const FURTHER_MAX: usize = 32;

/// The connections of one client.
pub(super) struct Connections {
    endpoint: ClientEndpoint,
    cluster: OnceLock<String>,
    sites: Mutex<HashMap<String, Arc<Site>>>,
}

/// What there is to one address.
struct Site {
    slot: tokio::sync::Mutex<Slot>,
    /// Connections that carry nothing but streams that last.
    further: tokio::sync::Mutex<Vec<Connected>>,
}

struct Slot {
    live: Option<Connected>,
    backoff: Backoff,
    /// The last failure, and when to dial again.
    failed: Option<(Instant, Error)>,
}

/// A connection whose node said hello. Clones share it.
#[derive(Clone)]
pub(super) struct Connected {
    pub(super) node: NodeId,
    pub(super) address: Arc<str>,
    /// What the node's hello says that it can do.
    features: Arc<[String]>,
    connection: ServerConnection,
    pulse: Arc<Pulse>,
    /// One permit a stream that lasts.
    room: Arc<Semaphore>,
}

/// A stream that is kept for long. Dropping it makes room for another one.
pub(super) struct Lasting {
    pub(super) connected: Connected,
    pub(super) stream: ClientStream,
    #[expect(dead_code, reason = "held for its drop")]
    room: OwnedSemaphorePermit,
}

impl Connections {
    pub(super) fn new(endpoint: ClientEndpoint) -> Self {
        Self { endpoint, cluster: OnceLock::new(), sites: Mutex::new(HashMap::new()) }
    }

    /// The cluster's name, once any node said hello.
    pub(super) fn cluster(&self) -> Option<&str> {
        self.cluster.get().map(String::as_str)
    }

    fn site(&self, address: &str) -> Arc<Site> {
        let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        let site = sites.entry(address.to_owned()).or_insert_with(|| {
            let backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
            let slot = tokio::sync::Mutex::new(Slot { live: None, backoff, failed: None });
            Arc::new(Site { slot, further: tokio::sync::Mutex::default() })
        });
        Arc::clone(site)
    }

    /// Whether a connection to `address` stands right now.
    pub(super) fn is_live(&self, address: &str) -> bool {
        self.site(address)
            .slot
            .try_lock()
            .is_ok_and(|slot| slot.live.as_ref().is_some_and(Connected::is_live))
    }

    /// The measured round trip to `address`, if a connection stands.
    pub(super) fn rtt(&self, address: &str) -> Option<Duration> {
        let site = self.site(address);
        let slot = site.slot.try_lock().ok()?;
        slot.live.as_ref().filter(|live| live.is_live()).map(Connected::rtt)
    }

    /// The connection to `address`: the one that stands, or a new one. While a failed connect's wait lasts, its error.
    pub(super) async fn get(&self, address: &str) -> Result<Connected, Error> {
        let site = self.site(address);
        let mut slot = site.slot.lock().await;
        if let Some(live) = slot.live.as_ref().filter(|live| live.is_live()) {
            return Ok(live.clone());
        }
        if let Some((_, error)) = slot.failed.as_ref().filter(|(until, _)| *until > Instant::now()) {
            return Err(error.clone());
        }
        match self.dial_in_time(address, LASTING_BESIDE_MAX).await {
            Ok(connected) => {
                slot.live = Some(connected.clone());
                slot.failed = None;
                slot.backoff.reset();
                Ok(connected)
            }
            Err(error) => {
                let wait = slot.backoff.next_wait();
                slot.failed = Some((Instant::now() + wait, error.clone()));
                Err(error)
            }
        }
    }

    /// A stream that is kept for long, to `address`: on a connection with room for it, or on a new one.
    pub(super) async fn lasting_stream(&self, address: &str) -> Result<Lasting, Error> {
        if let Some(lasting) = self.get(address).await?.lasting_stream().await? {
            return Ok(lasting);
        }
        let site = self.site(address);
        let mut further = site.further.lock().await;
        further.retain(Connected::is_live);
        for connected in further.iter().rev() {
            if let Some(lasting) = connected.lasting_stream().await? {
                return Ok(lasting);
            }
        }
        if further.len() == FURTHER_MAX {
            let reason = format!(
                "{FURTHER_MAX} further connections are full of streams: read fewer shards at once from one node"
            );
            return Err(Error::Unreachable { address: address.to_owned(), reason });
        }
        let connected = self.dial_in_time(address, LASTING_MAX).await?;
        let room = Arc::clone(&connected.room).try_acquire_owned().expect("nothing is on it yet");
        // The hello's own stream may not have ended yet.
        let stream = connected.open_stream().await?;
        further.push(connected.clone());
        Ok(Lasting { connected, stream, room })
    }

    async fn dial_in_time(&self, address: &str, lasting_max: usize) -> Result<Connected, Error> {
        let late = || Error::Unreachable {
            address: address.to_owned(),
            reason: format!("no answer to the hello within {CONNECT_TIMEOUT:?}"),
        };
        let dialled = timeout(CONNECT_TIMEOUT, self.dial(address, lasting_max)).await;
        dialled.unwrap_or_else(|_| Err(late()))
    }

    async fn dial(&self, address: &str, lasting_max: usize) -> Result<Connected, Error> {
        let connection =
            self.endpoint.connect(address).await.map_err(|error| not_connected(address, &error))?;
        let room = Arc::new(Semaphore::new(lasting_max));
        let mut connected = Connected {
            node: NodeId(0),
            address: address.into(),
            features: Arc::default(),
            connection,
            pulse: Arc::default(),
            room,
        };
        let hello = HelloBody {
            protocol: PROTOCOL_VERSION,
            protocol_oldest: Versions::OWN.oldest,
            cluster: self.cluster().unwrap_or_default().to_owned(),
            node: 0,
            ..HelloBody::default()
        };
        // The first request on a connection. No node is known before its answer, and nothing was asked for
        // that a lost connection could leave half done.
        let answer = connected.ask(1, RequestBody::Hello(hello)).await.map_err(|error| match error {
            Error::Disconnected { address, reason } => Error::Unreachable { address, reason },
            other => other,
        })?;
        let ResponseBody::Hello(hello) = answer else {
            return Err(connected.malformed("the hello was not answered by a hello"));
        };
        // What both speak, as the node says. One that was built before versions met says its own.
        if !Versions::OWN.contains(hello.protocol) {
            let (expected, found) = (Versions::OWN, hello.protocol);
            return Err(Error::Protocol { address: address.to_owned(), expected, found });
        }
        let expected = self.cluster.get_or_init(|| hello.cluster.clone());
        if *expected != hello.cluster {
            let (expected, found) = (expected.clone(), hello.cluster);
            return Err(Error::OtherCluster { address: address.to_owned(), expected, found });
        }
        connected.node = NodeId(hello.node);
        connected.features = hello.features.into();
        Ok(connected)
    }

    /// Closes everything.
    pub(super) async fn close(&self) {
        self.endpoint.close().await;
    }
}

impl Connected {
    fn is_live(&self) -> bool {
        !self.connection.is_closed()
    }

    /// The round trip, as measured by now.
    pub(super) fn rtt(&self) -> Duration {
        self.connection.rtt()
    }

    /// Whether the node still answers, which a stream without news does not tell. Asked over this connection, as request `id`.
    pub(super) async fn still_answers(&self, id: u64, patience: Duration) -> bool {
        let question = async {
            match self.ask(id, RequestBody::Clock(true)).await {
                Ok(_) | Err(Error::Refused(_)) => Some(()),
                Err(_) => None,
            }
        };
        self.pulse.is_felt(patience, question).await
    }

    pub(super) async fn open_stream(&self) -> Result<ClientStream, Error> {
        self.connection.open_stream().await.map_err(|error| self.lost(&error))
    }

    /// A stream that is kept for long, if there is room for one.
    async fn lasting_stream(&self) -> Result<Option<Lasting>, Error> {
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else { return Ok(None) };
        let stream = self.connection.open_stream_at_once().await.map_err(|error| self.lost(&error))?;
        Ok(stream.map(|stream| Lasting { connected: self.clone(), stream, room }))
    }

    /// One request on a stream of its own, and its answer.
    pub(super) async fn ask(&self, id: u64, body: RequestBody) -> Result<ResponseBody, Error> {
        self.ask_with(id, body, Vec::new()).await
    }

    /// The same, with bytes beside the request.
    pub(super) async fn ask_with(
        &self,
        id: u64,
        body: RequestBody,
        payload: Vec<Bytes>,
    ) -> Result<ResponseBody, Error> {
        let request = Request { id, body: Some(body) };
        self.check_known(&request)?;
        let mut stream = self.open_stream().await?;
        stream.send(&request, payload).await.map_err(|error| self.lost(&error))?;
        let (response, _) = self.received(stream.recv().await)?;
        if response.id != id {
            return Err(self.malformed(&format!("request {id} was answered with id {}", response.id)));
        }
        self.body_of(response)
    }

    /// Refuses a request that the node would take for another one, because it skips what its build does not know.
    pub(super) fn check_known(&self, request: &Request) -> Result<(), Error> {
        let lacks = |feature: &&str| !self.features.iter().any(|known| known == feature);
        let unknown = request.body.iter().flat_map(RequestBody::features).find(lacks);
        unknown.map_or(Ok(()), |feature| Err(Error::Unsupported { node: self.node, feature }))
    }

    /// What a receive brought; the end of a stream counts as a lost connection.
    pub(super) fn received(
        &self,
        received: Result<Option<(Response, Bytes)>, transport::Error>,
    ) -> Result<(Response, Bytes), Error> {
        let ended = || Error::Disconnected {
            address: self.address.to_string(),
            reason: "the node ended the stream".to_owned(),
        };
        received.map_err(|error| self.lost(&error))?.ok_or_else(ended)
    }

    /// A response's body, or the refusal it carries.
    pub(super) fn body_of(&self, response: Response) -> Result<ResponseBody, Error> {
        match response.body {
            Some(ResponseBody::Error(refusal)) => {
                Err(Error::Refused(Box::new(Refusal::of(self.node, refusal))))
            }
            Some(body) => Ok(body),
            None => Err(self.malformed("a response without a body that this client knows")),
        }
    }

    pub(super) fn malformed(&self, what: &str) -> Error {
        Error::Malformed { address: self.address.to_string(), what: what.to_owned() }
    }

    pub(super) fn lost(&self, error: &transport::Error) -> Error {
        if let transport::Error::Untrusted { .. } = error {
            return Error::Identity { reason: error.to_string() };
        }
        Error::Disconnected { address: self.address.to_string(), reason: error.to_string() }
    }
}

/// Why no connection came about. Nothing was sent yet, whatever the reason.
fn not_connected(address: &str, error: &transport::Error) -> Error {
    let reason = error.to_string();
    match error {
        transport::Error::Certificate { .. }
        | transport::Error::Untrusted { .. }
        | transport::Error::Refused {
            code: CloseCode::WrongProtocol | CloseCode::WrongCluster | CloseCode::WrongName,
            ..
        } => Error::Identity { reason },
        _ => Error::Unreachable { address: address.to_owned(), reason },
    }
}
