//! Mistakes that this kind of system is known for. The simulator's checkers must find each.

#[cfg(feature = "simulation")]
use std::cell::Cell;

/// A mistake that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// A write counts as durable before its sync.
    AckBeforeSync,
    /// A new file's name is not made durable.
    SkipDirectorySync,
    /// An append is answered once it is committed, before its time has passed.
    AckBeforeWait,
    /// Commit-wait holds back the answer, but readers see what is committed.
    GateOnlyTheAck,
    /// Records are stamped `earliest` instead of `latest`.
    AssignEarliest,
    /// A new leader does not ask what was promised before it.
    SkipFloor,
    /// A closed timestamp is published before a quorum remembers the promise.
    PublishWithoutQuorum,
    /// A frame that cannot be proved is left out, and the ones behind it served.
    ServeAfterUnproved,
    /// A new leader forgets which batches its log holds.
    ForgetDuplicates,
    /// A vote is answered before it is on the disk.
    VoteBeforeDurable,
    /// Readers see all that is written.
    ServeAboveReleased,
    /// A rotten frame is taken for the log's end.
    RotAsCleanEnd,
    /// What the page cache shows at a restart counts as on the disk, though a sync of it failed.
    TrustPageCache,
    /// The synced mark says what was appended, not what was synced.
    MarkAppended,
    /// A segment is judged by its first timestamp when old ones are trimmed.
    TrimByFirstTimestamp,
    /// A reader that fell behind the log's start goes on there and is not told.
    SkipTrimmedInSilence,
    /// A log that begins anew does not say so, and finds its old segments at the next start.
    ResetKeepsOldLog,
    /// A repair copies the damaged segment as it is and calls it repaired.
    RepairKeepsDamage,
    /// A frame's body is served without its proof.
    ServeDamaged,
    /// With durability `memory`, a replica whose machine lost its memory starts as if nothing were missing.
    TrustMemory,
    /// A clock that a message contradicts goes on being exposed by.
    ExposeWhileSuspended,
    /// What peers stated before a contradiction decides which of the two clocks is wrong.
    VoteCountsStale,
    /// A shard that no longer stands with the others forgets what was promised while it stood.
    ForgetStanding,
    /// A follower goes on resting though its leader's node is silent.
    RestThroughSilence,
    /// Leaders rest on when a node returns that missed what they said.
    RestPastReturns,
    /// What a wrong clock stamped and showed is never marked.
    NoMarks,
    /// What a node finds out of wrong clocks it keeps to itself.
    DoubtsUntold,
    /// A mark begins when the clock was found wrong, not when it was last known to be right.
    MarkTooShort,
    /// A linearizable read takes the earliest that now may be for its mark.
    MarkEarliest,
    /// A clock that is not trusted, or heard by nobody, gives marks.
    MarkUnjudged,
    /// A read of several shards ends when one of them is closed at its mark.
    EndWhenOneShardIsClosed,
    /// A commit of a group counts in shards that its member does not own.
    CommitUnowned,
    /// A commit counts for what its member was given after the generation that it names.
    StaleMemberCommits,
    /// A group's position is where the last commit says, though it was farther already.
    GroupMovesBack,
    /// A condition is held against what is released, not against all that is appended.
    ConditionOnReleasedOnly,
    /// A condition's refusal tells of what is not released.
    RefuseBeforeRelease,
    /// A batch whose producer the shard may have forgotten counts as new.
    ForgottenCountsAsNew,
    /// A member of a group that fell silent keeps what it had.
    DeadMembersStay,
    /// A batch that is not there is called not applied for good, with no fence before it.
    FateWithoutFence,
}

