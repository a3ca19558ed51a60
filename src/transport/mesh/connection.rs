//! One connection from its birth to its end: dialled or taken in, judged, pumped, taken out of use.
//!
//! Knows nothing of what messages mean.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::backoff::Backoff;
use super::hello::{self, Refusal};
use super::links::Shared;
use super::peer::{Active, Peer};
use crate::transport::endpoint::Arrival;
use crate::transport::stream::{Named, PacketReceiver};
use crate::transport::tls::{explain, peer_name};
use crate::transport::{CloseCode, Error, StreamClass};
use crate::types::NodeId;
use crate::wire::{ClockProbe, NodeHello, NodeMessage};

/// A connection that stood this long was a good one: dialling starts over with short pauses.
const GOOD_AFTER: Duration = Duration::from_secs(1);

/// Connections of peers that may be without a hello at one time.
const HELLOS_MAX: usize = 256;

/// Dials a peer whenever no connection to it stands.
pub(super) async fn keep_connected(shared: Arc<Shared>, peer: Arc<Peer>) {
    let me = &shared.me;
    // The two ends of a pair must differ, or they dial in step for ever.
    let pair = me.node.rotate_left(32) ^ peer.node.0;
    let mut backoff = Backoff::new(me.identity ^ me.boot.rotate_left(48) ^ pair);
    let mut standing = peer.standing.subscribe();
    loop {
        if standing.borrow_and_update().is_none()
            && let Err(error) = dial(&shared, &peer).await
            && peer.active().is_none()
        {
            peer.complain(&error.to_string());
        }
        while let Some(active) = peer.active() {
            active.connection.closed().await;
            if active.since.elapsed() >= GOOD_AFTER {
                backoff.reset();
            }
            // The task that serves the connection takes it out of use, or another one stands already.
            if peer.active().is_some_and(|now| Arc::ptr_eq(&now, &active))
                && standing.changed().await.is_err()
            {
                return;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.pause()) => {}
            _ = standing.wait_for(Option::is_some) => {}
        }
    }
}

async fn dial(shared: &Arc<Shared>, peer: &Arc<Peer>) -> Result<(), Error> {
    let connection = shared.endpoint.dial(peer.node, &peer.address).await?;
    if peer.active().is_some() {
        // The peer was faster; one connection is enough.
        connection.close(CloseCode::Replaced.varint(), b"another connection between these nodes stands");
        return Ok(());
    }
    let name = peer_name(&connection).unwrap_or_default();
    let named = Named { connection, peer: format!("node {} at {}", peer.node, peer.address).into() };
    let hello = hello::ask(&named, &shared.me, shared.hello_timeout()).await?;
    let judged = judge(shared, &hello, &name).await.and_then(|found| {
        if found.node == peer.node {
            Ok(())
        } else {
            let reason = format!("node {} answers where node {} was expected", found.node, peer.node);
            Err((CloseCode::WrongName, reason))
        }
    });
    judged.map_err(|refusal| refuse(&named, refusal))?;
    let dialler = NodeId(shared.me.node);
    let active = Active::new(named.connection, hello.boot, dialler, shared.endpoint.options());
    if peer.install(&active) {
        tokio::spawn(serve(shared.clone(), peer.clone(), active));
    }
    Ok(())
}

/// Takes in the connections that peers dial.
pub(super) async fn take_arrivals(shared: Arc<Shared>, mut arrivals: mpsc::Receiver<Arrival>) {
    let mut hellos = JoinSet::new();
    while let Some(arrival) = arrivals.recv().await {
        while hellos.try_join_next().is_some() {}
        if hellos.len() >= HELLOS_MAX {
            arrival.connection.close(CloseCode::Busy.varint(), b"too many connections at once");
            continue;
        }
        let shared = shared.clone();
        hellos.spawn(async move {
            let Arrival { connection, name } = arrival;
            let peer = format!("{name} at {}", connection.remote_address());
            let named = Named { connection, peer: peer.into() };
            if let Err(error) = take_in(&shared, &named, &name).await {
                complain_of_arrival(&shared, &name, &error);
            }
        });
    }
}

async fn take_in(shared: &Arc<Shared>, named: &Named, name: &str) -> Result<(), Error> {
    let (hello, mut stream) = hello::await_question(named, shared.hello_timeout()).await?;
    let peer = judge(shared, &hello, name).await.map_err(|refusal| refuse(named, refusal))?;
    let active = Active::new(named.connection.clone(), hello.boot, peer.node, shared.endpoint.options());
    if peer.install(&active) {
        tokio::spawn(serve(shared.clone(), peer, active));
        stream.send(&shared.me, Vec::new()).await?;
    }
    Ok(())
}

