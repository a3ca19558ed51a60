//! The way to a lane's thread, for all others. Cheap to clone.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use super::Progress;
use super::waiters::{AppendResult, FenceResult, ReadResult, Waiters};
use crate::clock::{AgreementStatus, Moment};
use crate::codec::Compression;
use crate::lane::{AppendCommand, Event, FenceCommand, ReadCommand, ReadFrom, ReplicaStatus, Ticket};
use crate::node::metrics::Metrics;
use crate::transport::Inbox;
use crate::types::{AppendTerms, BatchId, Monotonic, NodeId, ProducerId, ShardId, Timestamp};
use crate::wire::{ClockProbe, NodeMessage};

/// Bounds of what may wait for a lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LaneLimits {
    pub(crate) events_max: usize,
    /// Bytes of waiting batches and messages.
    pub(crate) bytes_max: usize,
}

/// The lane's queue is full, or its thread has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node has more to do than it may queue; try again shortly")]
pub(crate) struct Busy;

/// What the thread is asked.
pub(super) enum Call {
    Event(Event),
    /// Statuses of these shards, or of all.
    Statuses(Option<Vec<ShardId>>, oneshot::Sender<Vec<ReplicaStatus>>),
    Clocks(oneshot::Sender<AgreementStatus>),
    Moment(oneshot::Sender<Moment>),
    Readiness(SyncSender<Ready>),
    IsDrained(SyncSender<bool>),
    Stop,
}

/// How far a start has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ready {
    /// Everything that was committed at the start is folded and done.
    pub(crate) caught_up: bool,
    /// Replicas that know no leader.
    pub(crate) leaderless: usize,
    pub(crate) failed: usize,
}

impl Ready {
    pub(crate) fn is_ready(&self) -> bool {
        self.caught_up && self.leaderless == 0 && self.failed == 0
    }
}

/// A batch for the lane; the handle adds the ticket.
pub(crate) struct Append {
    pub(crate) shard: ShardId,
    pub(crate) batch: BatchId,
    pub(crate) terms: AppendTerms,
    pub(crate) record_count: u32,
    pub(crate) compression: Compression,
    pub(crate) body_crc: u32,
    pub(crate) body: Bytes,
    pub(crate) arrived: Monotonic,
}

/// A question about a producer for the lane; the handle adds the ticket.
#[derive(Clone, Copy)]
pub(crate) struct Fence {
    pub(crate) shard: ShardId,
    pub(crate) producer: ProducerId,
    pub(crate) in_doubt: Option<(u32, u64)>,
    pub(crate) peek: bool,
    pub(crate) same_run: bool,
}

#[derive(Clone)]
pub(crate) struct LaneHandle {
    calls: SyncSender<Call>,
    shared: Arc<LaneShared>,
    progress: watch::Receiver<Progress>,
}

/// What both ends of the queue share.
pub(super) struct LaneShared {
    pub(super) waiters: Waiters,
    pub(super) metrics: Arc<Metrics>,
    queued_bytes: AtomicUsize,
    bytes_max: usize,
}

impl LaneShared {
    /// Takes room for `bytes`; what does not fit must wait, but one thing alone always fits.
    fn reserve(&self, bytes: usize) -> Result<(), Busy> {
        let before = self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before > 0 && before + bytes > self.bytes_max {
            self.release(bytes);
            return Err(Busy);
        }
        Ok(())
    }

