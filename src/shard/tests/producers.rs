//! Producers that the shard forgot: refused unless it is sure, told how to come back, never stored twice.

use super::bench::{Bench, request};
use crate::codec::{FrameHeader, PRODUCERS_MAX};
use crate::shard::{Admission, FenceRequest, Fenced, Refusal};
use crate::types::{AppendTerms, BatchId, Fate, ProducerId, Timestamp};

const MANY: u64 = PRODUCERS_MAX as u64;

impl Bench {
    /// A producer's batch for the leader, with the floor it was first sent with.
    fn append_of(&mut self, producer: u64, sequence: u64, floor: Timestamp) -> Result<Admission, Refusal> {
        let ticket = self.draw_ticket();
        let mut request = request(ticket, sequence, 1);
        request.batch = BatchId { producer: ProducerId(producer), epoch: 0, sequence };
        request.terms = AppendTerms { lowest_open: sequence, floor, ..AppendTerms::default() };
        let now = self.now(1);
        let admitted = self.shard(1).append(request, &now);
        self.settle();
        admitted
    }

    /// A question about producer 1: `Some` is the answer, else it comes by the ticket.
    fn ask(&mut self, in_doubt: Option<(u32, u64)>, peek: bool) -> (u64, Result<Option<Fenced>, Refusal>) {
        self.ask_as(FenceRequest { ticket: 0, producer: ProducerId(1), in_doubt, peek, same_run: false })
    }

    fn ask_as(&mut self, request: FenceRequest) -> (u64, Result<Option<Fenced>, Refusal>) {
        let ticket = self.draw_ticket();
        let request = FenceRequest { ticket, ..request };
        let now = self.now(1);
        let told = self.shard(1).fence_producer(request, &now);
        self.settle();
        (ticket, told)
    }

    /// Each of these producers appends a batch, and it is released.
    fn crowd(&mut self, producers: impl IntoIterator<Item = u64>) {
        for producer in producers {
            assert_eq!(self.append_of(producer, 0, self.log_end()), Ok(Admission::Assigned));
            self.pass_wait();
        }
    }

    /// The last timestamp that stands in the leader's log.
    fn log_end(&self) -> Timestamp {
        self.nodes[0].log.data().last().map_or(Timestamp::ZERO, FrameHeader::last_timestamp)
    }

    fn stored(&self, producer: u64) -> usize {
        let of_it = |id: &ProducerId| *id == ProducerId(producer);
        self.nodes[0].log.data().iter().filter(|header| of_it(&header.batch.producer)).count()
    }
}

#[test]
fn a_retry_of_a_producer_that_the_shard_forgot_is_refused_and_stored_once() {
    let mut bench = Bench::led();
    bench.crowd([1_000]);
    bench.crowd(1..=MANY);
    let refused = bench.append_of(1_000, 0, Timestamp::ZERO);
    assert_eq!(refused, Err(Refusal::Forgotten { floor: bench.log_end() }));
    assert_eq!(bench.stored(1_000), 1);
}

#[test]
fn a_first_attempt_that_arrives_behind_the_eviction_of_its_retry_is_refused_and_stored_once() {
    let mut bench = Bench::led();
    bench.crowd(1..=MANY);
    let floor = bench.log_end();
    // The retry overtakes the first attempt, which lies in a queue somewhere.
    assert_eq!(bench.append_of(1_000, 0, floor), Ok(Admission::Assigned));
    bench.pass_wait();
    bench.crowd(2_001..=2_000 + MANY);
    assert!(matches!(bench.append_of(1_000, 0, floor), Err(Refusal::Forgotten { .. })));
    assert_eq!(bench.stored(1_000), 1);
}

#[test]
fn with_the_floor_it_was_told_a_forgotten_producer_is_taken_however_many_append_before_it_comes_again() {
    let mut bench = Bench::led();
    bench.crowd(1..=MANY);
    let Err(Refusal::Forgotten { floor }) = bench.append_of(1_000, 0, Timestamp::ZERO) else {
        panic!("a stranger is refused where the table is full");
    };
    bench.crowd(2_001..=2_000 + 2 * MANY);
    assert_eq!(bench.append_of(1_000, 0, floor), Ok(Admission::Assigned));
    bench.pass_wait();
    bench.crowd(4_001..=4_000 + MANY);
    assert!(matches!(bench.append_of(1_000, 0, floor), Err(Refusal::Forgotten { .. })), "it was used");
    assert_eq!(bench.stored(1_000), 1);
}

#[test]
fn a_refusal_of_a_forgotten_batch_tells_nothing_unreleased() {
    let mut bench = Bench::led();
    bench.crowd(1..=MANY);
    let released = bench.log_end();
    assert_eq!(bench.append_of(2_001, 0, released), Ok(Admission::Assigned));
    assert_ne!(bench.log_end(), released);
    let refused = bench.append_of(1_000, 0, Timestamp::ZERO);
    assert_eq!(refused, Err(Refusal::Forgotten { floor: released }));
}

#[test]
fn the_next_leader_refuses_the_same_and_takes_what_is_told_anew() {
    let mut bench = Bench::led();
    bench.crowd([1_000]);
    bench.crowd(1..=MANY);
    bench.elect(2);
    bench.elect(1);
    bench.pass_wait();
    let Err(Refusal::Forgotten { floor }) = bench.append_of(1_000, 0, Timestamp::ZERO) else {
        panic!("it may stand in the log");
    };
    assert_eq!(bench.append_of(1_000, 1, floor), Ok(Admission::Assigned));
    assert_eq!(bench.stored(1_000), 2);
}

