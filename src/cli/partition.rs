//! Where a shard's part of the key space begins, as rows show it.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::routing::Partition;

/// The first hash or key of a shard.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PartitionStart {
    /// Hexadecimal: JSON numbers do not hold 64 bits everywhere.
    HashStart(String),
    KeyStart(String),
    KeyStartBase64(String),
}

impl PartitionStart {
    pub(super) fn of(partition: &Partition) -> Self {
        match partition {
            Partition::Hash(start) => Self::HashStart(format!("{start:016x}")),
            Partition::Range(start) => match std::str::from_utf8(start) {
                Ok(text) => Self::KeyStart(text.to_owned()),
                Err(_) => Self::KeyStartBase64(STANDARD.encode(start)),
            },
        }
    }

    pub(super) fn partitioning(&self) -> &'static str {
        if matches!(self, Self::HashStart(_)) { "hash" } else { "range" }
    }
}

impl fmt::Display for PartitionStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HashStart(hash) => write!(f, "hash {hash}"),
            Self::KeyStart(key) => write!(f, "key {key:?}"),
            Self::KeyStartBase64(key) => write!(f, "key base64:{key}"),
        }
    }
}
