//! The mesh alone: three of them tell each other numbers, through crashes and cuts.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use timberline::transport::{
    Checked, Endpoint, Inbox, Link, Mesh, PeerIdentities, StreamClass, TransportOptions,
};
use timberline::types::NodeId;
use timberline::wire::{ClockProbe, NodeHello, NodeMessage, PROTOCOL_VERSION};

use crate::certs;
use crate::seeds;
use crate::world::{Machine, NODES, World, address};

const STORM: Duration = Duration::from_secs(12);
/// Until everybody hears everybody again: two idle timeouts, a handshake's and a pause of the dialler.
const RECOVERY: Duration = Duration::from_secs(8);
const SEND_EVERY: Duration = Duration::from_millis(5);

/// The second class is for few and large messages: more than a lossy link carries would only wait.
const TURNS_PER_BULK: u64 = 10;

/// The latest moment of sending that was heard, by sender, receiver and class.
type Heard = Arc<Mutex<BTreeMap<(u64, u64, u64), u64>>>;

/// One node's ears. Messages carry the millisecond they were sent at, which rises over restarts, too.
struct Ears {
    node: u64,
    heard: Heard,
}

impl Inbox for Ears {
    fn on_message(&self, from: NodeId, message: NodeMessage, payload: Bytes) {
        let NodeMessage { earliest_ns: sent, latest_ns: class, .. } = message;
        assert_eq!(payload, body(sent, class), "undamaged");
        let mut heard = self.heard.lock().expect("no panic under the lock");
        let before = heard.insert((from.0, self.node, class), sent);
        assert!(before < Some(sent), "{} from {from}, class {class}: {sent} after {before:?}", self.node);
    }

    fn on_probe(&self, _from: NodeId, _probe: ClockProbe) {}
}

fn body(sent: u64, class: u64) -> Bytes {
    let bytes = if class == 0 { sent % 700 } else { sent * 7919 % 20_000 };
    Bytes::from(vec![sent as u8; bytes as usize])
}

struct Anyone;

impl PeerIdentities for Anyone {
    fn check(&self, _node: NodeId, _identity: u64) -> Checked<'_> {
        Box::pin(std::future::ready(Ok(())))
    }
}

async fn talk(machine: Rc<Machine>, heard: Heard) -> Result<(), Box<dyn std::error::Error>> {
    let node = machine.node;
    let endpoint = Endpoint::on(machine.socket().await?, &certs::node(node), TransportOptions::default())?;
    let (cluster, boot) = ("simulated".to_owned(), machine.starts());
    let me = NodeHello { protocol: PROTOCOL_VERSION, cluster, node, identity: 100 + node, boot };
    let peers = NODES.map(|peer| (NodeId(peer), address(peer).to_string())).to_vec();
    let mesh = Mesh::start(endpoint, me, peers, Box::new(Anyone), Arc::new(Ears { node, heard }));
    let mut turns = tokio::time::interval(SEND_EVERY);
    for turn in 0_u64.. {
        turns.tick().await;
        let sent = turmoil::sim_elapsed().expect("inside a simulation").as_millis() as u64;
        for peer in NODES.into_iter().filter(|peer| *peer != node) {
            let classes = if turn % TURNS_PER_BULK == 0 { 2 } else { 1 };
            for (number, class) in (0..).zip(StreamClass::ALL).take(classes) {
                let message = NodeMessage { earliest_ns: sent, latest_ns: number, ..NodeMessage::default() };
                // A message that finds nobody connected is lost, as links may.
                let _ = mesh.send(NodeId(peer), message, vec![body(sent, number)], class);
            }
        }
    }
    unreachable!("the turns never end")
}

fn through_the_storm(seed: u64) -> World {
    let heard = Heard::default();
    let ears = Arc::clone(&heard);
    let mut world = World::new(seed, move |machine| talk(machine, Arc::clone(&ears)));
    let ways = NODES.len() * (NODES.len() - 1) * StreamClass::ALL.len();
    let fair = STORM.as_millis() as u64;
    world.run(STORM, STORM + RECOVERY, |_| {
        let heard = heard.lock().expect("no panic under the lock");
        heard.values().filter(|sent| **sent > fair).count() == ways
    });
    world
}

#[test]
fn a_link_loses_but_never_doubles_reorders_or_damages_and_always_comes_back() {
    for seed in seeds() {
        through_the_storm(seed);
    }
}

#[test]
fn one_seed_tells_one_story_datagram_by_datagram() {
    let (first, second) = (through_the_storm(7), through_the_storm(7));
    let (first, second) = (first.trace(), second.trace());
    for (line, (a, b)) in first.iter().zip(&second).enumerate() {
        assert_eq!(a, b, "line {line}");
    }
    assert_eq!(first.len(), second.len());
}
