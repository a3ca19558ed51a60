//! stub
use super::Error;
use crate::wire::{Request, Response};
use bytes::Bytes;
use std::marker::PhantomData;
use std::time::Duration;
/// A node's end of a client's stream.
pub type ServerStream = PacketStream<Response, Request>;
/// A client's end of a stream.
pub type ClientStream = PacketStream<Request, Response>;
/// A bidirectional stream of packets.
pub struct PacketStream<Out, In> {
    _o: PhantomData<(Out, In)>,
}
/// The sending half.
pub struct PacketSender<Out> {
    _o: PhantomData<Out>,
}
/// The receiving half.
pub struct PacketReceiver<In> {
    _o: PhantomData<In>,
}
impl<Out: prost::Message, In: prost::Message + Default> PacketStream<Out, In> {
    /// Sends one packet; waits while the peer's windows are full. Not cancel-safe.
    pub async fn send(&mut self, _header: &Out, _payload: Vec<Bytes>) -> Result<(), Error> {
        todo!()
    }
    /// The next packet, `None` at the end. Cancel-safe.
    pub async fn recv(&mut self) -> Result<Option<(In, Bytes)>, Error> {
        todo!()
    }
    /// Two halves for two tasks.
    pub fn split(self) -> (PacketSender<Out>, PacketReceiver<In>) {
        todo!()
    }
}
impl<Out: prost::Message> PacketSender<Out> {
    /// Sends one packet; waits while the peer's windows are full. Not cancel-safe.
    pub async fn send(&mut self, _header: &Out, _payload: Vec<Bytes>) -> Result<(), Error> {
        todo!()
    }
    /// Sends several packets in one write.
    pub async fn send_all(&mut self, _packets: Vec<(Out, Vec<Bytes>)>) -> Result<(), Error> {
        todo!()
    }
    /// Nothing more will be sent; what was sent is still delivered.
    pub fn finish(&mut self) {
        todo!()
    }
}
impl<In: prost::Message + Default> PacketReceiver<In> {
    /// The next packet, `None` at the end. Cancel-safe.
    pub async fn recv(&mut self) -> Result<Option<(In, Bytes)>, Error> {
        todo!()
    }
    /// As [`Self::recv`], `HelloTimeout` if nothing whole arrived in time.
    pub async fn recv_within(&mut self, _limit: Duration) -> Result<Option<(In, Bytes)>, Error> {
        todo!()
    }
}