    pub(super) fn release(&self, bytes: usize) {
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Bytes that a waiting event counts for.
pub(super) fn event_bytes(event: &Event) -> usize {
    match event {
        Event::Append(command) => command.body.len(),
        Event::Message { payload, .. } => payload.len(),
        _ => 0,
    }
}

impl LaneHandle {
    pub(super) fn new(
        limits: LaneLimits,
        metrics: Arc<Metrics>,
        progress: watch::Receiver<Progress>,
    ) -> (Self, Receiver<Call>, Arc<LaneShared>) {
        let (calls, receiver) = sync_channel(limits.events_max);
        let shared = Arc::new(LaneShared {
            waiters: Waiters::default(),
            metrics,
            queued_bytes: AtomicUsize::new(0),
            bytes_max: limits.bytes_max,
        });
        (Self { calls, shared: Arc::clone(&shared), progress }, receiver, shared)
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// The system topic's progress, and its changes.
    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Appends a batch; the answer comes later, or never if the node stops.
    pub(crate) fn append(&self, append: Append) -> Result<oneshot::Receiver<AppendResult>, Busy> {
        let (ticket, receiver) = self.shared.waiters.for_append();
        let Append { shard, batch, terms, record_count, compression, body_crc, body, arrived } = append;
        let command =
            AppendCommand { ticket, shard, batch, terms, record_count, compression, body_crc, body, arrived };
        match self.offer(Event::Append(command)) {
            Ok(()) => Ok(receiver),
            Err(busy) => {
                self.shared.waiters.withdraw(ticket);
                Err(busy)
            }
        }
    }

    /// Asks about a producer in a shard; the answer comes later, or never if the node stops.
    pub(crate) fn fence_producer(&self, fence: Fence) -> Result<oneshot::Receiver<FenceResult>, Busy> {
        let (ticket, receiver) = self.shared.waiters.for_fence();
        let Fence { shard, producer, in_doubt, peek, same_run } = fence;
        let command = FenceCommand { ticket, shard, producer, in_doubt, peek, same_run };
        match self.offer(Event::FenceProducer(command)) {
            Ok(()) => Ok(receiver),
            Err(busy) => {
                self.shared.waiters.withdraw(ticket);
                Err(busy)
            }
        }
    }

    /// Reads on in a shard; dropping the pending read cancels it.
    pub(crate) fn read(
        &self,
        shard: ShardId,
        from: ReadFrom,
        max_bytes: usize,
        closed_above: Timestamp,
    ) -> Result<PendingRead, Busy> {
        let (ticket, answer) = self.shared.waiters.for_read();
        let pending = PendingRead { ticket, answer, shared: Arc::clone(&self.shared) };
        let command = ReadCommand { ticket, shard, from, max_bytes, closed_above };
        self.offer(Event::Read(command)).map(|()| pending)
    }

    /// Hands a shard's leadership to `to`, if this node leads it.
    pub(crate) fn transfer(&self, shard: ShardId, to: NodeId) -> Result<(), Busy> {
        self.offer(Event::Transfer { shard, to })
    }

    /// Statuses of this node's replicas of `shards`, or of all.
    pub(crate) async fn statuses(&self, shards: Option<Vec<ShardId>>) -> Result<Vec<ReplicaStatus>, Busy> {
        let (answer, receiver) = oneshot::channel();
        self.calls.try_send(Call::Statuses(shards, answer)).map_err(|_| Busy)?;
        receiver.await.map_err(|_| Busy)
    }

    /// How this node's clock and the others' stand to each other.
    pub(crate) async fn clocks(&self) -> Result<AgreementStatus, Busy> {
        let (answer, receiver) = oneshot::channel();
        self.calls.try_send(Call::Clocks(answer)).map_err(|_| Busy)?;
        receiver.await.map_err(|_| Busy)
    }

    /// The time now, with what the other clocks hold against this one as its fault.
    pub(crate) async fn moment(&self) -> Result<Moment, Busy> {
        let (answer, receiver) = oneshot::channel();
        self.calls.try_send(Call::Moment(answer)).map_err(|_| Busy)?;
        receiver.await.map_err(|_| Busy)
    }

    /// How far this start has come. Waits for the answer: not for a runtime's thread.
    pub(crate) fn readiness(&self) -> Result<Ready, Busy> {
        let (answer, receiver) = sync_channel(1);
        self.calls.send(Call::Readiness(answer)).map_err(|_| Busy)?;
        receiver.recv().map_err(|_| Busy)
    }

    /// Starts handing all leaderships over. Waits for room: not for a runtime's thread.
    pub(crate) fn drain(&self) {
        self.report(Event::Drain);
    }

    /// Whether a drain is done, or the thread gone. Waits for the answer: not for a runtime's thread.
    pub(crate) fn is_drained(&self) -> bool {
        let (answer, receiver) = sync_channel(1);
        self.calls.send(Call::IsDrained(answer)).is_err() || receiver.recv().unwrap_or(true)
    }

    /// Asks the thread to end. Waits for room: not for a runtime's thread.
    pub(crate) fn stop(&self) {
        // A thread that is gone needs no telling.
        let _ = self.calls.send(Call::Stop);
    }

    /// Brings a result that must not be lost, waiting for room. Once the thread has ended, nobody needs it.
    pub(crate) fn report(&self, event: Event) {
        let _ = self.calls.send(Call::Event(event));
    }

    fn offer(&self, event: Event) -> Result<(), Busy> {
        let bytes = event_bytes(&event);
        self.shared.reserve(bytes)?;
        self.calls.try_send(Call::Event(event)).map_err(|refused| {
            let (TrySendError::Full(_) | TrySendError::Disconnected(_)) = refused;
            self.shared.release(bytes);
            Busy
        })
    }
}

impl Inbox for LaneHandle {
    fn on_message(&self, from: NodeId, message: NodeMessage, payload: Bytes) {
        if self.offer(Event::Message { from, message: Box::new(message), payload }).is_err() {
            // Whatever mattered in it is sent again.
            self.shared.metrics.messages_dropped.inc();
        }
    }

    fn on_probe(&self, from: NodeId, probe: ClockProbe) {
        // A lane too busy to take it has no time for a clock that is compared late.
        let _ = self.offer(Event::Probe { from, probe });
    }

    fn on_connected(&self, peer: NodeId) {
        // Its clock is asked anyway, a little later.
        let _ = self.offer(Event::Connected(peer));
    }
}

/// A read the lane may hold for long.
pub(crate) struct PendingRead {
    ticket: Ticket,
    answer: oneshot::Receiver<ReadResult>,
    shared: Arc<LaneShared>,
}

impl Future for PendingRead {
    /// `Err(Busy)` if the lane's thread ended.
    type Output = Result<ReadResult, Busy>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(context).map_err(|_| Busy)
    }
}

impl Drop for PendingRead {
    fn drop(&mut self) {
        self.shared.waiters.cancel_read(self.ticket);
    }
}
