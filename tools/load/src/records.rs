//! What is appended: made-up events of one size, or the lines of a file, again and again.
//!
//! Everything is in memory before a run begins, at most [`HELD_BYTES_MAX`]: no run waits for a disk that the nodes use too.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::failure::Failure;
use crate::workload::VALUE_BYTES_MAX;

/// A larger file is cut here, at a whole line.
const HELD_BYTES_MAX: usize = 256 << 20;
/// Made-up records that differ from each other, as long as they are no more than so many bytes together.
const MADE_UP: usize = 1024;
const MADE_UP_BYTES_MAX: usize = 64 << 20;

/// Values to append. Clones share them, and their place in them.
#[derive(Clone)]
pub(crate) struct Records {
    values: Arc<[Bytes]>,
    next: Arc<AtomicUsize>,
}

impl Records {
    /// Events as applications write them, JSON cut at exactly `record_bytes`; the same in every run.
    pub(crate) fn made_up(record_bytes: usize) -> Self {
        let mut rng = StdRng::seed_from_u64(1);
        let count = (MADE_UP_BYTES_MAX / record_bytes.max(1)).clamp(1, MADE_UP);
        Self::of((0..count).map(|_| made_up(record_bytes, &mut rng)).collect())
    }

    /// The lines of a file, decompressed if its name ends in `.zst`. A batch of the longest must fit.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let failed = |source| Failure::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let compressed = path.extension().is_some_and(|extension| extension == "zst");
        let reader: Box<dyn Read> = if compressed {
            Box::new(zstd::stream::read::Decoder::new(file).map_err(failed)?)
        } else {
            Box::new(file)
        };
        let mut reader = BufReader::with_capacity(1 << 16, reader);
        let (mut values, mut held_bytes) = (Vec::new(), 0);
        while held_bytes < HELD_BYTES_MAX {
            let mut line = Vec::new();
            let bound = VALUE_BYTES_MAX as u64 + 2;
            if reader.by_ref().take(bound).read_until(b'\n', &mut line).map_err(failed)? == 0 {
                break;
            }
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            if line.len() > VALUE_BYTES_MAX {
                let line = values.len() as u64 + 1;
                return Err(Failure::LongLine { path: path.to_owned(), line, max: VALUE_BYTES_MAX });
            }
            held_bytes += line.len();
            values.push(Bytes::from(line));
        }
        if values.is_empty() {
            return Err(Failure::NoRecords { path: path.to_owned() });
        }
        Ok(Self::of(values))
    }

    fn of(values: Vec<Bytes>) -> Self {
        Self { values: values.into(), next: Arc::default() }
    }

    /// The next `count` values; after the last one follows the first.
    pub(crate) fn batch(&self, count: u32) -> Vec<Bytes> {
        let count = count as usize;
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        (first..first + count).map(|at| self.values[at % self.values.len()].clone()).collect()
    }

    /// The longest value.
    pub(crate) fn bytes_max(&self) -> usize {
        self.values.iter().map(Bytes::len).max().unwrap_or_default()
    }

    /// What a value has on average.
    pub(crate) fn bytes_mean(&self) -> usize {
        self.values.iter().map(Bytes::len).sum::<usize>() / self.values.len()
    }
}

fn made_up(record_bytes: usize, rng: &mut StdRng) -> Bytes {
    const KINDS: [&str; 5] = ["view", "search", "cart", "order", "refund"];
    let mut text = String::with_capacity(record_bytes + 128);
    while text.len() < record_bytes {
        let (kind, customer) = (KINDS[rng.random_range(0..KINDS.len())], rng.random_range(0..100_000));
        let (cents, session) = (rng.random_range(0..1_000_000), rng.random::<u64>());
        let session = format!("{session:016x}");
        let event = serde_json::json!({
            "kind": kind, "customer": customer, "cents": cents, "session": session
        });
        text.push_str(&event.to_string());
    }
    text.truncate(record_bytes);
    Bytes::from(text)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn made_up_records_have_the_size_asked_for_and_are_the_same_every_time() {
        for record_bytes in [1, 100, 1024, 5_000] {
            let (one, other) = (Records::made_up(record_bytes), Records::made_up(record_bytes));
            assert!(one.values.iter().all(|value| value.len() == record_bytes));
            assert_eq!(one.batch(100), other.batch(100));
        }
    }

    #[test]
    fn the_lines_of_a_file_come_in_order_and_again_compressed_or_not() {
        for (suffix, compressed) in [(".ndjson", false), (".ndjson.zst", true)] {
            let mut file = tempfile::Builder::new().suffix(suffix).tempfile().unwrap();
            let text = b"a\nbc\n\nd";
            let bytes = if compressed { zstd::encode_all(&text[..], 3).unwrap() } else { text.to_vec() };
            file.write_all(&bytes).unwrap();
            let records = Records::read(file.path()).unwrap();
            assert_eq!(records.batch(3), ["a", "bc", ""]);
            assert_eq!(records.batch(3), ["d", "a", "bc"]);
            assert_eq!((records.bytes_max(), records.bytes_mean()), (2, 1));
        }
    }

    #[test]
    fn a_line_over_the_limit_is_refused_with_its_place_and_an_empty_file_too() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(Records::read(file.path()), Err(Failure::NoRecords { .. })));
        file.write_all(b"a\n").unwrap();
        file.write_all(&vec![b'x'; VALUE_BYTES_MAX + 1]).unwrap();
        let refused = Records::read(file.path()).err().unwrap();
        assert!(matches!(refused, Failure::LongLine { line: 2, .. }), "{refused}");
    }
}
