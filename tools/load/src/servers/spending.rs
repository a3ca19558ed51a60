//! What the servers spent between two looks at them.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use super::metrics::file_syncs;
use super::process::{Usage, usage};
use crate::failure::Failure;

/// Whom to look at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Servers {
    pub(crate) pids: Vec<u32>,
    /// Where each node serves its metrics.
    pub(crate) metrics: Vec<SocketAddr>,
    /// The nodes run in this process, so that the load's own work is part of what they seem to spend.
    pub(crate) with_the_load: bool,
}

/// A look at all of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look {
    usage: Usage,
    syncs: u64,
}

/// What they spent in a run; sums over the processes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Spending {
    pub(crate) pids: Vec<u32>,
    pub(crate) with_the_load: bool,
    pub(crate) cpu_s: f64,
    pub(crate) cpu_us_per_record: f64,
    /// With the pages of files that they map, the log's among them.
    pub(crate) resident_bytes: u64,
    /// Without those.
    pub(crate) anonymous_bytes: u64,
    pub(crate) peak_bytes: u64,
    /// Files synced by all nodes, where their metrics are known.
    pub(crate) syncs: Option<u64>,
    /// By each node, on average.
    pub(crate) syncs_per_record: Option<f64>,
}

impl Servers {
    /// Looks at every process and asks every node.
    pub(crate) async fn look(&self) -> Result<Look, Failure> {
        let mut look = Look::default();
        for pid in &self.pids {
            let usage = usage(*pid).map_err(|source| Failure::Process { pid: *pid, source })?;
            look.usage.cpu += usage.cpu;
            look.usage.resident_bytes += usage.resident_bytes;
            look.usage.anonymous_bytes += usage.anonymous_bytes;
            look.usage.peak_bytes += usage.peak_bytes;
        }
        for address in &self.metrics {
            let failed = |source: io::Error| Failure::Metrics { address: *address, source };
            look.syncs += file_syncs(*address).await.map_err(failed)?;
        }
        Ok(look)
    }

    /// `None` if no process is known.
    pub(crate) fn spent(&self, before: &Look, after: &Look, records: u64) -> Option<Spending> {
        let cpu = after.usage.cpu.saturating_sub(before.usage.cpu);
        let syncs = (!self.metrics.is_empty()).then(|| after.syncs.saturating_sub(before.syncs));
        let nodes = self.metrics.len() as u64;
        (!self.pids.is_empty()).then(|| Spending {
            pids: self.pids.clone(),
            with_the_load: self.with_the_load,
            cpu_s: thousandths(cpu.as_secs_f64()),
            cpu_us_per_record: thousandths(each(cpu, records)),
            resident_bytes: after.usage.resident_bytes,
            anonymous_bytes: after.usage.anonymous_bytes,
            peak_bytes: after.usage.peak_bytes,
            syncs,
            syncs_per_record: syncs.map(|syncs| share(syncs, records * nodes)),
        })
    }
}

/// Microseconds for each of so many.
fn each(time: Duration, count: u64) -> f64 {
    time.as_secs_f64() * 1e6 / real(count.max(1))
}

fn share(part: u64, whole: u64) -> f64 {
    (real(part) / real(whole.max(1)) * 1e6).round() / 1e6
}

fn thousandths(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

#[expect(clippy::cast_precision_loss, reason = "counts of a run have fewer than 53 bits")]
fn real(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spending_is_the_difference_of_two_looks_by_record_and_node() {
        let servers = Servers {
            pids: vec![1, 2],
            metrics: vec![SocketAddr::from(([127, 0, 0, 1], 1)); 2],
            with_the_load: false,
        };
        let look = |cpu_ms, syncs| Look {
            usage: Usage {
                cpu: Duration::from_millis(cpu_ms),
                resident_bytes: 10,
                anonymous_bytes: 5,
                peak_bytes: 20,
            },
            syncs,
        };
        let spent = servers.spent(&look(500, 100), &look(1_500, 300), 10_000).unwrap();
        assert_eq!((spent.cpu_s, spent.cpu_us_per_record), (1.0, 100.0));
        assert_eq!((spent.syncs, spent.syncs_per_record), (Some(200), Some(0.01)));
        assert_eq!((spent.resident_bytes, spent.anonymous_bytes, spent.peak_bytes), (10, 5, 20));
        assert_eq!(Servers::default().spent(&look(0, 0), &look(1, 1), 1), None);
    }
}
