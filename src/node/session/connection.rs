//! Client connections: accepted, greeted in time, each with its streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::stream;
use crate::node::shared::NodeShared;
use crate::transport::{ClientConnection, ClientListener, CloseCode};
use crate::wire::PacketLimits;

/// How long a connection may go without a hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// What the streams of one connection share.
pub(super) struct Session {
    pub(super) host: Arc<NodeShared>,
    pub(super) request_limits: PacketLimits,
    /// One permit a read that is held.
    pub(super) reads: Arc<Semaphore>,
    greeted: AtomicBool,
}

impl Session {
    fn new(connection: &ClientConnection, host: Arc<NodeShared>) -> Self {
        let reads = Arc::new(Semaphore::new(host.limits.reads_per_connection));
        let request_limits = connection.request_limits();
        Self { host, request_limits, reads, greeted: AtomicBool::new(false) }
    }

    pub(super) fn greet(&self) {
        self.greeted.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_greeted(&self) -> bool {
        self.greeted.load(Ordering::Relaxed)
    }
}

/// Serves client connections until the endpoint closes.
pub(crate) async fn serve(mut listener: ClientListener, host: Arc<NodeShared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Some(connection) => {
                    connections.spawn(serve_connection(connection, Arc::clone(&host)));
                }
                None => break,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve_connection(connection: ClientConnection, host: Arc<NodeShared>) {
    let session = Arc::new(Session::new(&connection, host));
    let mut streams = JoinSet::new();
    let hello_due = tokio::time::sleep(HELLO_TIMEOUT);
    tokio::pin!(hello_due);
    let mut watched = true;
    loop {
        tokio::select! {
            accepted = connection.accept_stream() => match accepted {
                Ok(accepted) => {
                    streams.spawn(stream::serve(accepted, Arc::clone(&session)));
                }
                Err(ended) => {
                    tracing::debug!(client = %connection.remote(), %ended, "client gone");
                    break;
                }
            },
            Some(_) = streams.join_next() => {}
            () = &mut hello_due, if watched => {
                watched = false;
                if !session.is_greeted() {
                    connection.close(CloseCode::HelloTimeout, "no hello in time");
                    break;
                }
            }
        }
    }
}
