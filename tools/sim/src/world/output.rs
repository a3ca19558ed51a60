//! What comes out of a lane is carried to links, disks and clients.

use bytes::Bytes;
use timberline::codec::{Frame, FrameKind, checksum, decode_order_mark, decode_records};
use timberline::disk::{Misdeed, PendingSync};
use timberline::lane::{
    CareNote, Event, Leadership, Output, PrepareRequest, ReadAnswer, ReadRefusal, RemoveRequest, Send,
    SyncRequest, TaskRequest, Ticket,
};
use timberline::shard::{Fenced, Refusal};
use timberline::types::{NodeId, Receipt, ShardId, Timestamp};
use timberline::wire::{ClockProbe, NodeMessage};
use timberline_checkers::{Entry, Leading, Marked, Refuted, Shown, Stamp};

use super::agenda::{Answer, ClientEvent, Happening, SyncEnd};
use super::{Asker, World};
use crate::plan::{FaultClass, MS, SECOND};

impl World {
    pub(super) fn carry_out(&mut self, id: NodeId, output: Output) {
        let Output {
            sends,
            probes,
            syncs,
            prepares,
            removals,
            tasks,
            appended,
            fenced,
            reads,
            changes,
            led,
            refused,
            failed,
            care,
            clock,
            ..
        } = output;
        for (ticket, change) in changes {
            self.trace.tell(self.now_ns, || format!("node {id}: the change of membership: {change:?}"));
            self.membership_changed(ticket, change.is_ok());
        }
        for sync in syncs {
            self.begin_sync(id, sync);
        }
        for send in sends {
            self.send(id, send);
        }
        for (to, probe) in probes {
            self.probe(id, to, &probe);
        }
        if let Some(note) = clock {
            self.judge_held(id, &note);
        }
        self.begin_file_work(id, prepares, removals, tasks);
        for note in care {
            self.note_care(id, &note);
        }
        for (ticket, result) in appended {
            self.answer_append(id, ticket, result);
        }
        for (ticket, result) in fenced {
            self.answer_fenced(id, ticket, result);
        }
        for (ticket, result) in reads {
            self.answer_read(id, ticket, result);
        }
        for leadership in led {
            self.note_leader(id, leadership);
        }
        for (from, shard, refusal) in refused {
            self.trace.tell(self.now_ns, || {
                format!("node {id} refuses a message of node {from} for shard {shard}: {refusal}")
            });
        }
        for (shard, reason) in failed {
            self.replica_stopped(id, shard, &reason);
        }
    }

    fn note_leader(&mut self, id: NodeId, Leadership { shard, leader, term }: Leadership) {
        let Some(node) = leader else { return };
        self.history.leaders.push(Leading { shard, term, node });
        self.trace.mark(self.now_ns, &[3, id.0, shard.0, term.0, node.0]);
        self.trace
            .tell(self.now_ns, || format!("node {id} follows node {node} in shard {shard}, term {term}"));
    }

    fn begin_file_work(
        &mut self,
        id: NodeId,
        prepares: Vec<PrepareRequest>,
        removals: Vec<RemoveRequest>,
        tasks: Vec<TaskRequest>,
    ) {
        let life = self.nodes[&id].life;
        for prepare in prepares {
            let (token, path, size_bytes) = (prepare.token, prepare.path, prepare.size_bytes);
            let delay_ns = MS + self.random.below(4 * MS);
            self.after(delay_ns, Happening::Create { node: id, life, token, path, size_bytes });
        }
        for removal in removals {
            let (token, path) = (removal.token, removal.path);
            let delay_ns = MS + self.random.below(20 * MS);
            self.after(delay_ns, Happening::Remove { node: id, life, token, path });
        }
        for task in tasks {
            // Behind all that was asked for before: one thread does what takes time on files.
            let delay_ns = 21 * MS + self.random.below(20 * MS);
            let (token, task) = (task.token, task.task);
            self.after(delay_ns, Happening::Task { node: id, life, token, task });
        }
    }

