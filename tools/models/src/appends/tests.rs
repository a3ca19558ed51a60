//! The rules hold in every state; each mutant breaks the promise it should.

use super::model::{Appends, FAILED, KEPT, Mutant, ONCE};
use crate::checking::{breaks, exhaust};

/// Three terms, one batch, sent twice.
const RETRIES: Appends =
    Appends { mutant: None, replicas: 3, terms: 3, batches: 1, attempts: 2, restarts: 0 };
const POWER_CUT: Appends = Appends { restarts: 1, ..RETRIES };
const TWO_BATCHES: Appends = Appends { batches: 2, ..RETRIES };
const FIVE_REPLICAS: Appends = Appends { replicas: 5, ..RETRIES };

#[test]
fn nothing_acknowledged_is_lost_or_doubled_and_nothing_failed_turns_up() {
    exhaust("appends, 3 terms, 2 attempts, a power cut", POWER_CUT, 280_000);
    exhaust("appends, 3 terms, 2 batches of 2 attempts", TWO_BATCHES, 380_000);
    exhaust("appends, 5 replicas, 3 terms, 2 attempts", FIVE_REPLICAS, 450_000);
}

#[test]
fn every_mutant_breaks_its_promise() {
    let table = [
        (Mutant::ForgetDuplicates, ONCE, RETRIES),
        (Mutant::AcknowledgeBeforeSync, KEPT, POWER_CUT),
        (Mutant::AcknowledgeByIndex, KEPT, RETRIES),
        (Mutant::LostIsFailed, FAILED, RETRIES),
        (Mutant::OverwrittenIsFailed, FAILED, FIVE_REPLICAS),
    ];
    for (mutant, property, model) in table {
        breaks(&mutant, Appends { mutant: Some(mutant), ..model }, property);
    }
}
