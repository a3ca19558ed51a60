//! Reads all sealed segments of a lane again and again, at a bounded rate, to find damage that nobody reads.
//!
//! Invariants: one small step at a time is under way; the next comes no sooner than the rate allows, and no sooner than
//! the last one took: where the disk is busy, scrubbing waits longer. What a step finds counts only if its segment is
//! still what it was.

use std::time::Duration;

use crate::clock::Reading;
use crate::lane::output::CareNote;
use crate::lane::{Lane, ScrubOptions};
use crate::log::{FileTask, ScrubStep, Scrubbed};
use crate::types::{Monotonic, ShardId};

/// Bytes that one step proves.
const STEP_BYTES: u64 = 1 << 20;

/// Where scrubbing stands.
pub(in crate::lane) struct Scrubber {
    options: ScrubOptions,
    shard: ShardId,
    /// The last segment of it that was begun.
    number: u64,
    next: Option<ScrubStep>,
    under_way: Option<UnderWay>,
    due: Monotonic,
    /// Segments proved in this pass.
    segments: u64,
}

/// A step that a thread carries out.
struct UnderWay {
    token: u64,
    step: ScrubStep,
    since: Monotonic,
}

impl Scrubber {
    pub(in crate::lane) fn new(options: ScrubOptions) -> Self {
        Self {
            options,
            shard: ShardId(0),
            number: 0,
            next: None,
            under_way: None,
            due: Monotonic(0),
            segments: 0,
        }
    }

    fn step_bytes(&self) -> u64 {
        // About four steps a second at least, however slow.
        STEP_BYTES.min(self.options.bytes_per_second / 4).max(1)
    }

    /// How long the rate makes the next step wait; what a step costs beside its bytes counts as a little.
    fn pause(&self, bytes: u64) -> Duration {
        const STEP_COSTS_BYTES: u64 = 16 << 10;
        let counted = u128::from(bytes + STEP_COSTS_BYTES) * 1_000_000_000;
        let ns = counted / u128::from(self.options.bytes_per_second.max(1));
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }
}

impl Lane {
    pub(super) fn scrub(&mut self, now: &Reading) {
        let scrubber = &self.scrubber;
        let is_on = scrubber.options.bytes_per_second > 0;
        if !is_on || scrubber.under_way.is_some() || now.monotonic < scrubber.due {
            return;
        }
        let Some(step) = self.next_step() else {
            let segments = std::mem::take(&mut self.scrubber.segments);
            (self.scrubber.shard, self.scrubber.number) = (ShardId(0), 0);
            self.scrubber.due = now.monotonic.plus(self.scrubber.options.rest);
            self.output.care.push(CareNote::ScrubPassed { segments });
            return;
        };
        let token = self.request_task(FileTask::Scrub(step.clone()));
        self.scrubber.under_way = Some(UnderWay { token, step, since: now.monotonic });
    }

    /// The next part of the segment that was begun, or the next segment.
    fn next_step(&mut self) -> Option<ScrubStep> {
        let begun = self.scrubber.next.take();
        let replica = self.replicas.get(&self.scrubber.shard);
        let begun =
            begun.filter(|step| replica.is_some_and(|replica| replica.log.borrow().still_holds(step)));
        if begun.is_some() {
            return begun;
        }
        let bytes = self.scrubber.step_bytes();
        for (shard, replica) in self.replicas.range(self.scrubber.shard..) {
            let after = if *shard == self.scrubber.shard { self.scrubber.number } else { 0 };
            if let Some(step) = replica.log.borrow().scrub_after(after, bytes) {
                (self.scrubber.shard, self.scrubber.number) = (*shard, step.number);
                return Some(step);
            }
        }
        None
    }

    pub(super) fn scrubbed(&mut self, token: u64, scrubbed: Scrubbed, now: &Reading) {
        let Some(UnderWay { step, since, .. }) =
            self.scrubber.under_way.take_if(|under_way| under_way.token == token)
        else {
            return;
        };
        let took = now.monotonic.since(since);
        self.scrubber.due = now.monotonic.plus(self.scrubber.pause(scrubbed.bytes).max(took));
        self.output.care.push(CareNote::Scrubbed { bytes: scrubbed.bytes });
        let shard = self.scrubber.shard;
        match scrubbed.next {
            Ok(next) => {
                self.scrubber.segments += u64::from(next.is_none());
                self.scrubber.next = next;
            }
            Err(error) => {
                let Some(replica) = self.replicas.get(&shard) else { return };
                // A segment that was cut or trimmed away meanwhile is no damage.
                if replica.log.borrow().note_damage(&step) {
                    self.notice_found(shard, &format!("found by scrubbing: {error}"));
                }
            }
        }
    }
}
