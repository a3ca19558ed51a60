//! Names of things: cluster, node, topic, shard, replica, producer.
//!
//! Numbers are never reused. Names are parsed once, at the edge, into types that cannot be wrong.

use std::fmt;
use std::str::FromStr;

macro_rules! numeric_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

numeric_id!(
    /// One process with one data folder; named in the configuration, starting at 1.
    NodeId
);
numeric_id!(
    /// A topic, numbered by the system topic in order of creation. The system topic is 0.
    TopicId
);
numeric_id!(
    /// A shard, unique in the cluster. Breaks ties in the total order `(timestamp, shard)`.
    ShardId
);
numeric_id!(
    /// One replica of one shard: Raft's peer id. Never reused and never 0: a replica that lost its
    /// memory comes back under a new id.
    ReplicaId
);
numeric_id!(
    /// A producer whose retries are recognised. 0 means "not idempotent".
    ProducerId
);

numeric_id!(
    /// One member of a consumer group, from its joining to its end: drawn by the member itself, never reused.
    MemberId
);

impl ShardId {
    /// The system topic's only shard.
    pub const SYSTEM: Self = Self(0);
}

/// A name was refused; says which rule it broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} {name:?} is not valid: use 1 to {max} of the characters a-z A-Z 0-9 . _ -, starting with a letter or digit"
)]
pub struct InvalidName {
    pub what: &'static str,
    pub name: String,
    pub max: usize,
}

fn check_name(what: &'static str, name: &str, max: usize) -> Result<(), InvalidName> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let starts_well = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if starts_well && name.len() <= max && name.bytes().all(allowed) {
        Ok(())
    } else {
        Err(InvalidName { what, name: name.to_owned(), max })
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The longest name, in bytes.
            pub const LEN_MAX: usize = $max;

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(name: &str) -> Result<Self, InvalidName> {
                check_name($what, name, $max).map(|()| Self(name.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(
    /// The cluster's name. Part of every segment's identity, so files of two clusters never mix.
    ClusterId, "cluster id", 32
);
name!(
    /// A topic's name as users type it.
    TopicName, "topic name", 128
);
name!(
    /// A consumer group's name as users type it.
    GroupName, "group name", 128
);

/// One name where a list of them is asked for.
impl AsRef<[Self]> for TopicName {
    fn as_ref(&self) -> &[Self] {
        std::slice::from_ref(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_path_separators_spaces_or_nothing_are_refused() {
        for bad in ["", "a/b", "..", "a b", "-x", &"x".repeat(129), "é"] {
            assert!(bad.parse::<TopicName>().is_err(), "{bad:?}");
        }
        assert_eq!("flights-2013.v1".parse::<TopicName>().unwrap().as_str(), "flights-2013.v1");
    }
}
