//! The bytes of one question and its answer: chrony's command protocol, version 6, big-endian.
//!
//! ```text
//! question  0 u8 version 6   1 u8 type 1   4 u16 command 33   8 u32 sequence, zeros up to the answer's length
//! answer    0 u8 version 6   1 u8 type 2   4 u16 command 33   6 u16 reply 5   8 u16 status   16 u32 sequence
//!          28 u32 reference id      32 address of the reference, 20 bytes   52 u16 stratum   54 u16 leap status
//!          56 u32 x 3 reference time: seconds, high and low word, nanoseconds
//!          68 float system time offset, last offset, RMS offset, s    80 float frequency, residual, skew, ppm
//!          92 float root delay, root dispersion, update interval, s
//! ```
//!
//! A float is 7 bits of signed exponent e and 25 bits of signed coefficient c: c * 2^(e - 25). Checked against chronyd 4.3.

use crate::clock::shared_page::array;

pub(super) const PACKET_BYTES: usize = 104;
const VERSION: u8 = 6;
const QUESTION: u8 = 1;
const ANSWER: u8 = 2;
const TRACKING: u16 = 33;
const TRACKING_ANSWER: u16 = 5;

/// Whether chronyd expects a leap second, or nothing at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeapStatus {
    Normal,
    InsertSecond,
    DeleteSecond,
    NotSynchronised,
}

/// What `chronyc tracking` shows, in seconds and parts per million.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tracking {
    /// The reference's IPv4 address, or four letters, or a hash.
    pub(super) reference_id: u32,
    pub(super) leap: LeapStatus,
    /// When the clock was last compared with the reference. Nanoseconds since the Unix epoch.
    pub(super) reference_time_ns: u64,
    /// What chronyd is still correcting.
    pub(super) correction_s: f64,
    pub(super) residual_ppm: f64,
    pub(super) skew_ppm: f64,
    pub(super) root_delay_s: f64,
    pub(super) root_dispersion_s: f64,
    pub(super) update_interval_s: f64,
}

/// The question, as long as its answer so that nobody can use chronyd to multiply traffic.
pub(super) fn question(sequence: u32) -> [u8; PACKET_BYTES] {
    let mut bytes = [0; PACKET_BYTES];
    bytes[..2].copy_from_slice(&[VERSION, QUESTION]);
    bytes[4..6].copy_from_slice(&TRACKING.to_be_bytes());
    bytes[8..12].copy_from_slice(&sequence.to_be_bytes());
    bytes
}

/// Reads the answer to question `sequence`; `None` if it answers another one. `Err` says what is wrong with it.
pub(super) fn parse(bytes: &[u8], sequence: u32) -> Result<Option<Tracking>, String> {
    if bytes.len() < PACKET_BYTES {
        return Err(format!("an answer of {} bytes, expected {PACKET_BYTES}", bytes.len()));
    }
    let (word, half) = (|at| u32::from_be_bytes(array(bytes, at)), |at| u16::from_be_bytes(array(bytes, at)));
    if bytes[0] != VERSION || bytes[1] != ANSWER {
        let (version, kind) = (bytes[0], bytes[1]);
        return Err(format!(
            "an answer of protocol {version}, type {kind}, expected {VERSION} and {ANSWER}: this is no chronyd, or one older \
             than release 1.27"
        ));
    }
    if word(16) != sequence {
        return Ok(None);
    }
    if half(8) != 0 || half(4) != TRACKING || half(6) != TRACKING_ANSWER {
        let (status, command, reply) = (half(8), half(4), half(6));
        return Err(format!("status {status}, command {command}, reply {reply}, expected 0, 33 and 5"));
    }
    let number = |at| float(word(at));
    let seconds = u64::from(word(56)) << 32 | u64::from(word(60));
    Ok(Some(Tracking {
        reference_id: word(28),
        leap: leap(half(54))?,
        reference_time_ns: seconds.saturating_mul(1_000_000_000).saturating_add(word(64).into()),
        correction_s: number(68),
        residual_ppm: number(84),
        skew_ppm: number(88),
        root_delay_s: number(92),
        root_dispersion_s: number(96),
        update_interval_s: number(100),
    }))
}

fn leap(code: u16) -> Result<LeapStatus, String> {
    Ok(match code {
        0 => LeapStatus::Normal,
        1 => LeapStatus::InsertSecond,
        2 => LeapStatus::DeleteSecond,
        3 => LeapStatus::NotSynchronised,
        _ => return Err(format!("leap status {code}, expected 0 to 3")),
    })
}

/// Always finite: the exponent reaches from -89 to 38.
fn float(bits: u32) -> f64 {
    let exponent = bits.cast_signed() >> 25;
    let coefficient = (bits << 7).cast_signed() >> 7;
    f64::from(coefficient) * f64::from(exponent - 25).exp2()
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// What chronyd 4.3 answered to question 0xdeadbeef while it followed a server on loopback.
    pub(crate) const RECORDED: &str = "\
        06020000002100050000000000000000deadbeef00000000000000007f0000017f000001000000000000000000000000\
        0001000000060000000000006b064efd2e91d971dd5657c1c31c147fd29b9a36f6debac5e8a38922fa9417c8e0c05e18\
        dc88c6ecfc816c7b";
    pub(crate) const RECORDED_SEQUENCE: u32 = 0xdead_beef;

    pub(crate) fn recorded() -> Vec<u8> {
        let digits = RECORDED.as_bytes().chunks(2);
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.map(byte).collect()
    }

    /// The nearest float that is not below `value`, which is at least 0.
    pub(crate) fn bits(value: f64) -> u32 {
        if value == 0.0 {
            return 0;
        }
        let exponent = (value.log2().floor() as i32) + 2;
        let coefficient = (value / f64::from(exponent - 25).exp2()).ceil();
        (exponent << 25 | coefficient as i32).cast_unsigned()
    }

    /// An answer that says `tracking`.
    pub(crate) fn answer(tracking: &Tracking, sequence: u32) -> Vec<u8> {
        let mut bytes = recorded();
        let mut put = |at: usize, word: u32| bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
        put(16, sequence);
        put(28, tracking.reference_id);
        let leap = match tracking.leap {
            LeapStatus::Normal => 0,
            LeapStatus::InsertSecond => 1,
            LeapStatus::DeleteSecond => 2,
            LeapStatus::NotSynchronised => 3,
        };
        put(52, 6 << 16 | leap);
        put(56, 0);
        put(60, (tracking.reference_time_ns / 1_000_000_000) as u32);
        put(64, (tracking.reference_time_ns % 1_000_000_000) as u32);
        for (at, value) in [
            (68, tracking.correction_s),
            (84, tracking.residual_ppm),
            (88, tracking.skew_ppm),
            (92, tracking.root_delay_s),
            (96, tracking.root_dispersion_s),
            (100, tracking.update_interval_s),
        ] {
            put(at, bits(value));
        }
        bytes
    }
}
