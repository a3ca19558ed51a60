//! One connection per address, shared by all who ask for it, remade with backoff when it is lost.
//!
//! Knows nothing of topics or shards. Invariants: at most one connect per address is under way, and after
//! a failed one nobody dials again before its jittered wait is over; every connection said `Hello` and
//! belongs to the same cluster.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout};

use super::backoff::Backoff;
use super::error::{Error, Refusal};
use crate::transport::{self, ClientEndpoint, ClientStream, CloseCode, ServerConnection};
use crate::types::NodeId;
use crate::wire::{HelloBody, PROTOCOL_VERSION, Request, RequestBody, Response, ResponseBody};

/// From dialling to the answered hello.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The connections of one client.
pub(super) struct Connections {
    endpoint: ClientEndpoint,
    cluster: OnceLock<String>,
    slots: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Slot>>>>,
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
    connection: ServerConnection,
}

impl Connections {
    pub(super) fn new(endpoint: ClientEndpoint) -> Self {
        Self { endpoint, cluster: OnceLock::new(), slots: Mutex::new(HashMap::new()) }
    }

    /// The cluster's name, once any node said hello.
    pub(super) fn cluster(&self) -> Option<&str> {
        self.cluster.get().map(String::as_str)
    }

    fn slot(&self, address: &str) -> Arc<tokio::sync::Mutex<Slot>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.entry(address.to_owned()).or_insert_with(|| {
            let backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
            Arc::new(tokio::sync::Mutex::new(Slot { live: None, backoff, failed: None }))
        });
        Arc::clone(slot)
    }

    /// Whether a connection to `address` stands right now.
    pub(super) fn is_live(&self, address: &str) -> bool {
        self.slot(address).try_lock().is_ok_and(|slot| slot.live.as_ref().is_some_and(Connected::is_live))
    }

    /// The measured round trip to `address`, if a connection stands.
    pub(super) fn rtt(&self, address: &str) -> Option<Duration> {
        let slot = self.slot(address);
        let slot = slot.try_lock().ok()?;
        slot.live.as_ref().filter(|live| live.is_live()).map(Connected::rtt)
    }

    /// The connection to `address`: the one that stands, or a new one. While a failed connect's wait lasts, its error.
    pub(super) async fn get(&self, address: &str) -> Result<Connected, Error> {
        let slot = self.slot(address);
        let mut slot = slot.lock().await;
        if let Some(live) = slot.live.as_ref().filter(|live| live.is_live()) {
            return Ok(live.clone());
        }
        if let Some((_, error)) = slot.failed.as_ref().filter(|(until, _)| *until > Instant::now()) {
            return Err(error.clone());
        }
        let late = || Error::Unreachable {
            address: address.to_owned(),
            reason: format!("no answer to the hello within {CONNECT_TIMEOUT:?}"),
        };
        match timeout(CONNECT_TIMEOUT, self.dial(address)).await.unwrap_or_else(|_| Err(late())) {
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

    async fn dial(&self, address: &str) -> Result<Connected, Error> {
        let connection =
            self.endpoint.connect(address).await.map_err(|error| not_connected(address, &error))?;
        let mut connected = Connected { node: NodeId(0), address: address.into(), connection };
        let hello = HelloBody {
            protocol: PROTOCOL_VERSION,
            cluster: self.cluster().unwrap_or_default().to_owned(),
            node: 0,
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
        if hello.protocol != PROTOCOL_VERSION {
            let (expected, found) = (PROTOCOL_VERSION, hello.protocol);
            return Err(Error::Protocol { address: address.to_owned(), expected, found });
        }
        let expected = self.cluster.get_or_init(|| hello.cluster.clone());
        if *expected != hello.cluster {
            let (expected, found) = (expected.clone(), hello.cluster);
            return Err(Error::OtherCluster { address: address.to_owned(), expected, found });
        }
        connected.node = NodeId(hello.node);
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

    pub(super) async fn open_stream(&self) -> Result<ClientStream, Error> {
        self.connection.open_stream().await.map_err(|error| self.lost(&error))
    }

    /// One request on a stream of its own, and its answer.
    pub(super) async fn ask(&self, id: u64, body: RequestBody) -> Result<ResponseBody, Error> {
        let mut stream = self.open_stream().await?;
        let request = Request { id, body: Some(body) };
        stream.send(&request, Vec::new()).await.map_err(|error| self.lost(&error))?;
        let (response, _) = self.received(stream.recv().await)?;
        if response.id != id {
            return Err(self.malformed(&format!("request {id} was answered with id {}", response.id)));
        }
        self.body_of(response)
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
            Some(ResponseBody::Error(refusal)) => Err(Error::Refused(Refusal::of(self.node, refusal))),
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
