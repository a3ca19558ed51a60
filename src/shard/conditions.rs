//! What must hold of a shard for an append to be taken, decided by its leader against all that it has assigned.
//!
//! Checked against what is *appended*: against what is released, two writers with one expectation would both win. Told is only
//! what is *released* (TIME.md, rule 2): a refusal that rests on something younger says nothing but "retry". A condition that
//! holds tells nothing; its append's receipt waits like any other.
//!
//! Of keys a leader knows what it assigned itself since its horizon, which is where its log ended when it was first asked in
//! its reign, and rises when the memory is full: bounded, nothing on disk, nothing for shards that are never asked. What lies below the
//! horizon it cannot decide, and refuses: who reads the key again as of the horizon is decided. No leader's log is truncated
//! while it reigns, so what it noted stands.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::replica::Shard;
use super::request::Refusal;
use crate::codec::{Compression, visit_keys};
use crate::simulation::{Bug, Limit, is_planted, limit};
use crate::types::{Condition, Found, Offset, Timestamp};

/// Keys that a leader remembers.
const KEYS_MAX: u64 = 16_384;
/// Bytes of keys that it remembers.
const KEY_BYTES_MAX: usize = 1 << 20;

/// When each key was written last, of those written since a horizon.
#[derive(Debug)]
pub(super) struct RecentKeys {
    /// Everything stamped later is noted.
    horizon: Timestamp,
    changes: BTreeMap<Bytes, Change>,
    /// The same keys by their last change: the oldest is forgotten first.
    by_age: BTreeMap<Timestamp, Bytes>,
    key_bytes: usize,
}

/// How a key changed since the horizon. A key that is written without pause always has a change that must not be told yet, so
/// an older one is kept until the next can be.
#[derive(Clone, Copy, Debug)]
struct Change {
    last: Timestamp,
    /// The newest change that was released when this was looked at; zero if there was none.
    told: Timestamp,
    /// A later change, which is told as soon as it is released.
    next: Timestamp,
}

impl Change {
    fn look(&mut self, released: Timestamp) {
        if self.last <= released {
            self.next = self.last;
        }
        if self.next <= released {
            self.told = self.next;
            self.next = self.last;
        }
    }
}

impl RecentKeys {
    /// Knows everything stamped above `horizon`.
    pub(super) fn since(horizon: Timestamp) -> Self {
        Self { horizon, changes: BTreeMap::new(), by_age: BTreeMap::new(), key_bytes: 0 }
    }

    /// Notes a key's change at `at`, which is later than every one before.
    fn note(&mut self, key: &[u8], at: Timestamp, released: Timestamp) {
        if let Some(change) = self.changes.get_mut(key) {
            change.look(released);
            let key = self.by_age.remove(&change.last).expect("both maps have it");
            if change.told == change.last {
                change.next = at;
            }
            change.last = at;
            self.by_age.insert(at, key);
            return;
        }
        let key = Bytes::copy_from_slice(key);
        self.key_bytes += key.len();
        self.by_age.insert(at, key.clone());
        self.changes.insert(key, Change { last: at, told: Timestamp::ZERO, next: at });
        while self.changes.len() as u64 > limit(Limit::RecentKeys, KEYS_MAX) || self.key_bytes > KEY_BYTES_MAX
        {
            let Some((at, key)) = self.by_age.pop_first() else { return };
            self.changes.remove(&key);
            self.key_bytes -= key.len();
            self.horizon = at;
        }
    }

    /// Whether `key` is known not to have changed above `as_of`. If not: why, unless that is not released yet.
    fn check(&mut self, key: &[u8], as_of: Timestamp, released: Timestamp) -> Result<(), Option<Found>> {
        let may_tell = |at: Timestamp| is_planted(Bug::RefuseBeforeRelease) || at <= released;
        let told = |at: Timestamp| Some(Found::KeyChanged(at)).filter(|_| at > as_of && may_tell(at));
        let Some(change) = self.changes.get_mut(key) else {
            return if as_of < self.horizon { Err(told(self.horizon)) } else { Ok(()) };
        };
        change.look(released);
        let changed = if is_planted(Bug::ConditionOnReleasedOnly) { change.told } else { change.last };
        if changed <= as_of {
            return Ok(());
        }
        Err(told(if is_planted(Bug::RefuseBeforeRelease) { change.last } else { change.told }))
    }
}

