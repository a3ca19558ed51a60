//! Commit-wait against true time: a batch is stamped after it was sent, and its time has passed before anybody
//! learns of it.

use crate::checker::Tally;
use crate::{History, Outcome};

pub(crate) fn commit_wait(history: &History, tally: &mut Tally) -> Result<(), String> {
    for append in &history.appends {
        let Outcome::Acknowledged { at_ns, stamp } = append.outcome else { continue };
        tally.0 += 2;
        let last_ns = stamp.timestamp.0 + u64::from(append.count.saturating_sub(1));
        if stamp.timestamp.0 < append.invoked_ns {
            return Err(format!("{append:?} was stamped before it was sent"));
        }
        if at_ns <= last_ns {
            return Err(format!("{append:?} was acknowledged before its time had passed"));
        }
    }
    for shown in &history.shown {
        tally.0 += 1;
        if shown.at_ns <= shown.entry.last_timestamp().0 {
            return Err(format!("{shown:?} was shown before its time had passed"));
        }
    }
    Ok(())
}
