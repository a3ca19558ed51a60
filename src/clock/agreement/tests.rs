//! Laws of offsets and of the agreement, on clocks moved by hand.

mod doubts;

use std::time::Duration;

use proptest::prelude::*;

use super::{Agreement, AgreementOptions, Answer, Offsets, Span, Standing};
use crate::clock::{Fault, Reading, TimeInterval};
use crate::types::{Monotonic, NodeId, Timestamp};

const EPOCH_NS: u64 = 1_700_000_000_000_000_000;
const MS: u64 = 1_000_000;
const EPS_NS: u64 = MS;
const GROWTH_PPB: u64 = 50_000;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A clock that runs at its own pace, read at a true time since the epoch.
#[derive(Clone, Copy, Debug)]
struct Crystal {
    offset_ns: i64,
    drift_ppb: i64,
}

impl Crystal {
    fn at(self, true_ns: u64) -> u64 {
        let drifted = (i128::from(true_ns) * i128::from(self.drift_ppb) / 1_000_000_000) as i64;
        true_ns.saturating_add_signed(drifted).saturating_add_signed(self.offset_ns)
    }
}

fn crystal() -> impl Strategy<Value = Crystal> {
    let drift_ppb = -(GROWTH_PPB.cast_signed() - 1000)..(GROWTH_PPB.cast_signed() - 1000);
    (0_i64..1_000_000_000_000, drift_ppb).prop_map(|(offset_ns, drift_ppb)| Crystal { offset_ns, drift_ppb })
}

proptest! {
    /// T19: with ways of up to 20 ms that take differently long, and clocks that drift as far as they may, the truth is
    /// never outside, and what is asked often is known to within the fastest way and drift.
    #[test]
    fn the_offset_interval_contains_the_truth_whatever_the_delays_are(
        mine in crystal(), theirs in crystal(),
        rounds in prop::collection::vec((0_u64..20 * MS, 0_u64..20 * MS, 0_u64..MS, 1_u64..300 * MS), 1..100),
        eps_ns in 1_u64..5 * MS,
    ) {
        let mut offsets = Offsets::new(GROWTH_PPB);
        let mut now_ns = 1_000 * MS;
        // The peer's midpoint runs on its crystal from a moment at which it was right to within half of its bound.
        let midpoint = |true_ns: u64| EPOCH_NS + theirs.at(true_ns) - theirs.at(1_000 * MS) + 1_000 * MS + eps_ns / 2;
        let age_ns = |true_ns: u64| true_ns - 1_000 * MS;
        let stated = |true_ns: u64| {
            let grown_ns = eps_ns + age_ns(true_ns) * GROWTH_PPB / 1_000_000_000;
            TimeInterval::around(Timestamp(midpoint(true_ns)), grown_ns)
        };
        for (there_ns, back_ns, busy_ns, pause_ns) in rounds {
            let (asked, received) = (now_ns, now_ns + there_ns);
            let (answered, arrived) = (received + busy_ns, received + busy_ns + back_ns);
            let jumped = offsets.note_answer(&Answer {
                asked: Monotonic(mine.at(asked)),
                received: stated(received),
                answered: stated(answered),
                arrived: Monotonic(mine.at(arrived)),
            });
            prop_assert!(!jumped, "honest clocks never contradict themselves");
            now_ns = arrived + pause_ns;
            let monotonic = Monotonic(mine.at(now_ns));
            let truth = (EPOCH_NS + now_ns).cast_signed() - monotonic.0.cast_signed();
            let span = offsets.span(monotonic).unwrap();
            prop_assert!(span.touches(&Span { low_ns: truth, high_ns: truth }), "{span:?} {truth}");
            let theta = midpoint(now_ns).cast_signed() - monotonic.0.cast_signed();
            let found = offsets.midpoint(monotonic).unwrap();
            prop_assert!(found.touches(&Span { low_ns: theta, high_ns: theta }), "{found:?} {theta}");
        }
    }
}

