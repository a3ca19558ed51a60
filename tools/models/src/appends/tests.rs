//! The rules hold in every state; each mutant breaks the promise it should.

use super::model::{Appends, FAILED, KEPT, Mutant, ONCE};
use crate::checking::{breaks, exhaust};

const RETRIES: Appends =
    Appends { mutant: None, replicas: 3, terms: 3, batches: 1, attempts: 2, restarts: 0 };
const POWER_CUT: Appends = Appends { terms: 2, restarts: 1, ..RETRIES };
const TWO_BATCHES: Appends = Appends { batches: 2, terms: 2, ..RETRIES };
const FIVE_REPLICAS: Appends = Appends { replicas: 5, attempts: 1, ..RETRIES };

#[test]
fn sizes() {
    exhaust("appends, retries", RETRIES, 1);
    exhaust("appends, power cut", POWER_CUT, 1);
    exhaust("appends, two batches", TWO_BATCHES, 1);
    exhaust("appends, five replicas", FIVE_REPLICAS, 1);
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