    fn replica_stopped(&mut self, id: NodeId, shard: ShardId, reason: &str) {
        self.trace.mark(self.now_ns, &[4, id.0, shard.0]);
        *self.node(id).stops.entry(shard).or_default() += 1;
        self.restarted = true;
        self.trace.tell(self.now_ns, || format!("node {id} stops its replica of shard {shard}: {reason}"));
        self.explain(id, &format!("node {id} stopped its replica of shard {shard}: {reason}"));
        if self.calm && self.is_hurt(id) || self.repairs(id, shard) {
            return;
        }
        // An operator looks, and starts the process again.
        let delay_ns = SECOND / 2 + self.random.below(2 * SECOND);
        self.restart_after(id, delay_ns);
    }

    fn note_care(&mut self, id: NodeId, note: &CareNote) {
        match note {
            CareNote::Scrubbed { .. } | CareNote::ScrubPassed { .. } => return,
            CareNote::Damaged { .. } | CareNote::RepairRests { .. } => {}
            CareNote::Recalled { .. } => self.totals.recollections += 1,
            CareNote::Repaired { .. } => self.totals.repairs += 1,
        }
        self.trace.tell(self.now_ns, || format!("node {id}: {note:?}"));
    }

    fn send(&mut self, from: NodeId, send: Send) {
        let Send { to, message, payload, bulk: _ } = send;
        let (now_ns, calm) = (self.now_ns, self.calm);
        let fate = self.network.send((from, to), now_ns, &self.plan, calm, &mut self.random);
        let entries: usize = message.raft.iter().map(|raft| raft.entries.len()).sum();
        self.totals.manifests += message.raft.iter().filter(|raft| raft.manifest.is_some()).count() as u64;
        self.trace.mark(now_ns, &[5, from.0, to.0, message.raft.len() as u64, entries as u64]);
        self.trace.tell(now_ns, || format!("node {from} to node {to}: {}", told(&message)));
        for class in fate.faults {
            self.totals.count(class);
            self.trace.tell(now_ns, || format!("  the link: {}", class.name()));
        }
        let payload = Bytes::from(payload.concat());
        let (life, connection) = (self.nodes[&to].life, self.network.connection(from, to));
        for at_ns in fate.arrivals_ns {
            let (message, payload) = (Box::new(message.clone()), payload.clone());
            let event = Box::new(Event::Message { from, message, payload });
            let at_ns = at_ns + self.held_up(to, at_ns);
            self.agenda.put(at_ns, Happening::Message { from, to, life, connection, event });
        }
    }

    /// A question for a clock, or an answer: it waits for nothing, and is lost where a connection breaks.
    fn probe(&mut self, from: NodeId, to: NodeId, probe: &ClockProbe) {
        let fate =
            self.network.send_datagram((from, to), self.now_ns, &self.plan, self.calm, &mut self.random);
        for class in fate.faults {
            self.totals.count(class);
        }
        let (life, connection) = (self.nodes[&to].life, self.network.connection(from, to));
        for at_ns in fate.arrivals_ns {
            let event = Box::new(Event::Probe { from, probe: probe.clone() });
            let at_ns = at_ns + self.held_up(to, at_ns);
            self.agenda.put(at_ns, Happening::Message { from, to, life, connection, event });
        }
    }

    /// A slow node takes in everything late.
    fn held_up(&mut self, id: NodeId, at_ns: u64) -> u64 {
        let node = &self.nodes[&id];
        if node.slow_until_ns > at_ns { self.random.below(node.slow_by_ns) } else { 0 }
    }

    fn begin_sync(&mut self, id: NodeId, sync: SyncRequest) {
        let node = self.nodes.get_mut(&id).expect("the cluster's nodes never change");
        let pending = node.disk.begin_sync(sync.files);
        let end =
            node.next_sync.take().filter(|end| damages_segments(*end, &pending)).unwrap_or(SyncEnd::Done);
        let (boot, life, token) = (node.boot, node.life, sync.token);
        let stalled_ns = node.stalled_until_ns.saturating_sub(self.now_ns);
        let mut took_ns = self.plan.sync_ns / 2 + self.random.below(self.plan.sync_ns) + stalled_ns;
        let carries_vote = pending.paths().any(|path| path.ends_with("vote"));
        if carries_vote && std::mem::take(&mut node.cut_at_vote) {
            took_ns += self.plan.link_ns * 4;
            self.cut_power_at_vote(id, life);
        }
        self.after(took_ns, Happening::SyncEnds { node: id, boot, life, token, pending, end });
    }

