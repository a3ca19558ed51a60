//! Faults are over: what was broken from outside is mended, and every process runs.

use std::collections::BTreeSet;

use timberline::lane::{Event, ReadAnswer, ReadCommand, ReadFrom, ReadRefusal, ShardSpec};
use timberline::types::{NodeId, Offset, ShardId, Timestamp};
use timberline_checkers::{MergedRecord, Outcome, ReplicaLog};

use super::output::{seen, with_records};
use super::{Asker, World};
use crate::plan::SECOND;

/// What one working replica shows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) node: NodeId,
    pub(crate) leader: Option<NodeId>,
    pub(crate) is_settled: bool,
    pub(crate) closed: Timestamp,
    pub(crate) released: u64,
    pub(crate) trimmed: u64,
}

impl World {
    /// Ends all faults. Damage that is done stays done.
    pub(crate) fn calm_down(&mut self) {
        self.calm = true;
        self.calm_ns = self.now_ns;
        self.trace.tell(self.now_ns, || "calm: faults are over".to_owned());
        self.network.calm();
        for id in self.node_ids() {
            self.put_back(id);
            if self.disk_of(id).is_power_off() {
                self.kill(id, true);
            }
            let node = self.nodes.get_mut(&id).expect("the cluster's nodes never change");
            node.disk.set_capacity_bytes(None);
            node.disk.fail_power_after(None);
            node.disk.fail_next_sync(false);
            node.clock.lie_ns = 0;
            (node.clock.starved, node.clock.lost) = (false, false);
            (node.next_sync, node.pause_next_ns, node.cut_at_vote) = (None, None, false);
            (node.slow_until_ns, node.stalled_until_ns) = (0, 0);
            self.take_sample(id);
            if !self.is_up(id) || !self.failures(id).is_empty() {
                self.restart_after(id, 0);
            }
        }
    }

    /// What a node does about damage of a shard's files.
    pub(super) fn repair(&self, id: NodeId, shard: ShardId) -> Option<String> {
        self.nodes[&id].lane.as_ref()?.repair(shard)
    }

    /// Whether a replica that does not run is on its way: its files are repaired, or it asks what it forgot.
    pub(super) fn repairs(&self, id: NodeId, shard: ShardId) -> bool {
        let recollects = self.nodes[&id].lane.as_ref().is_some_and(|lane| lane.recollects(shard));
        recollects || self.repair(id, shard).is_some()
    }

    pub(super) fn has_been_calm_for(&self, ns: u64) -> bool {
        self.calm && self.now_ns >= self.calm_ns + ns
    }

    /// Where the working replicas of a shard stand.
    pub(crate) fn standings(&mut self, shard: ShardId) -> Vec<Standing> {
        let mut standings = Vec::new();
        for node in self.node_ids() {
            let statuses = self.statuses(node).into_iter().filter(|status| status.shard == shard);
            standings.extend(statuses.map(|status| Standing {
                node,
                leader: status.leader,
                is_settled: status.released == status.appended,
                closed: status.closed,
                released: status.released.0,
                trimmed: status.trimmed.0,
            }));
        }
        standings
    }

    /// How much each working replica shows.
    pub(crate) fn released(&mut self) -> Vec<(NodeId, ShardId, u64)> {
        let shards: Vec<ShardId> = self.specs.iter().map(|spec| spec.shard).collect();
        let shown = |shard: ShardId| {
            let standings = self.standings(shard).into_iter();
            standings.map(move |standing| (standing.node, shard, standing.released))
        };
        shards.into_iter().flat_map(shown).collect()
    }

    /// Replicas of a shard that stopped and cannot be opened. One that is repaired may still come back.
    pub(crate) fn failed_replicas(&mut self, spec: &ShardSpec) -> usize {
        let nodes: Vec<NodeId> = spec.replicas.iter().map(|placed| placed.node).collect();
        let gave_up = self.has_been_calm_for(30 * SECOND);
        // A node that is about to be started again may open its replica.
        let failed = |node: NodeId| {
            !self.nodes[&node].restart_waits
                && (gave_up || !self.repairs(node, spec.shard))
                && self.failures(node).iter().any(|(shard, _)| *shard == spec.shard)
        };
        nodes.into_iter().map(failed).filter(|failed| *failed).count()
    }

    /// No quorum of a shard works any more: it may stand still, but never answer wrongly.
    pub(crate) fn is_stopped(&mut self, spec: &ShardSpec) -> bool {
        let failed = self.failed_replicas(spec);
        // Where an operator had taken a voter away when another failed for good, two voters may be left, one of them dead.
        let shrunk = self.operator.away.contains_key(&spec.shard)
            || self.operator.returning.iter().any(|(shard, _)| *shard == spec.shard);
        let gave_up = shrunk && failed > 0 && self.has_been_calm_for(15 * SECOND);
        2 * failed >= spec.replicas.len() || gave_up
    }

    pub(crate) fn stopped_shards(&mut self) -> usize {
        self.specs.clone().iter().filter(|spec| self.is_stopped(spec)).count()
    }

    /// Notes which shards have no working quorum.
    pub(crate) fn note_stopped(&mut self) {
        let stopped: Vec<ShardSpec> =
            self.specs.clone().into_iter().filter(|spec| self.is_stopped(spec)).collect();
        self.history.stopped = stopped.iter().map(|spec| spec.shard).collect();
    }

    /// The last record of all logs noted, in the merged order.
    pub(crate) fn last_record(&self) -> Option<MergedRecord> {
        let last = self.history.logs.iter().filter_map(|log| {
            let entry = log.entries.last()?;
            let offset = Offset(entry.next_offset().0 - 1);
            Some(MergedRecord {
                timestamp: entry.last_timestamp(),
                shard: log.shard,
                offset,
                append: entry.append,
            })
        });
        last.max()
    }

