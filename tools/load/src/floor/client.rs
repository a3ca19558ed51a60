//! The load's side of the floor: appends on streams of their own, and replays.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use timberline::types::StageTimes;
use tokio::time::Instant;

use super::wire::{APPEND, FrameCounter, REPLAY, SERVER_NAME, client_config, endpoint, frame};
use crate::cluster::Replayed;
use crate::drive::{Append, Progress, Window};
use crate::failure::Failure;

/// One connection to the leader. Each append in flight has a stream; streams are used again.
pub(crate) struct FloorClient {
    connection: Connection,
    endpoint: Endpoint,
    idle: Mutex<Vec<Stream>>,
}

struct Stream {
    send: SendStream,
    receive: RecvStream,
}

impl FloorClient {
    pub(crate) async fn connect(leader: SocketAddr, certificate_folder: &Path) -> Result<Arc<Self>, Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            Failure::Floor(format!("its leader at {leader} cannot be reached: {error}"))
        };
        let endpoint = endpoint(None)?;
        let config = client_config(certificate_folder)?;
        let connecting =
            endpoint.connect_with(config, leader, SERVER_NAME).map_err(|error| failed(&error))?;
        let connection = connecting.await.map_err(|error| failed(&error))?;
        Ok(Arc::new(Self { connection, endpoint, idle: Mutex::default() }))
    }

    async fn open(&self, kind: u8) -> Result<Stream, String> {
        let (mut send, receive) = self.connection.open_bi().await.map_err(|error| error.to_string())?;
        send.write_all(&[kind]).await.map_err(|error| error.to_string())?;
        Ok(Stream { send, receive })
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Stream>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads everything from the first frame on, and again, until the window ends.
    pub(crate) async fn replay(&self, window: Window, progress: Progress<'_>) -> Result<Replayed, Failure> {
        let mut replayed = Replayed::default();
        let (mut read, mut told) = (0, window.began);
        while Instant::now() < window.ends {
            let mut stream = self.open(REPLAY).await.map_err(Failure::Floor)?;
            let (mut counter, ended) = (FrameCounter::default(), |error| Failure::Floor(format!("{error}")));
            while let Some(chunk) = stream.receive.read_chunk(usize::MAX, true).await.map_err(ended)? {
                let records = counter.count(&chunk.bytes);
                let now = Instant::now();
                if now >= window.ends {
                    return Ok(replayed);
                }
                if window.measures(now) {
                    replayed.records += records;
                    replayed.bytes += chunk.bytes.len() as u64;
                }
                read += records;
                if now.duration_since(told).as_millis() > 200 {
                    progress(now.duration_since(window.began), read);
                    told = now;
                }
            }
        }
        Ok(replayed)
    }

    pub(crate) async fn close(&self) {
        self.endpoint.close(0_u32.into(), b"done");
        self.endpoint.wait_idle().await;
    }
}

impl Append for FloorClient {
    async fn append(&self, batch: Vec<Bytes>, _: i64) -> Result<Option<StageTimes>, String> {
        let idle = self.idle().pop();
        let mut stream = match idle {
            Some(stream) => stream,
            None => self.open(APPEND).await?,
        };
        stream.send.write_chunk(frame(&batch)).await.map_err(|error| error.to_string())?;
        // One frame a stream under way: its answer is the next one.
        let mut held = [0; 8];
        stream.receive.read_exact(&mut held).await.map_err(|error| error.to_string())?;
        self.idle().push(stream);
        Ok(None)
    }
}
