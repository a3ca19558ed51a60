//! What a node counts and measures, for Prometheus. Names and units follow its conventions (seconds).
//!
//! Knows nothing of how the numbers are served.

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::clock_standing::{STATES, standing};
use crate::clock::{AgreementStatus, ClockStatus, Fault, Standing};
use crate::types::{OrderMark, Receipt};

/// All metrics of one node. The handles are shared with the registry.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) appends: Counter,
    pub(crate) records: Counter,
    pub(crate) refusals: Counter,
    pub(crate) syncs: Counter,
    pub(crate) messages_dropped: Counter,
    pub(crate) messages_refused: Counter,
    pub(crate) damage: DamageMetrics,
    pub(crate) clocks: ClockMetrics,
    pub(crate) groups: GroupMetrics,
    pub(crate) shards_led: Gauge,
    pub(crate) shards_failed: Gauge,
    pub(crate) shards_full: Gauge,
    pub(crate) peers_connected: Gauge,
    queue: Histogram,
    sync: Histogram,
    replication: Histogram,
    commit_wait: Histogram,
    total: Histogram,
}

/// What was found damaged, what was mended, how far scrubbing has come.
pub(crate) struct DamageMetrics {
    pub(crate) segments_damaged: Counter,
    pub(crate) segments_repaired: Counter,
    pub(crate) frames_refetched: Counter,
    pub(crate) scrubbed_bytes: Counter,
    pub(crate) scrub_passes: Counter,
}

impl DamageMetrics {
    fn register(registry: &mut Registry) -> Self {
        let mut counter = |name: &str, help: &str| {
            let metric = Counter::default();
            registry.register(name, help, metric.clone());
            metric
        };
        Self {
            segments_damaged: counter(
                "segments_damaged",
                "Segments found damaged, by readers or by scrubbing",
            ),
            segments_repaired: counter("segments_repaired", "Damaged segments written anew from peers"),
            frames_refetched: counter("frames_refetched", "Frames of damaged segments that peers gave"),
            scrubbed_bytes: counter("scrubbed_bytes", "Bytes of sealed segments proved by scrubbing"),
            scrub_passes: counter("scrub_passes", "Times that scrubbing went through all sealed segments"),
        }
    }
}

/// Consumer groups that this node coordinates. What all nodes say together is what there is.
pub(crate) struct GroupMetrics {
    pub(crate) groups: Gauge,
    pub(crate) members: Gauge,
    pub(crate) commits: Counter,
    pub(crate) shards_moved: Counter,
}

impl GroupMetrics {
    fn register(registry: &mut Registry) -> Self {
        let (groups, members) = (Gauge::default(), Gauge::default());
        let (commits, shards_moved) = (Counter::default(), Counter::default());
        registry.register("groups", "Consumer groups that this node coordinates", groups.clone());
        registry.register(
            "group_members",
            "Members of the groups that this node coordinates",
            members.clone(),
        );
        registry.register("group_commits", "Commits of members of groups, as coordinator", commits.clone());
        registry.register(
            "group_shards_moved",
            "Shards that members of groups were given, as coordinator: of others, or of nobody",
            shards_moved.clone(),
        );
        Self { groups, members, commits, shards_moved }
    }
}

