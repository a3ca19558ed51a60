//! Many nodes' lanes in one thread, in virtual time, on disks in memory: what quiet shards cost a node, and what it says.
//!
//! No socket is in it: a message takes `way_ns` and is counted, by kind and in bytes of its header (the packet's length and
//! QUIC's own bytes come on top). Each node has one lane; each shard three replicas, placed as the system places them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message;
use timberline::clock::{AgreementOptions, Reading, TimeInterval};
use timberline::disk::{Disk, MemoryDisk};
use timberline::lane::{Event, Lane, LaneOptions, Output, Placement, ScrubOptions, ShardSpec};
use timberline::log::LogOptions;
use timberline::routing::place;
use timberline::types::{Durability, Monotonic, NodeId, ReplicaId, Retention, ShardId, Timestamp, TopicId};
use timberline::wire::NodeMessage;

pub(crate) const CLOSED_TICK: Duration = Duration::from_millis(20);
pub(crate) const RAFT_TICK: Duration = Duration::from_millis(30);
const START_NS: u64 = 1_700_000_000_000_000_000;
const STEP_NS: u64 = 10_000_000;
const EPS_NS: u64 = 50_000;

/// A cluster to be measured.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) nodes: u64,
    pub(crate) shards: u64,
    /// All shards on the first three nodes, led by the first; else spread.
    pub(crate) led_by_one: bool,
    pub(crate) raft_tick: Duration,
    /// How long a message takes from one node to another.
    pub(crate) way_ns: u64,
}

/// What all nodes said to one another.
#[derive(Clone, Copy, Default)]
pub(crate) struct Said {
    pub(crate) messages: u64,
    pub(crate) message_bytes: u64,
    /// Of those: what closes the past.
    pub(crate) closing_bytes: u64,
    /// Of those: Raft's own.
    pub(crate) raft_bytes: u64,
    pub(crate) probes: u64,
    pub(crate) probe_bytes: u64,
}

pub(crate) struct World {
    plan: Plan,
    lanes: BTreeMap<NodeId, (Lane, Arc<dyn Disk>)>,
    specs: Vec<ShardSpec>,
    elapsed_ns: u64,
    /// What is under way: by the time it arrives, then in the order in which it left.
    under_way: BTreeMap<(u64, u64), (NodeId, Event)>,
    sent: u64,
    /// How long each node's thread was busy in the last run.
    pub(crate) spent: BTreeMap<NodeId, Duration>,
    pub(crate) said: Said,
}

impl World {
    /// Elects every shard's preferred leader, and lets them come to rest.
    pub(crate) fn start(plan: Plan) -> Self {
        let nodes: Vec<NodeId> = (1..=plan.nodes).map(NodeId).collect();
        let lane = |node: &NodeId| {
            let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
            (*node, (Lane::new(options(*node, &nodes, plan.raft_tick), Arc::clone(&disk)), disk))
        };
        let mut lanes: BTreeMap<_, _> = nodes.iter().map(lane).collect();
        let specs: Vec<ShardSpec> =
            (1..=plan.shards).map(|shard| spec(shard, &placed(&plan, &nodes, shard))).collect();
        for (node, (lane, _)) in &mut lanes {
            let here: Vec<ShardSpec> = specs.iter().filter(|spec| is_on(spec, *node)).cloned().collect();
            for spec in &here {
                lane.create_shard(spec).expect("room for a shard");
            }
            assert!(lane.open_shards(&here, &reading(0)).iter().all(Result::is_ok));
        }
        for spec in &specs {
            let (lane, _) = lanes.get_mut(&spec.replicas[0].node).expect("a node of the cluster");
            lane.campaign(spec.shard);
        }
        let mut world = Self {
            plan,
            lanes,
            specs,
            elapsed_ns: 0,
            under_way: BTreeMap::new(),
            sent: 0,
            spent: BTreeMap::new(),
            said: Said::default(),
        };
        world.run(6_000);
        world.assert_led();
        world
    }

    fn assert_led(&self) {
        let now = reading(self.elapsed_ns);
        for spec in &self.specs {
            let preferred = spec.replicas[0].node;
            let leader = self.lanes[&preferred].0.status(spec.shard, &now).and_then(|status| status.leader);
            assert_eq!(leader, Some(preferred), "{}: the preferred leader leads", spec.shard);
        }
    }

    /// Lets `ms` pass.
    pub(crate) fn run(&mut self, ms: u64) {
        (self.spent, self.said) = (BTreeMap::new(), Said::default());
        self.go_on(ms);
    }

