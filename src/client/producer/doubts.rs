//! A window's batches that were reported as unknown, and what the shard is asked about batches in doubt.
//!
//! Sans-IO, and knows nothing of open batches. At most as many batches stand here as a window has in flight, and none for ever.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::types::{Fate, Timestamp};

/// Names a batch to its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub(super) epoch: u32,
    pub(super) sequence: u64,
}

/// What the shard answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) fate: Fate,
    /// A timestamp that is released in the shard.
    pub(super) at: Timestamp,
}

/// What became of a batch that was reported as unknown; `None`: nobody can tell, or nobody is asked any more.
pub(super) type Verdict = (Question, Option<Fate>);

#[derive(Default)]
pub(super) struct Doubts {
    /// By sequence, until when they are asked about. All of the window's present epoch.
    reported: BTreeMap<u64, Instant>,
    /// The sequence that a question is under way about.
    asked: Option<u64>,
    verdicts: Vec<Verdict>,
}

impl Doubts {
    pub(super) fn report(&mut self, sequence: u64, until: Instant) {
        self.reported.insert(sequence, until);
    }

    pub(super) fn lowest(&self) -> Option<u64> {
        self.reported.keys().next().copied()
    }

    /// When the first of them is asked about no more.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.reported.values().min().copied()
    }

    pub(super) fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    pub(super) fn ask(&mut self, sequence: u64) {
        self.asked = Some(sequence);
    }

    /// The question about a batch has an answer, or is lost. False if it was not under way.
    pub(super) fn answered(&mut self, sequence: u64) -> bool {
        self.asked.take_if(|asked| *asked == sequence).is_some()
    }

    /// It is known what became of a batch, if it stands here.
    pub(super) fn tell(&mut self, question: Question, fate: Option<Fate>) {
        if self.reported.remove(&question.sequence).is_some() {
            self.verdicts.push((question, fate));
        }
    }

    /// It is known of all of them.
    pub(super) fn tell_all(&mut self, epoch: u32, fate: Option<Fate>) {
        let all = std::mem::take(&mut self.reported).into_keys();
        self.verdicts.extend(all.map(|sequence| (Question { epoch, sequence }, fate)));
    }

    /// Gives up those whose time is over.
    pub(super) fn expire(&mut self, epoch: u32, now: Instant) {
        let verdicts = &mut self.verdicts;
        self.reported.retain(|sequence, until| {
            let is_over = *until <= now;
            if is_over {
                verdicts.push((Question { epoch, sequence: *sequence }, None));
            }
            !is_over
        });
    }

    pub(super) fn take_verdicts(&mut self) -> Vec<Verdict> {
        std::mem::take(&mut self.verdicts)
    }
}
