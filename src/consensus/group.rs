//! One replica's part in its group: what goes in. (`outbox` has what comes out.)
//!
//! Sans-IO: no clock but `tick`, no entropy but the seed, no disk but the `LogReader`. The order of calls is the
//! owner's duty: whatever a `Ready` hands over for writing must be in the log before the next call.
//!
//! Once a call meets a fatal error (see `Error::is_fatal`) the group is stopped: later calls change nothing, and no
//! `Ready` comes out.

use bytes::Bytes;
use raft::eraftpb::{Entry, EntryType, HardState, MessageType};
use raft::{Config, RaftState, RawNode, StateRole};

use super::adapter::Adapter;
use super::convert::{conf_state_of, message_to_raft, replica_of};
use super::election::ElectionClock;
use super::guard::check_membership;
use super::outbox::Outbox;
use super::{Error, LogReader, Message, MessageKind};
use crate::types::{Index, Membership, ReplicaId, Term, Vote};

/// How a replica starts, from what its disk remembers.
#[derive(Clone, Debug)]
pub struct GroupOptions {
    pub replica: ReplicaId,
    /// The last applied entry. Applied implies committed, whatever `vote.committed` says.
    pub applied: Index,
    /// The configuration in force. A blank learner-to-be need not be in it.
    pub membership: Membership,
    /// The last entry whose change `membership` may include. Beyond the log's end if a manifest told of it.
    pub membership_index: Index,
    pub vote: Vote,
    /// Timeouts are drawn from `election_ticks_min..election_ticks_max`; a leader that hears from no quorum for the
    /// minimum steps down.
    pub election_ticks_min: u32,
    pub election_ticks_max: u32,
    pub heartbeat_ticks: u32,
    /// Append messages on their way to one replica, at most.
    pub in_flight_messages_max: usize,
    /// Bytes of entries in one message, at most; a single larger entry travels alone.
    pub message_bytes_max: u64,
    /// Where election timeouts come from. Replicas may share it.
    pub seed: u64,
}

/// One replica of one group. `Send` if its log reader is.
pub struct Group<L: LogReader = Box<dyn LogReader>> {
    pub(super) raw: RawNode<Adapter<L>>,
    pub(super) replica: ReplicaId,
    pub(super) clock: ElectionClock,
    pub(super) campaigning: bool,
    /// The last membership entry in force.
    pub(super) membership_index: Index,
    pub(super) outbox: Outbox,
    pub(super) failure: Option<Error>,
}

impl<L: LogReader + ?Sized> LogReader for Box<L> {
    fn first_index(&self) -> Index {
        (**self).first_index()
    }

    fn last_index(&self) -> Index {
        (**self).last_index()
    }

    fn term(&self, index: Index) -> Result<Term, super::ReadError> {
        (**self).term(index)
    }

    fn entries(
        &self,
        from: Index,
        to: Index,
        max_bytes: u64,
    ) -> Result<Vec<super::LogEntry>, super::ReadError> {
        (**self).entries(from, to, max_bytes)
    }

    fn manifest(&self) -> super::Manifest {
        (**self).manifest()
    }
}

fn config(options: &GroupOptions, applied: Index) -> Config {
    Config {
        id: options.replica.0,
        election_tick: options.election_ticks_min as usize,
        min_election_tick: options.election_ticks_min as usize,
        max_election_tick: options.election_ticks_max as usize,
        heartbeat_tick: options.heartbeat_ticks as usize,
        applied: applied.0,
        max_size_per_msg: options.message_bytes_max,
        max_inflight_msgs: options.in_flight_messages_max,
        check_quorum: true,
        pre_vote: true,
        batch_append: true,
        ..Config::default()
    }
}

fn check_options(options: &GroupOptions) -> Result<(), String> {
    if options.election_ticks_min == 0 || options.election_ticks_min >= options.election_ticks_max {
        return Err(format!(
            "no election timeout lies in {}..{} ticks",
            options.election_ticks_min, options.election_ticks_max
        ));
    }
    check_membership(&options.membership)?;
    config(options, Index(0)).validate().map_err(|error| error.to_string())
}

