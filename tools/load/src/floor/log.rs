//! A floor node's file: written ahead in zeros, filled round and round, one sync for all that waits.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use super::quorum::Quorum;

/// Frames waiting to be written; who has one more waits.
pub(super) const QUEUE_FRAMES: usize = 1024;
/// Bytes written between two syncs, at most one frame more.
const ROUND_BYTES: usize = 4 << 20;
const ZEROED_AT_A_TIME: usize = 1 << 20;

/// The file and how much of it is written.
pub(super) struct LogFile {
    file: File,
    bytes: u64,
    /// Where the next frame goes. Behind it, after a full round, older frames stand.
    written: AtomicU64,
}

impl LogFile {
    /// Makes the file, in zeros that are on disk: a write then changes no metadata.
    pub(super) fn create(path: &Path, bytes: u64) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        let zeros = vec![0; ZEROED_AT_A_TIME];
        let mut at = 0;
        while at < bytes {
            let piece = zeros.len().min((bytes - at) as usize);
            file.write_all_at(&zeros[..piece], at)?;
            at += piece as u64;
        }
        file.sync_all()?;
        Ok(Self { file, bytes, written: AtomicU64::new(0) })
    }

    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    pub(super) fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, at)
    }

    fn append(&self, frames: &[u8]) -> io::Result<()> {
        let at = match self.written() {
            at if at + frames.len() as u64 <= self.bytes => at,
            _ => 0,
        };
        self.file.write_all_at(frames, at)?;
        self.file.sync_data()?;
        self.written.store(at + frames.len() as u64, Ordering::Release);
        Ok(())
    }
}

/// Writes and syncs what comes, as node 0 of the quorum, until the queue is closed.
pub(super) fn write(log: &Arc<LogFile>, quorum: &Quorum, mut queue: mpsc::Receiver<Bytes>) -> io::Result<()> {
    let mut frames = 0;
    while let Some(first) = queue.blocking_recv() {
        frames += 1;
        let mut round = BytesMut::from(first);
        while round.len() < ROUND_BYTES
            && let Ok(next) = queue.try_recv()
        {
            round.extend_from_slice(&next);
            frames += 1;
        }
        log.append(&round)?;
        quorum.advance(0, frames);
    }
    Ok(())
}
