//! The first words on a connection between nodes, and every reason to end it there.
//!
//! Knows nothing of which connection is used afterwards.

use std::time::Duration;

use tokio::time::timeout;

use crate::transport::stream::{Named, PacketStream, hello_timeout};
use crate::transport::{CloseCode, Error};
use crate::types::NodeId;
use crate::wire::{NodeHello, PacketLimits};

/// A hello is small; nothing larger is read before the peer is known.
const LIMITS: PacketLimits = PacketLimits { header_bytes_max: 4 << 10, payload_bytes_max: 0 };

type HelloStream = PacketStream<NodeHello, NodeHello>;

/// Why a peer was refused, for its eyes and the log.
pub(super) type Refusal = (CloseCode, String);

/// Says hello first and waits for the answer.
pub(super) async fn ask(connection: &Named, me: &NodeHello, limit: Duration) -> Result<NodeHello, Error> {
    let stream = connection.connection.open_bi().await.map_err(|error| connection.ended(&error))?;
    let mut stream = HelloStream::new(connection, stream, LIMITS, LIMITS);
    stream.send(me, Vec::new()).await?;
    receive(connection, &mut stream, limit).await
}

/// Waits for the other's hello; the answer is due on the stream.
pub(super) async fn await_question(
    connection: &Named,
    limit: Duration,
) -> Result<(NodeHello, HelloStream), Error> {
    let accepted = timeout(limit, connection.connection.accept_bi()).await;
    let stream = accepted.map_err(|_| hello_timeout(connection, limit))?;
    let stream = stream.map_err(|error| connection.ended(&error))?;
    let mut stream = HelloStream::new(connection, stream, LIMITS, LIMITS);
    let hello = receive(connection, &mut stream, limit).await?;
    Ok((hello, stream))
}

async fn receive(connection: &Named, stream: &mut HelloStream, limit: Duration) -> Result<NodeHello, Error> {
    if let Some((hello, _)) = stream.recv_within(limit).await? {
        return Ok(hello);
    }
    let reason = "the hello is missing".to_owned();
    connection.close(CloseCode::Malformed, &reason);
    Err(Error::Refused { peer: connection.peer.to_string(), code: CloseCode::Malformed, reason })
}

/// Judges a hello against the name in the certificate and our own hello; all but what must be remembered.
pub(super) fn check(hello: &NodeHello, name: &str, me: &NodeHello) -> Result<NodeId, Refusal> {
    if hello.protocol != me.protocol {
        let reason = format!(
            "node {} speaks protocol {}, node {} speaks {}; upgrade the older one",
            hello.node, hello.protocol, me.node, me.protocol
        );
        return Err((CloseCode::WrongProtocol, reason));
    }
    if name != format!("node-{}", hello.node) {
        let reason = format!("the certificate `{name}` does not allow its holder to be node {}", hello.node);
        return Err((CloseCode::WrongName, reason));
    }
    if hello.cluster != me.cluster {
        let reason = format!(
            "node {} belongs to cluster `{}`, node {} to `{}`; check cluster.id and addresses",
            hello.node, hello.cluster, me.node, me.cluster
        );
        return Err((CloseCode::WrongCluster, reason));
    }
    Ok(NodeId(hello.node))
}
