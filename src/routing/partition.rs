//! From a key to its shard, by hash ranges or by key ranges.
//!
//! Hash: `xxh3_64` of the key (seed 0; <https://github.com/Cyan4973/xxHash>), and shard i of n owns the
//! hashes from `ceil(i * 2^64 / n)` up to the next shard's start. Range: shard i owns the keys from its
//! start up to the next shard's, compared as bytes; the first shard starts at the empty key. Both are a
//! search over starts, so a shard that is split later only adds a start.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::types::ShardId;

/// The hash that places a key.
pub fn hash_key(key: &[u8]) -> u64 {
    xxh3_64(key)
}

/// The first hash that shard `shard` of `shards` owns.
pub fn hash_start(shard: u32, shards: u32) -> u64 {
    assert!(shard < shards, "shard {shard} of {shards} does not exist");
    let start = (u128::from(shard) << 64).div_ceil(u128::from(shards));
    u64::try_from(start).expect("the start of an existing shard is below 2^64")
}

/// Shards that do not split the key space.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("a topic without shards cannot hold a key")]
    NoShards,
    #[error("shard {shard} is the first but does not start at the beginning of the key space")]
    Uncovered { shard: ShardId },
    #[error("shard {shard} does not start after the shard before it: split keys must rise strictly")]
    Unordered { shard: ShardId },
}

/// One shard's place in the key space of its topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partition {
    /// Keys whose hash is at or above this, up to the next shard's start.
    Hash(u64),
    /// Keys at or above this, up to the next shard's start.
    Range(Bytes),
}

/// The partitioning of one topic: which shard owns which keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Router {
    Hash { starts: Vec<u64>, shards: Vec<ShardId> },
    Range { starts: Vec<Bytes>, shards: Vec<ShardId> },
}

impl Router {
    /// Equal hash ranges, one for each of `shards` in order.
    pub fn hash(shards: Vec<ShardId>) -> Result<Self, Error> {
        let count = u32::try_from(shards.len()).expect("a topic has fewer than 2^32 shards");
        let starts = (0..count).map(|shard| hash_start(shard, count));
        Self::from_hash_starts(starts.zip(shards))
    }

    /// Key ranges: the first shard from the empty key, each later one from its split key.
    pub fn range(split_at: &[Bytes], shards: Vec<ShardId>) -> Result<Self, Error> {
        assert_eq!(split_at.len() + 1, shards.len(), "n shards have n - 1 splits between them");
        let starts = std::iter::once(Bytes::new()).chain(split_at.iter().cloned());
        Self::from_key_starts(starts.zip(shards))
    }

    /// Hash ranges as a topic's description lists them, in order.
    pub fn from_hash_starts(ranges: impl IntoIterator<Item = (u64, ShardId)>) -> Result<Self, Error> {
        let (starts, shards): (Vec<_>, Vec<_>) = ranges.into_iter().unzip();
        check(&starts, &shards, |start| *start == 0)?;
        Ok(Self::Hash { starts, shards })
    }

    /// Key ranges as a topic's description lists them, in order.
    pub fn from_key_starts(ranges: impl IntoIterator<Item = (Bytes, ShardId)>) -> Result<Self, Error> {
        let (starts, shards): (Vec<_>, Vec<_>) = ranges.into_iter().unzip();
        check(&starts, &shards, Bytes::is_empty)?;
        Ok(Self::Range { starts, shards })
    }

    /// The shard that owns `key`.
    pub fn shard_of(&self, key: &[u8]) -> ShardId {
        let (after, shards) = match self {
            Self::Hash { starts, shards } => {
                let hash = hash_key(key);
                (starts.partition_point(|start| *start <= hash), shards)
            }
            Self::Range { starts, shards } => (starts.partition_point(|start| start.as_ref() <= key), shards),
        };
        shards[after - 1]
    }

    /// All shards, in key order.
    pub fn shards(&self) -> &[ShardId] {
        match self {
            Self::Hash { shards, .. } | Self::Range { shards, .. } => shards,
        }
    }

