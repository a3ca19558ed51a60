//! The rules hold in every state; each mutant breaks the promise it should.

use super::model::{Closing, FINAL, Mutant, PUBLISHED, RISE};
use crate::checking::{breaks, exhaust};

/// Two terms, one append of one record, one promise.
const SMALL: Closing = Closing {
    mutant: None,
    terms: 2,
    appends: 1,
    batch: 1,
    promises: 1,
    restarts: 0,
    reads: false,
    ticks: 0,
    uncertainty: 1,
    lying: false,
};
const TWO_PROMISES: Closing = Closing { promises: 2, ..SMALL };
const RESTART: Closing = Closing { restarts: 1, ..SMALL };
const RESTART_AND_TWO_PROMISES: Closing = Closing { promises: 2, ..RESTART };
const LYING: Closing = Closing { lying: true, ..RESTART };
const THREE_TERMS: Closing = Closing { terms: 3, appends: 2, ..SMALL };
const READS: Closing = Closing { reads: true, ticks: 2, ..SMALL };
const READS_OF_BATCHES: Closing = Closing { batch: 2, ..READS };

#[test]
fn sizes() {
    exhaust("closing, 2 promises", TWO_PROMISES, 1);
    exhaust("closing, restart", RESTART, 1);
    exhaust("closing, lying", LYING, 1);
    exhaust("closing, three terms", THREE_TERMS, 1);
    exhaust("closing, reads", READS, 1);
    exhaust("closing, reads of batches", READS_OF_BATCHES, 1);
    exhaust("closing, restart and 2 promises", RESTART_AND_TWO_PROMISES, 1);
}

#[test]
fn every_mutant_breaks_its_promise() {
    let table = [
        (Mutant::SkipFloor, PUBLISHED, SMALL),
        (Mutant::PublishWithoutQuorum, PUBLISHED, SMALL),
        (Mutant::IndexOfCommitted, PUBLISHED, SMALL),
        (Mutant::LastNotRaised, PUBLISHED, SMALL),
        (Mutant::LastFromCommitted, RISE, Closing { appends: 2, ..SMALL }),
        (Mutant::AnswerFromOldTerm, PUBLISHED, SMALL),
        (Mutant::AcceptOldTerm, PUBLISHED, SMALL),
        (Mutant::OverwritePromised, PUBLISHED, TWO_PROMISES),
        (Mutant::PromiseBeforeOwnCommit, PUBLISHED, THREE_TERMS),
        (Mutant::ForgottenIsZero, PUBLISHED, RESTART),
        (Mutant::ForgottenIsTwoUncertainties, PUBLISHED, LYING),
        (Mutant::ForgottenOnlyWhileEmpty, PUBLISHED, RESTART_AND_TWO_PROMISES),
        (Mutant::ServeBeforePublication, FINAL, READS),
        (Mutant::ServeAtCommitted, FINAL, READS_OF_BATCHES),
        (Mutant::VolatileTermAtAcceptance, PUBLISHED, RESTART_AND_TWO_PROMISES),
    ];
    for (mutant, property, model) in table {
        breaks(&mutant, Closing { mutant: Some(mutant), ..model }, property);
    }
}
