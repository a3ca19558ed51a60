//! Sends the data set at a steady rate, and remembers every promise and when each batch was answered.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::ProgressBar;
use tokio::time::Instant;

use super::proof::Sent;
use crate::cli::failure::Failure;
use crate::cli::produce::{Counts, FieldPath, Fields, KeyPlace, Lines, Pace, Tally};
use crate::client::{Client, Delivery, OnReport, Producer, ProducerOptions};
use crate::codec::RECORD_BYTES_MAX;
use crate::types::{Record, ShardId, Term, TopicName};

const DATA: &[u8] = include_bytes!("../../../tests/data/flights-2013-01-first-week.ndjson.zst");
const RECORDS_PER_SECOND: NonZeroU64 = NonZeroU64::new(1_000).expect("it is not zero");
/// Small batches: many promises to compare.
const BATCH_RECORDS: u32 = 20;

/// The embedded flights, keyed by aircraft.
pub(super) fn flights() -> Result<Vec<Record>, Failure> {
    let failed = |what: String| Failure::plain(format!("the embedded data cannot be read: {what}"));
    let fields = Fields {
        key: KeyPlace::Field(FieldPath::new("tailnum")),
        key_default: Some("none".into()),
        event_time: Some(FieldPath::new("event_time")),
    };
    let mut lines =
        Lines::embedded("flights", DATA, RECORD_BYTES_MAX).map_err(|error| failed(error.to_string()))?;
    let mut records = Vec::new();
    while let Some(line) = lines.next_line().map_err(|error| failed(error.to_string()))? {
        records.push(fields.record(line).map_err(failed)?);
    }
    Ok(records)
}

/// A batch's answer, and when it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub at: Instant,
    pub shard: ShardId,
    pub term: Term,
    pub uncertainty_ns: u64,
}

#[derive(Default)]
struct Heard {
    tally: Tally,
    answers: Mutex<Vec<Answer>>,
}

/// A producer under way.
pub(super) struct Feed {
    producer: Producer,
    heard: Arc<Heard>,
    pace: Pace,
    under_way: Vec<(Record, Option<Delivery>)>,
}

impl Feed {
    pub(super) async fn start(client: &Client, topic: &TopicName) -> Result<Self, Failure> {
        let heard = Arc::new(Heard::default());
        let hearing = Arc::clone(&heard);
        let on_report = OnReport(Arc::new(move |report| {
            hearing.tally.report(report);
            if let Ok(receipt) = &report.result {
                let (shard, term, uncertainty_ns) = (receipt.shard, receipt.term, receipt.uncertainty_ns);
                let answer = Answer { at: Instant::now(), shard, term, uncertainty_ns };
                hearing.answers.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
            }
        }));
        let options = ProducerOptions {
            batch_records: BATCH_RECORDS,
            on_report: Some(on_report),
            ..ProducerOptions::default()
        };
        let producer = client.producer(topic, options).await?;
        Ok(Self { producer, heard, pace: Pace::new(RECORDS_PER_SECOND), under_way: Vec::new() })
    }

    /// Sends records without waiting for their answers.
    pub(super) async fn send(&mut self, records: &[Record], bar: &ProgressBar) {
        for record in records {
            self.pace.wait().await;
            // A record that is not taken has no delivery; the proofs count it.
            self.under_way.push((record.clone(), self.producer.send(record.clone()).await.ok()));
            bar.inc(1);
        }
    }

    /// Waits for every answer.
    pub(super) async fn finish(self) -> (Vec<Sent>, Counts, Vec<Answer>) {
        // A batch that failed shows in its records' deliveries.
        let _ = self.producer.flush().await;
        let mut sent = Vec::new();
        for (record, delivery) in self.under_way {
            let delivered = match delivery {
                Some(delivery) => delivery.await.ok(),
                None => None,
            };
            sent.push(Sent { record, delivered });
        }
        let answers = self.heard.answers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (sent, self.heard.tally.counts(), answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_week_is_whole_and_every_record_has_key_and_event_time() {
        let flights = flights().unwrap();
        assert_eq!(flights.len(), 6_098);
        assert!(flights.iter().all(|flight| flight.key.is_some() && flight.event_time_ns.is_some()));
    }
}