impl<L: LogReader> Group<L> {
    /// Starts a replica from its durable log and memory. `Forgotten` if the memory speaks of entries that the log no
    /// longer has.
    pub fn open(options: &GroupOptions, log: L) -> Result<Self, Error> {
        check_options(options).map_err(|reason| Error::InvalidOptions { reason })?;
        let (start, last) = (log.first_index().before(), log.last_index());
        let applied = options.applied.max(start);
        let committed = options.vote.committed.max(applied);
        if committed > last {
            return Err(Error::Forgotten { needed: committed, last });
        }
        let last_term = log.term(last)?;
        let mut hard_state = HardState {
            commit: committed.0,
            term: options.vote.term.0,
            vote: options.vote.voted_for.map_or(raft::INVALID_ID, |replica| replica.0),
            ..HardState::default()
        };
        if last_term > options.vote.term {
            // Entries of a term reached the disk without its vote, in a crash: nothing was answered in that term.
            hard_state.term = last_term.0;
            hard_state.vote = raft::INVALID_ID;
        }
        let vote = (hard_state.term, hard_state.vote);
        let initial = RaftState::new(hard_state, conf_state_of(&options.membership));
        // raft logs through slog; what its owner needs to know is in `Status` and `Error`.
        let silent = slog::Logger::root(slog::Discard, slog::o!());
        let raw = RawNode::new(&config(options, applied), Adapter::new(log, initial), &silent)
            .map_err(|error| Error::InvalidOptions { reason: error.to_string() })?;
        let mut group = Self {
            raw,
            replica: options.replica,
            clock: ElectionClock::new(
                options.seed,
                options.replica.0,
                options.election_ticks_min,
                options.election_ticks_max,
            ),
            campaigning: true,
            membership_index: options.membership_index,
            outbox: Outbox::new(vote, applied, options.message_bytes_max),
            failure: None,
        };
        group.override_timeout(group.posture(), false);
        group.note_failure()?;
        Ok(group)
    }

    /// The log given to `open`.
    pub fn log(&self) -> &L {
        &self.raw.store().log
    }

    pub fn log_mut(&mut self) -> &mut L {
        &mut self.raw.mut_store().log
    }

    /// What stopped this group, if anything did. Worth a look after `tick` and the other calls that return nothing.
    pub fn failure(&self) -> Option<&Error> {
        self.failure.as_ref()
    }

    /// Moves the group's time on by one tick.
    pub fn tick(&mut self) {
        if self.settle().is_err() {
            return;
        }
        let before = self.posture();
        let raft = &self.raw.raft;
        let elapsed = raft.election_elapsed;
        if raft.state == StateRole::Leader || self.may_campaign() {
            self.raw.tick();
        } else {
            // Time goes on without an election: only a replica that has not heard from a leader for long votes.
            self.raw.raft.election_elapsed = elapsed.saturating_add(1);
        }
        let raft = &self.raw.raft;
        let election_begun = raft.state != StateRole::Leader && raft.election_elapsed < elapsed;
        self.override_timeout(before, election_begun);
        // Kept, and told by `failure`.
        let _ = self.note_failure();
    }

    /// Takes in a peer's message. Errors that are not fatal concern this message alone.
    pub fn step(&mut self, message: Message) -> Result<(), Error> {
        self.settle()?;
        if let Err(error) = self.check_step(&message) {
            return Err(self.keep(error));
        }
        if message.kind == MessageKind::TimeoutNow && !self.may_campaign() {
            return Ok(());
        }
        let before = self.posture();
        let from = message.from;
        let stepped = self.raw.step(message_to_raft(message));
        self.override_timeout(before, false);
        self.note_failure()?;
        // `check_step` has left raft no other reason.
        stepped.map_err(|_| Error::UnknownPeer { from })
    }

    /// Appends an entry as leader and returns its place at once; it may yet be replaced until it is committed in that
    /// very term. A replica that does not lead refuses and never forwards.
    pub fn propose(&mut self, context: Bytes, data: Bytes) -> Result<(Term, Index), Error> {
        self.check_leading()?;
        self.append_proposal(context, data, false)
    }

