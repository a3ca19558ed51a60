//! What became of batches that ended unknown, as their producers were told since.
//!
//! A producer that goes on makes its shard forget the batches before, so what it was told of them is kept here. Bounded: the oldest
//! are forgotten first, and are a question to the shard again, as is what no producer could be told.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::types::{BatchRef, Fate, ProducerId};

/// The most batches that are remembered, over all shards and producers.
const FATES_MAX: usize = 1024;

/// One client's batches of unknown end; its clones share them.
#[derive(Debug, Default)]
pub(super) struct Fates(watch::Sender<Known>);

#[derive(Debug, Default)]
struct Known {
    /// `None` while a producer still asks.
    fates: HashMap<BatchRef, Option<Fate>>,
    /// The oldest first.
    order: VecDeque<BatchRef>,
}

impl Known {
    fn set(&mut self, batch: BatchRef, fate: Option<Fate>) {
        self.forget(&batch);
        if self.order.len() >= FATES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.fates.remove(&oldest);
        }
        self.fates.insert(batch, fate);
        self.order.push_back(batch);
    }

    fn forget(&mut self, batch: &BatchRef) {
        if self.fates.remove(batch).is_some() {
            self.order.retain(|other| other != batch);
        }
    }
}

impl Fates {
    /// A batch ended unknown, and its producer asks what became of it.
    pub(super) fn ask(&self, batch: BatchRef) {
        self.0.send_modify(|known| known.set(batch, None));
    }

    /// What became of it; `None`: its producer could not be told.
    pub(super) fn tell(&self, batch: BatchRef, fate: Option<Fate>) {
        self.0.send_modify(|known| match fate {
            Some(_) => known.set(batch, fate),
            None => known.forget(&batch),
        });
    }

    /// A producer asks no more.
    pub(super) fn give_up(&self, producer: ProducerId) {
        self.0.send_if_modified(|known| {
            let asked =
                known.fates.iter().filter(|(batch, fate)| batch.batch.producer == producer && fate.is_none());
            let asked: Vec<BatchRef> = asked.map(|(batch, _)| *batch).collect();
            for batch in &asked {
                known.forget(batch);
            }
            !asked.is_empty()
        });
    }

    /// What became of a batch, if that is known here. Waits so long while its producer asks.
    pub(super) async fn of(&self, batch: BatchRef, limit: Duration) -> Option<Fate> {
        let mut known = self.0.subscribe();
        let settled = known.wait_for(|known| !matches!(known.fates.get(&batch), Some(None)));
        timeout(limit, settled).await.ok()?.ok()?.fates.get(&batch).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{BatchId, ShardId};

    const ONE: ProducerId = ProducerId(1);
    const NOW: Duration = Duration::ZERO;

    fn batch(sequence: u64) -> BatchRef {
        BatchRef { shard: ShardId(1), batch: BatchId { producer: ONE, epoch: 0, sequence } }
    }

    #[tokio::test]
    async fn the_newest_fates_are_remembered_and_the_oldest_forgotten() {
        let fates = Fates::default();
        let newest = FATES_MAX as u64 + 1;
        for sequence in 1..=newest {
            fates.ask(batch(sequence));
            fates.tell(batch(sequence), Some(Fate::NotApplied));
        }
        let known = [1, 2, newest].map(|sequence| fates.0.borrow().fates.get(&batch(sequence)).copied());
        assert_eq!(known, [None, Some(Some(Fate::NotApplied)), Some(Some(Fate::NotApplied))]);
        assert_eq!((fates.0.borrow().fates.len(), fates.0.borrow().order.len()), (FATES_MAX, FATES_MAX));
    }

    #[tokio::test]
    async fn whoever_asks_while_the_producer_does_has_its_answer() {
        let fates = Fates::default();
        fates.ask(batch(1));
        assert_eq!(fates.of(batch(1), NOW).await, None, "it may take too long");
        let (told, ()) = tokio::join!(fates.of(batch(1), Duration::from_secs(60)), async {
            fates.tell(batch(1), Some(Fate::NotApplied));
        });
        assert_eq!(told, Some(Fate::NotApplied));
        assert_eq!(fates.of(batch(1), NOW).await, Some(Fate::NotApplied), "and later");
    }

    #[tokio::test]
    async fn a_producer_that_ends_or_is_told_nothing_leaves_the_question_to_others() {
        let fates = Fates::default();
        (1..=3).for_each(|sequence| fates.ask(batch(sequence)));
        fates.tell(batch(1), Some(Fate::NotApplied));
        let (told, ()) = tokio::join!(fates.of(batch(2), Duration::from_secs(60)), async {
            fates.tell(batch(2), None);
        });
        assert_eq!(told, None);
        let (told, ()) = tokio::join!(fates.of(batch(3), Duration::from_secs(60)), async {
            fates.give_up(ONE);
        });
        assert_eq!(told, None);
        assert_eq!(fates.of(batch(1), NOW).await, Some(Fate::NotApplied), "what was told is kept");
    }
}
