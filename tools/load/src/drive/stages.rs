//! Where the time of appends went, by their receipts; what the leader does not see is what is left of the whole.

use std::time::Duration;

use serde::Serialize;
use timberline::types::StageTimes;

use crate::percentiles::{Latencies, Percentiles};

/// Takes appends down.
#[derive(Debug)]
pub(crate) struct StageMeter {
    queue: Latencies,
    sync: Latencies,
    replication: Latencies,
    commit_wait: Latencies,
    outside: Latencies,
    total: Latencies,
}

/// What became of the time of appends, from sending a batch to its receipt. `queue`, `replication`, `commit_wait` and `outside`
/// follow each other and make up the whole; the leader's own `sync` begins with `replication`, beside it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Stages {
    /// From arrival at the leader to the stamp.
    pub(crate) queue: Stage,
    /// From the stamp to the leader's own sync.
    pub(crate) sync: Stage,
    /// From the stamp to commitment: encoding, writing, the network, a quorum's syncs.
    pub(crate) replication: Stage,
    /// From commitment until the clock has passed the stamp.
    pub(crate) commit_wait: Stage,
    /// All that the leader does not tell: the client, both ways of the network, the acknowledgement.
    pub(crate) outside: Stage,
}

/// One stage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Stage {
    /// Of the whole time of all appends.
    pub(crate) share: f64,
    #[serde(flatten)]
    pub(crate) percentiles: Percentiles,
}

impl StageMeter {
    pub(super) fn new() -> Self {
        let [queue, sync, replication, commit_wait, outside, total] =
            std::array::from_fn(|_| Latencies::new());
        Self { queue, sync, replication, commit_wait, outside, total }
    }

    /// An append took so long from sending to receipt, and the receipt tells what of that was spent on the leader.
    pub(super) fn record(&mut self, took: Duration, told: StageTimes) {
        let StageTimes { queue, sync, replication, commit_wait } = told;
        self.queue.record(queue);
        self.sync.record(sync);
        self.replication.record(replication);
        self.commit_wait.record(commit_wait);
        self.outside.record(took.saturating_sub(queue + replication + commit_wait));
        self.total.record(took);
    }

    /// `None` if no receipt told anything.
    pub(crate) fn stages(&self) -> Option<Stages> {
        let whole = self.total.sum_ns();
        let stage = |of: &Latencies| {
            let share = (of.sum_ns() / whole * 1e4).round() / 1e4;
            of.percentiles().map(|percentiles| Stage { share, percentiles })
        };
        Some(Stages {
            queue: stage(&self.queue)?,
            sync: stage(&self.sync)?,
            replication: stage(&self.replication)?,
            commit_wait: stage(&self.commit_wait)?,
            outside: stage(&self.outside)?,
        })
    }
}

impl Stages {
    /// Each with its name, in the order of an append.
    pub(crate) fn named(&self) -> [(&'static str, Stage); 5] {
        [
            ("queue", self.queue),
            ("replication", self.replication),
            ("(sync)", self.sync),
            ("commit-wait", self.commit_wait),
            ("outside", self.outside),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_what_follows_each_other_make_up_the_whole_and_the_sync_is_beside_them() {
        let mut meter = StageMeter::new();
        assert_eq!(meter.stages(), None);
        let ms = Duration::from_millis;
        let told = StageTimes { queue: ms(1), sync: ms(2), replication: ms(4), commit_wait: ms(1) };
        (0..10).for_each(|_| meter.record(ms(8), told));
        let stages = meter.stages().unwrap();
        let shares = stages.named().map(|(_, stage)| stage.share);
        for (share, exact) in shares.into_iter().zip([0.125, 0.5, 0.25, 0.125, 0.25]) {
            assert!((share - exact).abs() < 0.001, "{stages:?}");
        }
        assert!((stages.outside.percentiles.p50_us - 2_000.0).abs() < 5.0, "{stages:?}");
    }
}
