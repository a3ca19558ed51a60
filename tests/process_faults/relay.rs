//! A network of userspace UDP relays, one before each node: it drops, delays, doubles, reorders and cuts one way,
//! all drawn from one seed. Knows nothing of what it carries.
//!
//! Nodes name each other, and clients learn of them, by the relays' addresses. A relay knows who sent a datagram by
//! its source: a node dials from the address on which it listens, everybody else is a client. Invariants: in calm
//! weather every datagram passes at once; what is held back is bounded, and what does not fit is lost, as in a router.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout_at};

const LOOPBACK: &str = "127.0.0.1:0";
const DATAGRAM_BYTES_MAX: usize = 64 << 10;
/// Datagrams held back at one time.
const DELAYED_MAX: usize = 4096;
/// Sources that one relay tells apart; the one known longest makes room.
const SOURCES_MAX: usize = 64;

/// One end of a link: a node, or any client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Party {
    Node(u16),
    Client,
}

/// What the network does to datagrams. The default is calm.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weather {
    pub(crate) dropped: f64,
    pub(crate) doubled: f64,
    /// Each datagram is held back for up to so long, so that later ones overtake it.
    pub(crate) delay_max: Duration,
    /// Links, from whom to whom, that carry nothing.
    pub(crate) cut: BTreeSet<(Party, Party)>,
}

/// The relays; they end with it.
pub(crate) struct Network {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    #[expect(dead_code, reason = "held for its drop")]
    tasks: JoinSet<()>,
}

struct Shared {
    /// Where the nodes listen, node 1 first.
    nodes: Vec<SocketAddr>,
    weather: Mutex<(Weather, StdRng)>,
    late: mpsc::Sender<Late>,
    /// How many datagrams were lost so far.
    lost: watch::Sender<u64>,
    numbers: AtomicU64,
}

/// A datagram on its way out.
struct Outgoing {
    socket: Arc<UdpSocket>,
    to: SocketAddr,
    bytes: Vec<u8>,
}

/// A datagram held back. Sorts by when it is due.
struct Late {
    due: Instant,
    number: u64,
    outgoing: Outgoing,
}

impl Network {
    /// One relay before each of the nodes, calm.
    pub(crate) async fn start(nodes: Vec<SocketAddr>, seed: u64) -> Self {
        let (late, queue) = mpsc::channel(DELAYED_MAX);
        let shared = Arc::new(Shared {
            nodes,
            weather: Mutex::new((Weather::default(), StdRng::seed_from_u64(seed))),
            late,
            lost: watch::Sender::new(0),
            numbers: AtomicU64::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(release(queue));
        let mut addresses = Vec::new();
        for node in 1..=u16::try_from(shared.nodes.len()).expect("few nodes") {
            let front = Arc::new(UdpSocket::bind(LOOPBACK).await.expect("a port for a relay"));
            addresses.push(front.local_addr().expect("a bound socket has an address"));
            tasks.spawn(relay(Arc::clone(&shared), node, front));
        }
        Self { shared, addresses, tasks }
    }

    /// Where the relays listen, that of node 1 first.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub(crate) fn set(&self, weather: Weather) {
        self.shared.weather.lock().expect("no panic under the lock").0 = weather;
    }

    /// How many datagrams were lost, as it changes.
    pub(crate) fn lost(&self) -> watch::Receiver<u64> {
        self.shared.lost.subscribe()
    }
}

impl Shared {
    fn party(&self, source: SocketAddr) -> Party {
        let place = self.nodes.iter().position(|node| *node == source);
        place.map_or(Party::Client, |place| Party::Node(u16::try_from(place + 1).expect("few nodes")))
    }

    /// The delay of each copy that passes.
    fn copies(&self, link: (Party, Party)) -> Vec<Duration> {
        let (weather, rng) = &mut *self.weather.lock().expect("no panic under the lock");
        if weather.cut.contains(&link) || rng.random_bool(weather.dropped) {
            return Vec::new();
        }
        let count = if rng.random_bool(weather.doubled) { 2 } else { 1 };
        (0..count).map(|_| weather.delay_max.mul_f64(rng.random())).collect()
    }

