//! The in-memory twin of the mesh, for tests and simulation: loses by seed, delivers when told to.
//!
//! Knows nothing of time. Same seed and same calls, same deliveries.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Inbox, Link, StreamClass};
use crate::types::NodeId;
use crate::wire::{ClockProbe, NodeMessage};

/// A probe is lost where more than so much waits.
const PROBES_WAIT_MAX: usize = 4096;

/// A network in memory. Clones share it.
#[derive(Clone)]
pub struct MemoryNetwork {
    shared: Arc<Mutex<State>>,
}

struct State {
    inboxes: BTreeMap<NodeId, Arc<dyn Inbox>>,
    waiting: VecDeque<Envelope>,
    /// How many messages wait on each way; a full one refuses.
    depths: BTreeMap<(NodeId, NodeId, usize), usize>,
    queue_messages_max: usize,
    loss_per_mille: u32,
    random: StdRng,
}

struct Envelope {
    from: NodeId,
    to: NodeId,
    content: Content,
}

enum Content {
    Message(Box<NodeMessage>, Bytes),
    Probe(ClockProbe),
}

impl MemoryNetwork {
    /// Loses about `loss_per_mille` of a thousand messages; holds `queue_messages_max` for each pair and class.
    pub fn new(seed: u64, loss_per_mille: u32, queue_messages_max: usize) -> Self {
        let state = State {
            inboxes: BTreeMap::new(),
            waiting: VecDeque::new(),
            depths: BTreeMap::new(),
            queue_messages_max,
            loss_per_mille,
            random: StdRng::seed_from_u64(seed),
        };
        Self { shared: Arc::new(Mutex::new(state)) }
    }

    /// Connects a node to all others; a node that joins again takes its former self's place.
    pub fn join(&self, node: NodeId, inbox: Arc<dyn Inbox>) -> MemoryLink {
        let others = self.others(node);
        for (other, other_inbox) in &others {
            other_inbox.on_connected(node);
            inbox.on_connected(*other);
        }
        self.lock().inboxes.insert(node, inbox);
        MemoryLink { node, network: self.clone() }
    }

    /// Cuts a node off; what waits for it is lost when its turn comes.
    pub fn leave(&self, node: NodeId) {
        let left = self.lock().inboxes.remove(&node);
        for (other, other_inbox) in self.others(node) {
            other_inbox.on_disconnected(node);
            if let Some(inbox) = &left {
                inbox.on_disconnected(other);
            }
        }
    }

    fn others(&self, node: NodeId) -> Vec<(NodeId, Arc<dyn Inbox>)> {
        let state = self.lock();
        let others = state.inboxes.iter().filter(|(other, _)| **other != node);
        others.map(|(other, inbox)| (*other, inbox.clone())).collect()
    }

    /// Hands over, oldest first, what waits now; answers how many arrived. What the inboxes send meanwhile waits
    /// for the next call.
    pub fn deliver(&self) -> usize {
        let mut state = self.lock();
        let waiting = std::mem::take(&mut state.waiting);
        state.depths.clear();
        let arriving: Vec<_> = waiting
            .into_iter()
            .filter_map(|envelope| Some((state.inboxes.get(&envelope.to)?.clone(), envelope)))
            .collect();
        drop(state);
        let arrived = arriving.len();
        for (inbox, envelope) in arriving {
            match envelope.content {
                Content::Message(message, payload) => inbox.on_message(envelope.from, *message, payload),
                Content::Probe(probe) => inbox.on_probe(envelope.from, probe),
            }
        }
        arrived
    }

    fn connects(state: &State, from: NodeId, to: NodeId) -> bool {
        to != from && state.inboxes.contains_key(&to) && state.inboxes.contains_key(&from)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.lock().expect("no panic under the lock")
    }
}

/// One node's end of a [`MemoryNetwork`].
pub struct MemoryLink {
    node: NodeId,
    network: MemoryNetwork,
}

impl Link for MemoryLink {
    fn send(&self, to: NodeId, message: NodeMessage, payload: Vec<Bytes>, class: StreamClass) -> bool {
        let mut state = self.network.lock();
        if !MemoryNetwork::connects(&state, self.node, to) {
            return false;
        }
        let limit = state.queue_messages_max;
        let depth = state.depths.entry((self.node, to, class.position())).or_default();
        if *depth >= limit {
            return false;
        }
        *depth += 1;
        let loss = state.loss_per_mille;
        if state.random.random_range(0..1000) >= loss {
            let content = Content::Message(Box::new(message), join(&payload));
            state.waiting.push_back(Envelope { from: self.node, to, content });
        }
        true
    }

    fn probe(&self, to: NodeId, probe: &ClockProbe) -> bool {
        let mut state = self.network.lock();
        if !MemoryNetwork::connects(&state, self.node, to) {
            return false;
        }
        let loss = state.loss_per_mille;
        if state.waiting.len() < PROBES_WAIT_MAX && state.random.random_range(0..1000) >= loss {
            state.waiting.push_back(Envelope { from: self.node, to, content: Content::Probe(probe.clone()) });
        }
        true
    }
}

fn join(chunks: &[Bytes]) -> Bytes {
    let mut joined = BytesMut::with_capacity(chunks.iter().map(Bytes::len).sum());
    for chunk in chunks {
        joined.extend_from_slice(chunk);
    }
    joined.freeze()
}
