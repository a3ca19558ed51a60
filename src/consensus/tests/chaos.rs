//! Lost, late, doubled and reordered messages, slow disks, crashes, handovers and membership changes, all drawn from
//! a seed: nothing panics, no group stops, no term has two leaders, and every replica commits the same entries.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::network::{Disk, ELECTION_TICKS, Network, voters};
use crate::consensus::{LogEntry, LogReader, MembershipChange, MembershipStep, Role};
use crate::types::{Index, ReplicaId, Term};

const REPLICAS: u64 = 5;

struct Chaos {
    network: Network,
    state: u64,
    down: BTreeMap<u64, Disk>,
    proposed: u64,
    leaders: BTreeMap<Term, u64>,
    agreed: BTreeMap<Index, LogEntry>,
}

impl Chaos {
    fn below(&mut self, bound: u64) -> u64 {
        // Lehmer's generator (MINSTD): good enough to pick what happens next.
        self.state = self.state * 48_271 % 0x7fff_ffff;
        self.state % bound
    }

    fn act(&mut self) {
        let id = self.below(REPLICAS) + 1;
        let what = self.below(1000);
        if self.down.contains_key(&id) {
            if what < 50 {
                let disk = self.down.remove(&id).expect("is down");
                self.network.start(id, disk);
            }
            return;
        }
        match what {
            0..600 => self.deliver_any(),
            600..650 => self.network.group(id).tick(),
            650..850 => drop(self.network.sync(id)),
            850..950 => self.propose(id),
            950..975 => self.change_membership(id),
            975..985 => self.network.group(id).report_unreachable(ReplicaId(id % REPLICAS + 1)),
            985..990 => self.network.group(id).transfer_leader(ReplicaId(id % REPLICAS + 1)),
            990..993 => self.network.group(id).step_down(),
            993..995 => self.network.group(id).campaign(),
            995..998 => {
                let allowed = self.below(2) == 0;
                self.network.group(id).set_campaigning(allowed);
            }
            _ => drop(self.down.insert(id, self.network.crash(id))),
        }
        if self.network.replicas.contains_key(&id) {
            self.network.write(id);
            self.network.apply(id);
            self.check(id);
        }
    }

    fn propose(&mut self, id: u64) {
        let data = Bytes::from(format!("entry {}", self.proposed));
        self.proposed += 1;
        // Most do not lead.
        let _ = self.network.group(id).propose(Bytes::from("header"), data);
    }

    fn change_membership(&mut self, id: u64) {
        let who = ReplicaId(self.below(REPLICAS) + 1);
        let change = match self.below(4) {
            0 => MembershipChange::Simple(MembershipStep::Learner(who)),
            1 => MembershipChange::EnterJoint(vec![
                MembershipStep::Learner(who),
                MembershipStep::Voter(ReplicaId(id)),
            ]),
            2 => MembershipChange::LeaveJoint,
            _ => MembershipChange::Simple(MembershipStep::Voter(who)),
        };
        let _ = self.network.group(id).propose_membership(&change, Bytes::from("stamp"));
    }

    /// One in eight is lost, one in eight doubled; any may overtake any other.
    fn deliver_any(&mut self) {
        if self.network.wire.is_empty() {
            return;
        }
        let reach = self.network.wire.len().min(8) as u64;
        let place = self.below(reach) as usize;
        let message = self.network.wire.remove(place).expect("in reach");
        match self.below(8) {
            0 => {}
            1 => {
                self.network.wire.push_back(message.clone());
                self.network.hand_over(message);
            }
            _ => self.network.hand_over(message),
        }
    }

    fn check(&mut self, id: u64) {
        let group = self.network.group(id);
        assert_eq!(group.failure(), None);
        let status = group.status();
        if status.role == Role::Leader {
            let known = *self.leaders.entry(status.term).or_insert(id);
            assert_eq!(known, id, "term {} has two leaders", status.term);
        }
        let from = Index(status.committed.0.saturating_sub(3).max(1));
        if status.committed >= from {
            let group = self.network.group(id);
            let entries = group.log().entries(from, status.committed.plus(1), u64::MAX).expect("readable");
            for entry in entries {
                let agreed = self.agreed.entry(entry.index).or_insert_with(|| entry.clone());
                assert_eq!(*agreed, entry, "replica {id}");
            }
        }
    }

    /// Everybody runs, nothing is lost: the group must come to one log.
    fn heal(&mut self) {
        for (id, disk) in std::mem::take(&mut self.down) {
            self.network.start(id, disk);
        }
        for id in 1..=REPLICAS {
            self.network.group(id).set_campaigning(true);
        }
        self.network.tick(10 * ELECTION_TICKS);
        let leader = *self.network.leaders().last().expect("somebody leads");
        self.network.propose(leader, "the last");
        self.network.tick(2 * ELECTION_TICKS);
        for id in 1..=REPLICAS {
            self.check(id);
            assert_eq!(
                self.network.committed(id).last().map(String::as_str),
                Some("the last"),
                "replica {id}"
            );
        }
    }
}

#[test]
fn any_disorder_ends_in_one_log() {
    for seed in 1..=40 {
        let network = Network::of(REPLICAS);
        assert_eq!(network.replicas[&1].disk.membership, voters(&[1, 2, 3, 4, 5]));
        let (leaders, agreed) = (BTreeMap::new(), BTreeMap::new());
        let mut chaos = Chaos { network, state: seed, down: BTreeMap::new(), proposed: 0, leaders, agreed };
        for _ in 0..4000 {
            chaos.act();
        }
        chaos.heal();
    }
}
