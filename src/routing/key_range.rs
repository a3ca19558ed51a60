//! A stretch of the key space, and which shards have a part in it.
//!
//! Knows nothing of records or of who reads. Invariant: a range holds at least one possible key.

use bytes::Bytes;

use super::Router;
use crate::types::ShardId;

/// Keys from one, included, up to another, excluded, compared as bytes.
///
/// ```
/// use timberline::client::KeyRange;
///
/// let range = KeyRange::new("b", Some("d".into())).expect("d comes after b");
/// assert!(range.contains(b"cherry") && !range.contains(b"d"));
/// assert!(KeyRange::new("d", Some("b".into())).is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyRange {
    from: Bytes,
    until: Option<Bytes>,
}

/// A range that no key lies in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no key lies between {from:?}, included, and {until:?}, excluded: the end must come after the start")]
pub struct EmptyKeyRange {
    pub from: Bytes,
    pub until: Bytes,
}

impl KeyRange {
    /// Keys at or after `from` and before `until`. The empty `from` comes before all keys, no `until` after all.
    ///
    /// # Errors
    /// If `until` does not come after `from`.
    pub fn new(from: impl Into<Bytes>, until: Option<Bytes>) -> Result<Self, EmptyKeyRange> {
        let from = from.into();
        match until {
            Some(until) if until <= from => Err(EmptyKeyRange { from, until }),
            until => Ok(Self { from, until }),
        }
    }

    /// One key alone.
    pub fn only(key: impl Into<Bytes>) -> Self {
        let from = key.into();
        let next = [&from[..], &[0]].concat();
        Self { from, until: Some(next.into()) }
    }

    /// Whether `key` lies in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.from.as_ref() <= key && self.until.as_ref().is_none_or(|until| key < until.as_ref())
    }

    /// The only key in it, if there is but one.
    fn only_key(&self) -> Option<&[u8]> {
        let (last, before) = self.until.as_ref()?.split_last()?;
        (*last == 0 && before == self.from.as_ref()).then_some(before)
    }
}

impl Router {
    /// The shards that may own a key of the range, in key order. Hashing scatters a range over all shards, but not a single key.
    pub fn shards_with(&self, keys: &KeyRange) -> Vec<ShardId> {
        if let Some(key) = keys.only_key() {
            return vec![self.shard_of(key)];
        }
        match self {
            Self::Hash { shards, .. } => shards.clone(),
            Self::Range { starts, shards } => {
                let first = starts.partition_point(|start| *start <= keys.from) - 1;
                let end =
                    keys.until.as_ref().map_or(starts.len(), |until| starts.partition_point(|s| s < until));
                shards[first..end].to_vec()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_range_without_a_key_is_refused() {
        let key = Bytes::from_static;
        assert!(KeyRange::new(key(b"b"), Some(key(b"b"))).is_err());
        assert!(KeyRange::new(key(b"b"), Some(key(b"a"))).is_err());
        assert!(KeyRange::new(key(b""), Some(key(b""))).is_err());
        assert!(KeyRange::new(key(b"b"), Some(key(b"b\0"))).is_ok());
    }

    #[test]
    fn one_key_is_the_only_one_in_its_range() {
        let range = KeyRange::only("UA");
        assert!(range.contains(b"UA") && range.only_key() == Some(b"UA"));
        assert!(![&b""[..], b"U", b"UA\0", b"UB"].iter().any(|key| range.contains(key)));
    }

    proptest! {
        #[test]
        fn shards_of_a_range_are_those_that_own_one_of_its_keys(
            splits in proptest::collection::btree_set("[b-d]{1,2}", 0..5),
            a in "[a-e]{0,2}", b in "[a-e]{0,2}", is_open: bool,
        ) {
            let splits: Vec<Bytes> = splits.into_iter().map(Bytes::from).collect();
            let shards = (1..=splits.len() as u64 + 1).map(ShardId).collect();
            let router = Router::range(&splits, shards).unwrap();
            let until = (!is_open).then(|| Bytes::from(b));
            prop_assume!(until.as_ref().is_none_or(|until| until.as_ref() > a.as_bytes()));
            let range = KeyRange::new(a.clone(), until).unwrap();
            let read = router.shards_with(&range);
            // A shard has a part of the range if its first key, or the range's own, lies in both.
            let starts = splits.iter().map(Bytes::as_ref).chain([a.as_bytes()]);
            let mut owners: Vec<ShardId> =
                starts.filter(|key| range.contains(key)).map(|key| router.shard_of(key)).collect();
            owners.sort_unstable();
            owners.dedup();
            prop_assert_eq!(read, owners);
        }

        #[test]
        fn a_hashed_topic_is_read_whole_for_a_range_and_one_shard_of_it_for_a_key(key: Vec<u8>, count in 1_u64..9) {
            let router = Router::hash((1..=count).map(ShardId).collect()).unwrap();
            prop_assert_eq!(router.shards_with(&KeyRange::only(key.clone())), vec![router.shard_of(&key)]);
            let range = KeyRange::new(key, None).unwrap();
            prop_assert_eq!(router.shards_with(&range).len() as u64, count);
        }
    }
}
