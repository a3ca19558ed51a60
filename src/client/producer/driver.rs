//! The task behind a producer: moves batches from `gather` through their windows to the leaders' streams,
//! and answers back to who waits.
//!
//! All decisions of what to send and what a failure means are the window's; here are the queues, the
//! streams and the timers. Every queue is bounded: batches by the producer's memory, requests by the
//! windows, events by their channel.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::gather::Waiter;
use super::outcome::{AppendFailure, BatchReport};
use super::producing::{Flush, Shared};
use super::routes::Route;
use super::stream::{NodeStream, StreamEvent};
use super::window::{Attempt, Failed, Sending, Window};
use super::{OnReport, ProducerOptions};
use crate::client::Outcome;
use crate::client::core::Core;
use crate::client::error::Error;
use crate::client::topic::Topic;
use crate::types::{
    Durability, NodeId, Offset, ProducerId, Receipt, SHARD_IN_FLIGHT_MAX, ShardId, StageTimes,
};
use crate::types::{Term, Timestamp, TopicName};
use crate::wire::{AppendBody, ErrorCode, Request, RequestBody, ResponseBody};

const EVENTS_MAX: usize = 256;

struct Lane {
    window: Window<Waiter>,
    route: Route,
}

/// A request without an answer yet.
struct Pending {
    shard: ShardId,
    attempt: Attempt,
    stream: u64,
}

pub(super) struct Driver {
    core: Arc<Core>,
    name: TopicName,
    producer: ProducerId,
    options: ProducerOptions,
    shared: Arc<Shared>,
    topic: Arc<Topic>,
    lanes: HashMap<ShardId, Lane>,
    streams: HashMap<NodeId, NodeStream>,
    pending: HashMap<u64, Pending>,
    streams_opened: u64,
    events: (mpsc::Sender<StreamEvent>, mpsc::Receiver<StreamEvent>),
    /// A description of the topic under way.
    refreshing: Option<tokio::task::JoinHandle<Result<Arc<Topic>, Error>>>,
}

impl Driver {
    pub(super) fn new(
        core: Arc<Core>,
        name: TopicName,
        producer: ProducerId,
        options: ProducerOptions,
        shared: Arc<Shared>,
    ) -> Self {
        let topic = Arc::clone(&shared.lock().topic);
        Self {
            core,
            name,
            producer,
            options,
            shared,
            topic,
            lanes: HashMap::new(),
            streams: HashMap::new(),
            pending: HashMap::new(),
            streams_opened: 0,
            events: mpsc::channel(EVENTS_MAX),
            refreshing: None,
        }
    }

    /// Runs until the producer is dropped.
    pub(super) async fn run(mut self, mut flushes: mpsc::Receiver<Flush>) {
        let shared = Arc::clone(&self.shared);
        loop {
            let now = Instant::now();
            self.collect(now);
            self.end_overdue(now);
            self.send(now);
            let wake_at = self.wake_at();
            tokio::select! {
                () = shared.wake.notified() => {}
                Some(event) = self.events.1.recv() => {
                    self.on_event(event);
                    while let Ok(event) = self.events.1.try_recv() {
                        self.on_event(event);
                    }
                }
                refreshed = refreshed(&mut self.refreshing) => self.on_refreshed(refreshed),
                flush = flushes.recv() => match flush {
                    Some(flush) => self.flush(flush),
                    None => return,
                },
                () = sleep_until_some(wake_at) => {}
            }
        }
    }

    /// Moves closed batches into their windows.
    fn collect(&mut self, now: Instant) {
        let mut state = self.shared.lock();
        let mut closed = std::mem::take(&mut state.closed);
        let lanes = &self.lanes;
        let can_send = |shard| lanes.get(&shard).is_none_or(|lane| lane.window.has_room());
        state.gather.close_due(now, can_send, &mut closed);
        let stopped = state.stopped.clone().filter(|error| !matches!(error, Error::Closed));
        drop(state);
        for (shard, mut ready) in closed {
            if let Some(error) = &stopped {
                let (outcome, error) = (Outcome::NotApplied, error.clone());
                self.fail(shard, Failed { waiter: ready.waiter, outcome, error });
            } else {
                ready.batch = ready.batch.compressed(self.options.compression);
                self.lane(shard, now).window.push(ready);
            }
        }
    }

