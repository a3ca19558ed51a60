//! Closing the past: what this lane promises for the shards that lead here, and what it takes of its peers' promises.
//!
//! Knows nothing of how promises travel (`closing`). Invariants: a time is promised to a peer only after every shard of it can
//! stamp nothing at or below (C2); the leader counts its own acceptance last (C3).

use super::Lane;
use super::closing::{Applied, Led};
use crate::clock::Reading;
use crate::shard::{Promise, admits_promise};
use crate::simulation::{Bug, is_planted};
use crate::types::{NodeId, ShardId, Timestamp};
use crate::wire::{ClosedAck, ClosedPublication, ClosedTick};

impl Lane {
    /// Closes the past of every shard led here (C2): one time for all of them.
    pub(super) fn closed_tick(&mut self, now: &Reading) {
        // A clock that no majority vouches for may be wild: a promise would bind its shards to it as a stamp would.
        if !self.may_promise(now) || self.probing.is_unheard(now) {
            return;
        }
        for shard in self.promiser.open_stalled() {
            self.leave(shard);
        }
        let closed = now.interval.latest;
        for shard in self.promiser.open() {
            match self.replicas.get_mut(&shard).filter(|replica| replica.shard.is_leader()) {
                Some(replica) => {
                    let promise = replica.shard.promise(closed, now);
                    let led = promise.map(|promise| Led {
                        promise,
                        membership: replica.shard.voters(),
                        own: replica.me,
                        nodes: replica.spec.replicas.iter().map(|it| (it.replica, it.node)).collect(),
                    });
                    self.promiser.promise(shard, led);
                    if let Some(promise) = promise.filter(|_| is_planted(Bug::PublishWithoutQuorum)) {
                        self.publish_led(shard, promise, closed, now);
                    }
                }
                None => self.promiser.forget(shard),
            }
        }
        for (node, tick) in self.promiser.tick(closed) {
            self.outbox.to(node).closed = Some(tick);
        }
        // A voter that is a quorum by itself waits for nobody.
        self.publish(None, now);
    }

    pub(super) fn may_promise(&self, now: &Reading) -> bool {
        now.is_trusted() && now.interval.uncertainty_ns() <= self.options.eps_max_ns
    }

    pub(super) fn accept_tick(&mut self, from: NodeId, tick: &ClosedTick, now: &Reading) {
        match self.acceptor.apply(from, tick) {
            Applied::Stale => return,
            Applied::Restart { ack, lost } => {
                for shard in lost {
                    self.leave(shard);
                }
                self.outbox.to(from).closed_ack = Some(ack);
            }
            Applied::Offer { closed, changed } => {
                for shard in changed {
                    self.leave(shard);
                }
                self.offer(from, tick, closed, now);
            }
        }
        if let Some(publication) = self.acceptor.take_early(from) {
            self.take_publication(from, &publication);
        }
    }

    /// Offers a tick to the shards it promises: to those that stand all at once.
    fn offer(&mut self, from: NodeId, tick: &ClosedTick, closed: Timestamp, now: &Reading) {
        let (mut offered, mut astray) = (Vec::new(), Vec::new());
        for (shard, promise) in self.acceptor.open(from) {
            let follows = self.hear_leader(from, shard, promise.term);
            if !follows {
                astray.push(shard.0);
            }
            let replica = self.replicas.get_mut(&shard).filter(|_| follows);
            offered.push((shard, replica.is_some_and(|it| it.shard.accept_promise(promise, closed, now))));
        }
        let may_accept = self.may_promise(now) && admits_promise(closed, self.options.eps_max_ns, now);
        let (sequence, except) = if may_accept {
            (tick.sequence, self.acceptor.accept(from, closed, &offered))
        } else {
            self.acceptor.refuse(from);
            // No tick has this number: nothing is accepted, but the leaders hear who does not follow them.
            (0, astray)
        };
        if may_accept || !except.is_empty() {
            let ack = ClosedAck { stream: tick.stream, sequence, except, restart: false };
            self.outbox.to(from).closed_ack = Some(ack);
        }
    }

    pub(super) fn take_acknowledgement(&mut self, from: NodeId, ack: &ClosedAck, now: &Reading) {
        if ack.restart && !is_planted(Bug::RestPastReturns) {
            // It missed ticks, so it may have missed what its leaders said last; or it started anew, and has to be told who leads.
            self.rouse_led(from);
        }
        for shard in ack.except.iter().copied().map(ShardId) {
            // That replica alone may have started anew.
            if let Some(replica) = self.replicas.get_mut(&shard) {
                replica.shard.rouse(0);
            }
        }
        let Some(excepted) = self.promiser.acknowledge(from, ack) else { return };
        for shard in excepted {
            self.leave(shard);
        }
        self.publish(Some(from), now);
    }

    /// Publishes what quorums have accepted, by what was just heard of, and tells the peers.
    fn publish(&mut self, heard: Option<NodeId>, now: &Reading) {
        if self.promiser.publish_standing(heard) {
            self.touched.extend(&self.readers);
        }
        for (shard, promise, closed) in self.promiser.accepted() {
            self.publish_led(shard, promise, closed, now);
        }
        for (node, publication) in self.promiser.publications() {
            self.outbox.to(node).publication = Some(publication);
        }
    }

    fn publish_led(&mut self, shard: ShardId, promise: Promise, closed: Timestamp, now: &Reading) {
        let Some(replica) = self.replicas.get_mut(&shard) else { return };
        if !replica.shard.accept_promise(promise, closed, now) {
            return;
        }
        replica.shard.publish(closed, promise.index);
        self.promiser.publish(shard, closed);
        if replica.holds_reads() {
            self.touched.insert(shard);
        }
        let rests = replica.shard.is_leader() && replica.shard.may_stand(promise);
        if rests
            && self.promiser.counts_by(shard, &replica.shard.voters())
            && !is_planted(Bug::PublishWithoutQuorum)
            && let Some(standing) = self.promiser.stand(shard, closed)
        {
            replica.shard.stand(&standing);
        }
    }

    pub(super) fn take_publication(&mut self, from: NodeId, publication: &ClosedPublication) {
        let Some(told) = self.acceptor.published(from, publication) else { return };
        for shard in told.excepted {
            self.leave(shard);
        }
        let closed = Timestamp(publication.closed_ns);
        told.standing.publish(closed);
        self.touched.extend(&self.readers);
        for (shard, promise, accepted) in told.open {
            let Some(replica) = self.replicas.get_mut(&shard) else { continue };
            replica.shard.publish(closed, promise.index);
            // An older publication says less than was told those that stand.
            let stands = accepted && told.standing.published() == closed && replica.shard.may_stand(promise);
            if stands {
                replica.shard.stand(&told.standing);
                self.acceptor.note_standing(from, shard);
            }
        }
    }

    fn leave(&mut self, shard: ShardId) {
        if let Some(replica) = self.replicas.get_mut(&shard) {
            replica.shard.leave();
        }
    }
}
