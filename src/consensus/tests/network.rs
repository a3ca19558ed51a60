//! The stage: replicas with memory for disks, and a router for a network. Nothing happens unless told to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use crate::consensus::{
    Error, Group, GroupOptions, LogEntry, LogReader, Manifest, Message, MessageKind, ReadError, Ready, Role,
};
use crate::types::{Index, Membership, ReplicaId, Term, Vote};

pub(super) const ELECTION_TICKS: u32 = 10;

/// A log in memory; `damaged` entries cannot be read.
#[derive(Clone, Debug, Default)]
pub(super) struct MemLog {
    pub(super) start: Manifest,
    pub(super) entries: Vec<LogEntry>,
    pub(super) damaged: Option<Index>,
}

impl MemLog {
    fn write(&mut self, ready: &Ready) {
        if let Some(manifest) = &ready.manifest {
            *self = Self { start: manifest.clone(), ..Self::default() };
        }
        if let Some(first) = ready.entries.first() {
            self.entries.truncate((first.index.0 - self.start.index.0 - 1) as usize);
            self.entries.extend(ready.entries.iter().cloned());
        }
    }

    fn check(&self, index: Index) -> Result<(), ReadError> {
        if index > self.last_index() {
            Err(ReadError::Unavailable { index })
        } else if self.damaged == Some(index) {
            Err(ReadError::Damaged { index, reason: "test".to_owned() })
        } else {
            Ok(())
        }
    }

    /// Drops the entries up to `index`, as a trimmed log would.
    pub(super) fn trim(&mut self, index: Index, membership: &Membership) {
        let term = self.term(index).expect("trims what is there");
        self.entries.drain(..(index.0 - self.start.index.0) as usize);
        let shard_state = Bytes::from(format!("state at {index}"));
        self.start =
            Manifest { index, term, membership: membership.clone(), membership_index: index, shard_state };
    }
}

impl LogReader for MemLog {
    fn first_index(&self) -> Index {
        self.start.index.plus(1)
    }

    fn last_index(&self) -> Index {
        self.start.index.plus(self.entries.len() as u64)
    }

    fn term(&self, index: Index) -> Result<Term, ReadError> {
        if index == self.start.index {
            return Ok(self.start.term);
        }
        if index < self.start.index {
            return Err(ReadError::Compacted { index });
        }
        self.check(index)?;
        Ok(self.entries[(index.0 - self.start.index.0 - 1) as usize].term)
    }

    fn entries(&self, from: Index, to: Index, max_bytes: u64) -> Result<Vec<LogEntry>, ReadError> {
        if from <= self.start.index {
            return Err(ReadError::Compacted { index: from });
        }
        let mut bytes = 0;
        let mut read = Vec::new();
        for index in from.0..to.0 {
            self.check(Index(index))?;
            let entry = &self.entries[(index - self.start.index.0 - 1) as usize];
            bytes += (entry.context.len() + entry.data.len()) as u64;
            if bytes > max_bytes && !read.is_empty() {
                break;
            }
            read.push(entry.clone());
        }
        Ok(read)
    }

    fn manifest(&self) -> Manifest {
        self.start.clone()
    }
}

/// What outlives a crash.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    pub(super) log: MemLog,
    pub(super) vote: Vote,
    pub(super) applied: Index,
    pub(super) membership: Membership,
}

/// A `Ready` that is written but not synced.
struct Unsynced {
    number: u64,
    vote: Option<Vote>,
    log: MemLog,
    send_after: Vec<Message>,
}

pub(super) struct Replica {
    pub(super) group: Group<MemLog>,
    pub(super) disk: Disk,
    /// While set, nothing becomes durable.
    pub(super) slow_disk: bool,
    unsynced: VecDeque<Unsynced>,
    pub(super) applied: Index,
    /// What applying brought, by index; the disk learns of it as far as its log goes.
    memberships: VecDeque<(Index, Membership)>,
    pub(super) votes: Vec<Vote>,
    pub(super) errors: Vec<Error>,
}