    /// Each shard with the start of what it owns, in key order.
    pub fn partitions(&self) -> Vec<(ShardId, Partition)> {
        match self {
            Self::Hash { starts, shards } => {
                shards.iter().copied().zip(starts.iter().copied().map(Partition::Hash)).collect()
            }
            Self::Range { starts, shards } => {
                shards.iter().copied().zip(starts.iter().cloned().map(Partition::Range)).collect()
            }
        }
    }
}

fn check<S: Ord>(starts: &[S], shards: &[ShardId], is_lowest: impl Fn(&S) -> bool) -> Result<(), Error> {
    let first = starts.first().ok_or(Error::NoShards)?;
    if !is_lowest(first) {
        return Err(Error::Uncovered { shard: shards[0] });
    }
    match starts.windows(2).position(|pair| pair[0] >= pair[1]) {
        Some(before) => Err(Error::Unordered { shard: shards[before + 1] }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(count: u64) -> Vec<ShardId> {
        (10..10 + count).map(ShardId).collect()
    }

    #[test]
    fn the_hash_of_a_key_never_changes() {
        // Values of xxHash's own reference implementation: a change would move every key.
        assert_eq!(hash_key(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(hash_key(b"a"), 0xe6c6_32b6_1e96_4e1f);
    }

    #[test]
    fn hash_ranges_cover_all_hashes_in_equal_parts() {
        for shards in [1, 2, 3, 5, 7, 64, 1000] {
            let starts: Vec<u64> = (0..shards).map(|shard| hash_start(shard, shards)).collect();
            assert_eq!(starts[0], 0);
            let ends = starts[1..].iter().map(|end| u128::from(*end)).chain([1_u128 << 64]);
            let sizes: Vec<u128> =
                starts.iter().zip(ends).map(|(start, end)| end - u128::from(*start)).collect();
            let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
            assert!(most - least <= 1, "{shards} shards: sizes differ by {}", most - least);
        }
    }

    #[test]
    fn a_split_key_belongs_to_the_shard_it_begins() {
        let splits = [Bytes::from_static(b"g"), Bytes::from_static(b"p")];
        let router = Router::range(&splits, ids(3)).unwrap();
        let shard = |key: &str| router.shard_of(key.as_bytes()).0;
        assert_eq!(
            [shard(""), shard("fz"), shard("g"), shard("ozz"), shard("p"), shard("zz")],
            [10, 10, 11, 11, 12, 12]
        );
    }

    #[test]
    fn shards_that_leave_a_gap_or_repeat_a_start_are_refused() {
        assert_eq!(Router::hash(Vec::new()), Err(Error::NoShards));
        assert_eq!(Router::from_hash_starts([(5, ShardId(1))]), Err(Error::Uncovered { shard: ShardId(1) }));
        let twice = [Bytes::from_static(b"k"), Bytes::from_static(b"k")];
        assert_eq!(Router::range(&twice, ids(3)), Err(Error::Unordered { shard: ShardId(12) }));
        let empty = [Bytes::new()];
        assert_eq!(Router::range(&empty, ids(2)), Err(Error::Unordered { shard: ShardId(11) }));
    }

    proptest! {
        #[test]
        fn a_key_is_in_the_shard_whose_range_holds_its_hash(key: Vec<u8>, count in 1_u32..40) {
            let router = Router::hash(ids(count.into())).unwrap();
            let place = u32::try_from(router.shard_of(&key).0 - 10).unwrap();
            let hash = hash_key(&key);
            prop_assert!(hash >= hash_start(place, count));
            prop_assert!(place + 1 == count || hash < hash_start(place + 1, count));
        }

        #[test]
        fn a_router_is_rebuilt_from_its_partitions(count in 1_u32..40) {
            let router = Router::hash(ids(count.into())).unwrap();
            let ranges = router.partitions().into_iter().map(|(shard, partition)| match partition {
                Partition::Hash(start) => (start, shard),
                Partition::Range(_) => unreachable!("a hash router has hash ranges"),
            });
            prop_assert_eq!(Router::from_hash_starts(ranges).unwrap(), router);
        }
    }
}
