//! One node of the floor: takes frames on streams, writes and forwards them, and answers when a majority holds them.
//!
//! A follower is a node without followers: the leader's one stream to it is to it like any other. Queues are bounded; a
//! full one holds back the stream that feeds it.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::mpsc;

use super::log::{LogFile, QUEUE_FRAMES, write};
use super::quorum::Quorum;
use super::wire::{APPEND, REPLAY, SERVER_NAME, client_config, endpoint, read_frame, server_config};
use crate::failure::Failure;

/// Frames joined into one send to a follower.
const SEND_FRAMES: usize = 256;
const REPLAY_PIECE_BYTES: u64 = 256 << 10;

/// What a node is started with.
#[derive(Clone, Debug)]
pub(crate) struct NodeOptions {
    pub(crate) folder: PathBuf,
    /// Where the certificate is.
    pub(crate) certificate_folder: PathBuf,
    pub(crate) followers: Vec<SocketAddr>,
    pub(crate) file_bytes: u64,
}

struct Node {
    log: Arc<LogFile>,
    quorum: Arc<Quorum>,
    /// The log's queue first, then each follower's. Frames enter all of them in one order.
    queues: Vec<mpsc::Sender<Bytes>>,
    numbered: Mutex<u64>,
    frame_bytes_max: usize,
}

/// Runs a node until its standard input ends, which it does with the process that started it. Prints `ready ADDRESS` first.
pub(crate) fn run_node(options: &NodeOptions) -> Result<(), Failure> {
    let path = options.folder.join("log");
    let log = LogFile::create(&path, options.file_bytes).map_err(|source| Failure::Write { path, source })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Failure::Machine { what: "start the runtime", source })?;
    runtime.block_on(async {
        let stopped = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        tokio::select! {
            served = serve(options, Arc::new(log)) => served,
            _ = stopped => Ok(()),
        }
    })
}

async fn serve(options: &NodeOptions, log: Arc<LogFile>) -> Result<(), Failure> {
    let endpoint = endpoint(Some(server_config(&options.certificate_folder)?))?;
    let quorum = Arc::new(Quorum::new(1 + options.followers.len()));
    let (to_log, queue) = mpsc::channel(QUEUE_FRAMES);
    let mut queues = vec![to_log];
    let writer = {
        let (log, quorum) = (Arc::clone(&log), Arc::clone(&quorum));
        tokio::task::spawn_blocking(move || write(&log, &quorum, queue))
    };
    for (place, address) in (1..).zip(&options.followers) {
        queues.push(forward(options, *address, place, &quorum).await?);
    }
    let frame_bytes_max = usize::try_from(options.file_bytes).unwrap_or(usize::MAX).min(u32::MAX as usize);
    let node = Arc::new(Node { log, quorum, queues, numbered: Mutex::new(0), frame_bytes_max });
    let address =
        endpoint.local_addr().map_err(|source| Failure::Machine { what: "tell the own address", source })?;
    let mut out = std::io::stdout();
    writeln!(out, "ready {address}").and_then(|()| out.flush()).map_err(Failure::Output)?;
    let accepting = async {
        while let Some(incoming) = endpoint.accept().await {
            let node = Arc::clone(&node);
            tokio::spawn(async move {
                // A connection that fails was the client's to notice.
                if let Ok(connection) = incoming.await {
                    take_streams(&node, &connection).await;
                }
            });
        }
    };
    tokio::select! {
        () = accepting => Ok(()),
        written = writer => {
            let written = written.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
            written.map_err(|source| Failure::Write { path: options.folder.join("log"), source })
        }
    }
}

