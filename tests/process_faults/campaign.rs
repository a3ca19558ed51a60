//! A campaign: a cluster behind relays, a workload on it, faults drawn from one seed, and the judgement at the end.
//!
//! Knows how faults are made, not what they may break: that is the checkers'. A fault lasts until its effect was seen,
//! and after each the cluster must serve every shard again before the next.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};
use timberline::types::NodeId;
use timberline_checkers::{Checker, Outcome, ReplicaLog, check_all};

use super::cluster::{Cluster, NODES};
use super::relay::{Network, Party, Weather};
use super::witness::{Seen, Witness};
use super::workload::Workload;

const TOPIC: &str = "events";
const SHARDS: &str = "4";
/// Faults in a campaign without `TIMBERLINE_FAULT_SECONDS`.
const ROUNDS: u32 = 4;
/// Within so long after a fault everything works again.
const RECOVERY_MAX: Duration = Duration::from_secs(30);
/// How far the nodes' clocks are from the truth: so far that a commit-wait left out shows, and less than declared.
const CLOCKS_OFF_NS: [i64; NODES as usize] = [-14_000_000, 0, 14_000_000];
const CLOCKS: [&str; 8] = [
    "--set",
    "testing.enabled=true",
    "--set",
    "clock.inject_file=inject-{node}",
    "--set",
    "clock.uncertainty=15ms",
    "--set",
    "clock.eps_max=25ms",
];
/// Appends acknowledged in each shard that prove it works.
const PROOF_APPENDS: u64 = 10;

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL of one node.
    Kill,
    /// SIGKILL of all nodes at once.
    KillAll,
    /// SIGSTOP of a leader until others lead its shards.
    Stop,
    /// All links lose, double, delay and reorder.
    Storm,
    /// SIGKILL of one node in a storm; it comes back into the storm.
    KillInStorm,
    /// Nothing that one node sends arrives, or nothing sent to it, until others lead its shards.
    CutOff,
    /// One node does not hear one other node.
    CutLink,
}

/// A cluster under faults.
pub(crate) struct Campaign {
    pub(crate) cluster: Cluster,
    pub(crate) witness: Arc<Witness>,
    pub(crate) rng: StdRng,
    seed: u64,
    network: Network,
    workload: Workload,
    /// What was done so far, for a failure's message.
    story: String,
    started: Instant,
}

fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a whole number, not {text:?}")))
}

/// Writes the relays' addresses where the nodes look for each other; they go on listening where they did.
pub(crate) fn put_between(cluster: &Cluster, network: &Network) {
    for node in 1..=NODES {
        let mut settings = std::fs::read_to_string(cluster.settings(node)).expect("the settings");
        for (peer, relay) in (1..=NODES).zip(network.addresses()) {
            let named = |address| format!("{{ id = {peer}, address = \"{address}\" }}");
            let direct = named(cluster.address(peer));
            assert!(settings.contains(&direct), "{settings}");
            settings = settings.replace(&direct, &named(*relay));
        }
        std::fs::write(cluster.settings(node), settings).expect("the settings are written");
    }
}

