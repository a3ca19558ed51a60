//! What is yet to happen, by time.

use std::collections::BTreeMap;
use std::path::PathBuf;

use timberline::clock::{TimeInterval, Unfit};
use timberline::disk::PendingSync;
use timberline::lane::{Event, ReadAnswer, ReadRefusal, Ticket};
use timberline::log::FileTask;
use timberline::shard::{Fenced, Refusal};
use timberline::types::{NodeId, Receipt};

/// Something that happens at its time.
pub(crate) enum Happening {
    /// An event reaches a lane of that life.
    Event {
        node: NodeId,
        life: u64,
        event: Box<Event>,
    },
    /// A peer's message arrives, unless its connection broke.
    Message {
        from: NodeId,
        to: NodeId,
        life: u64,
        connection: u64,
        event: Box<Event>,
    },
    /// The output of what a lane took in is carried away.
    Flush {
        node: NodeId,
        life: u64,
    },
    /// A lane's deadline.
    Wake {
        node: NodeId,
        life: u64,
        due_ns: u64,
    },
    /// A sync ends, unless the power failed since that boot.
    SyncEnds {
        node: NodeId,
        boot: u64,
        life: u64,
        token: u64,
        pending: PendingSync,
        end: SyncEnd,
    },
    /// A file is made in the background.
    Create {
        node: NodeId,
        life: u64,
        token: u64,
        path: PathBuf,
        size_bytes: u64,
    },
    /// A file is removed in the background.
    Remove {
        node: NodeId,
        life: u64,
        token: u64,
        path: PathBuf,
    },
    /// A log's task is run in the background.
    Task {
        node: NodeId,
        life: u64,
        token: u64,
        task: FileTask,
    },
    /// The clock looks for a newer sample.
    Refresh {
        node: NodeId,
    },
    /// The time source takes a sample.
    Sample {
        node: NodeId,
    },
    /// A paused node goes on.
    Resume {
        node: NodeId,
        until_ns: u64,
    },
    /// The power of a node fails now.
    CutPower {
        node: NodeId,
        life: u64,
    },
    /// The power of a node fails, whatever it does by then.
    PowerFails {
        node: NodeId,
    },
    Restart {
        node: NodeId,
    },
    /// Trouble is due.
    Fault,
    /// Trouble ends.
    Heal(Heal),
    /// Operators look at all positions.
    Look,
    /// A client's question for the time reaches a node.
    AskTime(TimeQuestion),
    Client(ClientEvent),
}

/// Whom a client asks for the time, and whether a majority is to vouch for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeQuestion {
    pub(crate) node: NodeId,
    pub(crate) life: u64,
    pub(crate) client: u64,
    pub(crate) by_majority: bool,
}

/// How a sync ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SyncEnd {
    Done,
    Failed,
    /// It reports success, and one sector was never written.
    Phantom,
    /// It reports success, and one sector was written elsewhere.
    Misdirected,
}

/// Which trouble ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heal {
    Partition {
        number: u64,
    },
    SlowLink {
        from: NodeId,
        to: NodeId,
    },
    DiskFull {
        node: NodeId,
    },
    /// The right disk is put back.
    RightDisk {
        node: NodeId,
    },
    ClockWidening {
        node: NodeId,
    },
    ClockSource {
        node: NodeId,
    },
    ClockLie {
        node: NodeId,
    },
}

/// Something that concerns a client.
pub(crate) enum ClientEvent {
    Answer {
        client: u64,
        ticket: Ticket,
        answer: Answer,
    },
    /// What a node said of the time.
    Time {
        client: u64,
        told: Result<TimeInterval, Unfit>,
    },
    /// The client's own timer; it names what it was set for.
    Timer {
        client: u64,
        purpose: u64,
    },
}

pub(crate) enum Answer {
    Append(Result<Receipt, Refusal>),
    Fenced(Result<Fenced, Refusal>),
    Read(NodeId, Result<ReadAnswer, ReadRefusal>),
}

/// Happenings by time, and at one time in the order they were put here.
#[derive(Default)]
pub(crate) struct Agenda {
    waiting: BTreeMap<(u64, u64), Happening>,
    number: u64,
}

impl Agenda {
    pub(crate) fn put(&mut self, at_ns: u64, happening: Happening) {
        self.number += 1;
        self.waiting.insert((at_ns, self.number), happening);
    }

    pub(crate) fn next(&mut self) -> Option<(u64, Happening)> {
        let ((at_ns, _), happening) = self.waiting.pop_first()?;
        Some((at_ns, happening))
    }
}
