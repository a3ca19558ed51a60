//! The rates of a sweep: a list, or so many between two, evenly on a logarithmic scale.

use std::num::NonZeroU64;
use std::str::FromStr;

/// The rates, in the order they are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rates(pub(super) Vec<NonZeroU64>);

/// More would take longer than anybody waits.
const RATES_MAX: usize = 100;

impl FromStr for Rates {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || {
            format!(
                "{text:?} are no rates: write records a second as 1000,2000,5000, or LOW..HIGH:COUNT as 1000..64000:7, \
                 at most {RATES_MAX}"
            )
        };
        let rates = match text.split_once("..") {
            Some((low, rest)) => {
                let (high, count) = rest.split_once(':').ok_or_else(malformed)?;
                between(low, high, count)
            }
            None => text.split(',').map(|rate| rate.trim().parse().ok()).collect(),
        };
        rates.filter(|rates: &Vec<_>| rates.len() <= RATES_MAX).map(Self).ok_or_else(malformed)
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a rate is right to the record up to 2^53, and above zero"
)]
fn between(low: &str, high: &str, count: &str) -> Option<Vec<NonZeroU64>> {
    let (low, high): (NonZeroU64, NonZeroU64) = (low.trim().parse().ok()?, high.trim().parse().ok()?);
    let count: u32 = count.trim().parse().ok().filter(|count| (2..=RATES_MAX as u32).contains(count))?;
    let (from, ratio) = (low.get() as f64, high.get() as f64 / low.get() as f64);
    let rate =
        |at: u32| NonZeroU64::new((from * ratio.powf(f64::from(at) / f64::from(count - 1))).round() as u64);
    (low < high).then(|| (0..count).filter_map(rate).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(text: &str) -> Result<Vec<u64>, String> {
        text.parse().map(|Rates(rates)| rates.into_iter().map(NonZeroU64::get).collect())
    }

    #[test]
    fn rates_are_a_list_or_evenly_between_two() {
        assert_eq!(rates("1000,2000, 500"), Ok(vec![1_000, 2_000, 500]));
        assert_eq!(rates("1000..64000:7"), Ok(vec![1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000]));
        assert_eq!(rates("7..8:2"), Ok(vec![7, 8]));
    }

    #[test]
    fn what_are_no_rates_is_refused_with_examples() {
        for bad in ["", "0", "a", "1,,2", "1..2", "2..1:3", "1..2:1", "1..2:0", "1..9:1000", "-1"] {
            assert!(rates(bad).unwrap_err().contains("1000..64000:7"), "{bad:?}");
        }
    }
}
