//! What `produce` prints: a line per batch, and the summary.

use std::time::Duration;

use serde::Serialize;

use super::tally::Counts;
use crate::cli::moment::{show, show_ns};
use crate::cli::output::{Row, to_json};
use crate::client::BatchReport;
use crate::types::{Timestamp, Token, TopicName};

/// One acknowledged batch; the field names are a contract.
#[derive(Serialize)]
struct ReceiptRow<'a> {
    topic: &'a str,
    shard: u64,
    first_offset: u64,
    first_timestamp_ns: u64,
    record_count: u32,
    uncertainty_ns: u64,
    commit_wait_ns: u64,
    durability: &'static str,
    term: u64,
    queue_ns: u64,
    sync_ns: u64,
    replication_ns: u64,
    /// The CRC of the stored frame's header.
    #[serde(skip_serializing_if = "Option::is_none")]
    header_crc: Option<u32>,
}

/// One failed batch; the field names are a contract.
#[derive(Serialize)]
struct FailureRow<'a> {
    topic: &'a str,
    shard: u64,
    record_count: u32,
    error: String,
    outcome: &'static str,
    retryable: bool,
    /// What names the batch to whoever asks later what became of it.
    batch: Option<String>,
}

/// A batch's end as one JSON object.
pub(in crate::cli) fn receipt_row(topic: &TopicName, report: &BatchReport) -> String {
    match &report.result {
        Ok(receipt) => to_json(&ReceiptRow {
            topic: topic.as_str(),
            shard: receipt.shard.0,
            first_offset: receipt.first_offset.0,
            first_timestamp_ns: receipt.first_timestamp.0,
            record_count: receipt.record_count,
            uncertainty_ns: receipt.uncertainty_ns,
            commit_wait_ns: ns(receipt.wait.commit_wait),
            durability: receipt.durability.as_str(),
            term: receipt.term.0,
            queue_ns: ns(receipt.wait.queue),
            sync_ns: ns(receipt.wait.sync),
            replication_ns: ns(receipt.wait.replication),
            header_crc: receipt.header_crc,
        }),
        Err(failure) => to_json(&FailureRow {
            topic: topic.as_str(),
            shard: report.shard.0,
            record_count: report.record_count,
            error: failure.error.to_string(),
            outcome: failure.outcome.as_str(),
            retryable: failure.retryable,
            batch: failure.batch.as_ref().map(ToString::to_string),
        }),
    }
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The end of a whole run.
#[derive(Serialize)]
pub(super) struct Summary {
    topic: String,
    records: u64,
    acknowledged: u64,
    not_applied: u64,
    unknown: u64,
    batches: u64,
    shards: usize,
    elapsed_ns: u64,
    records_per_second: u64,
    first_timestamp_ns: Option<u64>,
    last_timestamp_ns: Option<u64>,
    /// For reads that are to contain all of this.
    token: Option<String>,
    /// Of the time batches spent on their leaders.
    commit_wait_share: f64,
}

impl Summary {
    pub(super) fn of(topic: &TopicName, counts: &Counts, elapsed: Duration) -> Self {
        let seconds = elapsed.as_secs_f64().max(1e-9);
        Self {
            topic: topic.to_string(),
            records: counts.acknowledged + counts.not_applied + counts.unknown,
            acknowledged: counts.acknowledged,
            not_applied: counts.not_applied,
            unknown: counts.unknown,
            batches: counts.batches,
            shards: counts.shards.len(),
            elapsed_ns: ns(elapsed),
            records_per_second: rate(counts.acknowledged, seconds),
            first_timestamp_ns: counts.first.map(|at| at.0),
            last_timestamp_ns: counts.last.map(|at| at.0),
            token: counts.last.map(|at| Token(at).to_string()),
            commit_wait_share: counts.commit_wait_share(),
        }
    }

    /// For people, on stderr, where stdout holds receipts.
    pub(super) fn sentence(&self) -> String {
        let Self { acknowledged, not_applied, unknown, batches, shards, topic, .. } = self;
        let elapsed = show_ns(self.elapsed_ns);
        let token = self.token.as_deref().unwrap_or("-");
        format!(
            "{topic}: {acknowledged} records acknowledged, {not_applied} not applied, {unknown} unknown, in {batches} \
             batches over {shards} shards, {elapsed}; token {token}"
        )
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a rate for people, of two positive numbers"
)]
fn rate(records: u64, seconds: f64) -> u64 {
    (records as f64 / seconds) as u64
}

impl Row for Summary {
    fn titles() -> Vec<&'static str> {
        vec![
            "TOPIC",
            "ACKNOWLEDGED",
            "NOT APPLIED",
            "UNKNOWN",
            "BATCHES",
            "SHARDS",
            "TIME",
            "PER SECOND",
            "LAST",
            "TOKEN",
        ]
    }
    fn cells(&self) -> Vec<Vec<String>> {
        vec![vec![
            self.topic.clone(),
            self.acknowledged.to_string(),
            self.not_applied.to_string(),
            self.unknown.to_string(),
            self.batches.to_string(),
            self.shards.to_string(),
            show_ns(self.elapsed_ns),
            self.records_per_second.to_string(),
            self.last_timestamp_ns.map_or_else(|| "-".into(), |ns| show(Timestamp(ns))),
            self.token.clone().unwrap_or_else(|| "-".into()),
        ]]
    }
    fn raw(&self) -> String {
        self.acknowledged.to_string()
    }
}