#[test]
fn delays_of_0_there_and_20_ms_back_leave_20_ms_and_one_fast_way_back_narrows_them() {
    let mut offsets = Offsets::new(GROWTH_PPB);
    let at = |ms: u64| TimeInterval::around(Timestamp(EPOCH_NS + ms * MS), EPS_NS);
    let slow = |asked: u64, back: u64| Answer {
        asked: Monotonic(asked * MS),
        received: at(asked),
        answered: at(asked),
        arrived: Monotonic((asked + back) * MS),
    };
    offsets.note_answer(&slow(100, 20));
    let width = |offsets: &Offsets, at| {
        let span = offsets.midpoint(Monotonic(at * MS)).unwrap();
        span.high_ns.abs_diff(span.low_ns)
    };
    assert!((20 * MS..20 * MS + 10_000).contains(&width(&offsets, 120)));
    offsets.note_answer(&slow(200, 0));
    assert!(width(&offsets, 200) < 20_000, "{}", width(&offsets, 200));
}

#[test]
fn bounds_stay_few_and_old_ones_stop_to_count() {
    let mut offsets = Offsets::new(GROWTH_PPB);
    let stated = |ns: u64| TimeInterval::around(Timestamp(EPOCH_NS + ns), EPS_NS);
    // Each message is slower than the one before it, so that every bound is worth keeping.
    for n in 0..1000 {
        offsets.note_message(stated(n * 10_000), Monotonic(n * 20_000));
    }
    let tight = offsets.low_ns(Monotonic(20 * MS)).unwrap();
    assert!(
        tight < EPOCH_NS.cast_signed() - EPS_NS.cast_signed() - 9_000_000,
        "the first ones are gone: {tight}"
    );
    let mut offsets = Offsets::new(GROWTH_PPB);
    offsets.note_message(stated(0), Monotonic(0));
    offsets.note_message(stated(17_000 * MS), Monotonic(17_050 * MS));
    let low_ns = offsets.low_ns(Monotonic(17_050 * MS)).unwrap();
    assert!(
        low_ns < (EPOCH_NS - EPS_NS - 49 * MS).cast_signed(),
        "the one of 17 s ago no longer counts: {low_ns}"
    );
}

#[test]
fn a_statement_that_contradicts_the_ones_before_replaces_them() {
    let mut offsets = Offsets::new(GROWTH_PPB);
    let stated = |ns: u64| TimeInterval::around(Timestamp(EPOCH_NS + ns), EPS_NS);
    let answer = |ns: u64, lie_ns: u64| Answer {
        asked: Monotonic(ns),
        received: stated(ns + lie_ns),
        answered: stated(ns + lie_ns),
        arrived: Monotonic(ns + MS),
    };
    assert!(!offsets.note_answer(&answer(100 * MS, 50 * MS)));
    assert!(offsets.note_answer(&answer(200 * MS, 0)), "it stepped back");
    let span = offsets.span(Monotonic(201 * MS)).unwrap();
    assert!(span.high_ns < (EPOCH_NS + 3 * MS).cast_signed());
    assert!(offsets.note_message(stated(300 * MS + 50 * MS), Monotonic(300 * MS)), "and forth again");
    assert_eq!(offsets.span(Monotonic(300 * MS)), None, "one message has no upper end");
}

/// Nodes whose clocks are all on one true time, but for what each is off by; every message takes 1 ms.
struct World {
    true_ns: u64,
    nodes: Vec<Seat>,
}

struct Seat {
    agreement: Agreement,
    lie_ns: i64,
    /// How long its machine stood still so far, clocks and all.
    slipped_ns: u64,
    eps_ns: u64,
    is_up: bool,
}

impl World {
    fn new(count: u64) -> Self {
        let nodes: Vec<NodeId> = (1..=count).map(NodeId).collect();
        let seat = |node: &NodeId| Seat {
            agreement: Agreement::new(*node, AgreementOptions::among(nodes.clone())),
            lie_ns: 0,
            slipped_ns: 0,
            eps_ns: EPS_NS,
            is_up: true,
        };
        Self { true_ns: 1_000 * MS, nodes: nodes.iter().map(seat).collect() }
    }