pub(super) fn replicas(ids: &[u64]) -> Vec<ReplicaId> {
    ids.iter().copied().map(ReplicaId).collect()
}

pub(super) fn voters(ids: &[u64]) -> Membership {
    Membership { voters: replicas(ids), ..Membership::default() }
}

pub(super) fn options(id: u64, disk: &Disk) -> GroupOptions {
    GroupOptions {
        replica: ReplicaId(id),
        applied: disk.applied,
        membership: disk.membership.clone(),
        membership_index: disk.applied,
        vote: disk.vote,
        election_ticks_min: ELECTION_TICKS,
        election_ticks_max: 2 * ELECTION_TICKS,
        heartbeat_ticks: 2,
        in_flight_messages_max: 4,
        message_bytes_max: 100,
        seed: 7,
    }
}

#[derive(Default)]
pub(super) struct Network {
    pub(super) replicas: BTreeMap<u64, Replica>,
    /// Messages between these, in this direction, are lost.
    pub(super) cut: BTreeSet<(u64, u64)>,
    pub(super) wire: VecDeque<Message>,
    /// Every message that was sent, lost or not.
    pub(super) sent: Vec<Message>,
}

impl Network {
    /// Replicas `1..=count`, all voters, blank.
    pub(super) fn of(count: u64) -> Self {
        let ids: Vec<_> = (1..=count).collect();
        let mut network = Self::default();
        for id in &ids {
            network.start(*id, Disk { membership: voters(&ids), ..Disk::default() });
        }
        network
    }

    /// The same, with replica 1 leading and its first entry applied everywhere.
    pub(super) fn led_by_1(count: u64) -> Self {
        let mut network = Self::of(count);
        network.elect(1);
        network
    }

    pub(super) fn start(&mut self, id: u64, disk: Disk) {
        let group = Group::open(&options(id, &disk), disk.log.clone()).expect("opens");
        let replica = Replica {
            group,
            applied: disk.applied,
            disk,
            slow_disk: false,
            unsynced: VecDeque::new(),
            memberships: VecDeque::new(),
            votes: Vec::new(),
            errors: Vec::new(),
        };
        self.replicas.insert(id, replica);
    }

    /// Stops a replica; what was not durable is gone.
    pub(super) fn crash(&mut self, id: u64) -> Disk {
        self.replicas.remove(&id).expect("runs").disk
    }

    pub(super) fn get(&mut self, id: u64) -> &mut Replica {
        self.replicas.get_mut(&id).expect("runs")
    }

    pub(super) fn group(&mut self, id: u64) -> &mut Group<MemLog> {
        &mut self.get(id).group
    }

    pub(super) fn isolate(&mut self, id: u64) {
        for other in self.replicas.keys() {
            self.cut.extend([(id, *other), (*other, id)]);
        }
    }

    pub(super) fn elect(&mut self, id: u64) {
        self.group(id).campaign();
        self.pump();
        assert_eq!(self.group(id).status().role, Role::Leader, "replica {id} was to lead");
    }

    pub(super) fn leaders(&self) -> Vec<u64> {
        let leads = |(_, replica): &(&u64, &Replica)| replica.group.status().role == Role::Leader;
        self.replicas.iter().filter(leads).map(|(id, _)| *id).collect()
    }

    /// Proposes without letting anything else happen.
    pub(super) fn propose(&mut self, id: u64, data: &str) -> (Term, Index) {
        let context = Bytes::from(format!("header of {data}"));
        self.group(id).propose(context, Bytes::copy_from_slice(data.as_bytes())).expect("leads")
    }

    pub(super) fn tick(&mut self, count: u32) {
        for _ in 0..count {
            for replica in self.replicas.values_mut() {
                replica.group.tick();
            }
            self.pump();
        }
    }

