//! The rules hold in every state; each mutant breaks the promise it should.

use super::model::{Closing, FINAL, Mutant, PUBLISHED, RISE};
use crate::checking::{breaks, exhaust};

/// Two terms, one append of one record, one promise.
const SMALL: Closing = Closing {
    mutant: None,
    replicas: 3,
    terms: 2,
    appends: 1,
    batch: 1,
    promises: 1,
    restarts: 0,
    reads: false,
    ticks: 0,
    uncertainty: 1,
    clock_step: 1,
    lying: false,
};
const TWO_PROMISES: Closing = Closing { promises: 2, ..SMALL };
const RESTART: Closing = Closing { restarts: 1, ..SMALL };
const RESTART_AND_TWO_PROMISES: Closing = Closing { promises: 2, clock_step: 2, ..RESTART };
const LYING: Closing = Closing { lying: true, ..RESTART };
const THREE_TERMS: Closing = Closing { terms: 3, appends: 2, clock_step: 2, ..SMALL };
const FIVE_REPLICAS: Closing = Closing { replicas: 5, uncertainty: 0, ..RESTART };
const READS: Closing = Closing { reads: true, ticks: 2, ..SMALL };
const READS_OF_BATCHES: Closing = Closing { batch: 2, ..READS };

#[test]
fn what_is_published_as_closed_stays_closed() {
    exhaust("closing, 2 promises", TWO_PROMISES, 170_000);
    exhaust("closing, a restart", RESTART, 75_000);
    exhaust("closing, a restart, 2 promises", RESTART_AND_TWO_PROMISES, 430_000);
    exhaust("closing, a restart, a lying leader", LYING, 120_000);
    exhaust("closing, 3 terms, 2 appends", THREE_TERMS, 590_000);
    exhaust("closing, 5 replicas", Closing { restarts: 0, ..FIVE_REPLICAS }, 165_000);
}

#[test]
fn what_a_read_found_is_all_there_will_be() {
    exhaust("closing, a read", READS, 290_000);
    exhaust("closing, a read, batches of 2", READS_OF_BATCHES, 270_000);
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
        (Mutant::VolatileTermAtFloorAnswer, PUBLISHED, FIVE_REPLICAS),
    ];
    for (mutant, property, model) in table {
        breaks(&mutant, Closing { mutant: Some(mutant), ..model }, property);
    }
}