    fn settled(count: u64) -> Self {
        let mut world = Self::new(count);
        world.run(ms(500));
        assert!(world.all_trusted());
        world
    }

    fn reading(&self, seat: usize) -> Reading {
        let Seat { lie_ns, slipped_ns, eps_ns, .. } = &self.nodes[seat];
        let shown_ns = self.true_ns - slipped_ns;
        let midpoint = Timestamp((EPOCH_NS + shown_ns).saturating_add_signed(*lie_ns));
        let interval = TimeInterval::around(midpoint, *eps_ns);
        Reading::new(interval, Monotonic(shown_ns), None)
    }

    fn fault(&self, seat: usize) -> Option<Fault> {
        self.nodes[seat].agreement.fault()
    }

    fn is_heard(&self, seat: usize) -> bool {
        self.nodes[seat].agreement.is_heard(self.reading(seat).monotonic)
    }

    fn all_trusted(&self) -> bool {
        (0..self.nodes.len()).all(|seat| self.fault(seat).is_none() && self.is_heard(seat))
    }

    /// Time passes in steps of 10 ms; whoever is due asks everybody, and is answered.
    fn run(&mut self, time: Duration) {
        let end_ns = self.true_ns + time.as_nanos() as u64;
        while self.true_ns < end_ns {
            self.true_ns += 10 * MS;
            for seat in 0..self.nodes.len() {
                self.look(seat);
                self.ask(seat);
            }
        }
    }

    fn look(&mut self, seat: usize) {
        let now = self.reading(seat);
        self.nodes[seat].agreement.observe(&now);
    }

    fn ask(&mut self, seat: usize) {
        let now = self.reading(seat);
        if !self.nodes[seat].is_up {
            return;
        }
        for (peer, number) in self.nodes[seat].agreement.questions(&now) {
            self.round_trip(seat, peer.0 as usize - 1, number, &now);
        }
    }

    fn round_trip(&mut self, seat: usize, peer: usize, number: u64, asked: &Reading) {
        if !self.nodes[peer].is_up {
            return;
        }
        self.true_ns += MS;
        let there = self.reading(peer);
        self.nodes[peer].agreement.hear(NodeId(seat as u64 + 1), Agreement::stated(asked), &there);
        let stated = Agreement::stated(&there);
        self.true_ns += MS;
        let back = self.reading(seat);
        self.nodes[seat].agreement.take_answer(NodeId(peer as u64 + 1), number, (stated, stated), &back);
    }

    /// A message of `from` reaches `to` at once.
    fn message(&mut self, from: usize, to: usize) {
        let stated = Agreement::stated(&self.reading(from));
        let now = self.reading(to);
        self.nodes[to].agreement.hear(NodeId(from as u64 + 1), stated, &now);
    }
}

#[test]
fn honest_nodes_agree_from_the_first_round_on_and_a_single_node_always() {
    let mut world = World::new(3);
    assert!(!world.is_heard(0), "it has heard nobody");
    world.run(ms(10));
    assert!(world.all_trusted());
    assert!(World::new(1).all_trusted());
}

#[test]
fn a_clock_that_leaves_the_majority_is_fenced_by_the_very_next_look_ahead_or_behind() {
    for lie_ns in [50 * MS.cast_signed(), -50 * MS.cast_signed(), 8 * 3_600_000 * MS.cast_signed()] {
        let mut world = World::settled(3);
        world.nodes[0].lie_ns = lie_ns;
        world.look(0);
        let by_ns = match world.fault(0) {
            Some(Fault::Outvoted { by_ns }) => by_ns,
            fault => panic!("{fault:?}"),
        };
        assert!((lie_ns.unsigned_abs() - 5 * MS..lie_ns.unsigned_abs()).contains(&by_ns), "{by_ns}");
        world.run(ms(1000));
        assert!(matches!(world.fault(0), Some(Fault::Outvoted { .. })));
        assert!([1, 2].iter().all(|seat| world.fault(*seat).is_none() && world.is_heard(*seat)));
        let status = world.nodes[1].agreement.status(&world.reading(1));
        assert!(matches!(status.peers[0].standing, Standing::Misses { .. }), "{status:?}");
        assert_eq!(status.peers[1].standing, Standing::Agrees);
    }
}