    /// Lets a datagram pass as the weather has it.
    async fn pass(&self, link: (Party, Party), outgoing: Outgoing) {
        let copies = self.copies(link);
        let lost = copies.is_empty();
        for delay in copies {
            let Outgoing { socket, to, bytes } = &outgoing;
            if delay.is_zero() {
                outgoing.send().await;
                continue;
            }
            let outgoing = Outgoing { socket: Arc::clone(socket), to: *to, bytes: bytes.clone() };
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            // A full queue loses it.
            let _ = self.late.try_send(Late { due: Instant::now() + delay, number, outgoing });
        }
        if lost {
            self.lost.send_modify(|lost| *lost += 1);
        }
    }
}

impl Outgoing {
    async fn send(&self) {
        // Whoever does not listen any more does not get it.
        let _ = self.socket.send_to(&self.bytes, self.to).await;
    }
}

/// Carries what is sent to `node`'s relay, and through a socket of each source's own what the node answers.
async fn relay(shared: Arc<Shared>, node: u16, front: Arc<UdpSocket>) {
    let listens = shared.nodes[usize::from(node) - 1];
    let node = Party::Node(node);
    let mut sources = Sources::default();
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let Ok((len, source)) = front.recv_from(&mut buffer).await else { continue };
        let party = shared.party(source);
        let answers = |back| answer(Arc::clone(&shared), (node, party), back, Arc::clone(&front), source);
        let socket = sources.socket_of(source, answers).await;
        let outgoing = Outgoing { socket, to: listens, bytes: buffer[..len].to_vec() };
        shared.pass((party, node), outgoing).await;
    }
}

/// Whom a relay tells apart: for each a socket by which the node knows it, and the task that carries the answers.
#[derive(Default)]
struct Sources {
    known: VecDeque<(SocketAddr, Arc<UdpSocket>, AbortHandle)>,
    tasks: JoinSet<()>,
}

impl Sources {
    async fn socket_of<F>(
        &mut self,
        source: SocketAddr,
        answers: impl FnOnce(Arc<UdpSocket>) -> F,
    ) -> Arc<UdpSocket>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Some((_, socket, _)) = self.known.iter().find(|(known, _, _)| *known == source) {
            return Arc::clone(socket);
        }
        let socket = Arc::new(UdpSocket::bind(LOOPBACK).await.expect("a port for a source"));
        if self.known.len() == SOURCES_MAX
            && let Some((_, _, oldest)) = self.known.pop_front()
        {
            oldest.abort();
        }
        while self.tasks.try_join_next().is_some() {}
        let task = self.tasks.spawn(answers(Arc::clone(&socket)));
        self.known.push_back((source, Arc::clone(&socket), task));
        socket
    }
}

/// Carries a node's answers to one source.
async fn answer(
    shared: Arc<Shared>,
    link: (Party, Party),
    back: Arc<UdpSocket>,
    front: Arc<UdpSocket>,
    source: SocketAddr,
) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let Ok((len, _)) = back.recv_from(&mut buffer).await else { continue };
        let outgoing = Outgoing { socket: Arc::clone(&front), to: source, bytes: buffer[..len].to_vec() };
        shared.pass(link, outgoing).await;
    }
}

/// Sends what was held back once it is due.
async fn release(mut queue: mpsc::Receiver<Late>) {
    let mut held: BinaryHeap<Reverse<Late>> = BinaryHeap::new();
    loop {
        let come = match held.peek() {
            None => queue.recv().await,
            Some(Reverse(next)) => timeout_at(next.due, queue.recv()).await.unwrap_or(None),
        };
        match come {
            Some(late) if held.len() < DELAYED_MAX => held.push(Reverse(late)),
            None if held.is_empty() => return,
            _ => {}
        }
        while held.peek().is_some_and(|Reverse(late)| late.due <= Instant::now()) {
            if let Some(Reverse(late)) = held.pop() {
                late.outgoing.send().await;
            }
        }
    }
}

