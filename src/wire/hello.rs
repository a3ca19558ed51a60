//! The first words between a client and a node: who they are, what the node takes, and which version of the protocol they speak
//! with each other, which is the highest that both understand.
//!
//! Each side's hello names the newest version that it speaks and the oldest that it still understands; in between it
//! understands all. A node answers with the version that both then speak. So a client and a node may be a release apart,
//! whichever of the two is the older one.

/// Who speaks, and which protocol. A server names its cluster and node; a client names the cluster that it means, or none.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HelloBody {
    /// A client's: the newest version that it speaks. A server's: the version that both speak from now on.
    #[prost(uint32, tag = "1")]
    pub protocol: u32,
    #[prost(string, tag = "2")]
    pub cluster: String,
    #[prost(uint64, tag = "3")]
    pub node: u64,
    /// The oldest version that the speaker understands; 0: that of `protocol` alone.
    #[prost(uint32, tag = "4")]
    pub protocol_oldest: u32,
    /// What a server can do beyond the first version of the protocol. What would be dangerous if it were not
    /// understood is sent only to a server that names it.
    #[prost(string, repeated, tag = "5")]
    pub features: Vec<String>,
    /// What a server takes; not set by clients, nor by servers of the first builds.
    #[prost(message, optional, tag = "6")]
    pub limits: Option<HelloLimits>,
}

/// What a server takes of one client. Over a limit of bytes it closes the connection or answers `TooLarge`; over one of
/// numbers it answers `Busy`, and lets streams wait to be opened. 0: not told.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HelloLimits {
    /// A request's header.
    #[prost(uint64, tag = "1")]
    pub request_header_bytes: u64,
    /// What follows a request's header.
    #[prost(uint64, tag = "2")]
    pub request_payload_bytes: u64,
    /// A batch's body, as it is sent and also decompressed.
    #[prost(uint64, tag = "3")]
    pub body_bytes: u64,
    /// One record in a batch's body, encoded.
    #[prost(uint64, tag = "4")]
    pub record_bytes: u64,
    /// Streams open at one time on a connection.
    #[prost(uint64, tag = "5")]
    pub streams: u64,
    /// Requests of one stream without an answer; subscriptions do not count.
    #[prost(uint64, tag = "6")]
    pub requests_per_stream: u64,
    /// Appends to one shard, of all clients, without an answer.
    #[prost(uint64, tag = "7")]
    pub in_flight_per_shard: u64,
    /// Reads that last, over all streams of a connection: subscriptions, and `Locate`s that wait.
    #[prost(uint64, tag = "8")]
    pub reads_per_connection: u64,
    /// Subscriptions of one stream.
    #[prost(uint64, tag = "9")]
    pub subscriptions_per_stream: u64,
}

/// The protocol versions of one side: every one from `oldest` to `newest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    pub oldest: u32,
    pub newest: u32,
}

impl Versions {
    /// What this build speaks.
    pub const OWN: Self = Self { oldest: 1, newest: super::PROTOCOL_VERSION };

    /// What a hello says. The first builds name one version, and speak no other.
    pub fn of(hello: &HelloBody) -> Self {
        let newest = hello.protocol;
        let oldest = if hello.protocol_oldest == 0 { newest } else { hello.protocol_oldest };
        Self { oldest, newest }
    }

    pub fn contains(self, version: u32) -> bool {
        (self.oldest..=self.newest).contains(&version)
    }

    /// The version that both speak with each other; `None` if there is none.
    pub fn common(self, other: Self) -> Option<u32> {
        let both = self.newest.min(other.newest);
        (self.oldest.max(other.oldest) <= both).then_some(both)
    }
}

impl std::fmt::Display for Versions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.oldest == self.newest {
            write!(f, "{}", self.newest)
        } else {
            write!(f, "{} to {}", self.oldest, self.newest)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(oldest: u32, newest: u32) -> Versions {
        Versions { oldest, newest }
    }

    #[test]
    fn two_sides_speak_the_highest_version_that_both_understand_or_none() {
        for (one, other, common) in [
            (versions(1, 1), versions(1, 1), Some(1)),
            (versions(1, 2), versions(1, 1), Some(1)),
            (versions(2, 3), versions(1, 2), Some(2)),
            (versions(1, 5), versions(2, 4), Some(4)),
            (versions(2, 2), versions(1, 1), None),
            (versions(3, 4), versions(1, 2), None),
            // Nonsense of a stranger's.
            (versions(1, 3), versions(9, 2), None),
            (versions(1, 1), versions(0, 0), None),
        ] {
            assert_eq!(one.common(other), common, "{one} and {other}");
            assert_eq!(other.common(one), common, "{other} and {one}");
        }
    }

    #[test]
    fn a_hello_of_the_first_builds_names_one_version() {
        let hello = HelloBody { protocol: 1, ..HelloBody::default() };
        assert_eq!(Versions::of(&hello), versions(1, 1));
        let newer = HelloBody { protocol: 3, protocol_oldest: 2, ..HelloBody::default() };
        assert_eq!(Versions::of(&newer), versions(2, 3));
    }
}
