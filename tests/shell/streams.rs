//! The transport's streams between a client and a node, on a path that loses, doubles, delays and narrows.
//!
//! The node is an echo: it answers every request with its payload, and a subscription with numbered blocks for as long as
//! the client takes them.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use timberline::transport::{
    ClientConnection, ClientStream, Endpoint, PacketTime, ServerConnection, ServerStream, TransportOptions,
};
use timberline::wire::{HelloBody, Request, RequestBody, Response, ResponseBody, SubscribeBody};
use tokio::task::JoinSet;

use crate::certs;
use crate::seeds;
use crate::world::{Climate, Machine, World, address};

/// A dozen streams with megabytes each share a path of some hundred kilobytes a second: a node's usual time for a packet is
/// for better ones.
const PATIENT: PacketTime = PacketTime { least: Duration::from_secs(60), per_mib: Duration::from_secs(20) };
const NO_STORM: Duration = Duration::ZERO;
const LIMIT: Duration = Duration::from_secs(300);
const STREAMS: u64 = 40;
const STREAMS_AT_ONCE: usize = 12;
/// More than a stream's window, so that its sender is still sending when it is dropped; one in so many streams.
const TORN_BYTES: usize = 5 << 20;
const TORN_EVERY: u64 = 10;
const BLOCKS: u64 = 48;
const BLOCK_BYTES: usize = 64 << 10;
/// What the node may have sent to a client that reads nothing: the client's window of one stream.
const AHEAD_BYTES_MAX: usize = 1 << 20;

/// How many blocks the node has sent on subscriptions.
type Sent = Rc<Cell<u64>>;

async fn echo(machine: Rc<Machine>, sent: Sent) -> Result<(), Box<dyn std::error::Error>> {
    let identity = certs::node(machine.node);
    let options = TransportOptions { packet_time: PATIENT, ..TransportOptions::default() };
    let endpoint = Endpoint::on(machine.socket().await?, &identity, options)?;
    let mut listener = endpoint.client_listener();
    while let Some(connection) = listener.accept().await {
        tokio::task::spawn_local(converse(connection, Rc::clone(&sent)));
    }
    Ok(())
}

async fn converse(connection: ClientConnection, sent: Sent) {
    while let Ok(stream) = connection.accept_stream().await {
        tokio::task::spawn_local(answer(stream, Rc::clone(&sent)));
    }
}

async fn answer(mut stream: ServerStream, sent: Sent) -> Option<()> {
    while let Ok(Some((Request { id, body }, payload))) = stream.recv().await {
        let body_of = |id| Response { id, body: Some(ResponseBody::Hello(HelloBody::default())) };
        if let Some(RequestBody::Subscribe(_)) = body {
            for number in 0..BLOCKS {
                stream.send(&body_of(number), vec![block(number)]).await.ok()?;
                sent.set(sent.get() + 1);
            }
        } else {
            stream.send(&body_of(id), vec![payload]).await.ok()?;
        }
    }
    None
}

fn block(number: u64) -> Bytes {
    Bytes::from(vec![number as u8; BLOCK_BYTES])
}

fn question(id: u64, bytes: usize) -> (Request, Bytes) {
    (Request { id, body: Some(RequestBody::Cluster(true)) }, Bytes::from(vec![id as u8; bytes]))
}

async fn asked(stream: &mut ClientStream, id: u64, bytes: usize) {
    let (request, payload) = question(id, bytes);
    stream.send(&request, vec![payload.clone()]).await.expect("the connection stands");
    let (response, echoed) = stream.recv().await.expect("the connection stands").expect("answered");
    assert_eq!(response.id, id);
    assert!(echoed == payload, "stream {id}: the answer is that of its own question");
}

async fn connect(climate: &Climate) -> ServerConnection {
    let endpoint = climate.client_endpoint(1).await;
    loop {
        // The path may be bad enough to fail a handshake.
        if let Ok(connection) = endpoint.connect(&address(1).to_string()).await {
            return connection;
        }
    }
}

/// Half of the streams are dropped wherever they happen to be.
async fn drop_half(climate: Climate) {
    let mut random = StdRng::seed_from_u64(climate.seed);
    let connection = connect(&climate).await;
    let mut open = JoinSet::new();
    for id in 1..=STREAMS {
        if open.len() >= STREAMS_AT_ONCE {
            open.join_next().await;
        }
        let torn = id % TORN_EVERY == 0;
        let bytes = if torn { TORN_BYTES } else { random.random_range(0..200_000) };
        let (broken, limit) = (torn || random.random(), Duration::from_millis(random.random_range(0..200)));
        let (broken_off, connection) = (broken.then_some(limit), connection.clone());
        open.spawn_local(async move {
            let whole = async {
                let mut stream = connection.open_stream().await.expect("the connection stands");
                asked(&mut stream, id, bytes).await;
                asked(&mut stream, id + STREAMS, bytes / 2).await;
            };
            match broken_off {
                Some(limit) => drop(tokio::time::timeout(limit, whole).await),
                None => whole.await,
            }
        });
    }
    while open.join_next().await.is_some() {}
    let mut last = connection.open_stream().await.expect("room for another stream is given back");
    asked(&mut last, 1, 1).await;
    assert!(!connection.is_closed());
}

/// Subscribes, reads nothing for a while, then all.
async fn read_late(climate: Climate, sent: Sent) {
    let connection = connect(&climate).await;
    let mut late = connection.open_stream().await.expect("the connection stands");
    let body = RequestBody::Subscribe(SubscribeBody { shard: 1, from_timestamp_ns: 0 });
    late.send(&Request { id: 1, body: Some(body) }, Vec::new()).await.expect("the connection stands");
    let mut other = connection.open_stream().await.expect("the connection stands");
    for id in 1..100 {
        asked(&mut other, id, 3000).await;
    }
    let ahead = sent.get();
    assert!(ahead > 0 && ahead as usize * BLOCK_BYTES <= AHEAD_BYTES_MAX, "{ahead} blocks");
    for number in 0..BLOCKS {
        let (response, payload) = late.recv().await.expect("the connection stands").expect("a block");
        assert_eq!(response.id, number);
        assert!(payload == block(number), "block {number} is whole");
    }
}

#[test]
fn a_stream_that_is_dropped_midway_ends_alone() {
    for seed in seeds() {
        let mut world = World::new(seed, |machine| echo(machine, Sent::default()));
        let climate = world.climate();
        world.client("client", drop_half(climate));
        world.run(NO_STORM, LIMIT, |_| false);
    }
}

#[test]
fn a_client_that_reads_late_holds_the_node_back_and_misses_nothing() {
    for seed in seeds() {
        let sent = Sent::default();
        let counted = Rc::clone(&sent);
        let mut world = World::new(seed, move |machine| echo(machine, Rc::clone(&counted)));
        let climate = world.climate();
        world.client("client", read_late(climate, sent));
        world.run(NO_STORM, LIMIT, |_| false);
    }
}
