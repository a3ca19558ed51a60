//! Latencies: recorded to three digits, told by percentiles.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longer ones are recorded as this long; no run waits for so long.
const LATENCY_NS_MAX: u64 = 3_600_000_000_000;

/// How long things took. A fixed amount of memory, however many they are.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    histogram: Histogram<u64>,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("three digits are allowed");
        Self { histogram }
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(LATENCY_NS_MAX);
        self.histogram.saturating_record(ns);
    }

    /// Of all together, within the histogram's precision.
    #[expect(clippy::cast_precision_loss, reason = "a count of a run has fewer than 53 bits")]
    pub(crate) fn sum_ns(&self) -> f64 {
        self.histogram.mean() * self.histogram.len() as f64
    }

    /// `None` if nothing was recorded.
    pub(crate) fn percentiles(&self) -> Option<Percentiles> {
        let at = |quantile| {
            // A histogram rounds up within its precision, never above what was seen.
            let ns = self.histogram.value_at_quantile(quantile).min(self.histogram.max());
            microseconds(ns)
        };
        (!self.histogram.is_empty()).then(|| Percentiles {
            count: self.histogram.len(),
            min_us: microseconds(self.histogram.min()),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: microseconds(self.histogram.max()),
        })
    }
}

/// To a tenth of a microsecond.
#[expect(clippy::cast_precision_loss, reason = "an hour in tenths of a microsecond has 36 bits")]
fn microseconds(ns: u64) -> f64 {
    ns.div_ceil(100) as f64 / 10.0
}

/// What latencies come to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) count: u64,
    pub(crate) min_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_known_latencies_are_right_to_three_digits() {
        let mut latencies = Latencies::new();
        (1..=10_000).for_each(|us| latencies.record(Duration::from_micros(us)));
        let found = latencies.percentiles().unwrap();
        assert_eq!(found.count, 10_000);
        for (found, exact) in [
            (found.min_us, 1.0),
            (found.p50_us, 5_000.0),
            (found.p90_us, 9_000.0),
            (found.p99_us, 9_900.0),
            (found.p999_us, 9_990.0),
            (found.max_us, 10_000.0),
        ] {
            assert!((found - exact).abs() <= exact / 1_000.0 + 0.1, "{found} is not {exact}");
        }
    }

    #[test]
    fn no_percentile_is_above_the_maximum_and_none_is_told_of_nothing() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.percentiles(), None);
        latencies.record(Duration::from_nanos(123_456_789));
        let found = latencies.percentiles().unwrap();
        assert!(found.p50_us <= found.max_us && found.p999_us <= found.max_us, "{found:?}");
    }
}