    pub(super) fn end_sync(
        &mut self,
        id: NodeId,
        (boot, life): (u64, u64),
        token: u64,
        pending: PendingSync,
        end: SyncEnd,
    ) {
        let node = self.nodes.get_mut(&id).expect("the cluster's nodes never change");
        if node.boot != boot {
            return;
        }
        // A process holds its folder until its last sync has ended, so the next one never meets a failure of it.
        let end = if end == SyncEnd::Failed && node.life != life && node.lane.is_some() {
            SyncEnd::Done
        } else {
            end
        };
        let nth = self.random.below(pending.sectors() as u64) as usize;
        let results = match end {
            SyncEnd::Done => node.disk.finish_sync(pending, None),
            SyncEnd::Failed => node.disk.fail_sync(pending),
            SyncEnd::Phantom => node.disk.finish_sync(pending, Some(Misdeed { nth, elsewhere: None })),
            SyncEnd::Misdirected => {
                let elsewhere = Some(self.random.below(1 << 20));
                node.disk.finish_sync(pending, Some(Misdeed { nth, elsewhere }))
            }
        };
        self.trace.mark(self.now_ns, &[6, id.0, token]);
        if end != SyncEnd::Done {
            self.trace.tell(self.now_ns, || format!("node {id}: a sync ends, {end:?}"));
        }
        if !self.loses_power(id) {
            self.event(id, life, Box::new(Event::Synced { token, results }));
        }
    }

    fn answer_append(&mut self, id: NodeId, ticket: Ticket, result: Result<Receipt, Refusal>) {
        if result.is_ok() {
            self.judge_acknowledgement(id);
        }
        if let (Err(Refusal::ConditionFailed { found }), Some(asker)) = (&result, self.askers.get(&ticket)) {
            let (shard, at_ns, found) = (asker.shard, self.true_ns(), *found);
            self.history.refuted.push(Refuted { shard, at_ns, found });
        }
        self.node(id).appends.remove(&ticket);
        self.trace
            .mark(self.now_ns, &[7, id.0, ticket.0, result.as_ref().map_or(0, |r| r.first_timestamp.0)]);
        self.trace.tell(self.now_ns, || match &result {
            Ok(receipt) => format!(
                "node {id} acknowledges request {}: shard {} offset {} {}",
                ticket.0, receipt.shard, receipt.first_offset, receipt.first_timestamp
            ),
            Err(refusal) => format!("node {id} refuses request {}: {refusal}", ticket.0),
        });
        self.answer(ticket, Answer::Append(result));
    }

    fn answer_fenced(&mut self, id: NodeId, ticket: Ticket, result: Result<Fenced, Refusal>) {
        if result.as_ref().is_ok_and(|fenced| fenced.at > Timestamp::ZERO) {
            self.judge_acknowledgement(id);
        }
        let epoch = result.as_ref().map_or(0, |fenced| u64::from(fenced.epoch));
        self.trace.mark(self.now_ns, &[12, id.0, ticket.0, epoch]);
        self.trace.tell(self.now_ns, || format!("node {id} answers question {}: {result:?}", ticket.0));
        self.answer(ticket, Answer::Fenced(result));
    }

    fn answer_read(&mut self, id: NodeId, ticket: Ticket, result: Result<ReadAnswer, ReadRefusal>) {
        let frames = result.as_ref().map_or(0, |answer| answer.frames.len() as u64);
        self.trace.mark(self.now_ns, &[8, id.0, ticket.0, frames]);
        self.totals.told_trimmed += u64::from(matches!(result, Err(ReadRefusal::Trimmed { .. })));
        if let (Ok(answer), Some(asker)) = (&result, self.askers.get(&ticket).copied()) {
            let at_ns = self.true_ns();
            for entry in with_records(&answer.frames).map(seen) {
                self.totals.reads += 1;
                let Asker { reader, shard, .. } = asker;
                self.history.shown.push(Shown { reader, node: id, shard, at_ns, entry });
            }
            self.note_marks(id, asker.shard, &answer.frames);
        }
        self.answer(ticket, Answer::Read(id, result));
    }