type Labels = Vec<(&'static str, String)>;

/// This node's clock, and how it stands to the others'.
pub(crate) struct ClockMetrics {
    uncertainty_ns: Gauge,
    uncertainty_max_ns: Gauge,
    age_ns: Gauge,
    pub(crate) closed_lag_ns: Gauge,
    state: Family<Labels, Gauge>,
    faults: Family<Labels, Counter>,
    offset_ns: Family<Labels, Gauge>,
    verdict: Family<Labels, Gauge>,
    doubts: Family<Labels, Gauge>,
    order_marks: Family<Labels, Counter>,
}

impl ClockMetrics {
    fn register(registry: &mut Registry) -> Self {
        let mut gauge = |name: &str, help: &str| {
            let metric = Gauge::default();
            registry.register(name, help, metric.clone());
            metric
        };
        let clocks = Self {
            uncertainty_ns: gauge("clock_uncertainty_ns", "Half the width of the clock's interval"),
            uncertainty_max_ns: gauge(
                "clock_uncertainty_max_ns",
                "Above this uncertainty the clock is fenced",
            ),
            age_ns: gauge("clock_age_ns", "Time since the source's last sample"),
            closed_lag_ns: gauge(
                "closed_lag_ns",
                "How far behind now the past of the replica is closed that lags most, of those closed at all",
            ),
            state: Family::default(),
            faults: Family::default(),
            offset_ns: Family::default(),
            verdict: Family::default(),
            doubts: Family::default(),
            order_marks: Family::default(),
        };
        registry.register(
            "clock_state",
            "1 for the state that the clock is in, 0 for the others: trusted, suspended, fenced",
            clocks.state.clone(),
        );
        registry.register(
            "clock_faults",
            "Times that the clock's own source, or the other clocks, gave a reason not to trust it",
            clocks.faults.clone(),
        );
        registry.register(
            "clock_peer_offset_ns",
            "Bounds of a peer's clock minus this one, midpoint to midpoint",
            clocks.offset_ns.clone(),
        );
        registry.register(
            "clock_peer_verdict",
            "1 if a peer's clock is one of a majority, -1 if it misses every one, 0 if it is not heard",
            clocks.verdict.clone(),
        );
        registry.register(
            "clock_doubts_open",
            "1 while this node holds a node's clock for wrong, itself perhaps, 0 once that agrees again",
            clocks.doubts.clone(),
        );
        registry.register(
            "order_marks",
            "Order marks that this node wrote as leader, by the node whose clock was wrong",
            clocks.order_marks.clone(),
        );
        clocks
    }

    /// Counts a fault of this clock.
    pub(crate) fn count(&self, fault: &Fault) {
        self.faults.get_or_create(&vec![("kind", fault.kind().to_owned())]).inc();
    }

    /// Counts an order mark that this node wrote.
    pub(crate) fn marked(&self, mark: &OrderMark) {
        self.order_marks.get_or_create(&vec![("node", mark.node.to_string())]).inc();
    }

    /// Takes down how this clock and the peers' stand.
    pub(crate) fn measure(&self, own: &ClockStatus, agreement: &AgreementStatus) {
        let ns = |ns: u64| i64::try_from(ns).unwrap_or(i64::MAX);
        self.uncertainty_ns.set(ns(own.uncertainty_ns));
        self.uncertainty_max_ns.set(ns(own.eps_max_ns));
        self.age_ns.set(ns(own.age_ns));
        let (state, _) = standing(own, agreement);
        for name in STATES {
            self.state.get_or_create(&vec![("state", name.to_owned())]).set((name == state).into());
        }
        for doubt in &agreement.doubts {
            let labels = vec![("node", doubt.mark.node.to_string())];
            self.doubts.get_or_create(&labels).set(doubt.is_open.into());
        }
        for peer in &agreement.peers {
            let label = || ("peer", peer.node.to_string());
            let verdict = match peer.standing {
                Standing::Agrees => 1,
                Standing::Misses { .. } => -1,
                Standing::Unheard => 0,
            };
            self.verdict.get_or_create(&vec![label()]).set(verdict);
            for (edge, ns) in
                [("low", peer.offset.map(|it| it.low_ns)), ("high", peer.offset.map(|it| it.high_ns))]
            {
                let labels = vec![label(), ("edge", edge.to_owned())];
                match ns {
                    Some(ns) => {
                        self.offset_ns.get_or_create(&labels).set(ns);
                    }
                    // What was true of a node that is silent by now says nothing of it.
                    None => {
                        self.offset_ns.remove(&labels);
                    }
                }
            }
        }
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("timberline");
        let mut counter = |name: &str, help: &str| {
            let metric = Counter::default();
            registry.register(name, help, metric.clone());
            metric
        };
        let appends = counter("appends", "Batches acknowledged by this node as leader");
        let records = counter("records", "Records in acknowledged batches");
        let refusals = counter("append_refusals", "Batches refused, for whatever reason");
        let syncs = counter("file_syncs", "Files synced");
        let messages_dropped =
            counter("messages_dropped", "Messages to nodes that were lost: queue full, or not connected");
        let messages_refused = counter("messages_refused", "Peers' messages that a replica did not take");
        let damage = DamageMetrics::register(&mut registry);
        let clocks = ClockMetrics::register(&mut registry);
        let groups = GroupMetrics::register(&mut registry);
        let mut gauge = |name: &str, help: &str| {
            let metric = Gauge::default();
            registry.register(name, help, metric.clone());
            metric
        };
        let shards_led = gauge("shards_led", "Shards this node leads");
        let shards_failed = gauge("shards_failed", "Replicas on this node that stopped or cannot be opened");
        let shards_full =
            gauge("shards_full", "Replicas on this node that take no appends because its disk is full");
        let peers_connected = gauge("peers_connected", "Nodes with a connection to this one");
        let mut stage = |name: &str, help: &str| {
            let metric = Histogram::new(exponential_buckets(20e-6, 2.0, 18));
            registry.register(name, help, metric.clone());
            metric
        };
        Self {
            queue: stage("append_queue_seconds", "From a batch's arrival to its stamp"),
            sync: stage("append_sync_seconds", "From the stamp to the leader's own sync"),
            replication: stage("append_replication_seconds", "From the stamp to commitment by a quorum"),
            commit_wait: stage(
                "append_commit_wait_seconds",
                "From commitment until the clock is past the stamp",
            ),
            total: stage("append_total_seconds", "From a batch's arrival to its acknowledgement"),
            registry,
            appends,
            records,
            refusals,
            syncs,
            messages_dropped,
            messages_refused,
            damage,
            clocks,
            groups,
            shards_led,
            shards_failed,
            shards_full,
            peers_connected,
        }
    }

    /// Counts an acknowledged batch.
    pub(crate) fn acknowledged(&self, receipt: &Receipt) {
        let wait = &receipt.wait;
        self.appends.inc();
        self.records.inc_by(receipt.record_count.into());
        self.queue.observe(wait.queue.as_secs_f64());
        self.sync.observe(wait.sync.as_secs_f64());
        self.replication.observe(wait.replication.as_secs_f64());
        self.commit_wait.observe(wait.commit_wait.as_secs_f64());
        self.total.observe((wait.queue + wait.replication + wait.commit_wait).as_secs_f64());
    }

    /// All metrics in the `OpenMetrics` text format.
    pub(crate) fn encode(&self) -> String {
        let mut text = String::new();
        text::encode(&mut text, &self.registry).expect("a string takes any text");
        text
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::clock::{ClockOptions, DoubtStanding, PeerStanding, SourceOptions, Span};

    use super::*;
    use crate::types::{MarkReason, NodeId, StageTimes, Timestamp};

    fn mark_of(node: u64) -> OrderMark {
        let (from, until) = (Timestamp(1), Timestamp(2));
        OrderMark { node: NodeId(node), from, until, off_by_ns: 3, reason: MarkReason::Outvoted }
    }

    #[test]
    fn what_is_known_of_the_clocks_is_told_with_help_and_units() {
        let metrics = Metrics::new();
        let clock = SourceOptions::declared(Duration::from_millis(1)).clock(ClockOptions::default(), None);
        let peer = PeerStanding {
            node: NodeId(2),
            offset: Some(Span { low_ns: -7, high_ns: 9 }),
            round_trip_ns: 16,
            stated: None,
            vouched_at: None,
            standing: Standing::Misses { by_ns: 3 },
        };
        let fault = Fault::Outvoted { by_ns: 3 };
        let held = Some((fault, "a sentence".to_owned()));
        metrics.clocks.count(&fault);
        metrics.clocks.measure(
            &ClockStatus { age_ns: 5, ..clock.status() },
            &AgreementStatus { fault: held, is_heard: true, peers: vec![peer], doubts: Vec::new() },
        );
        let text = metrics.encode();
        for line in [
            "timberline_clock_uncertainty_ns 1000000",
            "timberline_clock_uncertainty_max_ns 10000000",
            "timberline_clock_age_ns 5",
            "timberline_clock_state{state=\"trusted\"} 0",
            "timberline_clock_state{state=\"fenced\"} 1",
            "timberline_clock_faults_total{kind=\"outvoted\"} 1",
            "timberline_clock_peer_offset_ns{peer=\"2\",edge=\"low\"} -7",
            "timberline_clock_peer_verdict{peer=\"2\"} -1",
            "timberline_closed_lag_ns 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
            let name = line.split(['{', ' ']).next().unwrap_or_default().trim_end_matches("_total");
            assert!(text.contains(&format!("# HELP {name} ")), "{name} has a help text");
        }
        assert!(text.contains("# HELP timberline_append_commit_wait_seconds "), "{text}");
    }

    #[test]
    fn where_a_peer_stood_is_told_no_longer_once_it_is_silent() {
        let metrics = Metrics::new();
        let clock = SourceOptions::declared(Duration::from_millis(1)).clock(ClockOptions::default(), None);
        let mut peer = PeerStanding {
            node: NodeId(2),
            offset: Some(Span { low_ns: -7, high_ns: 9 }),
            round_trip_ns: 16,
            stated: None,
            vouched_at: None,
            standing: Standing::Agrees,
        };
        let measure = |peer: &PeerStanding| {
            let (peers, doubts) = (vec![*peer], Vec::new());
            let agreement = AgreementStatus { fault: None, is_heard: true, peers, doubts };
            metrics.clocks.measure(&clock.status(), &agreement);
            metrics.encode().contains("timberline_clock_peer_offset_ns{")
        };
        assert!(measure(&peer));
        (peer.offset, peer.standing) = (None, Standing::Unheard);
        assert!(!measure(&peer));
    }

    #[test]
    fn marks_are_counted_and_doubts_shown_by_the_node_whose_clock_was_wrong_and_a_closed_doubt_is_0() {
        let metrics = Metrics::new();
        let clock = SourceOptions::declared(Duration::from_millis(1)).clock(ClockOptions::default(), None);
        let shows = |line: &str| metrics.encode().lines().any(|found| found == line);
        for node in [2, 2, 3] {
            metrics.clocks.marked(&mark_of(node));
        }
        assert!(shows("timberline_order_marks_total{node=\"2\"} 2"), "{}", metrics.encode());
        assert!(shows("timberline_order_marks_total{node=\"3\"} 1"));
        for (is_open, line) in [
            (true, "timberline_clock_doubts_open{node=\"2\"} 1"),
            (false, "timberline_clock_doubts_open{node=\"2\"} 0"),
        ] {
            let doubts = vec![DoubtStanding { mark: mark_of(2), is_open }];
            let agreement = AgreementStatus { fault: None, is_heard: true, peers: Vec::new(), doubts };
            metrics.clocks.measure(&clock.status(), &agreement);
            assert!(shows(line), "{line} in {}", metrics.encode());
        }
    }

    #[test]
    fn an_acknowledged_batch_is_seen_in_every_stage() {
        let metrics = Metrics::new();
        let ms = Duration::from_millis;
        let wait = StageTimes { queue: ms(1), sync: ms(2), replication: ms(3), commit_wait: ms(4) };
        metrics.acknowledged(&Receipt {
            shard: crate::types::ShardId(1),
            first_offset: crate::types::Offset(0),
            first_timestamp: Timestamp(1),
            record_count: 7,
            uncertainty_ns: 1,
            term: crate::types::Term(1),
            header_crc: None,
            durability: crate::types::Durability::Disk,
            wait,
        });
        let text = metrics.encode();
        assert!(text.contains("timberline_records_total 7"), "{text}");
        assert!(text.contains("timberline_append_total_seconds_sum 0.008"), "{text}");
    }
}