#[test]
fn a_fence_is_told_once_it_is_released_and_shuts_out_what_came_before() {
    let mut bench = Bench::led();
    bench.append(1, 1);
    assert_eq!(bench.ask(None, false).1, Err(Refusal::Unsettled), "it tells of an unreleased batch");
    bench.pass_wait();
    let (ticket, asked) = bench.ask(None, false);
    assert_eq!((asked, bench.answer(1, ticket)), (Ok(None), None));
    assert_eq!(bench.try_append(1, 1, 1).1, Err(Refusal::Unsettled), "nor is the fenced told before");
    bench.pass_wait();
    assert!(bench.answer(1, ticket).unwrap().is_ok());
    let fenced = bench.shard(1).take_fenced(ticket).expect("it waited for this");
    assert_eq!((fenced.epoch, fenced.fate), (256, None));
    assert_eq!(bench.try_append(1, 1, 1).1, Err(Refusal::ProducerFenced { epoch: 256 }));
    assert!(fenced.at > bench.log_end(), "the fence stands behind the batch");
}

#[test]
fn a_batch_that_was_applied_is_told_once_it_is_released_and_nothing_is_fenced() {
    let mut bench = Bench::led();
    let appended = bench.append(1, 1);
    let (ticket, asked) = bench.ask(Some((0, 0)), false);
    assert_eq!((asked, bench.answer(1, ticket)), (Ok(None), None));
    bench.pass_wait();
    let receipt = bench.answer(1, appended).unwrap().unwrap();
    let told = bench.shard(1).take_fenced(ticket).expect("it is answered").fate;
    let Some(Fate::Applied(again)) = told else { panic!("{told:?}") };
    assert_eq!((again.first_offset, again.first_timestamp), (receipt.first_offset, receipt.first_timestamp));
    assert_eq!(bench.try_append(1, 1, 1).1, Ok(Admission::Assigned));
}

#[test]
fn a_batch_that_is_not_there_is_not_applied_for_good_only_behind_a_fence() {
    let mut bench = Bench::led();
    bench.append(1, 1);
    bench.pass_wait();
    let peeked = bench.ask(Some((0, 1)), true).1.unwrap().expect("it is told at once");
    assert_eq!(peeked.fate, Some(Fate::Open));
    let (ticket, _) = bench.ask(Some((0, 1)), false);
    bench.pass_wait();
    assert_eq!(bench.shard(1).take_fenced(ticket).unwrap().fate, Some(Fate::NotApplied));
    assert_eq!(bench.try_append(1, 1, 1).1, Err(Refusal::ProducerFenced { epoch: 256 }), "a late attempt");
    let again = bench.ask(Some((0, 1)), false).1.unwrap().expect("it is told at once");
    assert_eq!(again.fate, Some(Fate::Forgotten), "of an epoch that is over nothing is kept");
}

#[test]
fn a_run_that_settles_its_own_batch_goes_on_in_the_next_epoch_and_shuts_out_the_one_before() {
    let mut bench = Bench::led();
    bench.append(1, 1);
    bench.pass_wait();
    let in_doubt = Some((0, 1));
    let own = FenceRequest { ticket: 0, producer: ProducerId(1), in_doubt, peek: false, same_run: true };
    let (ticket, _) = bench.ask_as(own);
    bench.pass_wait();
    let fenced = bench.shard(1).take_fenced(ticket).expect("it is released");
    assert_eq!((fenced.epoch, fenced.fate), (1, Some(Fate::NotApplied)));
    assert_eq!(bench.try_append(1, 1, 1).1, Err(Refusal::ProducerFenced { epoch: 1 }), "a late attempt");
    let (ticket, _) = bench.ask(None, false);
    bench.pass_wait();
    assert_eq!(bench.shard(1).take_fenced(ticket).map(|fenced| fenced.epoch), Some(256), "a new run");
    let told = bench.ask_as(own).1.unwrap().expect("it is told at once");
    assert_eq!(told.fate, Some(Fate::Forgotten), "a run that was fenced fences nobody");
}

#[test]
fn a_late_attempt_stays_out_also_once_its_fence_is_forgotten() {
    let mut bench = Bench::led();
    bench.crowd(2..=MANY);
    let floor = bench.log_end();
    let (ticket, _) = bench.ask(Some((0, 0)), false);
    bench.pass_wait();
    assert_eq!(bench.shard(1).take_fenced(ticket).unwrap().fate, Some(Fate::NotApplied));
    bench.crowd(2_001..=2_000 + MANY);
    assert!(matches!(bench.append_of(1, 0, floor), Err(Refusal::Forgotten { .. })));
    assert_eq!(bench.stored(1), 0);
}

#[test]
fn a_fence_whose_leader_is_deposed_before_it_is_committed_is_never_told() {
    let mut bench = Bench::led();
    bench.node(1).is_cut_off = true;
    let (ticket, asked) = bench.ask(Some((0, 0)), false);
    assert_eq!(asked, Ok(None));
    bench.elect(2);
    bench.node(1).is_cut_off = false;
    bench.tick(2);
    bench.tick(2);
    bench.pass_wait();
    assert_eq!(bench.answer(1, ticket), Some(Err(Refusal::Replaced)));
}
