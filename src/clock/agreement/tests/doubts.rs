//! Laws of doubts: what is to be marked, by whom, and for how long.

use super::{EPOCH_NS, MS, World, ms};
use crate::clock::Doubt;
use crate::types::{MarkReason, NodeId, OrderMark, Timestamp};

impl World {
    fn latest(&self, seat: usize) -> Timestamp {
        self.reading(seat).interval.latest
    }

    /// What a node would write down about another, or itself.
    fn doubt(&self, seat: usize, about: usize) -> Option<OrderMark> {
        self.doubts(seat, about).first().map(|doubt| doubt.mark)
    }

    fn doubts(&self, seat: usize, about: usize) -> Vec<Doubt> {
        let due = self.nodes[seat].agreement.doubts(self.reading(seat).monotonic);
        due.filter(|doubt| doubt.mark.node == NodeId(about as u64 + 1)).collect()
    }

    fn told(&self, seat: usize) -> Vec<OrderMark> {
        self.nodes[seat].agreement.told(self.reading(seat).monotonic).collect()
    }

    /// A node learns all that another one tells.
    fn tell(&mut self, from: usize, to: usize) {
        let now = self.reading(to).monotonic;
        for mark in self.told(from) {
            self.nodes[to].agreement.learn(NodeId(from as u64 + 1), mark, now);
        }
    }

    /// Four of five nodes saw the fourth one lie for a while; the fifth was away.
    fn with_one_that_missed_it() -> Self {
        let mut world = Self::settled(5);
        world.nodes[4].is_up = false;
        world.nodes[3].lie_ns = 50 * MS.cast_signed();
        world.run(ms(2_000));
        world.nodes[3].lie_ns = 0;
        world.run(ms(40_000));
        world.nodes[4].is_up = true;
        world.run(ms(1_000));
        assert!(world.all_trusted());
        world
    }
}

#[test]
fn what_others_found_out_is_written_down_by_one_that_missed_it_and_told_again_is_nothing_new() {
    let mut world = World::with_one_that_missed_it();
    assert_eq!(world.doubt(4, 3), None);
    world.tell(0, 4);
    assert_eq!(world.doubt(4, 3), world.doubt(0, 3));
    let first = world.doubts(4, 3);
    world.tell(0, 4);
    assert_eq!(world.doubts(4, 3), first);
    let (mark, now) = (world.told(0)[0], world.reading(0).monotonic);
    let within = OrderMark { from: mark.from.next(), ..mark };
    world.nodes[0].agreement.learn(NodeId(2), within, now);
    assert_eq!(world.doubts(0, 3).len(), 1, "it knew all of that");
}

#[test]
fn of_what_others_told_a_node_writes_down_what_lies_before_and_behind_its_own_doubt() {
    let mut world = World::with_one_that_missed_it();
    let [own] = world.doubts(0, 3)[..] else { panic!("one doubt") };
    let now = world.reading(0).monotonic;
    let wider = OrderMark { from: own.mark.from.minus_ns(7), until: own.mark.until.plus_ns(7), ..own.mark };
    world.nodes[0].agreement.learn(NodeId(2), wider, now);
    let [_, before, behind] = world.doubts(0, 3)[..] else { panic!("its own and two more") };
    assert_eq!((before.mark.from, before.mark.until), (wider.from, own.mark.from.minus_ns(1)));
    assert_eq!((behind.mark.from, behind.mark.until), (own.mark.until.next(), wider.until));
    assert_ne!(before.number, behind.number);
}

#[test]
fn ranges_told_by_several_are_one_doubt_that_is_numbered_anew_when_it_grows() {
    let mut world = World::with_one_that_missed_it();
    world.tell(0, 4);
    let [first] = world.doubts(4, 3)[..] else { panic!("one doubt") };
    let wider = OrderMark { from: first.mark.from.minus_ns(1), ..first.mark };
    let now = world.reading(4).monotonic;
    world.nodes[4].agreement.learn(NodeId(2), wider, now);
    let [grown] = world.doubts(4, 3)[..] else { panic!("one doubt") };
    assert_eq!(grown.mark, wider);
    assert!(grown.number > first.number);
}

