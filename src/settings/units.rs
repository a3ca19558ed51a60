//! Durations and sizes as people write them: `10ms`, `64KiB`. A bare number is refused: its unit is a guess.

use std::time::Duration;

const DURATION_UNITS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

const SIZE_UNITS: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// Parses a duration: a whole or decimal number and a unit of ns, us, ms, s, m, h or d, such as `10ms`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let ns = scaled(text, &DURATION_UNITS).map_err(|reason| {
        format!("{text:?} is not a duration: {reason}; write a number and one of ns, us, ms, s, m, h, d, such as 10ms")
    })?;
    Ok(Duration::from_nanos(ns))
}

/// Parses a size in bytes: a number and a unit of B, `KiB`, `MiB` or `GiB`, such as `64KiB`.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    scaled(text, &SIZE_UNITS).map_err(|reason| {
        format!("{text:?} is not a size: {reason}; write a number and one of B, KiB, MiB, GiB, such as 64KiB")
    })
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = unit.trim();
    if number.is_empty() {
        return Err("it does not begin with a number".into());
    }
    if unit.is_empty() {
        return Err("the unit is missing".into());
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("the unit {unit:?} is unknown"));
    };
    let number = number.replace('_', "");
    let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
    let whole: u64 = whole.parse().map_err(|_| "the number is malformed or too large".to_owned())?;
    let fraction = fraction_of(fraction, *factor)?;
    whole
        .checked_mul(*factor)
        .and_then(|n| n.checked_add(fraction))
        .ok_or_else(|| "it is too large".to_owned())
}

/// The decimal digits `digits` of one `factor`, exactly, or a refusal.
fn fraction_of(digits: &str, factor: u64) -> Result<u64, String> {
    if digits.is_empty() {
        return Ok(0);
    }
    let malformed = || "the number is malformed".to_owned();
    if digits.len() > 9 {
        return Err("it has too many decimal places".into());
    }
    let numerator: u128 = digits.parse().map_err(|_| malformed())?;
    let product = numerator * u128::from(factor);
    let scale = 10u128.pow(digits.len() as u32);
    if !product.is_multiple_of(scale) {
        return Err("it is not a whole number of the smallest unit".into());
    }
    u64::try_from(product / scale).map_err(|_| malformed())
}

/// The shortest exact way to write a duration.
pub fn format_duration(duration: Duration) -> String {
    let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    format_scaled(ns, &DURATION_UNITS)
}

/// The shortest exact way to write a size.
pub fn format_size(bytes: u64) -> String {
    format_scaled(bytes, &SIZE_UNITS)
}

fn format_scaled(amount: u64, units: &[(&str, u64)]) -> String {
    let fitting = units.iter().rev().find(|(_, factor)| amount > 0 && amount.is_multiple_of(*factor));
    let (unit, factor) = fitting.unwrap_or(&units[0]);
    format!("{}{unit}", amount / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_formatted_parses_back_to_itself() {
        for ns in [0, 1, 999, 1_000, 1_500_000, 10_000_000, 60_000_000_000, 86_400_000_000_000] {
            let duration = Duration::from_nanos(ns);
            assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }
        for bytes in [0, 1, 1023, 65_536, 64 << 20, 3 << 30] {
            assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
        }
        assert_eq!(format_duration(Duration::from_millis(10)), "10ms");
        assert_eq!(format_size(65_536), "64KiB");
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        assert_eq!(parse_duration("1.5ms"), Ok(Duration::from_micros(1_500)));
        assert_eq!(parse_size("0.5KiB"), Ok(512));
        assert!(parse_duration("0.5ns").is_err());
    }

    #[test]
    fn a_number_without_a_known_unit_is_refused_and_told_what_to_write() {
        for bad in ["10", "", "ms", "10 parsec", "-5s", "1.2.3s", "99999999999999999999s", "99999999999d"] {
            assert!(parse_duration(bad).unwrap_err().contains("such as 10ms"), "{bad:?}");
        }
        for bad in ["64", "64K", "64KB", "64kb", "ten KiB"] {
            assert!(parse_size(bad).unwrap_err().contains("such as 64KiB"), "{bad:?}");
        }
    }
}
