//! Commit-wait against true time: a batch is stamped after it was sent, and its time has passed before anybody
//! learns of it, but who asked for its commitment alone.

use timberline::types::{Found, Wait};

use crate::checker::Tally;
use crate::log::Logs;
use crate::{History, Outcome};

pub(crate) fn commit_wait(history: &History, logs: &Logs, tally: &mut Tally) -> Result<(), String> {
    for append in &history.appends {
        let Outcome::Acknowledged { at_ns, stamp } = append.outcome else { continue };
        tally.0 += 2;
        if stamp.timestamp.0 < append.invoked_ns {
            return Err(format!("{append:?} was stamped before it was sent"));
        }
        if at_ns <= append.last_timestamp(stamp).0 && append.terms.wait == Wait::Exposed {
            return Err(format!("{append:?} was acknowledged before its time had passed"));
        }
    }
    for shown in &history.shown {
        tally.0 += 1;
        if shown.at_ns <= shown.entry.last_timestamp().0 {
            return Err(format!("{shown:?} was shown before its time had passed"));
        }
    }
    refusals(history, logs, tally)
}

/// What a refusal tells of has passed, too.
fn refusals(history: &History, logs: &Logs, tally: &mut Tally) -> Result<(), String> {
    for refuted in &history.refuted {
        tally.0 += 1;
        let told = match refuted.found {
            Found::KeyChanged(timestamp) => Some(timestamp),
            Found::NextOffset(next) => {
                let told = logs.shard(refuted.shard).rev().find(|entry| entry.stamp.offset < next);
                told.map(|entry| {
                    entry
                        .stamp
                        .timestamp
                        .plus_ns(next.0 - entry.stamp.offset.0 - 1)
                        .min(entry.last_timestamp())
                })
            }
        };
        if told.is_some_and(|told| refuted.at_ns <= told.0) {
            return Err(format!("{refuted:?} told of {told:?} before that time had passed"));
        }
    }
    Ok(())
}
