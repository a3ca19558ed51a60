//! The threads that wait for the disk so that the lane does not: a pool that syncs, one that makes, removes, proves and
//! repairs files.
//!
//! Each sync takes every request that waits and syncs their files as one set, each file once: the slower
//! the disk, the larger the sets. Invariant: every request is answered exactly once, unless the node stops.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::thread::JoinHandle;

use super::lane_thread::LaneHandle;
use super::work_queue::WorkQueue;
use crate::disk::{self, Disk, DiskFile};
use crate::lane::{Event, PrepareRequest, RemoveRequest, SyncRequest, TaskRequest};

/// Queues to the disk's threads.
pub(crate) struct DiskThreads {
    syncs: Arc<WorkQueue<SyncRequest>>,
    files: Arc<WorkQueue<FileRequest>>,
}

/// Work on files.
pub(crate) enum FileRequest {
    Prepare(PrepareRequest),
    Remove(RemoveRequest),
    Task(TaskRequest),
}

impl DiskThreads {
    /// Queues without threads, for a driver that calls [`Self::work_off`].
    pub(crate) fn unattended() -> Self {
        Self { syncs: Arc::new(WorkQueue::new()), files: Arc::new(WorkQueue::new()) }
    }

    /// Does on the calling thread what waits.
    pub(crate) fn work_off(&self, disk: &dyn Disk, lane: &LaneHandle) {
        sync(self.syncs.take_waiting(), disk, lane);
        care(self.files.take_waiting(), disk, lane);
    }

    /// Starts `sync_threads` threads that sync and one for files; they end after `close`.
    pub(crate) fn start(
        disk: &Arc<dyn Disk>,
        lane: &LaneHandle,
        sync_threads: usize,
    ) -> std::io::Result<(Arc<Self>, Vec<JoinHandle<()>>)> {
        let threads = Arc::new(Self::unattended());
        let mut joins = Vec::with_capacity(sync_threads + 1);
        for _ in 0..sync_threads {
            let (queue, disk, lane) = (Arc::clone(&threads.syncs), Arc::clone(disk), lane.clone());
            joins.push(spawn("sync", move || run_syncs(&queue, disk.as_ref(), &lane))?);
        }
        let (queue, disk, lane) = (Arc::clone(&threads.files), Arc::clone(disk), lane.clone());
        joins.push(spawn("files", move || run_files(&queue, disk.as_ref(), &lane))?);
        Ok((threads, joins))
    }

    pub(crate) fn sync(&self, requests: Vec<SyncRequest>) {
        if !requests.is_empty() {
            self.syncs.push_all(requests);
        }
    }

    pub(crate) fn prepare(&self, requests: Vec<PrepareRequest>) {
        if !requests.is_empty() {
            self.files.push_all(requests.into_iter().map(FileRequest::Prepare));
        }
    }

    pub(crate) fn remove(&self, requests: Vec<RemoveRequest>) {
        if !requests.is_empty() {
            self.files.push_all(requests.into_iter().map(FileRequest::Remove));
        }
    }

    pub(crate) fn run(&self, requests: Vec<TaskRequest>) {
        if !requests.is_empty() {
            self.files.push_all(requests.into_iter().map(FileRequest::Task));
        }
    }

    pub(crate) fn close(&self) {
        self.syncs.close();
        self.files.close();
    }
}

pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(format!("timberline-{name}")).spawn(work)
}

fn run_syncs(queue: &WorkQueue<SyncRequest>, disk: &dyn Disk, lane: &LaneHandle) {
    while let Some(requests) = queue.take_all() {
        sync(requests, disk, lane);
    }
}

fn sync(requests: VecDeque<SyncRequest>, disk: &dyn Disk, lane: &LaneHandle) {
    let (files, places) = merge(requests.iter().flat_map(|request| &request.files));
    lane.metrics().syncs.inc_by(files.len() as u64);
    let results = disk.sync(&files);
    let mut results: Vec<Option<Result<(), disk::Error>>> = results.into_iter().map(Some).collect();
    for request in requests {
        let answers = request.files.iter().map(|file| answer(&mut results[places[&identity(file)]], file));
        let (token, results) = (request.token, answers.collect());
        lane.report(Event::Synced { token, results });
    }
}

/// Which open file it is. Not its path: a repair puts another file there.
fn identity(file: &Arc<dyn DiskFile>) -> usize {
    Arc::as_ptr(file).cast::<()>() as usize
}

/// The distinct files, and where in their order each stands.
fn merge<'a>(
    files: impl Iterator<Item = &'a Arc<dyn DiskFile>>,
) -> (Vec<Arc<dyn DiskFile>>, HashMap<usize, usize>) {
    let (mut distinct, mut places) = (Vec::new(), HashMap::new());
    for file in files {
        places.entry(identity(file)).or_insert_with(|| {
            distinct.push(Arc::clone(file));
            distinct.len() - 1
        });
    }
    (distinct, places)
}

/// A file's result for one of those who asked. Success is for all; the error itself goes to the first, and
/// the others hear that the file is poisoned.
fn answer(result: &mut Option<Result<(), disk::Error>>, file: &Arc<dyn DiskFile>) -> Result<(), disk::Error> {
    match result {
        Some(Ok(())) => Ok(()),
        Some(Err(_)) => result.take().expect("it is there"),
        None => Err(disk::Error::Poisoned { path: file.path().to_owned() }),
    }
}

fn run_files(queue: &WorkQueue<FileRequest>, disk: &dyn Disk, lane: &LaneHandle) {
    while let Some(requests) = queue.take_all() {
        care(requests, disk, lane);
    }
}

fn care(requests: VecDeque<FileRequest>, disk: &dyn Disk, lane: &LaneHandle) {
    for request in requests {
        lane.report(match request {
            FileRequest::Prepare(PrepareRequest { token, path, size_bytes }) => {
                Event::Prepared { token, result: disk.create(&path, size_bytes) }
            }
            FileRequest::Remove(RemoveRequest { token, path }) => {
                Event::Removed { token, result: disk.remove(&path) }
            }
            FileRequest::Task(TaskRequest { token, task }) => {
                Event::TaskDone { token, result: task.run(disk) }
            }
        });
    }
}
