//! The rules hold in every state; each mutant breaks the promise it should.

use super::model::{ACKS, ARRIVAL, MERGED, Mutant, Order, READS, VISIBLE};
use crate::checking::{breaks, exhaust};

fn model(appends: usize, batch: u64, ticks: u64) -> Order {
    Order { mutant: None, appends, batch, uncertainty: 1, ticks, merged_reads: true }
}

#[test]
fn nothing_is_seen_early_and_what_follows_is_stamped_above() {
    exhaust("order, 2 appends of 2 timestamps, 6 ticks", model(2, 2, 6), 10_000);
    let longer = Order { merged_reads: false, ..model(3, 1, 3) };
    exhaust("order, 3 appends of 1 timestamp, 3 ticks", longer, 100_000);
}

#[test]
fn every_mutant_breaks_its_promise() {
    let table = [
        (Mutant::AssignEarliest, ACKS),
        (Mutant::AssignEarliest, ARRIVAL),
        (Mutant::AssignEarliest, MERGED),
        (Mutant::AssignMidpoint, ACKS),
        (Mutant::SkipWait, ACKS),
        (Mutant::SkipWait, VISIBLE),
        (Mutant::SkipWait, MERGED),
        (Mutant::GateOnlyAcks, READS),
        (Mutant::StaleNow, ACKS),
        (Mutant::StaleNow, MERGED),
        (Mutant::ExposeByFirst, ACKS),
    ];
    for (mutant, property) in table {
        breaks(&mutant, Order { mutant: Some(mutant), ..model(2, 2, 6) }, property);
    }
}
