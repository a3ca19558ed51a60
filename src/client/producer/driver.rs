//! The task behind a producer: moves batches from `gather` through their windows to the leaders' streams,
//! and answers back to who waits.
//!
//! All decisions of what to send and what a failure means are the window's; here are the queues, the
//! streams and the timers. Every queue is bounded: batches by the producer's memory, requests by the
//! windows, events by their channel.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::batches::{Attempt, Ended, Failed};
use super::doubts::Question;
use super::gather::Waiter;
use super::outcome::{AppendFailure, BatchReport};
use super::producing::{Flush, Shared};
use super::routes::Route;
use super::stream::{NodeStream, StreamEvent};
use super::window::Window;
use super::{OnReport, ProducerOptions, requests};
use crate::client::core::Core;
use crate::client::error::Error;
use crate::client::topic::Topic;
use crate::types::{NodeId, ProducerId, Receipt, SHARD_IN_FLIGHT_MAX, ShardId, Timestamp, TopicName};
use crate::wire::{ErrorCode, Request, RequestBody, ResponseBody};

mod refusals;

pub(super) use refusals::asks_for_another_attempt;

const EVENTS_MAX: usize = 256;

struct Lane {
    window: Window<Waiter>,
    route: Route,
}

/// A request without an answer yet.
struct Pending {
    shard: ShardId,
    asked: Asked,
    stream: u64,
}

#[derive(Clone, Copy)]
enum Asked {
    Append(Attempt),
    /// Shut out the producer's earlier runs.
    Fence,
    /// What became of a batch.
    Fate(Question),
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
                self.fail(shard, Failed::unsent(ready.waiter, error.clone()));
            } else {
                ready.batch = ready.batch.compressed(self.options.compression);
                self.lane(shard, now).window.push(ready);
            }
        }
    }

    fn lane(&mut self, shard: ShardId, now: Instant) -> &mut Lane {
        let ProducerOptions { producer, in_flight, attempt_timeout, .. } = self.options;
        self.lanes.entry(shard).or_insert_with(|| Lane {
            window: Window::new(in_flight, producer.is_some()),
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
        let name = self.name.clone();
        let mut failed = Vec::new();
        let mut late = Vec::new();
        for (shard, lane) in &mut self.lanes {
            if lane.window.awaits_answer() && lane.route.late_at() <= now {
                lane.route.was_late(now);
                late.push(*shard);
            }
            let timeout = |after: Duration, last: Option<Error>| Error::Timeout {
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
        for (shard, failed) in failed {
            self.fail(shard, failed);
        }
        for (shard, lane) in &mut self.lanes {
            lane.window.drained();
            for (question, fate) in lane.window.take_verdicts() {
                self.core.fates.tell(requests::batch_ref(*shard, self.producer, question), fate);
            }
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

    fn ask(&mut self, shard: ShardId, asked: Asked, node: NodeId, body: RequestBody, payload: Vec<Bytes>) {
        let (id, stream) = (self.core.request_id(), &self.streams[&node]);
        self.pending.insert(id, Pending { shard, asked, stream: stream.id });
        stream.send((Request { id, body: Some(body) }, payload));
    }

    fn send(&mut self, now: Instant) {
        let wanting =
            self.lanes.iter().filter(|(_, lane)| lane.window.wants_to_send() && !lane.route.is_paused(now));
        for shard in wanting.map(|(shard, _)| *shard).collect::<Vec<_>>() {
            let Some(node) = self.stream_of(shard, now) else { continue };
            while self.streams[&node].has_room() {
                let Some(lane) = self.lanes.get_mut(&shard) else { break };
                let awaited = lane.window.awaits_answer();
                let (asked, body, payload) = if let Some(question) = lane.window.next_question() {
                    let body = requests::own_question(shard, self.producer, question);
                    (Asked::Fate(question), body, Vec::new())
                } else if lane.window.next_fence() {
                    (Asked::Fence, requests::fence(shard, self.producer), Vec::new())
                } else if let Some(sending) = lane.window.next_sending() {
                    let body = requests::append(shard, self.producer, self.options.wait, &sending);
                    (Asked::Append(sending.attempt), body, vec![sending.batch.body])
                } else {
                    break;
                };
                if !awaited {
                    lane.route.progressed(now);
                }
                self.ask(shard, asked, node, body, payload);
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
                let taken = answer.and_then(|body| self.on_answer(&pending, &body));
                if let Err(error) = taken {
                    self.on_refusal(&pending, error);
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

    fn on_answer(&mut self, pending: &Pending, body: &ResponseBody) -> Result<(), Error> {
        let Some(lane) = self.lanes.get_mut(&pending.shard) else { return Ok(()) };
        match pending.asked {
            Asked::Fence => {
                let fenced = requests::fenced_of(pending.shard, body)?;
                lane.route.succeeded(Instant::now());
                lane.window.on_fenced(fenced.epoch, Timestamp(fenced.at_ns));
            }
            Asked::Append(attempt) => {
                let receipt = requests::receipt_of(pending.shard, body)?;
                lane.route.succeeded(Instant::now());
                if let Some(waiter) = lane.window.on_receipt(attempt, receipt) {
                    self.core.session.saw(receipt.last_timestamp());
                    self.end(pending.shard, &waiter, Ok(receipt));
                }
            }
            Asked::Fate(question) => {
                let told = requests::told_of(pending.shard, question, body)?;
                lane.route.succeeded(Instant::now());
                match lane.window.on_told(question, told) {
                    Some(Ended::Applied(waiter, receipt)) => {
                        self.core.session.saw(receipt.last_timestamp());
                        self.end(pending.shard, &waiter, Ok(receipt));
                    }
                    Some(Ended::Failed(failed)) => self.fail(pending.shard, failed),
                    None => {}
                }
            }
        }
        Ok(())
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
        let Failed { waiter, outcome, error, batch, is_asked } = failed;
        let retryable = error.is_retryable();
        let batch = batch.map(|(epoch, sequence)| {
            Box::new(requests::batch_ref(shard, self.producer, Question { epoch, sequence }))
        });
        if let Some(batch) = batch.as_deref().filter(|_| is_asked) {
            self.core.fates.ask(*batch);
        }
        self.end(shard, &waiter, Err(AppendFailure { error, outcome, retryable, batch }));
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

impl Drop for Driver {
    fn drop(&mut self) {
        self.core.fates.give_up(self.producer);
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
