//! What one run came to: a JSON object for scripts, whose field names are a contract, and a row for people.

use std::time::Duration;

use serde::Serialize;

use crate::drive::{Stage, Stages};
use crate::percentiles::Percentiles;
use crate::servers::Spending;
use crate::workload::{Mode, Workload};

/// One run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// `timberline` or `floor`.
    pub(crate) system: &'static str,
    pub(crate) version: &'static str,
    pub(crate) workload: &'static str,
    /// `closed`, `count`, `open` or `replay`.
    pub(crate) mode: &'static str,
    /// On average.
    pub(crate) record_bytes: usize,
    pub(crate) batch_records: u32,
    pub(crate) producers: usize,
    pub(crate) in_flight: usize,
    pub(crate) connections: usize,
    pub(crate) shards: u32,
    pub(crate) replicas: u32,
    pub(crate) durability: &'static str,
    pub(crate) warmup_s: f64,
    pub(crate) duration_s: f64,
    /// The node that was paused again and again meanwhile, if one was.
    pub(crate) slow_follower: Option<SlowFollower>,
    /// What an open loop offered, in records.
    pub(crate) offered_per_s: Option<u64>,
    pub(crate) records: u64,
    pub(crate) records_per_s: f64,
    pub(crate) bytes_per_s: f64,
    pub(crate) failed_batches: u64,
    pub(crate) unanswered_batches: u64,
    /// Acknowledged records that a merged consumer did not have in time, if there was one.
    pub(crate) unseen_records: Option<u64>,
    pub(crate) first_error: Option<String>,
    /// Whether an open loop's rate was kept, and everything answered (and seen).
    pub(crate) rate_kept: Option<bool>,
    /// From when a batch was due to its acknowledgement.
    pub(crate) ack: Option<Percentiles>,
    /// From when a batch was due until the load handed it over: how late the load itself was.
    pub(crate) send_delay: Option<Percentiles>,
    /// Where the time went from handing a batch to the client to its receipt, as far as receipts tell.
    pub(crate) stages: Option<Stages>,
    /// From when a record's batch was due until a merged consumer had it.
    pub(crate) visible: Option<Percentiles>,
    pub(crate) client_cpu_s: f64,
    pub(crate) servers: Option<Spending>,
}

/// A follower that was held up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct SlowFollower {
    pub(crate) node: u64,
    /// Of each pause.
    pub(crate) paused_ms: u64,
    /// Between two pauses.
    pub(crate) running_ms: u64,
}

/// What a system is and does, as far as the workload does not say it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct System {
    pub(crate) name: &'static str,
    pub(crate) shards: u32,
    pub(crate) replicas: u32,
    pub(crate) durability: &'static str,
}

impl Report {
    /// A report of nothing yet.
    pub(crate) fn blank(system: System, workload: &Workload, record_bytes: usize) -> Self {
        let shape = workload.shape;
        let (mode, offered_per_s) = match workload.mode {
            Mode::Closed => ("closed", None),
            Mode::Count { .. } => ("count", None),
            Mode::Open { records_per_second, .. } => ("open", Some(records_per_second.get())),
            Mode::Replay { .. } => ("replay", None),
        };
        Self {
            system: system.name,
            version: env!("CARGO_PKG_VERSION"),
            workload: workload.name,
            mode,
            record_bytes,
            batch_records: shape.batch_records,
            producers: shape.producers,
            in_flight: shape.in_flight,
            connections: shape.connections,
            shards: system.shards,
            replicas: system.replicas,
            durability: system.durability,
            warmup_s: workload.warmup.as_secs_f64(),
            duration_s: workload.duration.as_secs_f64(),
            slow_follower: None,
            offered_per_s,
            records: 0,
            records_per_s: 0.0,
            bytes_per_s: 0.0,
            failed_batches: 0,
            unanswered_batches: 0,
            unseen_records: None,
            first_error: None,
            rate_kept: None,
            ack: None,
            send_delay: None,
            stages: None,
            visible: None,
            client_cpu_s: 0.0,
            servers: None,
        }
    }

