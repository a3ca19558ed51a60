//! What is wrong with a file: where, what kind of damage, what it touches, what to do.

use serde::Serialize;
use timberline::types::{Index, Offset, Timestamp};

use crate::moment::{show, show_bytes, show_count};
use crate::output::Row;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The log is whole; a node puts it right by itself.
    Warning,
    /// Bytes of the log cannot be proved.
    Damage,
}

/// What kind of damage it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    HeadDamaged,
    HeadUnfinished,
    WrongIdentity,
    WrongSize,
    SegmentGap,
    BeginningLost,
    UnsyncedTail,
    BitRot,
    StaleFrame,
    MissingFrames,
    BrokenChain,
    BrokenOrder,
    BadRecords,
    DirtyPadding,
    BytesBehindEnd,
    EndsEarly,
    EndMismatch,
    VoteMissing,
    VoteDamaged,
    VoteSlotDamaged,
    VoteIdentity,
    VoteAhead,
    SyncedMarkDamaged,
    IndexWrong,
    IndexUseless,
    UnknownFile,
}

impl Kind {
    pub fn severity(self) -> Severity {
        match self {
            Self::HeadUnfinished
            | Self::DirtyPadding
            | Self::VoteSlotDamaged
            | Self::VoteAhead
            | Self::SyncedMarkDamaged
            | Self::IndexWrong
            | Self::IndexUseless
            | Self::UnknownFile => Severity::Warning,
            _ => Severity::Damage,
        }
    }

    /// As scripts see it.
    pub fn name(self) -> &'static str {
        match self {
            Self::HeadDamaged => "head-damaged",
            Self::HeadUnfinished => "head-unfinished",
            Self::WrongIdentity => "wrong-identity",
            Self::WrongSize => "wrong-size",
            Self::SegmentGap => "segment-gap",
            Self::BeginningLost => "beginning-lost",
            Self::UnsyncedTail => "unsynced-tail",
            Self::BitRot => "bit-rot",
            Self::StaleFrame => "stale-frame",
            Self::MissingFrames => "missing-frames",
            Self::BrokenChain => "broken-chain",
            Self::BrokenOrder => "broken-order",
            Self::BadRecords => "bad-records",
            Self::DirtyPadding => "dirty-padding",
            Self::BytesBehindEnd => "bytes-behind-end",
            Self::EndsEarly => "ends-early",
            Self::EndMismatch => "end-mismatch",
            Self::VoteMissing => "vote-missing",
            Self::VoteDamaged => "vote-damaged",
            Self::VoteSlotDamaged => "vote-slot-damaged",
            Self::VoteIdentity => "vote-identity",
            Self::VoteAhead => "vote-ahead",
            Self::SyncedMarkDamaged => "synced-mark-damaged",
            Self::IndexWrong => "index-wrong",
            Self::IndexUseless => "index-useless",
            Self::UnknownFile => "unknown-file",
        }
    }

    /// What to do next.
    pub fn advice(self) -> &'static str {
        match self {
            Self::HeadUnfinished => {
                "a crash left it while the segment was begun; the node removes it when it starts"
            }
            Self::UnsyncedTail => {
                "the node cuts it when it starts and fetches from its peers what they have; if these bytes were synced \
                 they have rotted: repair from a peer first"
            }
            Self::DirtyPadding => "it holds nothing and is read by nobody; nothing needs doing",
            Self::WrongIdentity | Self::VoteIdentity => "put the file back where it belongs",
            Self::VoteMissing | Self::VoteDamaged => {
                "no peer knows this replica's vote: add the replica again under a new replica id"
            }
            Self::VoteSlotDamaged => "a write was torn, or the slot was never used; the other slot counts",
            Self::VoteAhead => {
                "frames that this replica knew as committed are not here; it fetches them from its peers"
            }
            Self::SyncedMarkDamaged => {
                "a crash tore it; the node writes its active segment back when it starts, and then a new mark"
            }
            Self::IndexWrong => "it will be rebuilt when the segment is read",
            Self::IndexUseless => "the node removes it when it starts",
            Self::UnknownFile => "the node ignores it; take it away if nobody knows it",
            _ => "repair it from a peer: timberline-segment repair",
        }
    }
}

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    pub kind: Kind,
    pub shard: Option<u64>,
    pub file: String,
    pub at_byte: u64,
    pub bytes: u64,
    /// The frames it touches, as far as what is left of the file tells.
    pub first_index: Option<u64>,
    pub last_index: Option<u64>,
    /// The records it touches.
    pub first_offset: Option<u64>,
    pub record_count: Option<u64>,
    /// Of the last record before it that is proved.
    pub last_good_timestamp_ns: Option<u64>,
    pub last_good_timestamp: Option<String>,
    pub detail: String,
    pub advice: &'static str,
}

impl Finding {
    pub fn new(kind: Kind, file: impl Into<String>, at_byte: u64, detail: impl Into<String>) -> Self {
        Self {
            severity: kind.severity(),
            kind,
            shard: None,
            file: file.into(),
            at_byte,
            bytes: 0,
            first_index: None,
            last_index: None,
            first_offset: None,
            record_count: None,
            last_good_timestamp_ns: None,
            last_good_timestamp: None,
            detail: detail.into(),
            advice: kind.advice(),
        }
    }

    #[must_use]
    pub fn until(self, end_byte: u64) -> Self {
        Self { bytes: end_byte.saturating_sub(self.at_byte), ..self }
    }

    #[must_use]
    pub fn of_frames(self, first: Index, last: Index) -> Self {
        Self { first_index: Some(first.0), last_index: Some(last.0), ..self }
    }

    #[must_use]
    pub fn of_records(self, first: Offset, count: u64) -> Self {
        Self { first_offset: Some(first.0), record_count: Some(count), ..self }
    }

    #[must_use]
    pub fn after(self, last_good: Option<Timestamp>) -> Self {
        Self {
            last_good_timestamp_ns: last_good.map(|at| at.0),
            last_good_timestamp: last_good.map(show),
            ..self
        }
    }

    pub fn is_damage(&self) -> bool {
        self.severity == Severity::Damage
    }
}

/// The columns of findings in a table.
pub const TITLES: [&str; 8] =
    ["severity", "kind", "file", "at byte", "bytes", "frames", "records", "what is wrong, and what to do"];

impl Row for Finding {
    fn cells(&self) -> Vec<String> {
        let range = |first: Option<u64>, last: Option<u64>| match (first, last) {
            (Some(first), Some(last)) if first == last => first.to_string(),
            (Some(first), Some(last)) => format!("{first} to {last}"),
            _ => "-".to_owned(),
        };
        let last = self.first_offset.zip(self.record_count).map(|(first, count)| first + count.max(1) - 1);
        let records = match self.record_count {
            Some(count) => {
                format!("{} ({})", range(self.first_offset, last.filter(|_| count > 0)), show_count(count))
            }
            None => "-".to_owned(),
        };
        let good =
            self.last_good_timestamp.as_ref().map(|at| format!("; good up to {at}")).unwrap_or_default();
        vec![
            if self.is_damage() { "damage" } else { "warning" }.to_owned(),
            self.kind.name().to_owned(),
            self.file.clone(),
            self.at_byte.to_string(),
            show_bytes(self.bytes),
            range(self.first_index, self.last_index),
            records,
            format!("{}{good}; {}", self.detail, self.advice),
        ]
    }
}
