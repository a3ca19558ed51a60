//! What was promised against what is read. Pure: two lists in, proofs out.

use std::collections::BTreeMap;

use crate::client::{Consumed, Delivered};
use crate::types::{Offset, Record, ShardId};

/// A record that was sent, and the promise it got; `None` if it got none.
pub(super) struct Sent {
    pub record: Record,
    pub delivered: Option<Delivered>,
}

/// A statement, and whether it is true.
#[derive(Debug)]
pub(super) struct Proof {
    pub holds: bool,
    pub statement: String,
}

impl Proof {
    pub(super) fn of(holds: bool, statement: impl Into<String>) -> Self {
        Self { holds, statement: statement.into() }
    }
}

/// Every proof that the two lists allow.
pub(super) fn prove(sent: &[Sent], read: &[Consumed]) -> Vec<Proof> {
    vec![
        all_acknowledged(sent),
        nothing_lost(sent, read),
        nothing_twice(sent, read),
        order(read),
        receipts(sent, read),
    ]
}

type Place = (ShardId, Offset);

fn promised(sent: &[Sent]) -> impl Iterator<Item = (Place, &Sent, &Delivered)> {
    sent.iter().filter_map(|sent| {
        let delivered = sent.delivered.as_ref()?;
        Some(((delivered.receipt.shard, delivered.offset), sent, delivered))
    })
}

fn by_place(read: &[Consumed]) -> BTreeMap<Place, &Consumed> {
    read.iter().map(|record| ((record.shard, record.offset), record)).collect()
}

fn all_acknowledged(sent: &[Sent]) -> Proof {
    let acknowledged = promised(sent).count();
    let all = sent.len();
    Proof::of(
        acknowledged == all,
        format!("{acknowledged} of {all} records acknowledged, through the leader's death"),
    )
}

fn nothing_lost(sent: &[Sent], read: &[Consumed]) -> Proof {
    let places = by_place(read);
    let lost = promised(sent).filter(|(place, ..)| !places.contains_key(place)).count();
    Proof::of(lost == 0, format!("nothing lost: {lost} acknowledged records are missing"))
}

fn nothing_twice(sent: &[Sent], read: &[Consumed]) -> Proof {
    let mut claims: BTreeMap<Place, usize> =
        read.iter().map(|record| ((record.shard, record.offset), 0)).collect();
    let shown_again = read.len() - claims.len();
    for (place, ..) in promised(sent) {
        claims.entry(place).and_modify(|count| *count += 1);
    }
    // Where every record was acknowledged, a place that no receipt names holds a record a second time.
    let twice = shown_again + claims.values().filter(|count| **count != 1).count();
    Proof::of(
        twice == 0,
        format!("nothing twice: {} records read, {twice} of them more than once", read.len()),
    )
}

fn order(read: &[Consumed]) -> Proof {
    let rising =
        read.windows(2).all(|pair| (pair[0].timestamp, pair[0].shard) < (pair[1].timestamp, pair[1].shard));
    let mut shards: Vec<ShardId> = read.iter().map(|record| record.shard).collect();
    shards.sort_unstable();
    shards.dedup();
    let shards = shards.len();
    Proof::of(rising, format!("one order: (timestamp, shard) rises strictly over all {shards} shards"))
}

fn receipts(sent: &[Sent], read: &[Consumed]) -> Proof {
    let places = by_place(read);
    let agrees = |place: &Place, sent: &Sent, delivered: &Delivered| {
        places
            .get(place)
            .is_some_and(|found| found.timestamp == delivered.timestamp && found.record == sent.record)
    };
    let wrong = promised(sent).filter(|(place, sent, delivered)| !agrees(place, sent, delivered)).count();
    let what =
        "receipts agree: each record stands, byte for byte, at the offset and timestamp it was promised";
    Proof::of(wrong == 0, if wrong == 0 { what.to_owned() } else { format!("{what}; {wrong} do not") })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::types::{Durability, Receipt, StageTimes, Term, Timestamp};

    fn sent(shard: u64, offset: u64, timestamp: u64, value: &'static str) -> Sent {
        let receipt = Receipt {
            shard: ShardId(shard),
            first_offset: Offset(offset),
            first_timestamp: Timestamp(timestamp),
            record_count: 1,
            uncertainty_ns: 1,
            term: Term(1),
            header_crc: None,
            durability: Durability::Disk,
            wait: StageTimes::default(),
        };
        let delivered = Delivered { offset: Offset(offset), timestamp: Timestamp(timestamp), receipt };
        Sent { record: record(value), delivered: Some(delivered) }
    }

    fn record(value: &'static str) -> Record {
        Record { value: Some(value.into()), ..Record::default() }
    }

    fn read(shard: u64, offset: u64, timestamp: u64, value: &'static str) -> Consumed {
        let record = record(value);
        Consumed {
            topic: Arc::new("t".parse().expect("a name")),
            shard: ShardId(shard),
            offset: Offset(offset),
            timestamp: Timestamp(timestamp),
            record,
        }
    }

    /// Which of the five proofs fail.
    fn failing(sent: &[Sent], read: &[Consumed]) -> Vec<usize> {
        let proofs = prove(sent, read);
        (0..proofs.len()).filter(|n| !proofs[*n].holds).collect()
    }

    #[test]
    fn a_whole_read_proves_everything() {
        let sent = [sent(1, 0, 5, "a"), sent(2, 0, 5, "b"), sent(1, 1, 6, "c")];
        assert_eq!(failing(&sent, &[read(1, 0, 5, "a"), read(2, 0, 5, "b"), read(1, 1, 6, "c")]), [0; 0]);
    }

    #[test]
    fn each_breach_fails_its_own_proof() {
        let all = || vec![sent(1, 0, 5, "a"), sent(1, 1, 6, "b")];
        let (a, b) = (|| read(1, 0, 5, "a"), || read(1, 1, 6, "b"));
        let lost = failing(&all(), &[a()]);
        assert!(lost.contains(&1), "{lost:?}");
        assert_eq!(failing(&all(), &[a(), b(), read(1, 2, 7, "b")]), [2], "stored twice");
        assert!(failing(&all(), &[a(), a(), b()]).contains(&2), "shown twice");
        assert_eq!(failing(&all(), &[b(), a()]), [3], "out of order");
        assert_eq!(failing(&all(), &[a(), read(1, 1, 6, "x")]), [4], "other bytes");
        assert_eq!(failing(&all(), &[a(), read(1, 1, 7, "b")]), [4], "another timestamp");
        let mut unacknowledged = all();
        unacknowledged[1].delivered = None;
        assert!(failing(&unacknowledged, &[a()]).contains(&0), "not acknowledged");
    }
}
