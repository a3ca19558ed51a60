//! Three lanes, or a few more, in one thread: virtual time, in-memory disks, a link that delays and reorders.
//!
//! Everything random comes from one seed, so a run can be repeated line by line. Each node's clock is off by as
//! much as its bound allows, one ahead and one behind: an honest clock at its worst.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use timberline::clock::{AgreementOptions, AgreementStatus, Fault, Moment, Reading, TimeInterval};
use timberline::codec::{EncodedBatch, encode_records};
use timberline::disk::{Disk, MemoryDisk};
use timberline::lane::{
    AppendCommand, CareNote, Event, FenceCommand, Lane, LaneOptions, Output, Placement, ReadAnswer,
    ReadCommand, ReadFrom, ReadRefusal, ReplicaStatus, ScrubOptions, ShardSpec, Ticket,
};
use timberline::log::LogOptions;
use timberline::shard::{Fenced, Refusal};
use timberline::types::{
    AppendTerms, BatchId, Durability, Monotonic, NodeId, OrderMark, ProducerId, Receipt, Record, ReplicaId,
    Retention, ShardId, Timestamp, TopicId,
};

/// Half the width of every node's interval.
pub(crate) const EPS_NS: u64 = 1_000_000;
/// True time when the world begins.
const EPOCH_NS: u64 = 1_700_000_000_000_000_000;
/// What each shard's sealed segments hold at least before the oldest goes.
const KEPT_BYTES: u64 = 64 << 10;
pub(crate) const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

/// One seed's world.
pub(crate) struct World {
    pub(crate) elapsed_ns: u64,
    random: u64,
    nodes: BTreeMap<NodeId, Node>,
    queue: BTreeMap<(u64, u64), (NodeId, Happening)>,
    scheduled: u64,
    tickets: u64,
    /// How nodes that start compare their clocks.
    pub(crate) agreement: AgreementOptions,
    pub(crate) appended: BTreeMap<Ticket, (Result<Receipt, Refusal>, u64)>,
    pub(crate) fenced: BTreeMap<Ticket, Result<Fenced, Refusal>>,
    pub(crate) reads: BTreeMap<Ticket, Result<ReadAnswer, ReadRefusal>>,
    pub(crate) care: Vec<(NodeId, CareNote)>,
    /// Order marks that leaders said they wrote.
    pub(crate) marked: Vec<(NodeId, ShardId, OrderMark)>,
    /// Replicas that stopped are no surprise.
    pub(crate) expects_stops: bool,
    /// Syncs that are asked for now never end.
    pub(crate) holds_syncs: bool,
    /// Questions for clocks, and answers, are lost.
    pub(crate) loses_probes: bool,
    /// Whatever this node says is lost; it hears all.
    pub(crate) mute: Option<NodeId>,
    /// Whatever is said to this node, or by it, is lost.
    pub(crate) cut_off: Option<NodeId>,
    /// Messages of Raft that were sent so far.
    pub(crate) raft_messages: usize,
    pub(crate) trace: Vec<String>,
}

struct Node {
    disk: Arc<MemoryDisk>,
    lane: Option<Lane>,
    offset_ns: i64,
    /// What its clock is off by beyond its bound.
    lie_ns: i64,
    /// How long its machine stood still so far, all its clocks included.
    slipped_ns: u64,
    frozen_until_ns: u64,
    eps_ns: u64,
    /// What its own source has against its clock.
    fault: Option<Fault>,
}

