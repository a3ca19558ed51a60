//! All clients, by number: who an answer or a timer is for.

use std::collections::BTreeMap;

use timberline::types::{NodeId, ShardId};
use timberline_checkers::MergedRecord;

use super::coordinator::Coordinator;
use super::fresh::FreshReader;
use super::letters::Letters;
use super::member::Member;
use super::merged::MergedReader;
use super::producer::Producer;
use super::reader::Reader;
use crate::plan::SECOND;
use crate::world::{Answer, ClientEvent, World};

enum Client {
    Producer(Producer),
    Reader(Reader),
    Merged(MergedReader),
    Fresh(FreshReader),
    Coordinator(Coordinator),
    Member(Member),
    /// A merged reader that begins later, at the time it is then.
    Latecomer,
}

/// Everybody who uses the cluster.
pub(crate) struct Crowd {
    clients: BTreeMap<u64, Client>,
    letters: Letters,
}

impl Crowd {
    /// Producers as planned, a reader of every replica, one merged reader from the start and one that comes late, and one that reads by
    /// consistency levels; a group, if it is planned.
    pub(crate) fn gather(world: &mut World) -> Self {
        let mut crowd = Self { clients: BTreeMap::new(), letters: Letters::default() };
        for _ in 0..world.plan.producers {
            let producer = Producer::new(crowd.next(), world);
            producer.begin(world);
            crowd.clients.insert(crowd.next(), Client::Producer(producer));
        }
        for spec in world.specs.clone() {
            for placed in &spec.replicas {
                let mut reader = Reader::new(crowd.next(), spec.shard, placed.node, world);
                reader.begin(world);
                crowd.clients.insert(crowd.next(), Client::Reader(reader));
            }
        }
        let mut merged = MergedReader::new(crowd.next(), false, world);
        merged.begin(world);
        crowd.clients.insert(crowd.next(), Client::Merged(merged));
        let client = crowd.next();
        let delay_ns = world.random.between(5 * SECOND, 20 * SECOND);
        world.set_timer(client, delay_ns, 0);
        crowd.clients.insert(client, Client::Latecomer);
        let fresh = FreshReader::new(crowd.next());
        fresh.begin(world);
        crowd.clients.insert(crowd.next(), Client::Fresh(fresh));
        crowd.gather_group(world);
        crowd
    }

    /// Members, and a coordinator on each node that has the group's log.
    fn gather_group(&mut self, world: &mut World) {
        if !world.plan.has_group() {
            return;
        }
        let log = world.specs[0].clone();
        let mut coordinators: BTreeMap<NodeId, u64> = BTreeMap::new();
        for placed in &log.replicas {
            let client = self.next();
            let coordinator = Coordinator::new(client, placed.node, log.shard);
            coordinator.begin(world);
            coordinators.insert(placed.node, client);
            self.clients.insert(client, Client::Coordinator(coordinator));
        }
        for _ in 0..world.plan.group_members {
            let member = Member::new(self.next(), coordinators.clone());
            member.begin(world);
            self.clients.insert(self.next(), Client::Member(member));
        }
    }

    fn next(&self) -> u64 {
        self.clients.len() as u64 + 1
    }

    pub(crate) fn handle(&mut self, world: &mut World, event: ClientEvent) {
        let letters = &mut self.letters;
        match event {
            ClientEvent::Timer { client, purpose } => match self.clients.get_mut(&client) {
                Some(Client::Producer(producer)) => producer.timer(world, purpose),
                Some(Client::Reader(reader)) => reader.timer(world),
                Some(Client::Merged(merged)) => merged.timer(world),
                Some(Client::Fresh(fresh)) => fresh.timer(world),
                Some(Client::Coordinator(coordinator)) => match letters.take(purpose) {
                    Some(letter) => coordinator.hear(world, letters, letter),
                    None => coordinator.look(world, letters),
                },
                Some(Client::Member(member)) => match letters.take(purpose) {
                    Some(letter) => member.hear(world, letters, letter),
                    None => member.look(world, letters),
                },
                Some(Client::Latecomer) => {
                    let mut merged = MergedReader::new(client, true, world);
                    merged.begin(world);
                    self.clients.insert(client, Client::Merged(merged));
                }
                None => {}
            },
            ClientEvent::Time { client, told } => {
                if let Some(Client::Fresh(fresh)) = self.clients.get_mut(&client) {
                    fresh.told_time(world, told);
                }
            }
            ClientEvent::Answer { client, ticket, answer } => match (self.clients.get_mut(&client), answer) {
                (Some(Client::Producer(producer)), Answer::Append(result)) => {
                    producer.answer(world, ticket, result);
                }
                (Some(Client::Producer(producer)), Answer::Fenced(Ok(fenced))) => {
                    producer.told(world, ticket, &fenced);
                }
                (Some(Client::Reader(reader)), Answer::Read(node, result)) => {
                    reader.answer(world, ticket, (node, result));
                }
                (Some(Client::Merged(merged)), Answer::Read(node, result)) => {
                    merged.answer(world, ticket, (node, result));
                }
                (Some(Client::Fresh(fresh)), Answer::Read(_, result)) => fresh.answer(world, ticket, result),
                (Some(Client::Coordinator(coordinator)), Answer::Append(result)) => {
                    coordinator.appended(world, letters, ticket, &result);
                }
                (Some(Client::Coordinator(coordinator)), Answer::Read(node, result)) => {
                    coordinator.read(world, letters, ticket, (node, result));
                }
                (Some(Client::Member(member)), Answer::Read(node, result)) => {
                    member.read(world, letters, ticket, (node, result));
                }
                _ => {}
            },
        }
    }

    /// No producer waits for anything of that shard.
    pub(crate) fn is_idle(&self, shard: ShardId) -> bool {
        self.clients.values().all(|client| match client {
            Client::Producer(producer) => producer.is_idle(shard),
            _ => true,
        })
    }

    /// What the group has not read and committed, by the coordinator that has folded the most.
    pub(crate) fn group_lag(&self, world: &World) -> Option<String> {
        let lags = self.clients.values().filter_map(|client| match client {
            Client::Coordinator(coordinator) => Some(coordinator.lag(world)),
            _ => None,
        });
        lags.max().and_then(|(_, behind)| behind)
    }

    /// How far the merged reader that began at the start has come.
    pub(crate) fn merged_end(&self, world: &World) -> Option<MergedRecord> {
        self.clients.values().find_map(|client| match client {
            Client::Merged(merged) if !merged.starts_late() => merged.last(world),
            _ => None,
        })
    }
}