impl Ord for Late {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

impl PartialOrd for Late {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Late {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Late {}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    /// A node, and a client that knows the node by its relay.
    async fn pair(seed: u64) -> (Network, UdpSocket, UdpSocket) {
        let node = UdpSocket::bind(LOOPBACK).await.expect("a port");
        let client = UdpSocket::bind(LOOPBACK).await.expect("a port");
        let network = Network::start(vec![node.local_addr().expect("it is bound")], seed).await;
        client.connect(network.addresses()[0]).await.expect("an address on loopback");
        (network, node, client)
    }

    async fn hear(socket: &UdpSocket) -> (u8, SocketAddr) {
        let mut buffer = [0; 8];
        let heard = tokio::time::timeout(PATIENCE, socket.recv_from(&mut buffer)).await;
        let (len, from) = heard.expect("it arrives").expect("the socket works");
        assert_eq!(len, 1);
        (buffer[0], from)
    }

    #[tokio::test]
    async fn in_calm_weather_every_datagram_and_its_answer_pass_once_and_in_order() {
        let (network, node, client) = pair(1).await;
        for number in 0..200 {
            client.send(&[number]).await.expect("it is sent");
            let (heard, from) = hear(&node).await;
            node.send_to(&[heard], from).await.expect("it is answered");
            assert_eq!(hear(&client).await.0, number);
        }
        assert_eq!(*network.lost().borrow(), 0);
    }

    #[tokio::test]
    async fn a_cut_link_is_cut_one_way_and_carries_again_in_calm_weather() {
        let (network, node, client) = pair(2).await;
        client.send(&[0]).await.expect("it is sent");
        let (_, from) = hear(&node).await;
        let cut = [(Party::Node(1), Party::Client)].into();
        network.set(Weather { cut, ..Weather::default() });
        node.send_to(&[1], from).await.expect("it is sent");
        client.send(&[2]).await.expect("it is sent");
        assert_eq!(hear(&node).await.0, 2, "the other way is open");
        let mut lost = network.lost();
        let counted = lost.wait_for(|lost| *lost == 1);
        tokio::time::timeout(PATIENCE, counted).await.expect("it is lost").expect("the network stands");
        network.set(Weather::default());
        node.send_to(&[3], from).await.expect("it is sent");
        assert_eq!(hear(&client).await.0, 3, "what was lost stays lost");
    }

    #[tokio::test]
    async fn a_storm_doubles_and_reorders_and_loses_nothing_by_itself() {
        let (network, node, client) = pair(3).await;
        network.set(Weather { doubled: 1.0, delay_max: Duration::from_millis(50), ..Weather::default() });
        for number in 0..50 {
            client.send(&[number]).await.expect("it is sent");
        }
        let mut heard = Vec::new();
        while heard.len() < 100 {
            heard.push(hear(&node).await.0);
        }
        assert!(!heard.is_sorted(), "{heard:?}");
        heard.sort_unstable();
        assert_eq!(heard, (0..50).flat_map(|number| [number; 2]).collect::<Vec<u8>>());
    }

    #[test]
    fn one_seed_has_one_fate_for_every_datagram() {
        let fates = |seed| {
            let weather = Weather { dropped: 0.3, doubled: 0.3, delay_max: PATIENCE, ..Weather::default() };
            let (late, _queue) = mpsc::channel(1);
            let lost = watch::Sender::new(0);
            let weather = Mutex::new((weather, StdRng::seed_from_u64(seed)));
            let shared = Shared { nodes: Vec::new(), weather, late, lost, numbers: AtomicU64::new(0) };
            (0..50).map(|_| shared.copies((Party::Client, Party::Node(1)))).collect::<Vec<_>>()
        };
        assert_eq!(fates(7), fates(7));
        assert_ne!(fates(7), fates(8));
    }
}
