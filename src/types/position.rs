//! Positions in one shard's log.
//!
//! Indexes count entries (Raft's numbering, first entry 1); offsets count records (users' numbering,
//! first record 0). A frame header carries both, so no table translates between them.

use std::fmt;

macro_rules! position {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// This position moved forward by `count`.
            #[must_use]
            pub fn plus(self, count: u64) -> Self {
                Self(self.0.checked_add(count).expect("positions do not reach 2^64"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

position!(
    /// An entry's place in the Raft log. 0 is the place before the first entry.
    Index
);
position!(
    /// A record's place in the shard, from 0.
    Offset
);
position!(
    /// A leader's reign. 0 is before the first election.
    Term
);

impl Index {
    /// The entry before this one; of the place before the first, itself.
    #[must_use]
    pub fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}