impl Bug {
    pub const ALL: [Self; 39] = [
        Self::AckBeforeSync,
        Self::SkipDirectorySync,
        Self::AckBeforeWait,
        Self::GateOnlyTheAck,
        Self::AssignEarliest,
        Self::SkipFloor,
        Self::PublishWithoutQuorum,
        Self::ServeAfterUnproved,
        Self::ForgetDuplicates,
        Self::VoteBeforeDurable,
        Self::ServeAboveReleased,
        Self::RotAsCleanEnd,
        Self::TrustPageCache,
        Self::MarkAppended,
        Self::TrimByFirstTimestamp,
        Self::SkipTrimmedInSilence,
        Self::ResetKeepsOldLog,
        Self::RepairKeepsDamage,
        Self::ServeDamaged,
        Self::TrustMemory,
        Self::ExposeWhileSuspended,
        Self::VoteCountsStale,
        Self::ForgetStanding,
        Self::RestThroughSilence,
        Self::RestPastReturns,
        Self::NoMarks,
        Self::DoubtsUntold,
        Self::MarkTooShort,
        Self::MarkEarliest,
        Self::MarkUnjudged,
        Self::EndWhenOneShardIsClosed,
        Self::CommitUnowned,
        Self::StaleMemberCommits,
        Self::GroupMovesBack,
        Self::ConditionOnReleasedOnly,
        Self::RefuseBeforeRelease,
        Self::ForgottenCountsAsNew,
        Self::DeadMembersStay,
        Self::FateWithoutFence,
    ];

    /// What it is called on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::AckBeforeSync => "ack-before-sync",
            Self::SkipDirectorySync => "skip-directory-sync",
            Self::AckBeforeWait => "ack-before-wait",
            Self::GateOnlyTheAck => "gate-only-the-ack",
            Self::AssignEarliest => "assign-earliest",
            Self::SkipFloor => "skip-floor",
            Self::PublishWithoutQuorum => "publish-without-quorum",
            Self::ServeAfterUnproved => "serve-after-unproved",
            Self::ForgetDuplicates => "forget-duplicates",
            Self::VoteBeforeDurable => "vote-before-durable",
            Self::ServeAboveReleased => "serve-above-released",
            Self::RotAsCleanEnd => "rot-as-clean-end",
            Self::TrustPageCache => "trust-page-cache",
            Self::MarkAppended => "mark-appended",
            Self::TrimByFirstTimestamp => "trim-by-first-timestamp",
            Self::SkipTrimmedInSilence => "skip-trimmed-in-silence",
            Self::ResetKeepsOldLog => "reset-keeps-old-log",
            Self::RepairKeepsDamage => "repair-keeps-damage",
            Self::ServeDamaged => "serve-damaged",
            Self::TrustMemory => "trust-memory",
            Self::ExposeWhileSuspended => "expose-while-suspended",
            Self::VoteCountsStale => "vote-counts-stale",
            Self::ForgetStanding => "forget-standing",
            Self::RestThroughSilence => "rest-through-silence",
            Self::RestPastReturns => "rest-past-returns",
            Self::NoMarks => "no-marks",
            Self::DoubtsUntold => "doubts-untold",
            Self::MarkTooShort => "mark-too-short",
            Self::MarkEarliest => "mark-earliest",
            Self::MarkUnjudged => "mark-unjudged",
            Self::EndWhenOneShardIsClosed => "end-when-one-shard-is-closed",
            Self::CommitUnowned => "commit-unowned",
            Self::StaleMemberCommits => "stale-member-commits",
            Self::GroupMovesBack => "group-moves-back",
            Self::ConditionOnReleasedOnly => "condition-on-released-only",
            Self::RefuseBeforeRelease => "refuse-before-release",
            Self::ForgottenCountsAsNew => "forgotten-counts-as-new",
            Self::DeadMembersStay => "dead-members-stay",
            Self::FateWithoutFence => "fate-without-fence",
        }
    }
}

#[cfg(feature = "simulation")]
thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// From now on, this thread makes that mistake, or none.
#[cfg(feature = "simulation")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether this mistake is to be made here.
#[cfg(feature = "simulation")]
pub fn is_planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether this mistake is to be made here: never.
#[cfg(not(feature = "simulation"))]
#[inline]
pub const fn is_planted(_bug: Bug) -> bool {
    false
}
