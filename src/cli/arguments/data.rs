//! Flags of `produce` and `consume`.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::moment::{From, Moment};
use crate::client::KeyRange;
use crate::codec::Compression;
use crate::settings::{parse_duration, parse_size};
use crate::types::{GroupName, Token, TopicName};

#[derive(Debug, Args)]
pub(in crate::cli) struct ProduceArguments {
    pub topic: TopicName,
    /// Read records from this file, one a line (`.zst`: decompressed on the way) [default: stdin]
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Records are JSON; the key is the field at this path, such as `tailnum` or `plane.id`
    #[arg(long, value_name = "PATH", conflicts_with = "key_separator")]
    pub key_field: Option<String>,
    /// The key is what stands before the first of these on the line; the value is what stands after it
    #[arg(long, value_name = "TEXT")]
    pub key_separator: Option<String>,
    /// The key of records that have none
    #[arg(long, value_name = "KEY")]
    pub key_default: Option<String>,
    /// Records are JSON; the event time is the field at this path: RFC 3339, or a number if the field's name ends
    /// in _ns, _us, _ms or _s
    #[arg(long, value_name = "PATH")]
    pub event_time_field: Option<String>,
    /// Send a batch once it has so many records
    #[arg(long, value_name = "N", default_value = "1000")]
    pub batch_records: NonZeroU32,
    /// Send a batch once it has so many bytes before compression, such as 256KiB
    #[arg(long, value_name = "SIZE", default_value = "256KiB", value_parser = bytes)]
    pub batch_bytes: u64,
    /// Send a batch at the latest so long after its first record
    #[arg(long, value_name = "DURATION", default_value = "1ms", value_parser = parse_duration)]
    pub linger: Duration,
    /// Compress batches, each on its own; one that does not shrink is sent as it is
    #[arg(long, value_enum, value_name = "CODEC", default_value_t = CompressionArgument::None)]
    pub compression: CompressionArgument,
    /// Batches under way at once, per shard
    #[arg(long, value_name = "N", default_value = "4")]
    pub in_flight: NonZeroU32,
    /// At most so many records a second
    #[arg(long, value_name = "N")]
    pub rate: Option<NonZeroU64>,
    /// Produce as this one, and fence off its earlier runs that still write [default: a new one]
    #[arg(long, value_name = "ID")]
    pub producer_id: Option<NonZeroU64>,
    /// Give a batch up after so long
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub timeout: Duration,
    /// Print one JSON object per batch: where it stands, or why it failed
    #[arg(long)]
    pub receipts: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum CompressionArgument {
    None,
    /// Light work for both ends
    Lz4,
    /// Smaller, for more of the producer's work
    Zstd,
}

impl CompressionArgument {
    pub(in crate::cli) fn compression(self) -> Compression {
        match self {
            Self::None => Compression::None,
            Self::Lz4 => Compression::Lz4,
            Self::Zstd => Compression::Zstd,
        }
    }
}

/// A size with or without a unit: the flag's contract takes plain bytes too.
fn bytes(text: &str) -> Result<u64, String> {
    text.parse().or_else(|_| parse_size(text))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum OrderArgument {
    /// All shards in one order by (timestamp, shard)
    Merged,
    /// Each shard in its own order, whichever has records first
    Shard,
}

/// What a read to the end contains at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Consistency {
    /// Everything acknowledged, to anybody, before the command began
    Linearizable,
    /// What an earlier command of yours wrote or read, by its token
    Session,
    /// What somebody else had written or read, by their token
    Causal,
    /// Everything acknowledged longer ago than --age
    Bounded,
    /// What the replicas have that answer first
    Eventual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum OnTrimmedArgument {
    Fail,
    Earliest,
}

#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "flags that a user gives or not, none of them a state of another"
)]
pub(in crate::cli) struct ConsumeArguments {
    /// One topic, or several in one order
    #[arg(required = true, value_name = "TOPIC")]
    pub topics: Vec<TopicName>,
    /// begin, end, a time (RFC 3339, ts:NANOSECONDS, -5m), or cursor:C as a consumer printed it
    #[arg(long, default_value = "begin", value_name = "WHERE", allow_hyphen_values = true)]
    pub from: From,
    /// Read as of this time: stop before the first record stamped after it, once nothing stamped earlier can come
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, conflicts_with_all = ["to_end", "follow"])]
    pub until: Option<Moment>,
    /// Stop at the end as it was when the command began
    #[arg(long, conflicts_with = "follow")]
    pub to_end: bool,
    /// Stop after so many records
    #[arg(long, value_name = "N")]
    pub max: Option<u64>,
    /// Read as a member of this group: each shard is read by one member, and the group knows where it stands. --from says where
    /// shards are begun that it has no position in
    #[arg(long, value_name = "GROUP", conflicts_with_all = [
        "until", "to_end", "order", "shard", "key_range", "key", "consistency", "token", "age", "node", "on_trimmed", "marks",
        "closed",
    ])]
    pub group: Option<GroupName>,
    /// With --group: what people know this member by [default: timberline-PID]
    #[arg(long, value_name = "NAME", requires = "group")]
    pub member_name: Option<String>,
    /// With --group: a member that is not heard for so long is taken for dead, 500ms to 60s [default: 1s]
    #[arg(long, value_name = "DURATION", requires = "group", value_parser = parse_duration)]
    pub session_timeout: Option<Duration>,
    #[arg(long, value_enum, default_value_t = OrderArgument::Merged)]
    pub order: OrderArgument,
    /// Only this shard, by its id
    #[arg(long, value_name = "ID")]
    pub shard: Option<u64>,
    /// Only records with keys from A on, up to B and without it; A, B or both may be left out. Records without a key lie in
    /// no range. A hashed topic sends all its records, and they are sorted out here
    #[arg(long, value_name = "A..B", value_parser = key_range, conflicts_with = "key")]
    pub key_range: Option<KeyRange>,
    /// Only records with this key
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// What a read --to-end contains at least [default: linearizable]
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub consistency: Option<Consistency>,
    /// With `session` and `causal`: the token that `produce` or `consume` printed
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<Token>,
    /// With `bounded`: how much of the newest may be missing, such as 5s
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub age: Option<Duration>,
    /// Go on with records as they arrive (the default unless --until or --to-end is given)
    #[arg(long)]
    pub follow: bool,
    /// Read from this node's replicas, by its id
    #[arg(long, value_name = "ID")]
    pub node: Option<u64>,
    /// What to do where retention has removed what the read wants: fail (and say from where on it is kept), or go on with the
    /// earliest record kept, telling what is missing on stderr
    #[arg(long, value_enum, default_value_t = OnTrimmedArgument::Fail, value_name = "WHAT")]
    pub on_trimmed: OnTrimmedArgument,
    /// Print order marks too, each in its place among the records: as JSON, {"mark": {..}} (stderr tells them always)
    #[arg(long)]
    pub marks: bool,
    /// Print how far the read is closed too, each time it rises: as JSON, {"closed": {..}}, after which no record stamped
    /// at or before its timestamp follows
    #[arg(long)]
    pub closed: bool,
}

/// `A..B`: from A, included, to B, excluded; either may be empty.
fn key_range(text: &str) -> Result<KeyRange, String> {
    let malformed = || format!("{text:?} is not a range of keys: write FROM..TO, FROM.. or ..TO");
    let (from, until) = text.split_once("..").ok_or_else(malformed)?;
    let until = (!until.is_empty()).then(|| until.to_owned().into());
    KeyRange::new(from.to_owned(), until)
        .map_err(|_| format!("no key lies in {text:?}: TO is not part of the range and must come after FROM"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_keys_holds_its_start_and_not_its_end_and_either_may_be_missing() {
        let holds = |range: &str, key: &str| key_range(range).unwrap().contains(key.as_bytes());
        assert!(holds("b..d", "b") && holds("b..d", "czz") && !holds("b..d", "d") && !holds("b..d", "az"));
        assert!(
            holds("b..", "zz")
                && !holds("b..", "a")
                && holds("..d", "")
                && !holds("..d", "d")
                && holds("..", "x")
        );
        for bad in ["b", "b..b", "d..b"] {
            assert!(key_range(bad).is_err(), "{bad}");
        }
    }
}
