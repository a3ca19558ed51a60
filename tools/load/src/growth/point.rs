//! What one step came to.

use serde::Serialize;

use super::dimension::Dimension;
use crate::percentiles::Percentiles;
use crate::report::Report;

/// One run of one step; as JSON the fields of its report and these.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Point {
    pub(crate) dimension: &'static str,
    pub(crate) value: u64,
    /// From 1 on.
    pub(crate) round: u32,
    #[serde(flatten)]
    pub(crate) report: Report,
}

/// Above the cells.
pub(crate) const POINT_TITLES: [&str; 9] = [
    "ROUND",
    "RECORDS",
    "RECORDS/s",
    "MB/s",
    "ACK p50 ms",
    "ACK p99 ms",
    "CPU us/REC",
    "PEAK MiB/NODE",
    "FAILED",
];

impl Point {
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a point is plain data")
    }

    /// The value, and what belongs to [`POINT_TITLES`].
    pub(crate) fn cells(&self, dimension: Dimension) -> Vec<String> {
        let number = |number: Option<f64>, digits: usize| {
            number.map_or_else(|| "-".to_owned(), |number| format!("{number:.digits$}"))
        };
        vec![
            dimension.label(self.value),
            self.round.to_string(),
            self.report.records.to_string(),
            number(Some(self.report.records_per_s), 0),
            number(Some(self.report.bytes_per_s / 1e6), 1),
            number(self.ack(|found| found.p50_us).map(|us| us / 1e3), 2),
            number(self.ack(|found| found.p99_us).map(|us| us / 1e3), 2),
            number(self.cpu_us_per_record(), 2),
            number(self.peak_bytes_per_node().map(|bytes| bytes / MIB), 0),
            (self.report.failed_batches + self.report.unanswered_batches).to_string(),
        ]
    }

    pub(crate) fn ack(&self, quantile: fn(&Percentiles) -> f64) -> Option<f64> {
        self.report.ack.as_ref().map(quantile)
    }

    /// Of all nodes together; `None` if there were no records.
    pub(crate) fn cpu_us_per_record(&self) -> Option<f64> {
        let spent = self.report.servers.as_ref().filter(|_| self.report.records > 0);
        spent.map(|spent| spent.cpu_us_per_record)
    }

    /// The most that was resident, on average of the nodes: what they map of their logs counts too.
    pub(crate) fn peak_bytes_per_node(&self) -> Option<f64> {
        self.report.servers.as_ref().map(|spent| real(spent.peak_bytes) / real(spent.pids.len() as u64))
    }

    /// What no file backs, at the end, on average of the nodes.
    pub(crate) fn anonymous_bytes_per_node(&self) -> Option<f64> {
        self.report.servers.as_ref().map(|spent| real(spent.anonymous_bytes) / real(spent.pids.len() as u64))
    }
}

pub(crate) const MIB: f64 = 1_048_576.0;

#[expect(clippy::cast_precision_loss, reason = "bytes of memory have fewer than 53 bits")]
fn real(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::report::tests::open;
    use crate::servers::Spending;

    /// A point of a run that three nodes spent something on.
    pub(crate) fn point(value: u64, round: u32, records_per_s: u64) -> Point {
        let mut report = open(records_per_s, records_per_s);
        report.servers = Some(Spending {
            pids: vec![1, 2, 3],
            with_the_load: false,
            cpu_s: 1.0,
            cpu_us_per_record: 8.0,
            resident_bytes: 90 << 20,
            anonymous_bytes: 30 << 20,
            peak_bytes: 300 << 20,
            syncs: None,
            syncs_per_record: None,
        });
        Point { dimension: "shards", value, round, report }
    }

    #[test]
    fn a_line_holds_the_step_beside_the_reports_own_fields_and_a_row_has_a_title_for_each_cell() {
        let point = point(1_000, 2, 100);
        let line: serde_json::Value = serde_json::from_str(&point.to_json()).unwrap();
        assert_eq!((&line["dimension"], &line["value"]), (&"shards".into(), &1_000.into()));
        assert_eq!((&line["round"], &line["records_per_s"]), (&2.into(), &100.0.into()));
        let cells = point.cells(Dimension::Shards);
        assert_eq!((cells[0].as_str(), cells[8].as_str()), ("1 k", "100"));
        assert_eq!(cells.len(), POINT_TITLES.len() + 1);
    }
}