/// Connects to a follower; what enters the queue goes there, and what it holds goes into the quorum.
async fn forward(
    options: &NodeOptions,
    address: SocketAddr,
    place: usize,
    quorum: &Arc<Quorum>,
) -> Result<mpsc::Sender<Bytes>, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::Floor(format!("the follower at {address} cannot be reached: {error}"))
    };
    let endpoint = endpoint(None)?;
    let config = client_config(&options.certificate_folder)?;
    let connecting = endpoint.connect_with(config, address, SERVER_NAME).map_err(|error| failed(&error))?;
    let connection = connecting.await.map_err(|error| failed(&error))?;
    let (mut send, mut receive) = connection.open_bi().await.map_err(|error| failed(&error))?;
    send.write_all(&[APPEND]).await.map_err(|error| failed(&error))?;
    let (queue, mut frames) = mpsc::channel(QUEUE_FRAMES);
    tokio::spawn(async move {
        let mut joined = Vec::with_capacity(SEND_FRAMES);
        while frames.recv_many(&mut joined, SEND_FRAMES).await > 0 {
            if send.write_all_chunks(&mut joined).await.is_err() {
                return;
            }
            joined.clear();
        }
    });
    let quorum = Arc::clone(quorum);
    tokio::spawn(async move {
        let (_connection, mut held) = (connection, [0; 8]);
        while receive.read_exact(&mut held).await.is_ok() {
            quorum.advance(place, u64::from_le_bytes(held));
        }
    });
    Ok(queue)
}

async fn take_streams(node: &Arc<Node>, connection: &Connection) {
    while let Ok((send, mut receive)) = connection.accept_bi().await {
        let node = Arc::clone(node);
        tokio::spawn(async move {
            let mut kind = [0];
            match receive.read_exact(&mut kind).await {
                Ok(()) if kind[0] == APPEND => node.take_appends(send, receive).await,
                Ok(()) if kind[0] == REPLAY => node.replay(send).await,
                _ => {}
            }
        });
    }
}

impl Node {
    /// Puts a frame into every queue; its number.
    async fn number(&self, frame: Bytes) -> Option<u64> {
        let mut places = Vec::with_capacity(self.queues.len());
        for queue in &self.queues {
            places.push(queue.reserve().await.ok()?);
        }
        let mut numbered = self.numbered.lock().unwrap_or_else(PoisonError::into_inner);
        *numbered += 1;
        for place in places {
            place.send(frame.clone());
        }
        Some(*numbered)
    }

    async fn take_appends(self: Arc<Self>, send: SendStream, mut receive: RecvStream) {
        let (numbers, to_answer) = mpsc::channel(QUEUE_FRAMES);
        tokio::spawn(answer(Arc::clone(&self.quorum), send, to_answer));
        while let Some(frame) = read_frame(&mut receive, self.frame_bytes_max).await {
            let Some(number) = self.number(frame).await else { return };
            if numbers.send(number).await.is_err() {
                return;
            }
        }
    }

    async fn replay(&self, mut send: SendStream) {
        let end = self.log.written();
        let mut at = 0;
        while at < end {
            let mut piece = vec![0; (end - at).min(REPLAY_PIECE_BYTES) as usize];
            // In the page cache, where the writer has just put it.
            if self.log.read_at(&mut piece, at).is_err() {
                return;
            }
            at += piece.len() as u64;
            if send.write_chunk(Bytes::from(piece)).await.is_err() {
                return;
            }
        }
        // The client has all it asked for, or is gone.
        let _ = send.finish();
    }
}

/// Tells how many frames of one stream a majority holds, whenever that are more.
async fn answer(quorum: Arc<Quorum>, mut send: SendStream, mut numbers: mpsc::Receiver<u64>) {
    let (mut answered, mut next) = (0_u64, None);
    loop {
        let number = match next.take() {
            Some(number) => number,
            None => match numbers.recv().await {
                Some(number) => number,
                None => return,
            },
        };
        let held = quorum.reached(number).await;
        answered += 1;
        while let Ok(number) = numbers.try_recv() {
            if number > held {
                next = Some(number);
                break;
            }
            answered += 1;
        }
        if send.write_all(&answered.to_le_bytes()).await.is_err() {
            return;
        }
    }
}
