//! The world as an outsider sees it: true time, every append with its stamp and who has seen it.

use timberline::types::Timestamp;

/// A shard, 0 or 1.
pub(super) type Shard = usize;

/// Appends by their place in `State::appends`, one bit each.
pub(super) type Set = u8;

/// Everything there is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub(super) now: Timestamp,
    /// In the order they were sent.
    pub(super) appends: Vec<Append>,
    /// Each shard's first answer to a merged read at the model's time.
    pub(super) merged: [Option<Set>; 2],
    /// A later merged read got another answer.
    pub(super) disagreed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Append {
    pub(super) shard: Shard,
    pub(super) sent: Timestamp,
    /// What had been acknowledged when it was sent.
    pub(super) after_acks: Set,
    /// What had been read, by anybody.
    pub(super) after_reads: Set,
    pub(super) place: Option<Place>,
    pub(super) acknowledged: bool,
    pub(super) read: bool,
}

/// An append's timestamps, and whether its shard will keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) committed: bool,
}

impl State {
    /// The appends that have a place in `shard`.
    pub(super) fn placed(&self, shard: Shard) -> impl Iterator<Item = (usize, Place)> {
        let of_shard = self.appends.iter().enumerate().filter(move |(_, append)| append.shard == shard);
        of_shard.filter_map(|(n, append)| Some((n, append.place?)))
    }

    /// The last timestamp given in `shard`.
    pub(super) fn last(&self, shard: Shard) -> Timestamp {
        self.placed(shard).map(|(_, place)| place.last).max().unwrap_or_default()
    }

    pub(super) fn set(&self, holds: impl Fn(&Append) -> bool) -> Set {
        let members = self.appends.iter().enumerate().filter(|(_, append)| holds(append));
        members.fold(0, |set, (n, _)| set | 1 << n)
    }

    /// Whether each append in the set `before` draws of another is stamped below that other.
    pub(super) fn stamped_above(&self, before: impl Fn(&Append) -> Set) -> bool {
        self.appends.iter().all(|later| {
            let Some(place) = later.place else { return true };
            self.appends.iter().enumerate().all(|(n, earlier)| {
                before(later) & 1 << n == 0 || earlier.place.is_some_and(|earlier| earlier.last < place.first)
            })
        })
    }

    /// Whether an append that has its place was sent after one of the other shard, by the set `before` draws.
    pub(super) fn follows_across(&self, before: impl Fn(&Append) -> Set) -> bool {
        self.appends.iter().filter(|append| append.place.is_some()).any(|later| {
            let other = self.set(|append| append.shard != later.shard);
            before(later) & other != 0
        })
    }
}
