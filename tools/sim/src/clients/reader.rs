//! A reader of one shard on one node: it follows what is released, and how far the shard is closed.

use timberline::lane::{Event, ReadAnswer, ReadCommand, ReadFrom, ReadRefusal, Ticket};
use timberline::types::{NodeId, Offset, ShardId, Timestamp};
use timberline_checkers::{Begun, Closing};

use crate::plan::{MS, SECOND};
use crate::world::{Asker, World};

/// A read that is held so long was lost, or its node was.
const LONG_POLL_NS: u64 = 2 * SECOND;
const RETRY_NS: u64 = 100 * MS;
/// How often, at each retry's time, a reader starts over.
const REREAD_PER_MILLE: u64 = 4;

/// What an answer was to a reader.
pub(super) enum Taken {
    Answer(ReadAnswer),
    /// What it wants is gone: it has to start over.
    Trimmed,
    /// Not the answer waited for, or the node cannot serve.
    Nothing,
}

/// One shard's stream, as a reader or a merged reader follows it.
pub(super) struct Subscription {
    client: u64,
    pub(super) shard: ShardId,
    pub(super) node: NodeId,
    /// The number of the unbroken stream.
    pub(super) reader: u64,
    from: ReadFrom,
    /// Where the next record stands, once any was seen.
    next: Option<Offset>,
    pub(super) closed: Timestamp,
    max_bytes: usize,
    waits_for: Option<Ticket>,
    asked_ns: u64,
}

impl Subscription {
    pub(super) fn new(client: u64, shard: ShardId, node: NodeId, from: Timestamp, world: &mut World) -> Self {
        let max_bytes = world.random.pick(&[1, 2000, 1 << 20]);
        let mut subscription = Self {
            client,
            shard,
            node,
            reader: 0,
            from: ReadFrom::Time(from),
            next: None,
            closed: Timestamp::ZERO,
            max_bytes,
            waits_for: None,
            asked_ns: 0,
        };
        subscription.renumber(world);
        subscription
    }

    fn renumber(&mut self, world: &mut World) {
        world.readers += 1;
        self.reader = world.readers;
    }

    /// Reads on; the answer may take as long as nothing happens.
    pub(super) fn ask(&mut self, world: &mut World) {
        let asker = Asker { client: self.client, shard: self.shard, reader: self.reader };
        let ticket = world.draw_ticket(asker);
        (self.waits_for, self.asked_ns) = (Some(ticket), world.now_ns);
        let command = ReadCommand {
            ticket,
            shard: self.shard,
            from: self.from,
            max_bytes: self.max_bytes,
            closed_above: self.closed,
        };
        world.request(self.node, Event::Read(command));
    }

    /// Whom it asked, and by which ticket, if no answer came yet.
    pub(super) fn waits(&self) -> Option<(NodeId, Ticket)> {
        Some((self.node, self.waits_for?))
    }

    pub(super) fn awaits(&self, ticket: Ticket) -> bool {
        self.waits_for == Some(ticket)
    }

    /// Asks again if the answer is overdue: on another node if it may choose.
    pub(super) fn watch(&mut self, world: &mut World, nodes: &[NodeId]) {
        let overdue = world.now_ns.saturating_sub(self.asked_ns) > LONG_POLL_NS;
        if overdue && let Some(ticket) = self.waits_for.take() {
            world.request(self.node, Event::CancelRead(ticket));
            if !nodes.is_empty() {
                self.node = world.random.pick(nodes);
            }
            // What the lost answer showed is not known: the stream is broken here.
            self.renumber(world);
            self.ask(world);
        }
    }

    /// Takes an answer.
    pub(super) fn take(
        &mut self,
        world: &mut World,
        ticket: Ticket,
        (node, answer): (NodeId, Result<ReadAnswer, ReadRefusal>),
    ) -> Taken {
        if !self.awaits(ticket) {
            return Taken::Nothing;
        }
        let answer = match answer {
            Ok(answer) => answer,
            Err(ReadRefusal::Trimmed { .. }) => return Taken::Trimmed,
            Err(_) => {
                // Overdue from now on, so that the watch tries again.
                self.asked_ns = world.now_ns.saturating_sub(LONG_POLL_NS - RETRY_NS);
                return Taken::Nothing;
            }
        };
        self.waits_for = None;
        if self.from == ReadFrom::Time(Timestamp::ZERO) {
            self.next = Some(answer.kept_from);
            let (reader, shard, kept_from) = (self.reader, self.shard, answer.kept_from);
            world.history.begun.push(Begun { reader, node, shard, kept_from });
        }
        self.from = ReadFrom::Index(answer.next);
        if let Some(last) = answer.frames.last() {
            self.next = Some(Offset(last.header.first_offset.0 + u64::from(last.header.record_count)));
        }
        self.closed = self.closed.max(answer.closed);
        if let Some(next) = self.next {
            let closing =
                Closing { node, shard: self.shard, at_ns: world.true_ns(), closed: answer.closed, next };
            world.history.closings.push(closing);
        }
        Taken::Answer(answer)
    }
}

/// A reader of one replica.
pub(super) struct Reader {
    client: u64,
    subscription: Subscription,
}

impl Reader {
    pub(super) fn new(client: u64, shard: ShardId, node: NodeId, world: &mut World) -> Self {
        Self { client, subscription: Subscription::new(client, shard, node, Timestamp::ZERO, world) }
    }

    pub(super) fn begin(&mut self, world: &mut World) {
        self.subscription.ask(world);
        world.set_timer(self.client, RETRY_NS, 0);
    }

    pub(super) fn timer(&mut self, world: &mut World) {
        if !world.calm && world.random.chance(REREAD_PER_MILLE) {
            // Somebody else comes, and reads from the start.
            self.start_over(world);
        }
        self.subscription.watch(world, &[]);
        world.set_timer(self.client, RETRY_NS, 0);
    }

    pub(super) fn answer(
        &mut self,
        world: &mut World,
        ticket: Ticket,
        answer: (NodeId, Result<ReadAnswer, ReadRefusal>),
    ) {
        match self.subscription.take(world, ticket, answer) {
            Taken::Answer(_) => self.subscription.ask(world),
            Taken::Trimmed => self.start_over(world),
            Taken::Nothing => {}
        }
    }

    fn start_over(&mut self, world: &mut World) {
        let Subscription { shard, node, .. } = self.subscription;
        self.subscription = Subscription::new(self.client, shard, node, Timestamp::ZERO, world);
        self.subscription.ask(world);
    }
}