    /// Counts what the run came to.
    pub(crate) fn sum_up(&mut self) {
        let outcome = |wanted: fn(&Outcome) -> bool| {
            self.history.appends.iter().filter(|append| wanted(&append.outcome)).count() as u64
        };
        let acknowledged = outcome(|outcome| matches!(outcome, Outcome::Acknowledged { .. }));
        let (failed, unknown) = (outcome(|o| *o == Outcome::Failed), outcome(|o| *o == Outcome::Unknown));
        let terms: BTreeSet<_> = self.history.leaders.iter().map(|l| (l.shard, l.term)).collect();
        let stopped_replicas =
            self.specs.clone().iter().map(|spec| self.failed_replicas(spec)).sum::<usize>();
        let stopped_shards = self.stopped_shards() as u64;
        let totals = &mut self.totals;
        (totals.seeds, totals.simulated_ns, totals.events) = (1, self.now_ns, self.trace.events());
        totals.appends = self.history.appends.len() as u64;
        (totals.acknowledged, totals.failed, totals.unknown) = (acknowledged, failed, unknown);
        totals.marks = self.history.marks.len() as u64;
        totals.elections = terms.len() as u64;
        (totals.stopped_shards, totals.stopped_replicas) = (stopped_shards, stopped_replicas as u64);
    }

    /// Whether nodes have not answered all appends to a shard.
    pub(crate) fn owes_answers(&self, shard: ShardId) -> bool {
        self.nodes.values().any(|node| node.appends.values().any(|asked| *asked == shard))
    }

    /// A repair of a shard's files that peers could end by now, in words.
    pub(crate) fn unfinished_repair(&self, spec: &ShardSpec) -> Option<String> {
        let nodes = spec.replicas.iter().map(|placed| placed.node);
        let mut repairs = nodes.filter_map(|id| Some(format!("node {id}: {}", self.repair(id, spec.shard)?)));
        repairs.find(|repair| !is_beyond_repair(repair))
    }

    /// What the victim still refuses to serve, though others could give it back.
    pub(crate) fn unreadable(&mut self) -> Option<String> {
        let victim = self.atlas.victim;
        for spec in self.specs.clone() {
            let runs = self.standings(spec.shard).iter().any(|standing| standing.node == victim);
            if !runs || self.is_stopped(&spec) {
                continue;
            }
            // A frame may be refused whose segment rotted in its head, too: what the repair meets tells.
            let hopeless = |world: &Self| {
                world.repair(victim, spec.shard).is_some_and(|repair| is_beyond_repair(&repair))
            };
            if let Some(reason) = self.refusal(victim, spec.shard)
                && !is_beyond_repair(&reason)
                && !hopeless(self)
            {
                return Some(format!("node {victim}: {reason}"));
            }
        }
        None
    }

    /// Why a replica does not show all that it has.
    fn refusal(&mut self, id: NodeId, shard: ShardId) -> Option<String> {
        let mut from = ReadFrom::Time(Timestamp::ZERO);
        loop {
            match self.read_now(id, shard, from)? {
                Ok(answer) if answer.frames.is_empty() => return None,
                Ok(answer) => from = ReadFrom::Index(answer.next),
                Err(refusal) => return Some(refusal.to_string()),
            }
        }
    }

    /// Reads all that a replica shows, as a new reader would. One that refuses to serve what its disk damaged has no
    /// whole log to judge.
    pub(crate) fn note_log(&mut self, id: NodeId, shard: ShardId) {
        // Where the log begins, by the first answer: it may be trimmed while it is read.
        let (mut entries, mut kept_from) = (Vec::new(), None);
        let mut from = ReadFrom::Time(Timestamp::ZERO);
        loop {
            match self.read_now(id, shard, from) {
                Some(Ok(answer)) => {
                    kept_from.get_or_insert(answer.kept_from);
                    if answer.frames.is_empty() {
                        break;
                    }
                    from = ReadFrom::Index(answer.next);
                    self.note_marks(id, shard, &answer.frames);
                    entries.extend(with_records(&answer.frames).map(seen));
                }
                Some(Err(_)) if self.is_hurt(id) => return,
                _ => break,
            }
        }
        let kept_from = kept_from.unwrap_or(Offset(0));
        self.history.logs.push(ReplicaLog { node: id, shard, kept_from, entries });
    }

    fn read_now(
        &mut self,
        id: NodeId,
        shard: ShardId,
        from: ReadFrom,
    ) -> Option<Result<ReadAnswer, ReadRefusal>> {
        let ticket = self.draw_ticket(Asker { client: 0, shard, reader: 0 });
        let now_ns = self.now_ns;
        let node = self.node(id);
        let reading = node.clock.read(now_ns);
        let lane = node.lane.as_mut()?;
        let command = ReadCommand { ticket, shard, from, max_bytes: 1 << 20, closed_above: Timestamp::ZERO };
        lane.handle(Event::Read(command), &reading);
        let mut output = lane.take_output(&reading);
        let answered = output.reads.iter().position(|(asked, _)| *asked == ticket);
        let answer = answered.map(|at| output.reads.swap_remove(at).1);
        self.carry_out(id, output);
        answer
    }
}

/// Damage that no peer can mend: what a segment's head says is the replica's own, and what is trimmed is gone.
fn is_beyond_repair(reason: &str) -> bool {
    reason.contains("damaged head") || reason.contains("all peers have trimmed")
}