/// A cluster whose clocks are off, with further arguments for every `serve`; nothing runs yet.
pub(crate) fn prepare(extra: &[&'static str]) -> Cluster {
    Cluster::prepare(&[&CLOCKS[..], extra].concat())
}

fn set_clocks(cluster: &Cluster, rng: &mut StdRng) {
    let mut offsets = CLOCKS_OFF_NS;
    offsets.shuffle(rng);
    for (node, offset_ns) in (1..=NODES).zip(offsets) {
        let file = cluster.path(&format!("inject-{node}"));
        std::fs::write(file, format!("offset_ns={offset_ns}\n")).expect("a control file is written");
    }
}

impl Campaign {
    /// Starts nodes that were prepared, and a workload on them. Prints the seed that repeats it.
    pub(crate) async fn start(mut cluster: Cluster) -> Self {
        let seed = from_environment("TIMBERLINE_FAULT_SEED").unwrap_or_else(rand::random);
        println!("TIMBERLINE_FAULT_SEED={seed}");
        let nodes = (1..=NODES).map(|node| cluster.address(node)).collect();
        let network = Network::start(nodes, seed).await;
        let mut rng = StdRng::seed_from_u64(seed);
        put_between(&cluster, &network);
        set_clocks(&cluster, &mut rng);
        cluster.start_all();
        cluster.succeed(&["topic", "create", TOPIC, "--shards", SHARDS]);
        let witness = Arc::new(Witness::new(NODES));
        let endpoints: Vec<String> = network.addresses().iter().map(ToString::to_string).collect();
        let certs = cluster.path("certs");
        let workload = Workload::start(&witness, TOPIC, (&endpoints, &certs), seed).await;
        let (story, started) = (String::new(), Instant::now());
        let mut campaign = Self { cluster, witness, rng, seed, network, workload, story, started };
        campaign.works_again().await;
        campaign
    }

    /// Whether it goes on: for a few rounds, or for as long as the environment says.
    pub(crate) fn goes_on(&self, round: u32) -> bool {
        match from_environment("TIMBERLINE_FAULT_SECONDS") {
            Some(seconds) => self.started.elapsed() < Duration::from_secs(seconds),
            None => round < ROUNDS,
        }
    }

    /// Faults of these kinds, then the judgement.
    pub(crate) async fn run(mut self, faults: &[Fault]) {
        let mut order = faults.to_vec();
        order.shuffle(&mut self.rng);
        let mut round = 0;
        while self.goes_on(round) {
            // Each kind once, then as it comes.
            let drawn = order.pop();
            let fault = drawn.or_else(|| faults.choose(&mut self.rng).copied()).expect("there is a fault");
            self.suffer(fault).await;
            round += 1;
        }
        self.judge().await;
    }

    async fn suffer(&mut self, fault: Fault) {
        let node = match fault {
            Fault::Stop | Fault::CutOff => self.some_leader(),
            _ => self.rng.random_range(1..=NODES),
        };
        self.tell(&format!("{fault:?}, node {node}"));
        match fault {
            Fault::Kill => {
                self.cluster.kill(node);
                self.works_again().await;
                self.spawn(node);
            }
            Fault::KillAll => {
                (1..=NODES).for_each(|node| self.cluster.kill(node));
                (1..=NODES).for_each(|node| self.spawn(node));
            }
            Fault::Stop => {
                self.cluster.signal(node, "STOP");
                self.others_lead(node).await;
                // It wakes up believing that it leads, and is wrong.
                self.works_again().await;
                self.cluster.signal(node, "CONT");
            }
            Fault::Storm | Fault::KillInStorm | Fault::CutOff | Fault::CutLink => {
                let weather = self.weather(fault, node);
                self.tell(&format!("{weather:?}"));
                self.network.set(weather);
                self.sit_out(fault, node).await;
                self.network.set(Weather::default());
            }
        }
        self.works_again().await;
    }

    fn some_leader(&mut self) -> u16 {
        let leaders: Vec<NodeId> = self.witness.look().leaders.values().map(|(_, node)| *node).collect();
        let leader = leaders.choose(&mut self.rng).map_or(1, |node| node.0);
        u16::try_from(leader).expect("few nodes")
    }

    fn weather(&mut self, fault: Fault, node: u16) -> Weather {
        let mut weather = Weather::default();
        match fault {
            Fault::CutOff => {
                let everybody = (1..=NODES).map(Party::Node).chain([Party::Client]);
                let outward = self.rng.random_bool(0.5);
                let link = |peer| {
                    if outward { (Party::Node(node), peer) } else { (peer, Party::Node(node)) }
                };
                weather.cut = everybody.map(link).collect();
            }
            Fault::CutLink => weather.cut = [(Party::Node(node), Party::Node(1 + node % NODES))].into(),
            _ => {
                weather.dropped = self.rng.random_range(0.02..0.2);
                weather.doubled = self.rng.random_range(0.0..0.2);
                weather.delay_max = Duration::from_millis(self.rng.random_range(1..60));
            }
        }
        weather
    }

    /// Waits until bad weather had its effect.
    async fn sit_out(&mut self, fault: Fault, node: u16) {
        match fault {
            Fault::CutOff => return self.others_lead(node).await,
            Fault::KillInStorm => {
                self.cluster.kill(node);
                self.works_again().await;
                self.spawn(node);
            }
            _ => {}
        }
        let mut lost = self.network.lost();
        let goal = *lost.borrow_and_update() + if fault == Fault::CutLink { 30 } else { 300 };
        let hit = tokio::time::timeout(RECOVERY_MAX, lost.wait_for(|lost| *lost >= goal)).await.is_ok();
        assert!(hit, "the bad weather hits nobody\n{}", self.account());
    }

    /// Starts a node that was killed.
    pub(crate) fn spawn(&mut self, node: u16) {
        self.witness.begin_life(node);
        self.cluster.spawn(node);
    }

    /// Waits until no shard is led by a node.
    async fn others_lead(&mut self, node: u16) {
        let node = NodeId(node.into());
        let elsewhere = |seen: &Seen| seen.leaders.values().all(|(_, leader)| *leader != node);
        let moved = self.witness.sees(RECOVERY_MAX, elsewhere).await;
        let leaders = self.witness.look().leaders.clone();
        assert!(moved, "node {node} still leads: {leaders:?}\n{}", self.account());
    }

    /// Waits until every shard acknowledges appends again.
    pub(crate) async fn works_again(&mut self) {
        let shards: usize = SHARDS.parse().expect("a number");
        let before = self.witness.look().acknowledged.clone();
        let proof = |seen: &Seen| {
            let grew = seen.acknowledged.iter().filter(|(shard, (count, _))| {
                *count >= before.get(shard).map_or(0, |(count, _)| *count) + PROOF_APPENDS
            });
            grew.count() == shards
        };
        let works = self.witness.sees(RECOVERY_MAX, proof).await;
        assert!(works, "not every shard takes appends again\n{}", self.account());
        self.tell("works");
    }

    /// Until a replica of this node says that its disk is full: what was reserved before must be filled first.
    pub(crate) async fn runs_out_of_space(&mut self, node: NodeId) {
        let full = |seen: &Seen| seen.full.iter().any(|(said, _)| *said == node);
        let said = self.witness.sees(RECOVERY_MAX * 4, full).await;
        assert!(said, "node {node} does not say that it is full\n{}", self.account());
        self.tell("it says that it is full");
    }

    /// Until every replica of this node has room again, without having stopped.
    pub(crate) async fn has_room_again(&mut self, node: NodeId) {
        let rooms = |seen: &Seen| !seen.full.iter().any(|(said, _)| *said == node);
        let said = self.witness.sees(RECOVERY_MAX, rooms).await;
        assert!(said, "node {node} says on that it is full\n{}", self.account());
        let failures = self.witness.look().failures.clone();
        assert!(failures.is_empty(), "replicas stopped: {failures:?}\n{}", self.account());
        self.tell("it has room again");
    }

    pub(crate) fn tell(&mut self, what: &str) {
        let line = format!("{:8.3}s {what}", self.started.elapsed().as_secs_f64());
        println!("{line}");
        writeln!(self.story, "{line}").expect("text can be added to text");
    }

    /// Everything a failure's message must say.
    fn account(&self) -> String {
        let seen = self.witness.look();
        // Logs are read at the end only, so an acknowledged record may not have been seen yet.
        let checkers: Vec<_> =
            Checker::ALL.into_iter().filter(|checker| *checker != Checker::Acknowledged).collect();
        let broken = check_all(&seen.history, &checkers).err().map(|violation| violation.to_string());
        let found = [&seen.complaints[..], &broken.into_iter().collect::<Vec<_>>()].concat().join("\n");
        format!("TIMBERLINE_FAULT_SEED={}\n{}{found}\n{}", self.seed, self.story, self.cluster.logs())
    }

    /// Everything that was promised: in bounded time every node serves every acknowledged record, and the history of
    /// the whole campaign passes all checkers.
    pub(crate) async fn judge(mut self) {
        let ended = self.workload.stop_producing().await;
        assert!(ended, "appends stay open\n{}", self.account());
        let work = self.workload.all_replicas_work(RECOVERY_MAX).await;
        work.unwrap_or_else(|idle| panic!("{idle}\n{}", self.account()));
        let caught_up = self.readers_catch_up().await;
        for node in (1..=NODES).map(|node| NodeId(node.into())) {
            let logs = self.workload.logs_of(node, RECOVERY_MAX).await;
            let logs =
                logs.unwrap_or_else(|why| panic!("node {node} serves no logs: {why}\n{}", self.account()));
            let history = &mut self.witness.look().history;
            history.logs.extend(logs.0);
            history.merged.push(logs.1);
        }
        let verdict = self.verdict();
        // What is broken says more than who waits for it.
        let verdict = verdict.and_then(|verdict| caught_up.map(|()| verdict));
        self.tell(&verdict.unwrap_or_else(|broken| panic!("{broken}\n{}", self.account())));
    }

    /// The live readers, which went through every fault, are given every acknowledged record.
    async fn readers_catch_up(&mut self) -> Result<(), String> {
        let nodes = || (1..=NODES).map(|node| NodeId(node.into()));
        let all_shown = |seen: &Seen| {
            let has = |node| {
                let mut goals = seen.acknowledged.iter();
                goals.all(|(shard, (_, highest))| seen.shown.get(&(node, *shard)) >= Some(highest))
            };
            let each = nodes().all(has);
            let mut streams = seen.history.merged.iter();
            each && streams.all(|stream| {
                stream.records.last().is_some_and(|last| (last.timestamp, last.shard) >= seen.last)
            })
        };
        let caught_up = self.witness.sees(RECOVERY_MAX, all_shown).await;
        if !caught_up {
            return Err(format!("a reader misses acknowledged records: {:?}", self.witness.look().shown));
        }
        self.tell("every reader has everything");
        Ok(())
    }

    fn verdict(&self) -> Result<String, String> {
        let seen = self.witness.look();
        if !seen.complaints.is_empty() {
            return Err(seen.complaints.join("\n"));
        }
        let history = &seen.history;
        let tally = check_all(history, &Checker::ALL).map_err(|violation| violation.to_string())?;
        for append in &history.appends {
            let Outcome::Acknowledged { stamp, .. } = append.outcome else { continue };
            let serves = |log: &&ReplicaLog| {
                let place = log.entries.binary_search_by_key(&stamp.offset, |entry| entry.stamp.offset);
                log.shard == append.shard && place.is_ok()
            };
            let nodes: Vec<NodeId> = history.logs.iter().filter(serves).map(|log| log.node).collect();
            if nodes.len() != usize::from(NODES) {
                return Err(format!("only nodes {nodes:?} serve {append:?}"));
            }
        }
        let count = |wanted: fn(&Outcome) -> bool| {
            history.appends.iter().filter(|append| wanted(&append.outcome)).count()
        };
        Ok(format!(
            "{} acknowledged, {} failed, {} unknown; {} shown, {} leaderships; {} comparisons hold",
            count(|outcome| matches!(outcome, Outcome::Acknowledged { .. })),
            count(|outcome| *outcome == Outcome::Failed),
            count(|outcome| *outcome == Outcome::Unknown),
            history.shown.len(),
            history.leaders.len(),
            tally.0,
        ))
    }
}