    fn lane(&mut self, shard: ShardId, now: Instant) -> &mut Lane {
        let ProducerOptions { epoch, in_flight, attempt_timeout, .. } = self.options;
        self.lanes.entry(shard).or_insert_with(|| Lane {
            window: Window::new(epoch, in_flight),
            route: Route::new(attempt_timeout, now),
        })
    }

    fn flush(&mut self, flush: Flush) {
        let now = Instant::now();
        {
            let mut state = self.shared.lock();
            let mut closed = std::mem::take(&mut state.closed);
            state.gather.close_all(&mut closed);
            state.closed = closed;
        }
        self.collect(now);
        let waiters = self.lanes.values().flat_map(|lane| lane.window.waiters());
        // Nobody waits for the flush any more: no matter, its batches are sent all the same.
        let _gone = flush.send(waiters.map(|waiter| waiter.report.subscribe()).collect());
    }

    /// Ends batches past their deadline, and attempts whose answer is late.
    fn end_overdue(&mut self, now: Instant) {
        let (name, after) = (self.name.clone(), self.options.timeout);
        let mut failed = Vec::new();
        let mut late = Vec::new();
        for (shard, lane) in &mut self.lanes {
            if lane.window.awaits_answer() && lane.route.late_at() <= now {
                lane.route.was_late(now);
                late.push(*shard);
            }
            let timeout = |last: Option<Error>| Error::Timeout {
                what: format!("a batch for shard {shard} of topic {name}"),
                after,
                last: last.map(Box::new),
            };
            failed.extend(lane.window.expire(now, timeout).into_iter().map(|failed| (*shard, failed)));
        }
        for shard in late {
            let what = format!("an append to shard {shard} of topic {}", self.name);
            let error = Error::Timeout { what, after: self.options.attempt_timeout, last: None };
            self.lose(|pending| pending.shard == shard, &error);
        }
        for (shard, lane) in &mut self.lanes {
            failed.extend(lane.window.drained().into_iter().map(|failed| (*shard, failed)));
        }
        for (shard, failed) in failed {
            self.fail(shard, failed);
        }
    }

    /// Gives up the answers of the requests that `which` names.
    fn lose(&mut self, which: impl Fn(&Pending) -> bool, error: &Error) {
        let mut lost: Vec<(u64, Pending)> = self.pending.extract_if(|_, pending| which(pending)).collect();
        lost.sort_unstable_by_key(|(request, _)| *request);
        for (_, pending) in lost {
            self.on_refusal(&pending, error.clone());
        }
    }

    fn send(&mut self, now: Instant) {
        let wanting =
            self.lanes.iter().filter(|(_, lane)| lane.window.wants_to_send() && !lane.route.is_paused(now));
        for shard in wanting.map(|(shard, _)| *shard).collect::<Vec<_>>() {
            let Some(node) = self.stream_of(shard, now) else { continue };
            let Some(lane) = self.lanes.get_mut(&shard) else { continue };
            let stream = &self.streams[&node];
            while stream.has_room() {
                let awaited = lane.window.awaits_answer();
                let Some(sending) = lane.window.next_sending() else { break };
                if !awaited {
                    lane.route.progressed(now);
                }
                let id = self.core.request_id();
                self.pending.insert(id, Pending { shard, attempt: sending.attempt, stream: stream.id });
                let body = sending.batch.body.clone();
                stream.send((Request { id, body: Some(append(shard, self.producer, &sending)) }, vec![body]));
            }
        }
    }

    /// The node over whose stream this shard's round goes. `None` while no leader is known.
    fn stream_of(&mut self, shard: ShardId, now: Instant) -> Option<NodeId> {
        let topic = &self.topic;
        let lane = self.lanes.get_mut(&shard)?;
        let in_round =
            lane.route.stream.filter(|(node, id)| self.streams.get(node).is_some_and(|s| s.id == *id));
        if let Some((node, _)) = in_round {
            return Some(node);
        }
        let info = topic.shard(shard);
        let replicas: Vec<NodeId> =
            info.iter().flat_map(|info| &info.replicas).map(|replica| replica.node).collect();
        let Some(node) = lane.route.choose(info.and_then(|info| info.leader), &replicas, now) else {
            lane.route.pause(now);
            self.refresh();
            return None;
        };
        let id = match self.streams.get(&node) {
            Some(stream) => stream.id,
            None => self.open_stream(node),
        };
        self.lanes.get_mut(&shard)?.route.stream = Some((node, id));
        Some(node)
    }

