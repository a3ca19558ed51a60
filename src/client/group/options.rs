//! How a member of a group reads.

use std::time::Duration;

use crate::client::core::Core;
use crate::client::error::Error;
use crate::client::fresh::{passed_now, refuse_future};
use crate::types::Timestamp;

/// Where a group begins in shards that it has no position in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupStart {
    /// At the first record.
    #[default]
    Begin,
    /// After everything sent up to the member's joining.
    End,
    /// At the first record stamped at or after this.
    Time(Timestamp),
}

/// How to read as a member of a group.
#[derive(Clone, Debug)]
pub struct GroupOptions {
    pub from: GroupStart,
    /// What people know this member by, 64 bytes at most.
    pub name: String,
    /// A member that is not heard for so long is taken for dead: others read on from its last commit. 500 ms to 60 s; the
    /// same for how long others wait for a shard that is to move, before it is taken.
    pub session_timeout: Duration,
    /// How often `next` commits what was handed out before.
    pub commit_every: Duration,
    /// Bytes of records held for all shards together.
    pub buffer_bytes_max: usize,
    /// How long joining, a commit, or a shard that brings nothing new may take before it fails.
    pub timeout: Duration,
}

impl Default for GroupOptions {
    fn default() -> Self {
        Self {
            from: GroupStart::Begin,
            name: String::new(),
            session_timeout: Duration::from_secs(1),
            commit_every: Duration::from_secs(1),
            buffer_bytes_max: 64 << 20,
            timeout: Duration::from_secs(30),
        }
    }
}

impl GroupStart {
    /// The first timestamp to read.
    pub(in crate::client) async fn first(self, core: &Core) -> Result<Timestamp, Error> {
        match self {
            // The least that anything may be stamped with: a read of all that is kept.
            Self::Begin => Ok(Timestamp::ZERO.next()),
            Self::End => Ok(passed_now(core).await?.next()),
            Self::Time(first) => {
                refuse_future(core, first).await?;
                Ok(first.max(Timestamp::ZERO.next()))
            }
        }
    }
}