#[test]
fn what_was_told_is_not_told_on_and_ends_ten_minutes_after_it_was_last_told() {
    let mut world = World::with_one_that_missed_it();
    world.tell(0, 4);
    assert!(world.told(4).is_empty());
    world.run(ms(300_000));
    world.tell(0, 4);
    world.run(ms(590_000));
    assert!(world.doubt(4, 3).is_some());
    assert!(world.told(0).is_empty(), "it tells no more");
    world.run(ms(20_000));
    assert_eq!(world.doubt(4, 3), None);
}

#[test]
fn a_node_whose_own_clock_is_contradicted_or_unheard_tells_nothing() {
    let mut world = World::with_one_that_missed_it();
    assert_eq!(world.told(0).len(), 1);
    world.nodes[0].lie_ns = 50 * MS.cast_signed();
    world.run(ms(1_000));
    assert!(world.fault(0).is_some() && world.told(0).is_empty());
    world.nodes[0].lie_ns = 0;
    world.run(ms(40_000));
    assert_eq!(world.told(0).len(), 2, "of itself, too");
    world.nodes.iter_mut().for_each(|seat| seat.is_up = false);
    world.run(ms(2_000));
    assert!(world.told(0).is_empty());
}

#[test]
fn what_strangers_say_and_what_is_said_of_strangers_is_not_learned() {
    let mut world = World::with_one_that_missed_it();
    let mark = world.told(0)[0];
    let now = world.reading(4).monotonic;
    world.nodes[4].agreement.learn(NodeId(9), mark, now);
    world.nodes[4].agreement.learn(NodeId(1), OrderMark { node: NodeId(9), ..mark }, now);
    let learned = world.nodes[4].agreement.doubts(now).count();
    assert_eq!(learned, 0);
}

/// A clock 50 ms off, either way, from right after a vote in which it agreed: what it may have stamped, and the true times
/// at which it may have shown anything, until it was fenced.
#[test]
fn a_doubt_covers_all_that_a_liar_can_have_stamped_or_shown_between_its_last_agreement_and_its_fence() {
    for lie_ms in [50, -50] {
        let mut world = World::settled(3);
        world.nodes[2].lie_ns = lie_ms * MS.cast_signed();
        let mut wrong = vec![world.latest(2), world.latest(0)];
        while world.fault(2).is_none() {
            world.run(ms(10));
            wrong.extend([world.latest(2), Timestamp(EPOCH_NS + world.true_ns)]);
        }
        for honest in [0, 1] {
            assert_eq!(world.doubt(honest, 2), None, "it may not have fenced itself yet");
        }
        world.run(ms(1500));
        for honest in [0, 1] {
            let mark = world.doubt(honest, 2).expect("a second has passed");
            let stamps = wrong.iter().filter(|stamp| lie_ms > 0 || **stamp <= wrong[wrong.len() - 2]);
            stamps.for_each(|stamp| assert!(mark.covers(*stamp), "{lie_ms}: {mark} {stamp}"));
            assert!(mark.off_by_ns > 40 * MS && mark.until.ns_since(mark.from) < 2_000 * MS, "{mark}");
            assert_eq!((mark.reason, world.doubt(honest, 1 - honest)), (MarkReason::Outvoted, None));
        }
        assert_eq!(world.doubt(2, 2), None, "it is still fenced");
    }
}

#[test]
fn a_doubt_begins_at_the_last_agreement_however_late_the_conviction_is() {
    let mut world = World::settled(3);
    let agreed = Timestamp(EPOCH_NS + world.true_ns);
    world.nodes[2].is_up = false;
    world.nodes[2].lie_ns = 50 * MS.cast_signed();
    world.run(ms(5_000));
    world.nodes[2].is_up = true;
    world.run(ms(1_500));
    let mark = world.doubt(0, 2).expect("it was convicted when it was heard again");
    assert!(mark.covers(agreed) && agreed.ns_since(mark.from) < 300 * MS, "{mark} {agreed}");
}

/// By its own clock of later, a liar agreed when it in truth had not lied yet for long.
#[test]
fn a_doubt_about_oneself_begins_at_the_last_agreement_however_far_ahead_the_clock_then_jumped() {
    let mut world = World::settled(3);
    let agreed = Timestamp(EPOCH_NS + world.true_ns);
    world.nodes[2].lie_ns = 5_000 * MS.cast_signed();
    world.run(ms(2_000));
    world.nodes[2].lie_ns = 0;
    world.run(ms(40_000));
    let mark = world.doubt(2, 2).expect("it is trusted again");
    assert!(mark.covers(agreed), "{mark} {agreed}");
}