#[test]
fn a_clock_that_leaves_is_fenced_though_nobody_answers_any_more() {
    let mut world = World::settled(3);
    (world.nodes[1].is_up, world.nodes[2].is_up) = (false, false);
    world.run(ms(3000));
    assert!(world.fault(0).is_none() && !world.is_heard(0));
    world.nodes[0].lie_ns = 50 * MS.cast_signed();
    world.look(0);
    assert!(world.fault(0).is_none(), "who was not heard for long cannot be missed: it assigns nothing");
    let mut world = World::settled(3);
    (world.nodes[1].is_up, world.nodes[2].is_up) = (false, false);
    world.nodes[0].lie_ns = 50 * MS.cast_signed();
    world.look(0);
    assert!(matches!(world.fault(0), Some(Fault::Outvoted { .. })));
}

#[test]
fn a_message_from_the_future_suspends_at_once_and_a_vote_convicts_its_sender() {
    let mut world = World::settled(3);
    world.nodes[2].lie_ns = 50 * MS.cast_signed();
    world.message(2, 0);
    assert!(matches!(world.fault(0), Some(Fault::Contradicted { by: NodeId(3), .. })));
    world.ask(0);
    assert_eq!(world.fault(0), None, "the others' answers are enough");
    world.message(2, 0);
    assert_eq!(world.fault(0), None, "its word counts no more");
    // Once it is right again, and wrong again, it has to be voted on again.
    world.nodes[2].lie_ns = 0;
    world.run(ms(500));
    world.nodes[2].lie_ns = 50 * MS.cast_signed();
    world.message(2, 0);
    assert!(matches!(world.fault(0), Some(Fault::Contradicted { .. })));
}

/// T16: what the others stated before says that all is well.
#[test]
fn a_machine_that_stood_still_with_its_clocks_is_suspended_by_the_first_message_and_fenced_by_fresh_answers()
{
    let mut world = World::settled(3);
    world.true_ns += 300 * MS;
    world.nodes[0].slipped_ns += 300 * MS;
    world.look(0);
    assert_eq!(world.fault(0), None, "nothing on this machine can tell");
    world.message(1, 0);
    let asked = world.reading(0);
    let questions = world.nodes[0].agreement.questions(&asked);
    assert!(
        matches!(world.fault(0), Some(Fault::Contradicted { by: NodeId(2), .. })),
        "no vote before answers"
    );
    for (peer, number) in questions {
        world.round_trip(0, peer.0 as usize - 1, number, &asked);
        assert!(world.fault(0).is_some(), "what node 3 stated before must not help against node 2");
    }
    assert!(matches!(world.fault(0), Some(Fault::Outvoted { .. })), "{:?}", world.fault(0));
}

#[test]
fn an_answer_to_a_question_of_before_the_contradiction_decides_nothing() {
    let mut world = World::settled(3);
    world.true_ns += 200 * MS;
    let asked = world.reading(0);
    let questions = world.nodes[0].agreement.questions(&asked);
    assert_eq!(questions.len(), 2);
    let early = Agreement::stated(&world.reading(1));
    world.true_ns += 300 * MS;
    world.nodes[0].slipped_ns += 300 * MS;
    world.message(2, 0);
    let now = world.reading(0);
    world.nodes[0].agreement.take_answer(NodeId(2), questions[0].1, (early, early), &now);
    assert!(matches!(world.fault(0), Some(Fault::Contradicted { .. })));
}

