//! Counts what was offered and answered, and how long that took.
//!
//! Latency counts from when an append was *due*. What is never answered counts too, with its age at the end: it cannot
//! make a bad run look good. Memory is bounded by the appends under way.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use timberline::types::StageTimes;
use tokio::time::Instant;

use super::stages::StageMeter;
use super::window::Window;
use crate::percentiles::Latencies;

/// Counts one run.
pub(super) struct Meter {
    window: Window,
    state: Mutex<State>,
}

struct State {
    /// When each append under way was due.
    under_way: BTreeMap<u64, Instant>,
    next: u64,
    tally: Tally,
}

/// What a run came to. Batches and latencies are those due in the window; records those acknowledged in it.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) records: u64,
    pub(crate) batches: u64,
    /// Of these, how many were acknowledged while the window lasted, or soon after.
    pub(crate) in_time: u64,
    /// Bytes of the values in `records`.
    pub(crate) bytes: u64,
    pub(crate) failed: u64,
    pub(crate) first_error: Option<String>,
    /// Batches due in the window that had no answer when the run ended.
    pub(crate) unanswered: u64,
    /// Records acknowledged from the warm-up's beginning on.
    pub(crate) acknowledged: u64,
    /// From when a batch was due to its acknowledgement.
    pub(crate) ack: Latencies,
    /// From when a batch was due until it was handed to the client: what the load itself was late.
    pub(crate) send_delay: Latencies,
    /// From when a batch was handed to the client to its acknowledgement, by its receipt.
    pub(crate) stages: StageMeter,
}

impl Tally {
    /// Whether what was due was done about as fast as it became due: at least 99 of 100 in time, and no failure.
    pub(crate) fn kept_up(&self) -> bool {
        self.failed == 0 && self.unanswered == 0 && self.in_time * 100 >= self.batches * 99
    }
}

/// One append under way.
pub(super) struct Ticket {
    number: u64,
    sent: Instant,
}

/// How much a batch holds.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

impl Meter {
    pub(super) fn new(window: Window) -> Self {
        let tally = Tally {
            records: 0,
            batches: 0,
            in_time: 0,
            bytes: 0,
            failed: 0,
            first_error: None,
            unanswered: 0,
            acknowledged: 0,
            ack: Latencies::new(),
            send_delay: Latencies::new(),
            stages: StageMeter::new(),
        };
        Self { window, state: Mutex::new(State { under_way: BTreeMap::new(), next: 0, tally }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An append that was due is sent now.
    pub(super) fn sent(&self, due: Instant) -> Ticket {
        let now = Instant::now();
        let mut state = self.lock();
        if self.window.measures(due) {
            state.tally.batches += 1;
            state.tally.send_delay.record(now.saturating_duration_since(due));
        }
        let ticket = state.next;
        state.next += 1;
        state.under_way.insert(ticket, due);
        Ticket { number: ticket, sent: now }
    }

    /// An append has its answer.
    pub(super) fn answered(&self, ticket: &Ticket, size: Size, answer: Result<Option<StageTimes>, String>) {
        let now = Instant::now();
        let mut state = self.lock();
        let Some(due) = state.under_way.remove(&ticket.number) else { return };
        let counts = self.window.measures(due);
        let tally = &mut state.tally;
        match answer {
            Ok(told) => {
                tally.acknowledged += size.records;
                if self.window.measures(now) {
                    tally.records += size.records;
                    tally.bytes += size.bytes;
                }
                if counts {
                    tally.in_time += u64::from(now < self.window.in_time_until());
                    tally.ack.record(now.saturating_duration_since(due));
                    if let Some(told) = told {
                        tally.stages.record(now.saturating_duration_since(ticket.sent), told);
                    }
                }
            }
            Err(error) => {
                tally.failed += u64::from(counts);
                tally.first_error.get_or_insert(error);
            }
        }
    }

    /// Records acknowledged so far, for the progress shown.
    pub(super) fn acknowledged(&self) -> u64 {
        self.lock().tally.acknowledged
    }

    /// The run is over: whatever is under way, and the appends that were due and not even sent, have no answer.
    pub(super) fn finish(&self, never_sent: impl Iterator<Item = Instant>) -> Tally {
        let now = Instant::now();
        let mut state = self.lock();
        let under_way = std::mem::take(&mut state.under_way);
        let fresh = Self::new(self.window).state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut tally = std::mem::replace(&mut state.tally, fresh.tally);
        drop(state);
        let sent = under_way.into_values().map(|due| (due, 0));
        let unanswered = sent.chain(never_sent.map(|due| (due, 1)));
        for (due, unsent) in unanswered.filter(|(due, _)| self.window.measures(*due)) {
            tally.batches += unsent;
            tally.unanswered += 1;
            tally.ack.record(now.saturating_duration_since(due));
        }
        tally
    }
}