    /// Lets all that is under way happen.
    pub(super) fn pump(&mut self) {
        loop {
            let ids: Vec<_> = self.replicas.keys().copied().collect();
            let busy = ids.into_iter().filter(|id| self.settle(*id)).count() > 0;
            let delivered = self.deliver();
            if !busy && !delivered {
                return;
            }
        }
    }

    fn settle(&mut self, id: u64) -> bool {
        let mut busy = self.write(id);
        if !self.get(id).slow_disk {
            busy |= self.sync(id);
        }
        self.apply(id);
        busy
    }

    /// Takes what is ready, writes it and sends what need not wait.
    pub(super) fn write(&mut self, id: u64) -> bool {
        let mut busy = false;
        while let Some(ready) = self.get(id).group.take_ready() {
            busy = true;
            let replica = self.get(id);
            replica.group.log_mut().write(&ready);
            if let Some(manifest) = &ready.manifest {
                replica.applied = manifest.index;
            }
            replica.votes.extend(ready.vote);
            let log = replica.group.log().clone();
            let (number, vote, send_after) = (ready.number, ready.vote, ready.send_after_persist);
            replica.unsynced.push_back(Unsynced { number, vote, log, send_after });
            self.send(ready.send_now);
        }
        busy
    }

    /// Makes all that is written durable and sends what waited for it.
    pub(super) fn sync(&mut self, id: u64) -> bool {
        let mut busy = false;
        while let Some(unsynced) = self.get(id).unsynced.pop_front() {
            busy = true;
            let replica = self.get(id);
            replica.disk.log = unsynced.log;
            replica.disk.vote = unsynced.vote.unwrap_or(replica.disk.vote);
            replica.group.on_persisted(unsynced.number);
            self.send(unsynced.send_after);
        }
        busy
    }

    pub(super) fn apply(&mut self, id: u64) {
        let replica = self.get(id);
        let committed = replica.group.status().committed;
        while replica.applied < committed {
            let index = replica.applied.plus(1);
            let entry = replica.group.log().entries(index, index.plus(1), 0).expect("readable").remove(0);
            if entry.membership {
                let applied = replica.group.apply_membership(index, &entry.data);
                replica.memberships.push_back((index, applied.expect("applies")));
            }
            replica.applied = index;
        }
        let durable = replica.disk.log.last_index();
        replica.disk.applied = replica.applied.min(durable);
        while replica.memberships.front().is_some_and(|(index, _)| *index <= durable) {
            let (_, membership) = replica.memberships.pop_front().expect("looked at just before");
            replica.disk.membership = membership;
        }
        replica.group.on_applied(replica.applied);
    }

    pub(super) fn send(&mut self, messages: Vec<Message>) {
        self.sent.extend(messages.iter().cloned());
        self.wire.extend(messages);
    }

    fn deliver(&mut self) -> bool {
        let batch = std::mem::take(&mut self.wire);
        let any = !batch.is_empty();
        for message in batch {
            if self.cut.contains(&(message.from.0, message.to.0)) {
                continue;
            }
            self.hand_over(message);
        }
        any
    }

    pub(super) fn hand_over(&mut self, message: Message) {
        if let Some(replica) = self.replicas.get_mut(&message.to.0) {
            replica.errors.extend(replica.group.step(message).err());
        }
    }

    pub(super) fn sent_by(&self, id: u64, kind: MessageKind) -> Vec<&Message> {
        self.sent.iter().filter(|message| message.from.0 == id && message.kind == kind).collect()
    }

    /// The data of a replica's committed entries; raft's own entries are left out.
    pub(super) fn committed(&mut self, id: u64) -> Vec<String> {
        let group = self.group(id);
        let (first, committed) = (group.log().first_index(), group.status().committed);
        let entries = group.log().entries(first, committed.plus(1), u64::MAX).expect("readable");
        let ours = entries.iter().filter(|entry| !entry.context.is_empty() && !entry.membership);
        ours.map(|entry| String::from_utf8(entry.data.to_vec()).expect("text")).collect()
    }
}
