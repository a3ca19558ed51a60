//! Changing who replicates the log.
//!
//! One replica at a time is a simple change. More at once goes through a joint configuration, entered and left by
//! two entries that we propose and stamp ourselves. raft leaves a joint configuration by itself if the change's
//! transition is `Auto` with several steps, or `Implicit`; we write `Explicit` to enter, `Auto` with exactly one
//! step for a simple change and `Auto` with none to leave, and refuse to apply anything else.
//!
//! raft answers a change that it will not have by appending an *empty normal entry* in its place, with an empty
//! context. That never comes from here: the same conditions are checked first, and refused without an entry.

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2};
use raft::{Changer, StateRole};

use super::convert::membership_of;
use super::{Error, Group, LogReader};
use crate::types::{Index, Membership, ReplicaId, Term};

/// What happens to one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipStep {
    /// Adds a replica without a vote, or takes a voter's vote away.
    Learner(ReplicaId),
    /// Gives a vote: to a learner that has caught up, or at once to a new replica.
    Voter(ReplicaId),
    Remove(ReplicaId),
}

/// A change of membership; takes effect where its entry is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MembershipChange {
    Simple(MembershipStep),
    /// At least one step. Both the old and the new voters must agree from here until `LeaveJoint`.
    EnterJoint(Vec<MembershipStep>),
    LeaveJoint,
}

fn raft_step(step: MembershipStep) -> ConfChangeSingle {
    let (kind, replica) = match step {
        MembershipStep::Learner(replica) => (ConfChangeType::AddLearnerNode, replica),
        MembershipStep::Voter(replica) => (ConfChangeType::AddNode, replica),
        MembershipStep::Remove(replica) => (ConfChangeType::RemoveNode, replica),
    };
    let mut single = ConfChangeSingle::default();
    single.set_change_type(kind);
    single.node_id = replica.0;
    single
}

fn raft_change(change: &MembershipChange) -> ConfChangeV2 {
    let mut out = ConfChangeV2::default();
    match change {
        MembershipChange::Simple(step) => out.mut_changes().push(raft_step(*step)),
        MembershipChange::EnterJoint(steps) => {
            out.set_transition(ConfChangeTransition::Explicit);
            out.changes = steps.iter().copied().map(raft_step).collect();
        }
        MembershipChange::LeaveJoint => {}
    }
    out
}

/// The data of a membership entry: raft's protobuf encoding, as `propose_membership` writes it.
pub fn encode_membership_change(change: &MembershipChange) -> Bytes {
    raft_change(change).write_to_bytes().expect("encoding into memory cannot fail").into()
}

fn decode(data: &[u8]) -> Result<ConfChangeV2, String> {
    let mut change = ConfChangeV2::default();
    change.merge_from_bytes(data).map_err(|error| error.to_string())?;
    check_shape(&change)?;
    Ok(change)
}

fn check_shape(change: &ConfChangeV2) -> Result<(), String> {
    if change.changes.iter().any(|step| step.node_id == 0) {
        return Err("replica 0 does not exist".to_owned());
    }
    let count = change.changes.len();
    match change.get_transition() {
        ConfChangeTransition::Auto if count <= 1 => Ok(()),
        ConfChangeTransition::Explicit if count > 0 => Ok(()),
        _ => Err("it is neither one step, nor an explicit joint change, nor the end of one".to_owned()),
    }
}

impl<L: LogReader> Group<L> {
    /// Proposes a change, as leader; `context` is the encoded frame header. Refused with `MembershipRefused`, and
    /// without an entry, while an earlier change or the log up to this leader's election is not yet applied and
    /// durable here (`on_applied`), or if the configuration in force does not allow the change.
    pub fn propose_membership(
        &mut self,
        change: &MembershipChange,
        context: Bytes,
    ) -> Result<(Term, Index), Error> {
        self.check_leading()?;
        let refused = |reason: String| Error::MembershipRefused { reason };
        let change = raft_change(change);
        check_shape(&change).map_err(refused)?;
        if self.raw.raft.has_pending_conf() {
            return Err(refused("an earlier change may not be applied yet".to_owned()));
        }
        self.check_change(&change).map_err(refused)?;
        let data = change.write_to_bytes().expect("encoding into memory cannot fail").into();
        self.append_proposal(context, data, true)
    }

    /// What applying `change` now would say.
    fn check_change(&self, change: &ConfChangeV2) -> Result<(), String> {
        let mut changer = Changer::new(self.raw.raft.prs());
        let outcome = if change.leave_joint() {
            changer.leave_joint()
        } else if let Some(auto_leave) = change.enter_joint() {
            changer.enter_joint(auto_leave, &change.changes)
        } else {
            changer.simple(&change.changes)
        };
        outcome.map(|_| ()).map_err(|error| error.to_string())
    }

    /// Puts a committed membership entry into force and returns the configuration from there on. An entry that the
    /// configuration already includes (it came with a manifest) changes nothing. `InvalidMembership` means the same
    /// on every replica: the entry has no effect.
    ///
    /// A leader that has no vote any more steps down.
    pub fn apply_membership(&mut self, index: Index, data: &[u8]) -> Result<Membership, Error> {
        self.settle()?;
        if index <= self.membership_index {
            return Ok(self.status().membership);
        }
        let before = self.posture();
        let change = decode(data).map_err(|reason| Error::InvalidMembership { reason })?;
        let state = self
            .raw
            .apply_conf_change(&change)
            .map_err(|error| Error::InvalidMembership { reason: error.to_string() })?;
        self.membership_index = index;
        // raft would go on leading, or finish an election, and panic for want of its own progress.
        let raft = &mut self.raw.raft;
        if !raft.promotable() && raft.state != StateRole::Follower {
            let term = raft.term;
            raft.become_follower(term, raft::INVALID_ID);
        }
        self.override_timeout(before, false);
        self.note_failure()?;
        Ok(membership_of(&state))
    }
}