#[test]
fn two_against_two_are_all_fenced_and_agree_again_only_after_30_s_without_a_break() {
    let mut world = World::settled(4);
    for liar in [2, 3] {
        world.nodes[liar].lie_ns = 50 * MS.cast_signed();
    }
    world.run(ms(1000));
    assert!((0..4).all(|seat| world.fault(seat).is_some()));
    for liar in [2, 3] {
        world.nodes[liar].lie_ns = 0;
    }
    world.run(ms(20_000));
    world.nodes[0].lie_ns = 50 * MS.cast_signed();
    world.run(ms(1000));
    world.nodes[0].lie_ns = 0;
    world.run(ms(12_000));
    assert!((1..4).all(|seat| world.fault(seat).is_none()), "they agreed without a break");
    assert!(world.fault(0).is_some(), "its 30 s began anew");
    world.run(ms(20_000));
    assert!(world.all_trusted());
}

#[test]
fn two_of_five_that_lie_alike_are_fenced_and_three_go_on() {
    let mut world = World::settled(5);
    for liar in [0, 1] {
        world.nodes[liar].lie_ns = -20 * MS.cast_signed();
    }
    world.run(ms(500));
    assert!([0, 1].iter().all(|seat| matches!(world.fault(*seat), Some(Fault::Outvoted { .. }))));
    assert!([2, 3, 4].iter().all(|seat| world.fault(*seat).is_none() && world.is_heard(*seat)));
}

#[test]
fn who_does_not_know_the_time_says_so_and_contradicts_nobody() {
    let mut world = World::settled(3);
    world.nodes[2].lie_ns = 8 * 3_600_000 * MS.cast_signed();
    let lost = Reading { fault: Some(Fault::Unsynchronised), ..world.reading(2) };
    let now = world.reading(0);
    world.nodes[0].agreement.hear(NodeId(3), Agreement::stated(&lost), &now);
    assert_eq!(world.fault(0), None);
    assert_eq!(Agreement::stated(&lost), TimeInterval::UNKNOWN);
}

#[test]
fn a_contradiction_that_no_vote_decides_stays_open_and_nobody_is_believed_by_chance() {
    let mut world = World::settled(3);
    // The third can be right with either of the two that contradict each other.
    world.nodes[2].eps_ns = 50 * MS;
    world.nodes[1].lie_ns = 20 * MS.cast_signed();
    world.run(ms(1000));
    assert!(matches!(world.fault(0), Some(Fault::Contradicted { by: NodeId(2), .. })));
}

#[test]
fn evidence_is_a_sentence_that_names_who_misses_whom_by_how_much() {
    let mut world = World::settled(3);
    world.nodes[2].lie_ns = 50 * MS.cast_signed();
    world.run(ms(200));
    let (_, sentence) = world.nodes[2].agreement.evidence().expect("it is fenced");
    assert!(sentence.contains("node 3 misses the majority by 4"), "{sentence}");
    assert!(sentence.contains("nodes 1 and 2 agree"), "{sentence}");
}

#[test]
fn a_midpoint_that_moved_while_its_bound_grew_is_told_with_both_ends() {
    let mut offsets = Offsets::new(GROWTH_PPB);
    let answer = |at: u64, moved_ms: u64, eps_ns: u64| {
        let stated = TimeInterval::around(Timestamp(EPOCH_NS + (at + moved_ms) * MS), eps_ns);
        Answer { asked: Monotonic(at * MS), received: stated, answered: stated, arrived: Monotonic(at * MS) }
    };
    offsets.note_answer(&answer(100, 0, EPS_NS));
    offsets.note_answer(&answer(200, 5, 6 * EPS_NS));
    let found = offsets.midpoint(Monotonic(200 * MS)).unwrap().shifted(-EPOCH_NS.cast_signed());
    assert!(found.low_ns <= 0 && found.high_ns >= 5 * MS.cast_signed() - 10_000, "{found:?}");
}