    /// Takes down what was counted while so much time passed.
    pub(crate) fn count(&mut self, records: u64, bytes: u64, window: Duration) {
        self.duration_s = window.as_secs_f64();
        self.records = records;
        self.records_per_s = per_second(records, window);
        self.bytes_per_s = per_second(bytes, window);
    }

    /// Takes down what a merged consumer had, and judges the rate anew: what is not seen is not done.
    pub(crate) fn see(&mut self, visible: Option<Percentiles>, unseen: u64) {
        (self.visible, self.unseen_records) = (visible, Some(unseen));
        self.rate_kept = self.rate_kept.map(|kept| kept && unseen == 0);
    }

    /// A row for each stage of its appends.
    pub(crate) fn stage_rows(&self) -> Vec<Vec<String>> {
        let stages = self.stages.iter().flat_map(Stages::named);
        let row = |(name, stage): (&str, Stage)| {
            let ms = |us: f64| format!("{:.3}", us / 1e3);
            let found = stage.percentiles;
            let share = format!("{:.1} %", stage.share * 100.0);
            let run = format!("{} {}", self.workload, self.mode);
            vec![run, name.to_owned(), share, ms(found.p50_us), ms(found.p99_us), ms(found.max_us)]
        };
        stages.map(row).collect()
    }

    /// What to say of a run that has lost its rate.
    pub(crate) fn lost_rate(&self) -> Option<String> {
        let offered = self.offered_per_s.filter(|_| self.rate_kept == Some(false))?;
        let error = self.first_error.as_ref().map(|error| format!("; the first error: {error}"));
        Some(format!(
            "RATE LOST: {offered} records/s were offered and {:.0} acknowledged; {} batches failed, {} had no answer at the end, \
             {} records were acknowledged and not seen{}",
            self.records_per_s,
            self.failed_batches,
            self.unanswered_batches,
            self.unseen_records.unwrap_or_default(),
            error.unwrap_or_default()
        ))
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a report is plain data")
    }

    pub(crate) fn cells(&self) -> Vec<String> {
        let ms = |us: f64| format!("{:.2}", us / 1e3);
        let at = |of: Option<Percentiles>, quantile: fn(&Percentiles) -> f64| {
            of.map_or_else(|| "-".to_owned(), |percentiles| ms(quantile(&percentiles)))
        };
        let rate = match (self.offered_per_s, self.rate_kept) {
            (Some(offered), Some(true)) => offered.to_string(),
            (Some(offered), _) => format!("{offered} LOST"),
            (None, _) => "-".to_owned(),
        };
        let spent = self.servers.as_ref();
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        vec![
            self.system.to_owned(),
            format!("{} {}", self.workload, self.mode),
            rate,
            format!("{:.0}", self.records_per_s),
            format!("{:.1}", self.bytes_per_s / 1e6),
            at(self.ack, |found| found.p50_us),
            at(self.ack, |found| found.p90_us),
            at(self.ack, |found| found.p99_us),
            at(self.ack, |found| found.p999_us),
            at(self.ack, |found| found.max_us),
            at(self.visible, |found| found.p50_us),
            at(self.visible, |found| found.p99_us),
            or_dash(spent.map(|spent| format!("{:.1}", spent.cpu_us_per_record))),
            or_dash(spent.map(|spent| format!("{}", spent.peak_bytes >> 20))),
            or_dash(spent.and_then(|spent| spent.syncs_per_record).map(|syncs| format!("{syncs:.4}"))),
            (self.failed_batches + self.unanswered_batches).to_string(),
        ]
    }
}

