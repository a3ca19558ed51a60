//! All checks by name, and what a check finds.

use std::fmt;

use crate::History;
use crate::log::Logs;
use crate::{
    appends, beginning, closed, conditions, freshness, groups, marks, merged, nodes, order, streams, time,
};

/// One promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Checker {
    /// Replicas are byte-equal: no offset was ever seen with two contents.
    Agreement,
    /// Every acknowledged append stands in every replica's log where its receipt says.
    Acknowledged,
    /// Nobody sees what nobody appended, or sees it before it was sent.
    Phantom,
    /// What failed for good is never visible.
    Failed,
    /// No batch stands in its log twice.
    Duplicate,
    /// A producer's batches stand in the order it sent them.
    ProducerOrder,
    /// Per shard: offsets follow real time, and timestamps follow offsets.
    ShardOrder,
    /// Across all shards: timestamps follow real time.
    TimeOrder,
    /// Stamped after it was sent; shown, acknowledged and told of by a refusal only after its time has passed, but to who asked
    /// for its commitment alone.
    CommitWait,
    /// A condition that was granted held where the batch stands.
    Conditions,
    /// What a wrong clock stamped or showed at a wrong time is marked.
    Marks,
    /// What was closed stays closed.
    Closed,
    /// A reader's entries follow each other without a gap.
    Stream,
    /// A reader of everything begins at the first record kept.
    Begins,
    /// Nothing is trimmed before its time.
    Retention,
    /// A merged reader's stream is a slice of the one order of everything.
    Merged,
    /// A read by consistency level contains what its level names.
    Freshness,
    /// A consumer group passes nothing over, repeats nothing committed, and heeds no commit of who was fenced.
    Groups,
    /// Positions keep their inequalities and only move forward.
    Positions,
    /// What a replica said is durable and committed, it has after every restart.
    Durable,
    /// A term has one leader.
    Leaders,
    /// Whatever is bounded stays within its bound.
    Bounds,
}

/// A promise that a history breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub checker: Checker,
    /// One sentence: what, where, when.
    pub what: String,
}

/// How many comparisons were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally(pub u64);

impl Checker {
    pub const ALL: [Self; 22] = [
        Self::Agreement,
        Self::Acknowledged,
        Self::Phantom,
        Self::Failed,
        Self::Duplicate,
        Self::ProducerOrder,
        Self::ShardOrder,
        Self::TimeOrder,
        Self::CommitWait,
        Self::Conditions,
        Self::Marks,
        Self::Closed,
        Self::Stream,
        Self::Begins,
        Self::Retention,
        Self::Merged,
        Self::Freshness,
        Self::Groups,
        Self::Positions,
        Self::Durable,
        Self::Leaders,
        Self::Bounds,
    ];

    /// Checks that hold only while every clock keeps its word: what was shown, or trimmed, by a liar's clock may be early, and a
    /// mark that it gave too low.
    pub fn needs_honest_clocks(self) -> bool {
        matches!(self, Self::TimeOrder | Self::CommitWait | Self::Retention | Self::Freshness)
    }

    fn run(self, history: &History, logs: &Logs, tally: &mut Tally) -> Result<(), String> {
        match self {
            Self::Agreement => logs.agreement(history, tally),
            Self::Acknowledged => appends::acknowledged(history, tally),
            Self::Phantom => appends::phantom(history, logs, tally),
            Self::Failed => appends::failed(history, logs, tally),
            Self::Duplicate => appends::duplicate(logs, tally),
            Self::ProducerOrder => order::producers(history, logs, tally),
            Self::ShardOrder => order::shards(history, logs, tally),
            Self::TimeOrder => order::everything(history, logs, tally),
            Self::CommitWait => time::commit_wait(history, logs, tally),
            Self::Conditions => conditions::granted(history, logs, tally),
            Self::Marks => marks::marked(history, logs, tally),
            Self::Closed => closed::closed(history, logs, tally),
            Self::Stream => streams::contiguous(history, tally),
            Self::Begins => beginning::begins(history, tally),
            Self::Retention => beginning::retention(history, logs, tally),
            Self::Merged => merged::slices(history, logs, tally),
            Self::Freshness => freshness::fresh(history, logs, tally),
            Self::Groups => groups::groups(history, logs, tally),
            Self::Positions => nodes::positions(history, tally),
            Self::Durable => nodes::durable(history, tally),
            Self::Leaders => nodes::leaders(history, tally),
            Self::Bounds => nodes::bounds(history, tally),
        }
    }
}

/// Runs `checkers` over a history, in their order; the first violation ends it.
pub fn check_all(history: &History, checkers: &[Checker]) -> Result<Tally, Violation> {
    let logs = Logs::of(history);
    let mut tally = Tally::default();
    for checker in checkers {
        checker.run(history, &logs, &mut tally).map_err(|what| Violation { checker: *checker, what })?;
    }
    Ok(tally)
}

impl fmt::Display for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Agreement => "agreement",
            Self::Acknowledged => "acknowledged",
            Self::Phantom => "phantom",
            Self::Failed => "failed",
            Self::Duplicate => "duplicate",
            Self::ProducerOrder => "producer-order",
            Self::ShardOrder => "shard-order",
            Self::TimeOrder => "time-order",
            Self::CommitWait => "commit-wait",
            Self::Conditions => "conditions",
            Self::Marks => "marks",
            Self::Closed => "closed",
            Self::Stream => "stream",
            Self::Begins => "begins",
            Self::Retention => "retention",
            Self::Merged => "merged",
            Self::Freshness => "freshness",
            Self::Groups => "groups",
            Self::Positions => "positions",
            Self::Durable => "durable",
            Self::Leaders => "leaders",
            Self::Bounds => "bounds",
        })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.checker, self.what)
    }
}
