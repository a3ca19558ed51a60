//! One node: its disk, its lane if the process runs, its clock, and what is wrong with it at the moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use timberline::disk::MemoryDisk;
use timberline::lane::{Event, Lane, Output, Ticket};
use timberline::types::ShardId;

use super::agenda::SyncEnd;
use super::clock::NodeClock;

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Node {
    pub(super) disk: Arc<MemoryDisk>,
    /// The right disk, while another stands in its place.
    pub(super) set_aside: Option<Arc<MemoryDisk>>,
    pub(super) lane: Option<Lane>,
    pub(super) clock: NodeClock,
    /// Rises with every start of the process.
    pub(super) life: u64,
    /// When the process started.
    pub(super) born_ns: u64,
    /// Rises with every power cut.
    pub(super) boot: u64,
    /// Its shards' logs were made.
    pub(super) is_founded: bool,
    /// The wake that stands on the agenda.
    pub(super) wake_ns: Option<u64>,
    pub(super) flush_waits: bool,
    pub(super) paused_until_ns: u64,
    /// Until then what peers sent stays in the node's sockets: clients are served first.
    pub(super) deaf_until_ns: u64,
    /// What a paused node was about to carry out.
    pub(super) held: Option<Output>,
    /// The next output is held back for so long.
    pub(super) pause_next_ns: Option<u64>,
    pub(super) slow_until_ns: u64,
    pub(super) slow_by_ns: u64,
    pub(super) stalled_until_ns: u64,
    pub(super) next_sync: Option<SyncEnd>,
    /// The power fails when the next vote is on its way to the disk.
    pub(super) cut_at_vote: bool,
    pub(super) restart_waits: bool,
    /// The power failed at some time.
    pub(super) lost_power: bool,
    /// How often each replica stopped alone: opened again, it begins anew like after a restart.
    pub(super) stops: BTreeMap<ShardId, u64>,
    /// While its clock was wrong, a peer whose clock is right proved it.
    pub(super) contradicted: bool,
    /// Appends handed to the lane and not answered.
    pub(super) appends: BTreeMap<Ticket, ShardId>,
}

impl Node {
    pub(super) fn new(clock: NodeClock) -> Self {
        Self {
            disk: Arc::new(MemoryDisk::new()),
            set_aside: None,
            lane: None,
            clock,
            life: 0,
            born_ns: 0,
            boot: 0,
            is_founded: false,
            wake_ns: None,
            flush_waits: false,
            paused_until_ns: 0,
            deaf_until_ns: 0,
            held: None,
            pause_next_ns: None,
            slow_until_ns: 0,
            slow_by_ns: 0,
            stalled_until_ns: 0,
            next_sync: None,
            cut_at_vote: false,
            restart_waits: false,
            lost_power: false,
            stops: BTreeMap::new(),
            contradicted: false,
            appends: BTreeMap::new(),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.lane.is_some()
    }

    pub(super) fn is_paused(&self, now_ns: u64) -> bool {
        self.paused_until_ns > now_ns
    }

    /// Until when an event has to wait, if it has to.
    pub(super) fn held_until_ns(&self, event: &Event, now_ns: u64) -> Option<u64> {
        let is_of_peer = matches!(event, Event::Message { .. } | Event::Probe { .. });
        let deaf_until_ns = if is_of_peer { self.deaf_until_ns } else { 0 };
        Some(self.paused_until_ns.max(deaf_until_ns)).filter(|until_ns| *until_ns > now_ns)
    }

    /// The process is gone, and with it whatever it had in memory.
    pub(super) fn forget(&mut self) {
        self.lane = None;
        self.life += 1;
        self.wake_ns = None;
        self.flush_waits = false;
        (self.paused_until_ns, self.deaf_until_ns) = (0, 0);
        self.held = None;
        self.pause_next_ns = None;
        self.contradicted = false;
        self.appends.clear();
    }
}
