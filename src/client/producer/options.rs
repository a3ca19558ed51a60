//! How a producer batches, retries and bounds its memory.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::BatchReport;
use crate::client::Error;
use crate::codec::{BODY_BYTES_MAX, Compression, RECORD_BYTES_MAX};
use crate::types::{ProducerId, SHARD_IN_FLIGHT_MAX, Wait};

/// Called once for every batch when it ends, on the producer's task: it must not block.
#[derive(Clone)]
pub struct OnReport(pub Arc<dyn Fn(&BatchReport) + Send + Sync>);

impl fmt::Debug for OnReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnReport(..)")
    }
}

/// How to produce.
///
/// ```
/// use std::time::Duration;
///
/// use timberline::client::ProducerOptions;
/// use timberline::codec::Compression;
///
/// let patient = ProducerOptions {
///     linger: Duration::from_millis(5),
///     compression: Compression::Zstd,
///     timeout: Duration::from_secs(120),
///     ..ProducerOptions::default()
/// };
/// # assert_eq!(patient.in_flight, 4);
/// ```
#[derive(Clone, Debug)]
pub struct ProducerOptions {
    /// A batch is closed with so many records,
    pub batch_records: u32,
    /// or so many bytes of body, before compression,
    pub batch_bytes: usize,
    /// or so long after its first record, if its shard can take another batch then.
    pub linger: Duration,
    /// How batches are compressed, each on its own; one that does not shrink is sent as it is.
    pub compression: Compression,
    /// Unanswered batches per shard, at most `SHARD_IN_FLIGHT_MAX`.
    pub in_flight: usize,
    /// The id by which shards recognise repeated batches; drawn at random if not given. A producer that is given one fences off, shard by shard
    /// as it comes to write there, whoever wrote under that id before: what those send after that fails with `ErrorCode::ProducerFenced`.
    pub producer: Option<ProducerId>,
    /// What a batch's answer waits for. `Wait::Committed` answers earlier, by what the clocks' uncertainty costs beyond replication; the
    /// receipt then tells of a time that may not have passed yet, and what it alone orders is lost (docs/CONSISTENCY.md).
    pub wait: Wait,
    /// How long a batch is tried, from its first record on.
    pub timeout: Duration,
    /// How long an attempt waits for its answer at first before the shard's leader is looked up again;
    /// doubled with each attempt, up to eight times.
    pub attempt_timeout: Duration,
    /// Bytes of records that are not answered yet; `send` waits while they are more.
    pub memory_bytes_max: usize,
    /// Told of every batch's end.
    pub on_report: Option<OnReport>,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        Self {
            batch_records: 1000,
            batch_bytes: 256 << 10,
            linger: Duration::from_millis(1),
            compression: Compression::None,
            in_flight: 4,
            producer: None,
            wait: Wait::Exposed,
            timeout: Duration::from_secs(30),
            attempt_timeout: Duration::from_millis(400),
            memory_bytes_max: 64 << 20,
            on_report: None,
        }
    }
}

impl ProducerOptions {
    pub(super) fn check(&self) -> Result<(), Error> {
        let refuse = |option, found: String, rule| Err(Error::Option { option, found, rule });
        if self.in_flight == 0 || self.in_flight > SHARD_IN_FLIGHT_MAX {
            return refuse(
                "in_flight",
                self.in_flight.to_string(),
                "shards remember 1 to 8 batches of a producer",
            );
        }
        if self.batch_records == 0 {
            return refuse("batch_records", "0".to_owned(), "a batch holds at least one record");
        }
        if self.batch_bytes == 0 || self.batch_bytes > BODY_BYTES_MAX {
            return refuse("batch_bytes", self.batch_bytes.to_string(), "a batch holds 1 byte to 4 MiB");
        }
        if self.memory_bytes_max < 2 * RECORD_BYTES_MAX || self.memory_bytes_max > u32::MAX as usize {
            return refuse(
                "memory_bytes_max",
                self.memory_bytes_max.to_string(),
                "give 2 MiB to 4 GiB less one byte",
            );
        }
        if self.producer == Some(ProducerId(0)) {
            return refuse("producer", "0".to_owned(), "producer ids start at 1");
        }
        Ok(())
    }
}