enum Happening {
    Lane(Box<Event>),
    Sync { token: u64, files: Vec<Arc<dyn timberline::disk::DiskFile>> },
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self::of(3, seed)
    }

    /// A world of so many nodes.
    pub(crate) fn of(nodes: u64, seed: u64) -> Self {
        let mut world = Self {
            elapsed_ns: 0,
            random: seed,
            nodes: BTreeMap::new(),
            queue: BTreeMap::new(),
            scheduled: 0,
            tickets: 0,
            appended: BTreeMap::new(),
            fenced: BTreeMap::new(),
            reads: BTreeMap::new(),
            care: Vec::new(),
            marked: Vec::new(),
            expects_stops: false,
            holds_syncs: false,
            loses_probes: false,
            mute: None,
            cut_off: None,
            agreement: AgreementOptions::among((1..=nodes).map(NodeId).collect()),
            raft_messages: 0,
            trace: Vec::new(),
        };
        let offsets = [0, EPS_NS.cast_signed(), -EPS_NS.cast_signed()].into_iter().cycle();
        for (node, offset_ns) in (1..=nodes).map(NodeId).zip(offsets) {
            let disk = Arc::new(MemoryDisk::new());
            let (lie_ns, slipped_ns, frozen_until_ns, eps_ns) = (0, 0, 0, EPS_NS);
            let lane = None;
            let fault = None;
            let host = Node { disk, lane, offset_ns, lie_ns, slipped_ns, frozen_until_ns, eps_ns, fault };
            world.nodes.insert(node, host);
        }
        world
    }

    /// True time, which no node knows.
    pub(crate) fn true_time(&self) -> Timestamp {
        Timestamp(EPOCH_NS + self.elapsed_ns)
    }

    fn reading(&self, node: NodeId) -> Reading {
        let Node { offset_ns, lie_ns, slipped_ns, eps_ns, fault, .. } = &self.nodes[&node];
        let shown_ns = self.elapsed_ns - slipped_ns;
        let midpoint = Timestamp((EPOCH_NS + shown_ns).saturating_add_signed(offset_ns + lie_ns));
        let interval = TimeInterval::around(midpoint, *eps_ns);
        Reading::new(interval, Monotonic(shown_ns), *fault)
    }

    /// A node's clock is off by that much more than its bound allows.
    pub(crate) fn lie(&mut self, node: NodeId, lie_ns: i64) {
        self.nodes.get_mut(&node).expect("one of the world's").lie_ns = lie_ns;
    }

    /// A node's source has that against its clock, or nothing.
    pub(crate) fn distrust(&mut self, node: NodeId, fault: Option<Fault>) {
        self.nodes.get_mut(&node).expect("one of the world's").fault = fault;
    }

    /// A node's bound is that wide from now on, and true.
    pub(crate) fn widen(&mut self, node: NodeId, eps_ns: u64) {
        self.nodes.get_mut(&node).expect("one of the world's").eps_ns = eps_ns;
    }

    /// A node's machine stands still with all its clocks; what reaches it meanwhile waits for it.
    pub(crate) fn freeze(&mut self, node: NodeId, for_ns: u64) {
        let host = self.nodes.get_mut(&node).expect("one of the world's");
        host.slipped_ns += for_ns;
        host.frozen_until_ns = self.elapsed_ns + for_ns;
    }

    /// A node's process is not scheduled for a while; its clocks go on.
    pub(crate) fn hold(&mut self, node: NodeId, time: Duration) {
        let until_ns = self.elapsed_ns + time.as_nanos() as u64;
        self.nodes.get_mut(&node).expect("one of the world's").frozen_until_ns = until_ns;
    }

    /// How a node's clock and the others' stand to each other, as the node sees it.
    pub(crate) fn clocks(&self, node: NodeId) -> AgreementStatus {
        self.nodes[&node].lane.as_ref().expect("it runs").clocks(&self.reading(node))
    }

    /// splitmix64 (Steele, Lea, Flood 2014).
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn schedule(&mut self, after_ns: u64, node: NodeId, happening: Happening) {
        self.scheduled += 1;
        self.queue.insert((self.elapsed_ns + after_ns, self.scheduled), (node, happening));
    }

    /// Starts a node with these shards: makes their logs and opens them.
    pub(crate) fn start(&mut self, node: NodeId, shards: &[ShardId]) {
        let now = self.reading(node);
        let (seed, nodes) = (self.draw(), self.node_ids());
        let host = self.nodes.get_mut(&node).expect("one of the world's");
        let mut lane =
            Lane::new(options(node, self.agreement.clone(), seed), Arc::clone(&host.disk) as Arc<dyn Disk>);
        for shard in shards {
            let spec = spec(*shard, &nodes);
            lane.create_shard(&spec).expect("an empty disk takes a new log");
            let opened = lane.open_shard(&spec, &now);
            assert!(opened.is_ok() || self.expects_stops, "{:?}", opened.err());
        }
        host.lane = Some(lane);
        self.trace.push(format!("{} start {node}", self.elapsed_ns));
    }

    /// Runs until `done` says so; fails after `limit` of virtual time.
    pub(crate) fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) {
        let end_ns = self.elapsed_ns + limit.as_nanos() as u64;
        while !done(self) {
            assert!(self.elapsed_ns < end_ns, "not within {limit:?}:\n{}", self.story());
            self.step();
        }
    }

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end_ns = self.elapsed_ns + time.as_nanos() as u64;
        self.run_until(time * 2, |world| world.elapsed_ns >= end_ns);
    }

    fn story(&self) -> String {
        self.trace[self.trace.len().saturating_sub(40)..].join("\n")
    }

    /// The next thing that happens: an event, or a lane's deadline.
    fn step(&mut self) {
        let deadline = self.nodes.keys().filter_map(|node| Some((self.deadline_ns(*node)?, *node))).min();
        let event_ns = self.queue.keys().next().map(|(at, _)| *at);
        match (event_ns, deadline) {
            (Some(at), Some((deadline, node))) if deadline < at => self.wake(deadline, node),
            (None, Some((deadline, node))) => self.wake(deadline, node),
            (Some(_), _) => self.deliver(),
            (None, None) => panic!("nothing will ever happen again:\n{}", self.story()),
        }
    }

    /// When a node's lane must be woken, in true time.
    fn deadline_ns(&self, node: NodeId) -> Option<u64> {
        let host = &self.nodes[&node];
        let deadline = host.lane.as_ref()?.deadline(&self.reading(node))?;
        Some((deadline.0 + host.slipped_ns).max(host.frozen_until_ns))
    }

    fn wake(&mut self, at_ns: u64, node: NodeId) {
        self.elapsed_ns = self.elapsed_ns.max(at_ns);
        self.hand(node, Event::Timer);
    }

    fn deliver(&mut self) {
        let ((at_ns, _), (node, happening)) = self.queue.pop_first().expect("seen by the caller");
        self.elapsed_ns = self.elapsed_ns.max(at_ns);
        let frozen_until_ns = self.nodes[&node].frozen_until_ns;
        if frozen_until_ns > self.elapsed_ns {
            return self.schedule(frozen_until_ns - self.elapsed_ns, node, happening);
        }
        let event = match happening {
            Happening::Lane(event) => *event,
            Happening::Sync { token, files } => {
                Event::Synced { token, results: self.nodes[&node].disk.sync(&files) }
            }
        };
        self.hand(node, event);
    }

    fn hand(&mut self, node: NodeId, event: Event) {
        let now = self.reading(node);
        let Some(lane) = self.nodes.get_mut(&node).and_then(|host| host.lane.as_mut()) else { return };
        lane.handle(event, &now);
        let output = lane.take_output(&now);
        self.carry_out(node, output);
    }

    fn carry_out(&mut self, from: NodeId, output: Output) {
        let stops = output.failed.is_empty() || self.expects_stops;
        assert!(stops, "{from}: {:?}\n{}", output.failed, self.story());
        let is_mute = self.mute == Some(from);
        let arrives = |world: &Self, to: NodeId| {
            !is_mute && world.cut_off.is_none_or(|lonely| lonely != from && lonely != to)
        };
        for send in output.sends {
            if !arrives(self, send.to) {
                continue;
            }
            self.raft_messages += send.message.raft.len();
            self.trace.push(format!("{} {from}->{}", self.elapsed_ns, send.to));
            let payload = Bytes::from(send.payload.concat());
            let delay_ns = 50_000 + self.draw() % 450_000;
            let event = Event::Message { from, message: Box::new(send.message), payload };
            self.schedule(delay_ns, send.to, Happening::Lane(Box::new(event)));
        }
        let probes = if self.loses_probes { Vec::new() } else { output.probes };
        for (to, probe) in probes.into_iter().filter(|(to, _)| arrives(self, *to)).collect::<Vec<_>>() {
            let delay_ns = 50_000 + self.draw() % 450_000;
            self.schedule(delay_ns, to, Happening::Lane(Box::new(Event::Probe { from, probe })));
        }
        if let Some(held) = output.clock {
            self.trace.push(format!("{} {from} is held against: {held:?}", self.elapsed_ns));
        }
        let syncs = if self.holds_syncs { Vec::new() } else { output.syncs };
        for sync in syncs {
            let took_ns = 100_000 + self.draw() % 700_000;
            self.schedule(took_ns, from, Happening::Sync { token: sync.token, files: sync.files });
        }
        for prepare in output.prepares {
            let result = self.nodes[&from].disk.create(&prepare.path, prepare.size_bytes);
            let event = Event::Prepared { token: prepare.token, result };
            self.schedule(1_000_000, from, Happening::Lane(Box::new(event)));
        }
        for removal in output.removals {
            let result = self.nodes[&from].disk.remove(&removal.path);
            let event = Event::Removed { token: removal.token, result };
            self.schedule(5_000_000, from, Happening::Lane(Box::new(event)));
        }
        for task in output.tasks {
            let result = task.task.run(&*self.nodes[&from].disk);
            let event = Event::TaskDone { token: task.token, result };
            self.schedule(2_000_000, from, Happening::Lane(Box::new(event)));
        }
        self.marked.extend(output.marked.into_iter().map(|(shard, mark)| (from, shard, mark)));
        for note in output.care {
            self.trace.push(format!("{} {from} {note:?}", self.elapsed_ns));
            self.care.push((from, note));
        }
        for (ticket, result) in output.appended {
            self.trace.push(format!("{} {from} answers {ticket:?} {result:?}", self.elapsed_ns));
            self.appended.insert(ticket, (result, self.elapsed_ns));
        }
        self.fenced.extend(output.fenced);
        self.reads.extend(output.reads);
    }

    pub(crate) fn disk(&self, node: NodeId) -> &MemoryDisk {
        &self.nodes[&node].disk
    }

    /// Whether a node said that it repaired a segment of the shard.
    pub(crate) fn repaired(&self, node: NodeId) -> bool {
        self.care.iter().any(|(id, note)| *id == node && matches!(note, CareNote::Repaired { .. }))
    }

    /// Leaves the node's disk no room for another file.
    pub(crate) fn fill_disk(&self, node: NodeId) {
        self.nodes[&node].disk.set_capacity_bytes(Some(0));
    }

    pub(crate) fn empty_disk(&self, node: NodeId) {
        self.nodes[&node].disk.set_capacity_bytes(None);
    }

    /// Asks a node for what stands at `from` or after it.
    pub(crate) fn read(&mut self, node: NodeId, shard: ShardId, from: ReadFrom) -> Ticket {
        self.read_above(node, shard, from, Timestamp::ZERO)
    }

    /// The same; where nothing stands, until the shard is closed above that.
    pub(crate) fn read_above(
        &mut self,
        node: NodeId,
        shard: ShardId,
        from: ReadFrom,
        closed_above: Timestamp,
    ) -> Ticket {
        let ticket = self.draw_ticket();
        self.hand(node, Event::Read(ReadCommand { ticket, shard, from, max_bytes: 4096, closed_above }));
        ticket
    }

    /// What a node tells of the time.
    pub(crate) fn moment(&mut self, node: NodeId) -> Moment {
        self.hand(node, Event::Timer);
        self.nodes[&node].lane.as_ref().expect("it runs").moment(&self.reading(node))
    }

    fn draw_ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// Hands a batch of one record to a node, as a retry or for the first time.
    pub(crate) fn append(&mut self, node: NodeId, shard: ShardId, sequence: u64, value: &str) -> Ticket {
        let batch = BatchId { producer: ProducerId(77), epoch: 0, sequence };
        self.append_as(node, shard, batch, Timestamp::ZERO, value)
    }

    /// The same as the only open batch of some producer, with the floor that it was first sent with.
    pub(crate) fn append_as(
        &mut self,
        node: NodeId,
        shard: ShardId,
        batch: BatchId,
        floor: Timestamp,
        value: &str,
    ) -> Ticket {
        let ticket = self.draw_ticket();
        let record = Record { value: Some(Bytes::copy_from_slice(value.as_bytes())), ..Record::default() };
        let EncodedBatch { body, compression, crc, count } =
            encode_records(&[record]).expect("a small record");
        let command = AppendCommand {
            ticket,
            shard,
            batch,
            terms: AppendTerms { lowest_open: batch.sequence, floor, ..AppendTerms::default() },
            record_count: count,
            compression,
            body_crc: crc,
            body,
            arrived: Monotonic(self.elapsed_ns),
        };
        self.hand(node, Event::Append(command));
        ticket
    }

    /// Asks a node what became of a batch, for good.
    pub(crate) fn settle_fate(&mut self, node: NodeId, shard: ShardId, batch: BatchId) -> Ticket {
        let ticket = self.draw_ticket();
        let in_doubt = Some((batch.epoch, batch.sequence));
        let command =
            FenceCommand { ticket, shard, producer: batch.producer, in_doubt, peek: false, same_run: false };
        self.hand(node, Event::FenceProducer(command));
        ticket
    }

    /// Ends a node's process; its disk keeps what it wrote.
    pub(crate) fn stop(&mut self, node: NodeId) {
        self.nodes.get_mut(&node).expect("one of the world's").lane = None;
    }

    /// Ends a node's process in good order.
    pub(crate) fn close(&mut self, node: NodeId) {
        if let Some(mut lane) = self.nodes.get_mut(&node).and_then(|host| host.lane.take()) {
            lane.close_logs();
        }
    }

    /// A node's machine loses its power, and with it all that was not synced.
    pub(crate) fn lose_power(&mut self, node: NodeId) {
        self.stop(node);
        self.nodes[&node].disk.lose_unsynced();
    }

    /// Whether a node said that it has again what its memory may have lost.
    pub(crate) fn recalled(&self, node: NodeId) -> bool {
        self.care.iter().any(|(id, note)| *id == node && matches!(note, CareNote::Recalled { .. }))
    }

    /// Reads what a node shows at once.
    pub(crate) fn read_now(
        &mut self,
        node: NodeId,
        shard: ShardId,
        from: ReadFrom,
    ) -> Result<ReadAnswer, ReadRefusal> {
        let ticket = self.read(node, shard, from);
        self.reads.remove(&ticket).expect("there is something to tell")
    }

    /// The sizes of a node's segments of a shard, as its disk has them.
    pub(crate) fn segment_bytes(&self, node: NodeId, shard: ShardId) -> u64 {
        let folder = std::path::PathBuf::from("shards").join(shard.to_string());
        let files = self.nodes[&node].disk.sizes().into_iter();
        files
            .filter(|(path, _)| path.starts_with(&folder) && !path.ends_with("vote"))
            .map(|(_, bytes)| bytes)
            .sum()
    }

    /// Appends until acknowledged, following the leader and retrying as a producer does.
    pub(crate) fn append_surely(&mut self, shard: ShardId, sequence: u64, value: &str) -> Receipt {
        for _attempt in 0..200 {
            let Some(leader) = self.leader(shard) else {
                self.run_for(Duration::from_millis(20));
                continue;
            };
            let ticket = self.append(leader, shard, sequence, value);
            let given_up_ns = self.elapsed_ns + 300_000_000;
            let answered = |world: &Self| world.appended.contains_key(&ticket);
            self.run_until(Duration::from_secs(5), |world| {
                answered(world) || world.elapsed_ns >= given_up_ns
            });
            match self.appended.get(&ticket) {
                Some((Ok(receipt), _)) => return *receipt,
                Some((Err(_), _)) => self.run_for(Duration::from_millis(20)),
                None => {}
            }
        }
        panic!("never acknowledged:\n{}", self.story());
    }

    pub(crate) fn node_ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    /// The running node that leads a shard in the highest term, if there is one.
    pub(crate) fn leader(&self, shard: ShardId) -> Option<NodeId> {
        let led = self.node_ids().into_iter().filter_map(|node| {
            let status = self.status(node, shard)?;
            (status.leader == Some(node)).then_some((status.term, node))
        });
        led.max().map(|(_, node)| node)
    }

    pub(crate) fn status(&self, node: NodeId, shard: ShardId) -> Option<ReplicaStatus> {
        let lane = self.nodes[&node].lane.as_ref()?;
        lane.status(shard, &self.reading(node))
    }
}

fn options(node: NodeId, agreement: AgreementOptions, seed: u64) -> LaneOptions {
    LaneOptions {
        node,
        cluster: "test".parse().expect("a good name"),
        log: LogOptions { first_segment_bytes: 16 << 10, segment_bytes_max: 48 << 10, open_segments_max: 2 },
        raft_tick: Duration::from_millis(50),
        election_ticks: 10..20,
        heartbeat_ticks: 2,
        closed_tick: Duration::from_millis(20),
        eps_max_ns: 10_000_000,
        agreement,
        unanswered_max: 64,
        scrub: ScrubOptions { bytes_per_second: 16 << 20, rest: Duration::from_secs(5) },
        seed,
    }
}

fn spec(shard: ShardId, nodes: &[NodeId]) -> ShardSpec {
    let placed = |node: &NodeId| Placement { replica: ReplicaId(10 * shard.0 + node.0), node: *node };
    let replicas = nodes.iter().map(placed).collect();
    ShardSpec {
        shard,
        topic: TopicId(1),
        durability: if shard == crate::VOLATILE { Durability::Memory } else { Durability::Disk },
        retention: Retention { age: None, bytes: Some(KEPT_BYTES) },
        replicas,
        follow_committed: false,
    }
}