/// Names a refused arrival in the log, and beside the peer if the certificate proves that it is one.
fn complain_of_arrival(shared: &Shared, name: &str, error: &Error) {
    if let Error::Closed { .. } = error {
        // The dialler gave it up, most often because a better connection stands.
        tracing::debug!(peer = %name, %error, "a connection ended before its hello");
        return;
    }
    let peer = shared.peers.values().find(|peer| name == format!("node-{}", peer.node));
    match peer {
        Some(peer) => peer.complain(&error.to_string()),
        None => {
            if shared.stranger_warnings.is_due(&error.to_string()) {
                tracing::warn!(certificate = %name, %error, "a node connection was refused");
            }
        }
    }
}

async fn judge(shared: &Arc<Shared>, hello: &NodeHello, name: &str) -> Result<Arc<Peer>, Refusal> {
    let node = hello::check(hello, name, &shared.me)?;
    let Some(peer) = shared.peers.get(&node) else {
        let reason = format!("node {node} is not among the peers of node {}", shared.me.node);
        return Err((CloseCode::UnknownNode, reason));
    };
    match shared.identities.check(node, hello.identity).await {
        Ok(()) => Ok(peer.clone()),
        Err(why) => {
            let reason = format!("node {node} is not the one that node {} remembers: {why}", shared.me.node);
            Err((CloseCode::IdentityChanged, reason))
        }
    }
}

fn refuse(named: &Named, (code, reason): Refusal) -> Error {
    named.close(code, &reason);
    Error::Refused { peer: named.peer.to_string(), code, reason }
}

/// Moves messages both ways until the connection ends, then takes it out of use.
async fn serve(shared: Arc<Shared>, peer: Arc<Peer>, active: Arc<Active>) {
    let mut pumps = JoinSet::new();
    for class in StreamClass::ALL {
        pumps.spawn(write(active.clone(), class));
    }
    pumps.spawn(read_probes(shared.clone(), peer.clone(), active.connection.clone()));
    pumps.spawn(read_all(shared, peer.clone(), active.connection.clone()));
    let ended = active.connection.closed().await;
    peer.remove(&active, explain(&ended));
}

async fn write(active: Arc<Active>, class: StreamClass) {
    // Every error here means that the connection is ending, which `serve` sees.
    let Ok(mut stream) = active.connection.open_uni().await else { return };
    // A lower number yields to a higher one when both have something to send.
    let _ = stream.set_priority(i32::from(class == StreamClass::Raft));
    loop {
        let mut chunks = active.queues[class.position()].take().await;
        if stream.write_all_chunks(&mut chunks).await.is_err() {
            active.connection.close(CloseCode::Malformed.varint(), b"a message stream was given up");
            return;
        }
    }
}

async fn read_all(shared: Arc<Shared>, peer: Arc<Peer>, connection: quinn::Connection) {
    let mut streams = JoinSet::new();
    let named = Named { connection, peer: format!("node {}", peer.node).into() };
    while let Ok(stream) = named.connection.accept_uni().await {
        while streams.try_join_next().is_some() {}
        let options = shared.endpoint.options();
        let packets = PacketReceiver::<NodeMessage>::new(named.clone(), stream, options.node_limits)
            .limited(options.packet_time);
        streams.spawn(read(shared.clone(), peer.clone(), packets));
    }
}

async fn read(shared: Arc<Shared>, peer: Arc<Peer>, mut packets: PacketReceiver<NodeMessage>) {
    loop {
        match packets.recv().await {
            Ok(Some((message, payload))) => shared.inbox.on_message(peer.node, message, payload),
            // The peer then ends the connection, and dials again.
            Err(error @ (Error::Packet { .. } | Error::Stalled { .. })) => {
                return peer.complain(&error.to_string());
            }
            Ok(None) | Err(_) => return,
        }
    }
}

/// Datagrams of a connection between nodes are probes.
async fn read_probes(shared: Arc<Shared>, peer: Arc<Peer>, connection: quinn::Connection) {
    while let Ok(bytes) = connection.read_datagram().await {
        match <ClockProbe as prost::Message>::decode(bytes) {
            Ok(probe) => shared.inbox.on_probe(peer.node, probe),
            // It may be of another version, or damaged; the next one may be read.
            Err(error) => peer.complain(&format!("a probe of it cannot be read: {error}")),
        }
    }
}

/// Tells the inbox, in order, of connections that come and go.
pub(super) async fn announce(shared: Arc<Shared>, peer: Arc<Peer>) {
    let mut standing = peer.standing.subscribe();
    let mut announced = None;
    while standing.changed().await.is_ok() {
        let now = *standing.borrow_and_update();
        if announced.is_some() && announced != now {
            shared.inbox.on_disconnected(peer.node);
        }
        if now.is_some() && announced != now {
            shared.inbox.on_connected(peer.node);
        }
        announced = now;
    }
}
