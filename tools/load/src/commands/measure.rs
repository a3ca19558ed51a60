//! What both kinds of runs share: two looks at the servers around the window, and the report.

use std::future::Future;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::drive::{Tally, Window};
use crate::failure::Failure;
use crate::progress::RunBar;
use crate::report::{Report, System};
use crate::servers::{Servers, cpu_of_this_process};
use crate::workload::{Mode, Workload};

/// What a run counted.
pub(super) struct Counted {
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// Of appends; a replay has none.
    pub(super) tally: Option<Tally>,
}

impl From<Tally> for Counted {
    fn from(tally: Tally) -> Self {
        Self { records: tally.records, bytes: tally.bytes, tally: Some(tally) }
    }
}

impl From<crate::cluster::Replayed> for Counted {
    fn from(replayed: crate::cluster::Replayed) -> Self {
        Self { records: replayed.records, bytes: replayed.bytes, tally: None }
    }
}

/// Runs `load` over a window that begins now, with a look at the servers at both ends of what is measured: until the window ends, or
/// the load, if it is over before.
pub(super) async fn measure<R>(
    system: System,
    workload: &Workload,
    record_bytes: usize,
    servers: &Servers,
    load: impl FnOnce(Window, RunBar) -> R,
) -> Result<Report, Failure>
where
    R: Future<Output = Result<Counted, Failure>>,
{
    let window = Window::open(workload.warmup, workload.duration);
    let bar = RunBar::start(what(system, workload), window.ends - window.began);
    let over = Notify::new();
    let looks = async {
        sleep_until(window.counts_from).await;
        let (before, own) = (servers.look().await?, cpu_of_this_process());
        tokio::select! {
            () = sleep_until(window.ends) => {}
            () = over.notified() => {}
        }
        let passed = Instant::now().min(window.ends).saturating_duration_since(window.counts_from);
        let own = cpu_of_this_process().saturating_sub(own);
        Ok::<_, Failure>((before, servers.look().await?, own, passed))
    };
    let load = async {
        let counted = load(window, bar).await;
        over.notify_one();
        counted
    };
    let ((before, after, own, passed), counted) = tokio::try_join!(looks, load)?;
    let mut report = Report::blank(system, workload, record_bytes);
    report.count(counted.records, counted.bytes, passed);
    // The kernel counts in hundredths of a second.
    report.client_cpu_s = (own.as_secs_f64() * 100.0).round() / 100.0;
    report.servers = servers.spent(&before, &after, counted.records);
    if let Some(tally) = counted.tally {
        (report.failed_batches, report.unanswered_batches) = (tally.failed, tally.unanswered);
        // A closed loop's appends are due when they are sent: it has no rate to keep.
        let is_open = matches!(workload.mode, Mode::Open { .. });
        report.rate_kept = is_open.then(|| tally.kept_up());
        report.send_delay = tally.send_delay.percentiles().filter(|_| is_open);
        report.stages = tally.stages.stages();
        (report.ack, report.first_error) = (tally.ack.percentiles(), tally.first_error);
    }
    Ok(report)
}

fn what(system: System, workload: &Workload) -> String {
    let rate = match workload.mode {
        Mode::Open { records_per_second, .. } => format!(" at {records_per_second}/s"),
        Mode::Closed | Mode::Count { .. } | Mode::Replay { .. } => String::new(),
    };
    format!("{} {}{rate}", system.name, workload.name)
}
