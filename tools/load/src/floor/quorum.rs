//! How many frames a majority of the nodes holds durably.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

/// What each node holds, this one first.
pub(super) struct Quorum {
    durable: Mutex<Vec<u64>>,
    committed: watch::Sender<u64>,
}

impl Quorum {
    pub(super) fn new(nodes: usize) -> Self {
        Self { durable: Mutex::new(vec![0; nodes]), committed: watch::Sender::new(0) }
    }

    /// A node holds so many frames now.
    pub(super) fn advance(&self, node: usize, frames: u64) {
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        durable[node] = frames;
        let held = majority(&durable);
        // Under the lock: what is told never falls.
        self.committed.send_if_modified(|committed| {
            let rises = held > *committed;
            *committed = held.max(*committed);
            rises
        });
    }

    /// Waits until a majority holds that many frames; how many it holds then.
    pub(super) async fn reached(&self, frames: u64) -> u64 {
        let mut committed = self.committed.subscribe();
        let reached = committed.wait_for(|committed| *committed >= frames).await;
        *reached.expect("the sender lives as long as this")
    }
}

/// The most frames that more than half of the nodes hold.
fn majority(durable: &[u64]) -> u64 {
    let mut sorted = durable.to_vec();
    sorted.sort_unstable_by_key(|frames| std::cmp::Reverse(*frames));
    sorted[durable.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_holds_what_more_than_half_of_the_nodes_hold() {
        for (durable, held) in
            [(&[7][..], 7), (&[9, 0, 0], 0), (&[9, 4, 0], 4), (&[1, 9, 5], 5), (&[5, 4, 3, 2, 1], 3)]
        {
            assert_eq!(majority(durable), held, "{durable:?}");
        }
    }

    #[test]
    fn what_is_committed_never_falls() {
        let quorum = Quorum::new(3);
        for (node, frames) in [(0, 5), (1, 3), (2, 2)] {
            quorum.advance(node, frames);
        }
        assert_eq!(*quorum.committed.borrow(), 3);
        quorum.advance(2, 9);
        assert_eq!(*quorum.committed.borrow(), 5);
        quorum.advance(2, 0);
        assert_eq!(*quorum.committed.borrow(), 5);
    }
}