impl Shard {
    /// Refuses an append whose condition does not hold of everything appended before it.
    pub(super) fn check_condition(&mut self, condition: Option<&Condition>) -> Result<(), Refusal> {
        let refuted = match condition {
            None => Ok(()),
            Some(Condition::NextOffset(expected)) => self.check_next_offset(*expected),
            Some(Condition::KeyUnchangedSince { key, as_of }) => {
                let (end, released) = (self.tail.last_timestamp, self.queue.released_timestamp());
                let Some(reign) = self.reign.as_mut() else {
                    return Err(Refusal::NotLeader { leader: self.leader() });
                };
                let recent = reign.recent.get_or_insert_with(|| RecentKeys::since(end));
                recent.check(key, *as_of, released)
            }
        };
        refuted.map_err(|found| found.map_or(Refusal::Unsettled, |found| Refusal::ConditionFailed { found }))
    }

    fn check_next_offset(&self, expected: Offset) -> Result<(), Option<Found>> {
        let (appended, released) = (self.tail.next_offset, self.queue.released().next_offset);
        if is_planted(Bug::ConditionOnReleasedOnly) {
            return if released == expected { Ok(()) } else { Err(Some(Found::NextOffset(released))) };
        }
        if appended == expected {
            return Ok(());
        }
        if is_planted(Bug::RefuseBeforeRelease) {
            return Err(Some(Found::NextOffset(appended)));
        }
        // More than there is, which nothing unreleased is needed to refute; or so much that what is released refutes it.
        let may_tell = expected > appended || expected < released;
        Err(Some(Found::NextOffset(released)).filter(|_| may_tell))
    }

    /// Notes the keys of a batch that was assigned from `first` on, if this leader was ever asked for keys. The body is proved.
    pub(super) fn note_keys(&mut self, body: &Bytes, compression: Compression, count: u32, first: Timestamp) {
        let released = self.queue.released_timestamp();
        let Some(recent) = self.reign.as_mut().and_then(|reign| reign.recent.as_mut()) else { return };
        let noted = visit_keys(body, compression, count, |record, key| {
            if let Some(key) = key {
                recent.note(key, first.plus_ns(record.into()), released);
            }
        });
        assert!(noted.is_ok(), "a batch is proved before it is assigned");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_memory_forgets_the_oldest_change_and_decides_nothing_below_it() {
        let mut recent = RecentKeys::since(Timestamp(10));
        let name = |n: u64| format!("key {n}");
        for n in 1..=KEYS_MAX + 5 {
            recent.note(name(n).as_bytes(), Timestamp(10 + n), Timestamp::ZERO);
        }
        assert_eq!((recent.changes.len() as u64, recent.by_age.len() as u64), (KEYS_MAX, KEYS_MAX));
        assert_eq!(recent.horizon, Timestamp(15));
        let all = Timestamp(u64::MAX);
        assert_eq!(recent.check(b"key 1", Timestamp(14), all), Err(Some(Found::KeyChanged(Timestamp(15)))));
        assert_eq!(
            recent.check(b"key 1", Timestamp(14), Timestamp(14)),
            Err(None),
            "the horizon is not released"
        );
        assert_eq!(recent.check(b"key 1", Timestamp(15), all), Ok(()));
        assert_eq!(recent.check(b"key 6", Timestamp(15), all), Err(Some(Found::KeyChanged(Timestamp(16)))));
    }

    #[test]
    fn keys_are_bounded_by_their_bytes_and_one_that_changes_again_is_young_again() {
        let mut recent = RecentKeys::since(Timestamp::ZERO);
        let key = |n: u8| vec![n; KEY_BYTES_MAX / 4];
        for n in 1..=4 {
            recent.note(&key(n), Timestamp(n.into()), Timestamp::ZERO);
        }
        recent.note(&key(1), Timestamp(5), Timestamp::ZERO);
        recent.note(&key(6), Timestamp(6), Timestamp::ZERO);
        assert_eq!((recent.horizon, recent.key_bytes), (Timestamp(2), KEY_BYTES_MAX));
        assert!(recent.check(&key(1), Timestamp(4), Timestamp(9)).is_err());
        recent.note(&vec![7; KEY_BYTES_MAX + 1], Timestamp(7), Timestamp::ZERO);
        assert_eq!((recent.horizon, recent.key_bytes, recent.changes.len()), (Timestamp(7), 0, 0));
    }
}
