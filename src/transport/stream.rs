//! Packets over one QUIC stream, each half usable from its own task.
//!
//! Knows nothing of what packets mean. A peer that breaks the limits or the format loses its whole connection,
//! with a reason it can read; one that begins a packet and does not finish it in time loses that stream.

use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::{ReadError, RecvStream, SendStream, WriteError};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout_at};

use super::tls::ended;
use super::{CloseCode, Error, PacketTime};
use crate::wire::{PacketDecoder, PacketError, PacketLimits, Request, Response, encode_packet};

/// A node's end of a client's stream.
pub type ServerStream = PacketStream<Response, Request>;
/// A client's end of a stream.
pub type ClientStream = PacketStream<Request, Response>;

/// A connection with the name by which errors call its peer.
#[derive(Clone)]
pub(super) struct Named {
    pub(super) connection: quinn::Connection,
    pub(super) peer: Arc<str>,
}

impl Named {
    pub(super) fn close(&self, code: CloseCode, reason: &str) {
        self.connection.close(code.varint(), reason.as_bytes());
    }

    pub(super) fn ended(&self, error: &quinn::ConnectionError) -> Error {
        ended(&self.peer, error)
    }
}

/// A bidirectional stream of packets.
pub struct PacketStream<Out, In> {
    sender: PacketSender<Out>,
    receiver: PacketReceiver<In>,
}

impl<Out: prost::Message, In: prost::Message + Default> PacketStream<Out, In> {
    pub(super) fn new(
        connection: &Named,
        (send, receive): (SendStream, RecvStream),
        send_limits: PacketLimits,
        receive_limits: PacketLimits,
    ) -> Self {
        Self {
            sender: PacketSender::new(connection.clone(), send, send_limits),
            receiver: PacketReceiver::new(connection.clone(), receive, receive_limits),
        }
    }

    /// With a limit of the time that a packet of the peer's may take.
    pub(super) fn limited(mut self, packet_time: PacketTime) -> Self {
        self.receiver = self.receiver.limited(packet_time);
        self
    }

    /// See [`PacketSender::send`].
    pub async fn send(&mut self, header: &Out, payload: Vec<Bytes>) -> Result<(), Error> {
        self.sender.send(header, payload).await
    }

    /// See [`PacketReceiver::recv`].
    pub async fn recv(&mut self) -> Result<Option<(In, Bytes)>, Error> {
        self.receiver.recv().await
    }

    /// See [`PacketReceiver::recv_within`].
    pub async fn recv_within(&mut self, limit: Duration) -> Result<Option<(In, Bytes)>, Error> {
        self.receiver.recv_within(limit).await
    }

    /// Two halves for two tasks.
    pub fn split(self) -> (PacketSender<Out>, PacketReceiver<In>) {
        (self.sender, self.receiver)
    }
}

/// The sending half of a stream. Dropping it ends the half after what was sent.
pub struct PacketSender<Out> {
    connection: Named,
    stream: SendStream,
    limits: PacketLimits,
    sends: PhantomData<fn(Out)>,
}

impl<Out: prost::Message> PacketSender<Out> {
    fn new(connection: Named, stream: SendStream, limits: PacketLimits) -> Self {
        Self { connection, stream, limits, sends: PhantomData }
    }

    /// Sends one packet; waits while the peer's windows are full. Cancelled midway, the stream is torn: drop it.
    pub async fn send(&mut self, header: &Out, payload: Vec<Bytes>) -> Result<(), Error> {
        let mut chunks = self.encode(header, payload)?;
        self.write(&mut chunks).await
    }

    /// Sends several packets in one write; otherwise as [`Self::send`]. Nothing is sent if one is over the limits.
    pub async fn send_all(&mut self, packets: Vec<(Out, Vec<Bytes>)>) -> Result<(), Error> {
        let mut chunks = Vec::with_capacity(packets.len() * 2);
        for (header, payload) in packets {
            chunks.extend(self.encode(&header, payload)?);
        }
        self.write(&mut chunks).await
    }

    /// Nothing more will be sent; what was sent is still delivered.
    pub fn finish(&mut self) {
        // Fails only if the stream is over already, which is what is asked for.
        let _ = self.stream.finish();
    }

    /// Waits until the peer has everything that was sent before [`Self::finish`], or wants no more of it.
    pub async fn delivered(&mut self) {
        let _ = self.stream.stopped().await;
    }

    fn encode(&self, header: &Out, payload: Vec<Bytes>) -> Result<Vec<Bytes>, Error> {
        encode_packet(header, payload, &self.limits)
            .map_err(|source| Error::Packet { peer: self.connection.peer.to_string(), source })
    }

    async fn write(&mut self, chunks: &mut [Bytes]) -> Result<(), Error> {
        self.stream.write_all_chunks(chunks).await.map_err(|error| match error {
            WriteError::ConnectionLost(error) => self.connection.ended(&error),
            WriteError::Stopped(code) => stream_ended(&self.connection, code),
            other => Error::Closed { peer: self.connection.peer.to_string(), reason: other.to_string() },
        })
    }
}