    fn go_on(&mut self, ms: u64) {
        let end_ns = self.elapsed_ns + ms * 1_000_000;
        while self.elapsed_ns < end_ns {
            self.elapsed_ns += STEP_NS;
            // Whatever arrives within the step is taken in at its own time.
            let step_ns = self.elapsed_ns;
            while let Some(arrival) = self.under_way.first_entry().filter(|first| first.key().0 <= step_ns) {
                self.elapsed_ns = arrival.key().0;
                let (node, event) = arrival.remove();
                self.turn(node, event);
            }
            self.elapsed_ns = step_ns;
            for node in 1..=self.plan.nodes {
                self.turn(NodeId(node), Event::Timer);
            }
        }
    }

    fn turn(&mut self, node: NodeId, event: Event) {
        let now = reading(self.elapsed_ns);
        let (lane, disk) = self.lanes.get_mut(&node).expect("a node of the cluster");
        let began = Instant::now();
        lane.handle(event, &now);
        let Output { sends, probes, syncs, .. } = lane.take_output(&now);
        *self.spent.entry(node).or_default() += began.elapsed();
        let synced: Vec<_> = syncs.into_iter().map(|sync| (sync.token, disk.sync(&sync.files))).collect();
        for send in sends {
            self.count(&send.message);
            let (message, payload) = (Box::new(send.message), send.payload.concat().into());
            self.put(send.to, Event::Message { from: node, message, payload });
        }
        for (to, probe) in probes {
            self.said.probes += 1;
            self.said.probe_bytes += probe.encoded_len() as u64;
            self.put(to, Event::Probe { from: node, probe });
        }
        for (token, results) in synced {
            self.turn(node, Event::Synced { token, results });
        }
    }

    fn put(&mut self, to: NodeId, event: Event) {
        self.sent += 1;
        self.under_way.insert((self.elapsed_ns + self.plan.way_ns, self.sent), (to, event));
    }

    fn count(&mut self, message: &NodeMessage) {
        let said = &mut self.said;
        said.messages += 1;
        said.message_bytes += message.encoded_len() as u64;
        let closing = [
            message.closed.as_ref().map_or(0, Message::encoded_len),
            message.closed_ack.as_ref().map_or(0, Message::encoded_len),
            message.publication.as_ref().map_or(0, Message::encoded_len),
        ];
        said.closing_bytes += closing.iter().sum::<usize>() as u64;
        said.raft_bytes += message.raft.iter().map(Message::encoded_len).sum::<usize>() as u64;
    }

    /// How far the past is closed behind true time where each shard is followed, in ns: sampled every 10 ms for `ms`, sorted.
    #[allow(dead_code, reason = "one of the two benchmarks asks for it")]
    pub(crate) fn closed_lag_ns(&mut self, ms: u64) -> Vec<u64> {
        let mut lags = Vec::new();
        for _ in 0..ms / 10 {
            self.go_on(10);
            let now = reading(self.elapsed_ns);
            for spec in &self.specs {
                let status = self.lanes[&spec.replicas[1].node].0.status(spec.shard, &now);
                let closed = status.expect("it has a replica").closed;
                lags.push((START_NS + self.elapsed_ns).saturating_sub(closed.0));
            }
        }
        lags.sort_unstable();
        lags
    }
}

fn placed(plan: &Plan, nodes: &[NodeId], shard: u64) -> Vec<NodeId> {
    if plan.led_by_one {
        return nodes[..3].to_vec();
    }
    place(nodes, ShardId(shard), 3).expect("three nodes and more")
}

fn is_on(spec: &ShardSpec, node: NodeId) -> bool {
    spec.replicas.iter().any(|placed| placed.node == node)
}

fn reading(elapsed_ns: u64) -> Reading {
    let interval = TimeInterval::around(Timestamp(START_NS + elapsed_ns), EPS_NS);
    Reading::new(interval, Monotonic(elapsed_ns), None)
}

fn options(node: NodeId, nodes: &[NodeId], raft_tick: Duration) -> LaneOptions {
    LaneOptions {
        node,
        cluster: "bench".parse().expect("a good name"),
        log: LogOptions { first_segment_bytes: 16 << 10, ..LogOptions::default() },
        raft_tick,
        election_ticks: 10..20,
        heartbeat_ticks: 2,
        closed_tick: CLOSED_TICK,
        eps_max_ns: 10_000_000,
        agreement: AgreementOptions::among(nodes.to_vec()),
        scrub: ScrubOptions { bytes_per_second: 0, ..ScrubOptions::default() },
        unanswered_max: 64,
        seed: node.0,
    }
}

fn spec(shard: u64, nodes: &[NodeId]) -> ShardSpec {
    let replica = |node: &NodeId| Placement { replica: ReplicaId(1_000 * shard + node.0), node: *node };
    ShardSpec {
        shard: ShardId(shard),
        topic: TopicId(1),
        durability: Durability::Disk,
        retention: Retention::default(),
        replicas: nodes.iter().map(replica).collect(),
        follow_committed: false,
    }
}