    /// A reader is given the order marks among these frames.
    pub(super) fn note_marks(&mut self, node: NodeId, shard: ShardId, frames: &[Frame]) {
        let at_ns = self.true_ns();
        for frame in frames.iter().filter(|frame| frame.header.kind == FrameKind::OrderMark) {
            let Ok(mark) = decode_order_mark(&frame.body) else { continue };
            self.trace.tell(self.now_ns, || format!("node {node} shows in shard {shard}: {mark}"));
            self.judge_mark(shard, &mark);
            self.history.marks.push(Marked { node, shard, at_ns, mark });
        }
    }

    /// An answer sets out for its client. It may never arrive.
    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        let Some(asker) = self.askers.remove(&ticket) else { return };
        if !self.calm && self.plan.has(FaultClass::ClientTimeout) && self.random.chance(10) {
            self.totals.count(FaultClass::ClientTimeout);
            return;
        }
        let delay_ns = self.plan.link_ns / 2 + self.random.below(self.plan.link_ns);
        let event = ClientEvent::Answer { client: asker.client, ticket, answer };
        self.after(delay_ns, Happening::Client(event));
    }
}

/// The frames that hold records: marks of order are shown, too.
pub(crate) fn with_records(frames: &[Frame]) -> impl Iterator<Item = &Frame> {
    frames.iter().filter(|frame| frame.header.record_count > 0)
}

/// A frame as a reader sees it.
pub(crate) fn seen(frame: &Frame) -> Entry {
    let header = &frame.header;
    let records = decode_records(&frame.body, header.compression, header.record_count);
    let value = records.ok().and_then(|records| records.into_iter().next()?.value).unwrap_or_default();
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit());
    let append = digits.fold(0, |id: u64, digit| id.wrapping_mul(10) + u64::from(digit - b'0'));
    Entry {
        stamp: Stamp { offset: header.first_offset, timestamp: header.first_timestamp },
        count: header.record_count,
        append,
        digest: u64::from(checksum(&[&frame.header_bytes])) << 32 | u64::from(checksum(&[&frame.body])),
    }
}

/// Damage is done to segments only: a replica whose newest vote rots away in secret may vote twice, and nothing on its
/// own disk can tell (`docs/SEGMENT_FORMAT.md`).
fn damages_segments(end: SyncEnd, pending: &PendingSync) -> bool {
    let secret = matches!(end, SyncEnd::Phantom | SyncEnd::Misdirected);
    !secret || (pending.sectors() > 0 && !pending.paths().any(|path| path.ends_with("vote")))
}

/// A message in words.
fn told(message: &NodeMessage) -> String {
    let mut parts: Vec<String> = message
        .raft
        .iter()
        .map(|raft| {
            let kind = KINDS.get(raft.kind as usize).copied().unwrap_or("unknown");
            let entries =
                if raft.entries.is_empty() { String::new() } else { format!(" x{}", raft.entries.len()) };
            format!(
                "{kind}{entries} (shard {}, term {}, index {}, commit {})",
                raft.shard, raft.term, raft.index, raft.commit
            )
        })
        .collect();
    parts.extend(
        message.closed.iter().map(|tick| format!("closes tick {} at ts:{}", tick.sequence, tick.closed_ns)),
    );
    parts.extend(message.closed_ack.iter().map(|ack| format!("accepts tick {}", ack.sequence)));
    parts.extend(message.publication.iter().map(|news| format!("publishes ts:{}", news.closed_ns)));
    parts.extend(
        message.floor_requests.iter().map(|floor| format!("asks the floor of shard {}", floor.shard)),
    );
    parts.extend(
        message
            .floor_answers
            .iter()
            .map(|floor| format!("promised shard {} ts:{}", floor.shard, floor.max_promised_ns)),
    );
    parts.extend(message.fetches.iter().map(|fetch| {
        format!("fetches {}..={} (shard {}, question {})", fetch.from, fetch.to, fetch.shard, fetch.token)
    }));
    parts.extend(message.fetched.iter().map(|fetched| format!("gives frames to question {}", fetched.token)));
    parts.join(", ")
}

/// Raft's messages by their number on the wire.
const KINDS: [&str; 11] = [
    "none",
    "append",
    "append answer",
    "vote?",
    "vote answer",
    "pre-vote?",
    "pre-vote answer",
    "heartbeat",
    "heartbeat answer",
    "timeout now",
    "manifest",
];