    pub(super) fn check_leading(&mut self) -> Result<(), Error> {
        self.settle()?;
        let raft = &self.raw.raft;
        if raft.state != StateRole::Leader {
            return Err(Error::NotLeader { leader: replica_of(raft.leader_id) });
        }
        raft.lead_transferee.map_or(Ok(()), |to| Err(Error::Transferring { to: ReplicaId(to) }))
    }

    pub(super) fn append_proposal(
        &mut self,
        context: Bytes,
        data: Bytes,
        membership: bool,
    ) -> Result<(Term, Index), Error> {
        let mut entry = Entry { context, data, ..Entry::default() };
        if membership {
            entry.set_entry_type(EntryType::EntryConfChangeV2);
        }
        let mut proposal = raft::eraftpb::Message::default();
        proposal.set_msg_type(MessageType::MsgPropose);
        proposal.from = self.replica.0;
        proposal.mut_entries().push(entry);
        let proposed = self.raw.raft.step(proposal);
        self.note_failure()?;
        proposed.map_err(|_| Error::NotLeader { leader: None })?;
        Ok((Term(self.raw.raft.term), Index(self.raw.raft.raft_log.last_index())))
    }

    /// Hands leadership to `to` once its log is complete, or gives up after an election timeout. Proposals are refused
    /// meanwhile. Does nothing unless this replica leads.
    pub fn transfer_leader(&mut self, to: ReplicaId) {
        // A follower's raft would forward the request.
        if self.check_leading_quietly() {
            self.raw.transfer_leader(to.0);
            let _ = self.note_failure();
        }
    }

    fn check_leading_quietly(&mut self) -> bool {
        self.settle().is_ok() && self.raw.raft.state == StateRole::Leader
    }

    /// Stands for election now (with a pre-vote, so a living leader is not disturbed), if this replica may.
    pub fn campaign(&mut self) {
        if self.settle().is_err() || !self.may_campaign() {
            return;
        }
        let before = self.posture();
        // raft ignores the request of a leader, and nothing else.
        let _ = self.raw.campaign();
        self.override_timeout(before, true);
        let _ = self.note_failure();
    }

    /// Stops leading, or standing for election, without naming a successor.
    pub fn step_down(&mut self) {
        if self.settle().is_err() || self.raw.raft.state == StateRole::Follower {
            return;
        }
        let before = self.posture();
        let term = self.raw.raft.term;
        self.raw.raft.become_follower(term, raft::INVALID_ID);
        self.override_timeout(before, false);
    }

    /// Whether this replica may stand for election. One that may not replicates and votes as ever, but lets timeouts
    /// and an old leader's `TimeoutNow` pass, and gives up an election under way. A leader goes on leading: it is for
    /// the owner to `transfer_leader` or `step_down`.
    pub fn set_campaigning(&mut self, allowed: bool) {
        self.campaigning = allowed;
        if !allowed && self.raw.raft.state != StateRole::Leader {
            self.step_down();
        }
    }

    /// The last messages to `peer` may be lost: a leader probes it before it streams to it again.
    pub fn report_unreachable(&mut self, peer: ReplicaId) {
        if self.settle().is_ok() {
            self.raw.report_unreachable(peer.0);
        }
    }

    /// Before every call: nothing more happens once stopped, and what was handed over must be in the log.
    pub(super) fn settle(&mut self) -> Result<(), Error> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if let Some(expected) = self.outbox.take_handed() {
            let found = self.log().last_index();
            if found != expected {
                return Err(self.keep(Error::Unwritten { expected, found }));
            }
        }
        Ok(())
    }

    /// After every call: an error that the adapter could not tell raft stops the group.
    pub(super) fn note_failure(&mut self) -> Result<(), Error> {
        self.raw.store().take_failure().map_or(Ok(()), |error| Err(self.keep(error.into())))
    }

    fn keep(&mut self, error: Error) -> Error {
        if error.is_fatal() {
            self.failure = Some(error.clone());
        }
        error
    }
}
