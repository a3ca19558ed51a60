//! What an honest clock may show.

use timberline::types::Timestamp;

/// One look at a clock: true time lies inside, ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    pub(super) earliest: Timestamp,
    pub(super) latest: Timestamp,
}

impl Reading {
    pub(super) fn midpoint(self) -> Timestamp {
        self.earliest.plus_ns(self.latest.ns_since(self.earliest) / 2)
    }
}

/// All a clock may show at true time `now`, if it is never off by more than `uncertainty`.
pub(super) fn readings(now: Timestamp, uncertainty: u64) -> impl Iterator<Item = Reading> {
    let width_max = 2 * uncertainty;
    (0..=width_max).flat_map(move |behind| {
        (0..=width_max - behind)
            .map(move |ahead| Reading { earliest: now.minus_ns(behind), latest: now.plus_ns(ahead) })
    })
}
