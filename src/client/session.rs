//! What one client has seen: how far a read must at least reach that is to contain it.
//!
//! Knows nothing of readers and producers but what they tell it. Invariant: `seen` never names a time that has not passed, for only
//! what was exposed is told of; what somebody resumed is kept apart, for nobody vouches for it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::types::{Timestamp, Token};

/// One client's session; its clones share it.
#[derive(Debug, Default)]
pub(super) struct Session {
    seen: AtomicU64,
    resumed: AtomicU64,
}

impl Session {
    /// Something stamped so was acknowledged to this client, or handed out by it.
    pub(super) fn saw(&self, timestamp: Timestamp) {
        self.seen.fetch_max(timestamp.0, Ordering::Relaxed);
    }

    /// An earlier session goes on in this one.
    pub(super) fn resume(&self, token: Token) {
        self.resumed.fetch_max(token.0.0, Ordering::Relaxed);
    }

    /// The latest that was seen here: it has passed.
    pub(super) fn seen(&self) -> Timestamp {
        Timestamp(self.seen.load(Ordering::Relaxed))
    }

    pub(super) fn token(&self) -> Token {
        Token(self.seen().max(Timestamp(self.resumed.load(Ordering::Relaxed))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_only_rises_and_what_was_resumed_counts_as_seen_by_nobody() {
        let session = Session::default();
        assert_eq!(session.token(), Token::default());
        session.saw(Timestamp(7));
        session.saw(Timestamp(5));
        session.resume(Token(Timestamp(9)));
        session.resume(Token(Timestamp(8)));
        assert_eq!((session.seen(), session.token()), (Timestamp(7), Token(Timestamp(9))));
    }
}