#[test]
fn who_was_fenced_keeps_its_own_doubt_until_it_is_trusted_again_and_it_does_not_grow_meanwhile() {
    let mut world = World::settled(3);
    world.nodes[2].lie_ns = 50 * MS.cast_signed();
    world.run(ms(2_000));
    let fenced = world.latest(2);
    world.nodes[2].lie_ns = 0;
    world.run(ms(20_000));
    assert_eq!(world.doubt(2, 2), None);
    world.run(ms(20_000));
    assert!(world.all_trusted());
    let mark = world.doubt(2, 2).expect("it is trusted again");
    assert!(mark.until <= fenced && mark.from < mark.until, "{mark} {fenced}");
    world.run(ms(620_000));
    assert!([0, 2].iter().all(|seat| world.doubt(*seat, 2).is_none()), "it is kept for ten minutes");
}

#[test]
fn a_doubt_is_shown_open_from_the_conviction_until_the_clock_agrees_again_and_closed_while_it_is_kept() {
    let mut world = World::settled(3);
    let shown = |world: &World, seat: usize| -> Vec<(NodeId, bool)> {
        let doubts = world.nodes[seat].agreement.status(&world.reading(seat)).doubts;
        doubts.iter().map(|doubt| (doubt.mark.node, doubt.is_open)).collect()
    };
    assert!((0..3).all(|seat| shown(&world, seat).is_empty()));
    world.nodes[2].lie_ns = 50 * MS.cast_signed();
    while world.fault(2).is_none() {
        world.run(ms(10));
    }
    world.run(ms(200));
    let (open, closed) = ([(NodeId(3), true)], [(NodeId(3), false)]);
    assert!((0..3).all(|seat| shown(&world, seat) == open), "it need not be ripe");
    world.nodes[2].lie_ns = 0;
    world.run(ms(5_000));
    assert!([0, 1].iter().all(|seat| shown(&world, *seat) == closed), "the others see that it agrees");
    assert_eq!(shown(&world, 2), open, "it is fenced for a while yet");
    world.run(ms(40_000));
    assert_eq!(shown(&world, 2), closed);
    world.run(ms(620_000));
    assert!((0..3).all(|seat| shown(&world, seat).is_empty()), "it is kept for ten minutes");
}

#[test]
fn without_a_majority_each_doubts_what_anybody_showed_since_all_agreed() {
    let mut world = World::settled(4);
    let agreed = Timestamp(EPOCH_NS + world.true_ns);
    for liar in [2, 3] {
        world.nodes[liar].lie_ns = -50 * MS.cast_signed();
    }
    let lowest = world.latest(2).min(world.latest(3));
    world.run(ms(1_000));
    assert!((0..4).all(|seat| world.fault(seat).is_some()));
    for liar in [2, 3] {
        world.nodes[liar].lie_ns = 0;
    }
    world.run(ms(40_000));
    assert!(world.all_trusted());
    for seat in 0..4 {
        let mark = world.doubt(seat, seat).expect("it is trusted again");
        assert!(mark.covers(lowest) && mark.covers(agreed), "{seat}: {mark} {lowest} {agreed}");
        assert_eq!(mark.reason, MarkReason::NoMajority);
    }
}

#[test]
fn a_split_is_doubted_though_the_fence_of_one_before_it_still_stands() {
    let mut world = World::settled(4);
    let split = |world: &mut World, then_ms: u64| {
        let agreed = Timestamp(EPOCH_NS + world.true_ns);
        for liar in [2, 3] {
            world.nodes[liar].lie_ns = -50 * MS.cast_signed();
        }
        world.run(ms(1_000));
        for liar in [2, 3] {
            world.nodes[liar].lie_ns = 0;
        }
        world.run(ms(then_ms));
        agreed
    };
    let first = split(&mut world, 5_000);
    assert!((0..4).all(|seat| world.fault(seat).is_some()));
    let second = split(&mut world, 60_000);
    assert!(world.all_trusted());
    for seat in 0..4 {
        let mark = world.doubt(seat, seat).expect("it is trusted again");
        assert!(mark.covers(first) && mark.covers(second), "{seat}: {mark} {first} {second}");
    }
}
