//! Times as the command line takes and shows them: RFC 3339 with nanoseconds, `ts:NANOSECONDS`, `-5m`.
//!
//! Reads no clock: a relative time is resolved against a `now` that the caller brings.

use std::str::FromStr;
use std::time::Duration;

use crate::settings::parse_duration;
use crate::types::Timestamp;

/// A point in time as a user wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    At(Timestamp),
    /// So long before now.
    Ago(Duration),
}

impl Moment {
    pub(super) fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(timestamp) => timestamp,
            Self::Ago(ago) => now.minus_ns(u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX)),
        }
    }
}

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
            return ns.parse().map(|ns| Self::At(Timestamp(ns))).map_err(|_| malformed());
        }
        if let Some(ago) = text.strip_prefix('-') {
            return parse_duration(ago).map(Self::Ago);
        }
        let at: jiff::Timestamp = text.parse().map_err(|_| malformed())?;
        u64::try_from(at.as_nanosecond())
            .map(|ns| Self::At(Timestamp(ns)))
            .map_err(|_| format!("{text:?} lies outside the years 1970 to 2554"))
    }
}

/// Where a consumer starts, as a user wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum From {
    Begin,
    End,
    At(Moment),
    /// A consumer's cursor, as text.
    Cursor(String),
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "begin" => Ok(Self::Begin),
            "end" => Ok(Self::End),
            _ => match text.strip_prefix("cursor:") {
                Some(cursor) => Ok(Self::Cursor(cursor.to_owned())),
                None => {
                    text.parse().map(Self::At).map_err(|reason| format!("{reason}; or begin, end, cursor:C"))
                }
            },
        }
    }
}

/// RFC 3339 with all nine digits, UTC.
pub(super) fn show(timestamp: Timestamp) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(timestamp.0)) {
        Ok(at) => format!("{at:.9}"),
        Err(_) => timestamp.to_string(),
    }
}

/// Nanoseconds since 1970 of an RFC 3339 text; negative before.
pub(super) fn event_time_ns(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().and_then(|at| i64::try_from(at.as_nanosecond()).ok())
}

/// A duration rounded for people: three digits and a unit.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn show_ns(ns: u64) -> String {
    let (amount, unit) = match ns {
        0..1_000 => return format!("{ns}ns"),
        1_000..1_000_000 => (ns as f64 / 1e3, "us"),
        1_000_000..1_000_000_000 => (ns as f64 / 1e6, "ms"),
        _ => (ns as f64 / 1e9, "s"),
    };
    let places = if amount < 10.0 { 2 } else { usize::from(amount < 100.0) };
    format!("{amount:.places$}{unit}")
}

/// As [`show_ns`], with its sign.
pub(super) fn show_signed_ns(ns: i64) -> String {
    let sign = if ns < 0 { '-' } else { '+' };
    format!("{sign}{}", show_ns(ns.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_times_parse_back_to_the_nanosecond() {
        for ns in [0, 1, 1_357_035_420_000_000_001, u64::MAX / 2] {
            assert_eq!(show(Timestamp(ns)).parse(), Ok(Moment::At(Timestamp(ns))));
            assert_eq!(Timestamp(ns).to_string().parse(), Ok(Moment::At(Timestamp(ns))));
        }
        assert_eq!(show(Timestamp(1_000_000_000)), "1970-01-01T00:00:01.000000000Z");
    }

    #[test]
    fn a_relative_time_counts_back_from_the_now_it_is_given() {
        let moment: Moment = "-5m".parse().unwrap();
        assert_eq!(moment.resolve(Timestamp(400_000_000_000)), Timestamp(100_000_000_000));
    }

    #[test]
    fn a_bad_time_says_what_to_write() {
        for bad in ["yesterday", "ts:x", "2013-13-01T00:00:00Z", "2013-01-01", ""] {
            assert!(bad.parse::<Moment>().unwrap_err().contains("RFC 3339"), "{bad:?}");
        }
        assert!("-5".parse::<Moment>().unwrap_err().contains("unit"));
        assert!("1960-01-01T00:00:00Z".parse::<Moment>().unwrap_err().contains("1970"));
    }

    #[test]
    fn a_start_is_a_word_a_time_or_a_cursor() {
        assert_eq!("begin".parse(), Ok(From::Begin));
        assert_eq!("cursor:abc".parse(), Ok(From::Cursor("abc".into())));
        assert_eq!("ts:7".parse(), Ok(From::At(Moment::At(Timestamp(7)))));
        assert!("start".parse::<From>().unwrap_err().contains("begin, end, cursor:C"));
    }

    #[test]
    fn durations_for_people_have_three_digits() {
        let shown: Vec<_> = [999, 1_500, 12_340_000, 123_400_000, 2_000_000_000].map(show_ns).into();
        assert_eq!(shown, ["999ns", "1.50us", "12.3ms", "123ms", "2.00s"]);
    }
}