    fn open_stream(&mut self, node: NodeId) -> u64 {
        self.streams_opened += 1;
        let queue_max = self.topic.shards.len() * SHARD_IN_FLIGHT_MAX;
        let (core, events) = (Arc::clone(&self.core), self.events.0.clone());
        let stream = NodeStream::open(core, node, self.streams_opened, queue_max, events);
        self.streams.insert(node, stream);
        self.streams_opened
    }

    fn on_event(&mut self, event: StreamEvent) {
        match event {
            StreamEvent::Answer { request, answer } => {
                // An answer that came too late: its batch was sent again, and will be answered again.
                let Some(pending) = self.pending.remove(&request) else { return };
                let receipt = answer.and_then(|body| receipt_of(pending.shard, &body));
                match receipt {
                    Ok(receipt) => self.on_receipt(&pending, receipt),
                    Err(error) => self.on_refusal(&pending, error),
                }
            }
            StreamEvent::Lost { stream, error } => {
                self.streams.retain(|_, open| open.id != stream);
                let now = Instant::now();
                let over = |lane: &&mut Lane| lane.route.stream.is_some_and(|(_, id)| id == stream);
                self.lanes.values_mut().filter(over).for_each(|lane| lane.route.suspect_stream(now));
                self.lose(|pending| pending.stream == stream, &error);
                self.refresh();
            }
        }
    }

    fn on_receipt(&mut self, pending: &Pending, receipt: Receipt) {
        let Some(lane) = self.lanes.get_mut(&pending.shard) else { return };
        lane.route.succeeded(Instant::now());
        if let Some(waiter) = lane.window.on_receipt(pending.attempt) {
            self.core.session.saw(receipt.last_timestamp());
            self.end(pending.shard, &waiter, Ok(receipt));
        }
    }

    fn on_refusal(&mut self, pending: &Pending, error: Error) {
        let now = Instant::now();
        let Some(lane) = self.lanes.get_mut(&pending.shard) else { return };
        lane.route.progressed(now);
        let (attempt, code) = (pending.attempt, error.code());
        let again = match &error {
            Error::Refused(refusal) if refusal.code == ErrorCode::SequenceGap => {
                let expected = refusal.expected_sequence;
                lane.window.on_gap(attempt, expected, error)
            }
            _ if asks_for_another_attempt(&error) => {
                if let Error::Refused(refusal) = &error {
                    lane.route.hint = refusal.leader.filter(|leader| *leader != refusal.node);
                }
                lane.window.on_refused(attempt, error)
            }
            _ if code == Some(ErrorCode::ProducerFenced) => {
                if lane.window.is_current(attempt) {
                    lane.window.on_refused(attempt, error.clone());
                    self.stop(&error);
                }
                return;
            }
            _ => {
                let failed = lane.window.on_rejected(attempt, error);
                return failed.map_or((), |failed| self.fail(pending.shard, failed));
            }
        };
        if again {
            lane.route.pause(now);
            if code != Some(ErrorCode::Busy) && lane.route.hint.is_none() {
                self.refresh();
            }
        }
    }

    /// Asks for the topic's leaders, unless that is under way.
    fn refresh(&mut self) {
        if self.refreshing.is_none() {
            let (core, name, seen) = (Arc::clone(&self.core), self.name.clone(), Arc::clone(&self.topic));
            self.refreshing = Some(tokio::spawn(async move { core.refresh(&name, Some(&seen)).await }));
        }
    }

    fn on_refreshed(&mut self, refreshed: Result<Arc<Topic>, Error>) {
        match refreshed {
            Ok(topic) => {
                self.topic = topic;
                self.shared.lock().topic = Arc::clone(&self.topic);
            }
            Err(error) if error.code() == Some(ErrorCode::UnknownTopic) => self.stop(&error),
            // Batches are tried until their deadline, and each attempt that fails asks again.
            Err(_) => {}
        }
    }

    /// Nothing more can be written: ends every batch and refuses further records.
    fn stop(&mut self, error: &Error) {
        self.shared.lock().stopped = Some(error.clone());
        let mut failed = Vec::new();
        for (shard, lane) in &mut self.lanes {
            failed.extend(lane.window.fail_all(error).into_iter().map(|failed| (*shard, failed)));
        }
        for (shard, failed) in failed {
            self.fail(shard, failed);
        }
        let mut state = self.shared.lock();
        let mut closed = std::mem::take(&mut state.closed);
        state.gather.close_all(&mut closed);
        state.closed = closed;
    }

