//! What members of the group and its coordinators say to each other: lost, late, overtaken, and doubled by those who ask again.

use std::collections::BTreeMap;

use timberline::group::{Beat, Group, GroupRecord};
use timberline::types::NodeId;

use crate::plan::{MS, SECOND};
use crate::world::World;

/// Of a thousand letters so many are lost, and so many come so late that others were sent for them.
const LOST_PER_MILLE: u64 = 20;
const LATE_PER_MILLE: u64 = 30;
const LATE_NS_MAX: u64 = 3 * SECOND;

/// A letter's content.
#[derive(Clone, Debug)]
pub(super) enum Letter {
    /// A member, `from` of its clients' numbers, says something.
    Said { from: u64, attempt: u64, beat: Beat },
    /// It is answered: how its group stands.
    Answered { attempt: u64, answer: Result<Group, Denied> },
}

/// Why a word of a member's came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    NotLeader(Option<NodeId>),
    /// It may be tried again.
    Busy,
    Stale,
}

/// Letters on their way, and what stands in the group's log by the append that carried it.
#[derive(Default)]
pub(super) struct Letters {
    under_way: BTreeMap<u64, Letter>,
    sent: u64,
    pub(super) logged: BTreeMap<u64, Vec<GroupRecord>>,
}

impl Letters {
    /// Sets out for another client, whose timer rings with the letter's number when it is there.
    pub(super) fn send(&mut self, world: &mut World, to: u64, letter: Letter) {
        if !world.calm && world.random.chance(LOST_PER_MILLE) {
            return;
        }
        let is_late = !world.calm && world.random.chance(LATE_PER_MILLE);
        let late_ns = if is_late { world.random.below(LATE_NS_MAX) } else { 0 };
        let delay_ns = world.plan.link_ns / 2 + world.random.below(world.plan.link_ns) + late_ns;
        self.post(world, to, delay_ns, letter);
    }

    /// A letter that waits for its reader to wake.
    pub(super) fn keep(&mut self, world: &mut World, to: u64, letter: Letter) {
        self.post(world, to, 20 * MS, letter);
    }

    fn post(&mut self, world: &mut World, to: u64, delay_ns: u64, letter: Letter) {
        self.sent += 1;
        self.under_way.insert(self.sent, letter);
        world.set_timer(to, delay_ns, self.sent);
    }

    pub(super) fn take(&mut self, number: u64) -> Option<Letter> {
        self.under_way.remove(&number)
    }
}