/// The receiving half of a stream. Dropping it tells the peer that no more is wanted.
pub struct PacketReceiver<In> {
    connection: Named,
    stream: RecvStream,
    decoder: PacketDecoder,
    packet_time: Option<PacketTime>,
    /// When the first byte of a packet that is not whole yet was seen.
    begun: Option<Instant>,
    receives: PhantomData<fn() -> In>,
}

impl<In: prost::Message + Default> PacketReceiver<In> {
    pub(super) fn new(connection: Named, stream: RecvStream, limits: PacketLimits) -> Self {
        let decoder = PacketDecoder::new(limits);
        Self { connection, stream, decoder, packet_time: None, begun: None, receives: PhantomData }
    }

    /// With a limit of the time that a packet may take. Whoever leaves a packet half received to do something else has its
    /// peer pay for that time.
    pub(super) fn limited(self, packet_time: PacketTime) -> Self {
        Self { packet_time: Some(packet_time), ..self }
    }

    /// The next packet, `None` when the peer has finished. May be cancelled and called again: nothing is lost.
    ///
    /// A packet over the limits, or none at all, closes the connection; one that takes too long, the stream.
    pub async fn recv(&mut self) -> Result<Option<(In, Bytes)>, Error> {
        loop {
            match self.decoder.next_packet() {
                Ok(Some(packet)) => {
                    self.begun = None;
                    return Ok(Some(packet));
                }
                Ok(None) => {}
                Err(error) => return Err(self.refuse(error)),
            }
            if self.read().await? == 0 {
                return match self.decoder.finish() {
                    Ok(()) => Ok(None),
                    Err(source) => Err(Error::Packet { peer: self.connection.peer.to_string(), source }),
                };
            }
        }
    }

    /// As [`Self::recv`], but closes the connection with `HelloTimeout` if no whole packet came within `limit`.
    pub async fn recv_within(&mut self, limit: Duration) -> Result<Option<(In, Bytes)>, Error> {
        match tokio::time::timeout(limit, self.recv()).await {
            Ok(received) => received,
            Err(_) => Err(hello_timeout(&self.connection, limit)),
        }
    }

    /// Some more bytes; 0 at the end of the stream.
    async fn read(&mut self) -> Result<usize, Error> {
        let limit = self.decoder.begun().zip(self.packet_time).map(|(claimed_bytes, time)| {
            (claimed_bytes, time.limit(claimed_bytes), *self.begun.get_or_insert_with(Instant::now))
        });
        let reading = self.stream.read_buf(self.decoder.buffer());
        let read = match limit {
            None => reading.await,
            // What has arrived is read first, however late: the peer did its part.
            Some((claimed_bytes, after, begun)) => match timeout_at(begun + after, reading).await {
                Ok(read) => read,
                Err(_) => return Err(self.stalled(claimed_bytes, after)),
            },
        };
        read.map_err(|error| self.read_error(error))
    }

    fn stalled(&mut self, claimed_bytes: usize, after: Duration) -> Error {
        // Fails only if the stream is over already, which is what is asked for.
        let _ = self.stream.stop(CloseCode::Stalled.varint());
        Error::Stalled { peer: self.connection.peer.to_string(), claimed_bytes, after }
    }

    fn refuse(&self, source: PacketError) -> Error {
        let code = match source {
            PacketError::HeaderTooLarge { .. } | PacketError::PayloadTooLarge { .. } => {
                CloseCode::PacketTooLarge
            }
            PacketError::Header { .. } | PacketError::Torn { .. } => CloseCode::Malformed,
        };
        self.connection.close(code, &source.to_string());
        Error::Packet { peer: self.connection.peer.to_string(), source }
    }

    fn read_error(&self, error: io::Error) -> Error {
        let reason = error.to_string();
        match error.into_inner().and_then(|inner| inner.downcast::<ReadError>().ok()).map(|inner| *inner) {
            Some(ReadError::ConnectionLost(error)) => self.connection.ended(&error),
            Some(ReadError::Reset(code)) => stream_ended(&self.connection, code),
            _ => Error::Closed { peer: self.connection.peer.to_string(), reason },
        }
    }
}

fn stream_ended(connection: &Named, code: quinn::VarInt) -> Error {
    Error::StreamEnded { peer: connection.peer.to_string(), code: code.into_inner() }
}

/// Closes a connection whose peer let the time for its first words pass.
pub(super) fn hello_timeout(connection: &Named, limit: Duration) -> Error {
    let reason = format!("no hello within {limit:?}");
    connection.close(CloseCode::HelloTimeout, &reason);
    Error::Refused { peer: connection.peer.to_string(), code: CloseCode::HelloTimeout, reason }
}