/// Above the cells. Latencies are in milliseconds.
pub(crate) const TITLES: [&str; 16] = [
    "SYSTEM",
    "WORKLOAD",
    "OFFERED/s",
    "RECORDS/s",
    "MB/s",
    "ACK p50",
    "p90",
    "p99",
    "p999",
    "max",
    "VISIBLE p50",
    "p99",
    "CPU us/REC",
    "PEAK MiB",
    "SYNCS/REC",
    "FAILED",
];

/// Above the rows of stages. The leader's own sync stands in brackets: it is beside the others.
pub(crate) const STAGE_TITLES: [&str; 6] = ["WORKLOAD", "STAGE", "SHARE", "p50 ms", "p99 ms", "max ms"];

fn per_second(count: u64, window: Duration) -> f64 {
    (real(count) / window.as_secs_f64() * 10.0).round() / 10.0
}

#[expect(clippy::cast_precision_loss, reason = "counts of a run have fewer than 53 bits")]
fn real(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
pub(crate) mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::percentiles::Latencies;
    use crate::workload::Preset;

    /// An open loop at `offered` of which `records` a second were acknowledged.
    pub(crate) fn open(offered: u64, records: u64) -> Report {
        let records_per_second = NonZeroU64::new(offered).unwrap();
        let workload = Workload {
            name: "custom",
            shape: Preset::W1.shape(),
            mode: Mode::Open { records_per_second, outstanding_max: 10 },
            record_bytes: 1024,
            warmup: Duration::from_millis(500),
            duration: Duration::from_secs(2),
        };
        let system = System { name: "timberline", shards: 1, replicas: 3, durability: "disk" };
        let mut report = Report::blank(system, &workload, 1024);
        report.count(records * 2, records * 2048, workload.duration);
        report.rate_kept = Some(records == offered);
        let mut ack = Latencies::new();
        (1..=100).for_each(|ms| ack.record(Duration::from_millis(ms * offered / 1_000)));
        report.ack = ack.percentiles();
        report
    }

    #[test]
    fn the_line_is_one_json_object_with_the_fields_that_scripts_know() {
        let line = open(1_000, 1_000).to_json();
        assert!(!line.contains('\n'));
        let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
        let mut fields: Vec<_> = parsed.as_object().unwrap().keys().map(String::as_str).collect();
        fields.sort_unstable();
        assert_eq!(
            fields.join(" "),
            "ack batch_records bytes_per_s client_cpu_s connections durability duration_s failed_batches first_error \
             in_flight mode offered_per_s producers rate_kept record_bytes records records_per_s replicas send_delay servers \
             shards slow_follower stages system unanswered_batches unseen_records version visible warmup_s workload"
        );
        let ack: Vec<_> = parsed["ack"].as_object().unwrap().keys().collect();
        assert_eq!(ack, ["count", "max_us", "min_us", "p50_us", "p90_us", "p999_us", "p99_us"]);
        assert_eq!((&parsed["records_per_s"], &parsed["offered_per_s"]), (&1_000.0.into(), &1_000.into()));
    }

    #[test]
    fn a_run_that_loses_its_rate_says_so_and_one_that_keeps_it_does_not() {
        let (kept, lost) = (open(1_000, 1_000), open(1_000, 980));
        assert_eq!((kept.rate_kept, kept.lost_rate()), (Some(true), None));
        assert_eq!(lost.rate_kept, Some(false));
        assert!(lost.lost_rate().unwrap().starts_with("RATE LOST: 1000 records/s were offered and 980"));
        assert!(lost.cells().contains(&"1000 LOST".to_owned()));
        let mut failed = open(1_000, 1_000);
        (failed.rate_kept, failed.first_error) = (Some(false), Some("no leader".to_owned()));
        assert!(failed.lost_rate().unwrap().contains("no leader"));
        let mut unseen = open(1_000, 1_000);
        unseen.see(None, 3);
        assert!(unseen.lost_rate().unwrap().contains("3 records were acknowledged and not seen"));
    }

    #[test]
    fn every_cell_has_a_title() {
        assert_eq!(open(10, 10).cells().len(), TITLES.len());
    }
}