    fn fail(&self, shard: ShardId, failed: Failed<Waiter>) {
        let Failed { waiter, outcome, error } = failed;
        let retryable = error.is_retryable();
        self.end(shard, &waiter, Err(AppendFailure { error, outcome, retryable }));
    }

    fn end(&self, shard: ShardId, waiter: &Waiter, result: Result<Receipt, AppendFailure>) {
        self.shared.memory.add_permits(waiter.memory_bytes);
        let report = BatchReport { shard, record_count: waiter.record_count, result };
        if let Some(OnReport(on_report)) = &self.options.on_report {
            on_report(&report);
        }
        waiter.report.send_replace(Some(report));
    }

    fn is_full(&self, stream: Option<(NodeId, u64)>) -> bool {
        let open = stream.and_then(|(node, id)| self.streams.get(&node).filter(|stream| stream.id == id));
        open.is_some_and(|stream| !stream.has_room())
    }

    fn wake_at(&self) -> Option<Instant> {
        let room = |shard: ShardId| self.lanes.get(&shard).is_none_or(|lane| lane.window.has_room());
        let gather = self.shared.lock().gather.wake_at(room);
        let lanes = self.lanes.values().flat_map(|lane| {
            // A full stream is no reason to wake: it answers or ends, and both are told.
            let can_send = lane.window.wants_to_send() && !self.is_full(lane.route.stream);
            let paused = lane.route.pause_until().filter(|_| can_send);
            let late = Some(lane.route.late_at()).filter(|_| lane.window.awaits_answer());
            [lane.window.deadline(), paused, late]
        });
        lanes.chain([gather]).flatten().min()
    }
}

async fn sleep_until_some(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Waits for the description under way, if there is one.
async fn refreshed(
    refreshing: &mut Option<tokio::task::JoinHandle<Result<Arc<Topic>, Error>>>,
) -> Result<Arc<Topic>, Error> {
    let Some(task) = refreshing else { return std::future::pending().await };
    let topic = task.await;
    *refreshing = None;
    topic.unwrap_or(Err(Error::Closed))
}

/// Whether a batch is tried again after this. A shard unknown to a node may just have moved, and a malformed or
/// lost answer says nothing of the batch: its deadline ends it.
fn asks_for_another_attempt(error: &Error) -> bool {
    match error {
        Error::Refused(refusal) => {
            let passing = matches!(
                refusal.code,
                ErrorCode::NotLeader
                    | ErrorCode::Fenced
                    | ErrorCode::Busy
                    | ErrorCode::LeadershipLost
                    | ErrorCode::Unavailable
                    | ErrorCode::Timeout
                    | ErrorCode::UnknownShard
            );
            refusal.retryable || passing
        }
        Error::UnknownNode { .. } => true,
        _ => error.is_retryable(),
    }
}

fn append(shard: ShardId, producer: ProducerId, sending: &Sending) -> RequestBody {
    RequestBody::Append(AppendBody {
        shard: shard.0,
        record_count: sending.batch.count,
        body_crc: sending.batch.crc,
        compression: sending.batch.compression as u32,
        producer: producer.0,
        epoch: sending.attempt.epoch,
        sequence: sending.attempt.sequence,
        lowest_open_sequence: sending.lowest_open,
    })
}

fn receipt_of(shard: ShardId, body: &ResponseBody) -> Result<Receipt, Error> {
    let malformed = |what: String| Error::Malformed { address: format!("the leader of shard {shard}"), what };
    let ResponseBody::Appended(body) = body else {
        return Err(malformed("an append was answered by something else than a receipt".to_owned()));
    };
    let durability = match body.durability {
        0 => Durability::Disk,
        1 => Durability::Memory,
        other => return Err(malformed(format!("durability {other}"))),
    };
    Ok(Receipt {
        shard,
        first_offset: Offset(body.first_offset),
        first_timestamp: Timestamp(body.first_timestamp_ns),
        record_count: body.record_count,
        uncertainty_ns: body.uncertainty_ns,
        term: Term(body.term),
        durability,
        wait: StageTimes {
            queue: Duration::from_nanos(body.queue_ns),
            sync: Duration::from_nanos(body.sync_ns),
            replication: Duration::from_nanos(body.replication_ns),
            commit_wait: Duration::from_nanos(body.commit_wait_ns),
        },
    })
}
