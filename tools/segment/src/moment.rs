//! Times and amounts as commands take and show them: RFC 3339 with nanoseconds, `ts:NANOSECONDS`, `-5m`; bytes, counts.
//!
//! Reads no clock but to resolve a time before now.

use std::str::FromStr;

use timberline::types::Timestamp;

/// A point in time as a user wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) Timestamp);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || {
            format!(
                "{text:?} is not a time: write RFC 3339 (2013-01-01T10:17:00Z), ts:NANOSECONDS since 1970, or a \
                 time before now (-5m)"
            )
        };
        if let Some(ns) = text.strip_prefix("ts:") {
            return ns.parse().map(|ns| Self(Timestamp(ns))).map_err(|_| malformed());
        }
        let at = if let Some(ago) = text.strip_prefix('-') {
            let ago: jiff::SignedDuration = ago.parse().map_err(|_| malformed())?;
            jiff::Timestamp::now().checked_sub(ago).map_err(|_| malformed())?
        } else {
            text.parse().map_err(|_| malformed())?
        };
        u64::try_from(at.as_nanosecond())
            .map(|ns| Self(Timestamp(ns)))
            .map_err(|_| format!("{text:?} lies outside the years 1970 to 2554"))
    }
}

/// RFC 3339 with all nine digits, UTC; times beyond its years as `ts:NANOSECONDS`.
pub(crate) fn show(timestamp: Timestamp) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(timestamp.0)) {
        Ok(at) => format!("{at:.9}"),
        Err(_) => timestamp.to_string(),
    }
}

/// A duration rounded for people: three digits and a unit.
pub(crate) fn show_ns(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => rounded(ns, 1_000, "us"),
        1_000_000..1_000_000_000 => rounded(ns, 1_000_000, "ms"),
        1_000_000_000..120_000_000_000 => rounded(ns, 1_000_000_000, "s"),
        120_000_000_000..7_200_000_000_000 => rounded(ns, 60_000_000_000, "min"),
        _ => rounded(ns, 3_600_000_000_000, "h"),
    }
}

/// An amount of bytes rounded for people.
pub(crate) fn show_bytes(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..0x10_0000 => rounded(bytes, 1024, "KiB"),
        0x10_0000..0x4000_0000 => rounded(bytes, 0x10_0000, "MiB"),
        _ => rounded(bytes, 0x4000_0000, "GiB"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn rounded(amount: u64, unit: u64, name: &str) -> String {
    let amount = amount as f64 / unit as f64;
    let places = if amount < 10.0 { 2 } else { usize::from(amount < 100.0) };
    format!("{amount:.places$} {name}")
}

/// A count with its digits in groups of three.
pub(crate) fn show_count(count: u64) -> String {
    let digits = count.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push(' ');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_times_parse_back_to_the_nanosecond() {
        for ns in [0, 1, 1_357_035_420_000_000_001, u64::MAX / 2] {
            assert_eq!(show(Timestamp(ns)).parse(), Ok(Moment(Timestamp(ns))));
            assert_eq!(Timestamp(ns).to_string().parse(), Ok(Moment(Timestamp(ns))));
        }
    }

    #[test]
    fn a_bad_time_says_what_to_write() {
        for bad in ["yesterday", "ts:x", "2013-13-01T00:00:00Z", "2013-01-01", "", "-"] {
            assert!(bad.parse::<Moment>().unwrap_err().contains("RFC 3339"), "{bad:?}");
        }
        assert!("-5m".parse::<Moment>().is_ok());
    }

    #[test]
    fn amounts_for_people_have_three_digits_and_a_unit() {
        let shown: Vec<_> = [999, 1_500, 12_340_000, 600_000_000_000].map(show_ns).into();
        assert_eq!(shown, ["999 ns", "1.50 us", "12.3 ms", "10.0 min"]);
        let shown: Vec<_> = [0, 65_536, 67_108_864].map(show_bytes).into();
        assert_eq!(shown, ["0 B", "64.0 KiB", "64.0 MiB"]);
        assert_eq!([0, 999, 1000, 1_234_567].map(show_count), ["0", "999", "1 000", "1 234 567"]);
    }
}
