//! One long-lived stream to a node, carrying the appends of every shard it leads, in the order given.
//!
//! Knows nothing of what the appends are. Its end is always told, with a reason that says whether
//! anything can have been sent at all.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::client::connections::Connected;
use crate::client::core::Core;
use crate::client::error::Error;
use crate::transport::{PacketReceiver, PacketSender};
use crate::types::NodeId;
use crate::wire::{Request, Response, ResponseBody};

/// Requests put into one write, at most.
const WRITE_REQUESTS_MAX: usize = 16;

/// A request and its payload.
pub(super) type Outgoing = (Request, Vec<Bytes>);

/// What a stream tells.
pub(super) enum StreamEvent {
    Answer {
        request: u64,
        answer: Result<ResponseBody, Error>,
    },
    /// Nothing more will come of this stream. A retryable `NotApplied` error says that nothing was sent either.
    Lost {
        stream: u64,
        error: Error,
    },
}

/// The producer's end of a stream; dropping it ends the stream.
pub(super) struct NodeStream {
    pub(super) id: u64,
    requests: mpsc::Sender<Outgoing>,
    task: AbortHandle,
}

impl NodeStream {
    /// Begins to open a stream; requests may be queued at once, `queue_max` of them.
    pub(super) fn open(
        core: Arc<Core>,
        node: NodeId,
        id: u64,
        queue_max: usize,
        events: mpsc::Sender<StreamEvent>,
    ) -> Self {
        let (requests, queued) = mpsc::channel(queue_max);
        let task = tokio::spawn(async move {
            let error = run(&core, node, queued, &events).await;
            // Without a listener the producer is gone.
            let _gone = events.send(StreamEvent::Lost { stream: id, error }).await;
        });
        Self { id, requests, task: task.abort_handle() }
    }

    /// Whether a request can be queued right now.
    pub(super) fn has_room(&self) -> bool {
        !self.requests.is_closed() && self.requests.capacity() > 0
    }

    /// Queues a request. One that meets a stream that just ended is told lost with it.
    pub(super) fn send(&self, outgoing: Outgoing) {
        let _lost = self.requests.try_send(outgoing);
    }
}

impl Drop for NodeStream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    core: &Core,
    node: NodeId,
    queued: mpsc::Receiver<Outgoing>,
    events: &mpsc::Sender<StreamEvent>,
) -> Error {
    let opened = async {
        let connected = core.connected(node).await?;
        let unsent = |error| match error {
            Error::Disconnected { address, reason } => Error::Unreachable { address, reason },
            other => other,
        };
        let stream = connected.open_stream().await.map_err(unsent)?;
        Ok((connected, stream))
    };
    let (connected, stream) = match opened.await {
        Ok(opened) => opened,
        Err(error) => return error,
    };
    let (sender, receiver) = stream.split();
    tokio::select! {
        error = send(&connected, sender, queued, events) => error,
        error = receive(&connected, receiver, events) => error,
    }
}

async fn send(
    connected: &Connected,
    mut sender: PacketSender<Request>,
    mut queued: mpsc::Receiver<Outgoing>,
    events: &mpsc::Sender<StreamEvent>,
) -> Error {
    let mut requests = Vec::with_capacity(WRITE_REQUESTS_MAX);
    while queued.recv_many(&mut requests, WRITE_REQUESTS_MAX).await > 0 {
        let mut unknown = Vec::new();
        requests.retain(|(request, _)| match connected.check_known(request) {
            Ok(()) => true,
            Err(error) => {
                unknown.push(StreamEvent::Answer { request: request.id, answer: Err(error) });
                false
            }
        });
        for answer in unknown {
            if events.send(answer).await.is_err() {
                return Error::Closed;
            }
        }
        if let Err(error) = sender.send_all(std::mem::take(&mut requests)).await {
            return connected.lost(&error);
        }
    }
    Error::Closed
}

async fn receive(
    connected: &Connected,
    mut receiver: PacketReceiver<Response>,
    events: &mpsc::Sender<StreamEvent>,
) -> Error {
    loop {
        let response = match connected.received(receiver.recv().await) {
            Ok((response, _)) => response,
            Err(error) => return error,
        };
        let request = response.id;
        let answer = connected.body_of(response);
        if events.send(StreamEvent::Answer { request, answer }).await.is_err() {
            return Error::Closed;
        }
    }
}
