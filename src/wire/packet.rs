//! Packets on a stream: `header length (u32 LE), payload length (u32 LE), header (protobuf), payload (raw)`.
//!
//! Knows nothing of sockets: bytes go in as they arrive, packets come out. Invariants: both lengths are checked
//! against the limits before any memory is taken for them; memory grows with the bytes that arrived on the stream, never with
//! the bytes that a prefix promises; no input panics.

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes of a packet before its header.
pub const PREFIX_BYTES: usize = 8;
/// Room made for bytes to come when the next packet's size is not known yet.
const READ_BYTES: usize = 16 << 10;
/// Room made for the rest of a packet: at most this, or so many times what is already there, or as much as the largest packet before
/// took. Each time the room grows, what is there may have to move.
const READ_AHEAD_BYTES: usize = 64 << 10;
const READ_AHEAD_TIMES: usize = 16;

/// The largest packet a reader accepts, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketLimits {
    pub header_bytes_max: usize,
    pub payload_bytes_max: usize,
}

/// A packet was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    #[error("a packet header of {found} bytes is over the limit of {limit}")]
    HeaderTooLarge { found: usize, limit: usize },
    #[error("a packet payload of {found} bytes is over the limit of {limit}")]
    PayloadTooLarge { found: usize, limit: usize },
    #[error("a packet header of {bytes} bytes does not decode: {reason}")]
    Header { bytes: usize, reason: String },
    #[error("the stream ended {missing} bytes before the end of a packet")]
    Torn { missing: usize },
}

impl PacketLimits {
    fn check(&self, header: usize, payload: usize) -> Result<(), PacketError> {
        if header > self.header_bytes_max {
            return Err(PacketError::HeaderTooLarge { found: header, limit: self.header_bytes_max });
        }
        if payload > self.payload_bytes_max {
            return Err(PacketError::PayloadTooLarge { found: payload, limit: self.payload_bytes_max });
        }
        Ok(())
    }
}

/// The chunks of one packet, payload chunks shared and not copied.
pub fn encode_packet(
    header: &impl prost::Message,
    payload: Vec<Bytes>,
    limits: &PacketLimits,
) -> Result<Vec<Bytes>, PacketError> {
    let header_bytes = header.encoded_len();
    let payload_bytes = payload.iter().map(Bytes::len).sum();
    limits.check(header_bytes, payload_bytes)?;
    let mut front = BytesMut::with_capacity(PREFIX_BYTES + header_bytes);
    front.put_u32_le(u32::try_from(header_bytes).expect("limits fit the prefix"));
    front.put_u32_le(u32::try_from(payload_bytes).expect("limits fit the prefix"));
    header.encode(&mut front).expect("the buffer grows");
    let mut chunks = Vec::with_capacity(1 + payload.len());
    chunks.push(front.freeze());
    chunks.extend(payload.into_iter().filter(|chunk| !chunk.is_empty()));
    Ok(chunks)
}

/// Cuts a stream of bytes into packets.
#[derive(Debug)]
pub struct PacketDecoder {
    limits: PacketLimits,
    buffer: BytesMut,
    /// Of the largest packet that came whole.
    largest_bytes: usize,
}

impl PacketDecoder {
    pub fn new(limits: PacketLimits) -> Self {
        Self { limits, buffer: BytesMut::new(), largest_bytes: 0 }
    }

    /// Where bytes are to be appended as they arrive; has room for at least one.
    ///
    /// Call only after [`Self::next_packet`] answered `None`.
    pub fn buffer(&mut self) -> &mut BytesMut {
        if let Some((header, payload)) = lengths(&self.buffer) {
            let missing = (PREFIX_BYTES + header + payload).saturating_sub(self.buffer.len());
            let ahead_max =
                READ_AHEAD_BYTES.max(self.buffer.len() * READ_AHEAD_TIMES).max(self.largest_bytes);
            self.buffer.reserve(missing.clamp(1, ahead_max));
        } else if self.buffer.capacity() - self.buffer.len() < READ_BYTES / 4 {
            self.buffer.reserve(READ_BYTES);
        }
        &mut self.buffer
    }

    /// The next whole packet, `None` if more bytes are needed. After an error the stream is useless.
    pub fn next_packet<M: prost::Message + Default>(&mut self) -> Result<Option<(M, Bytes)>, PacketError> {
        let Some((header_bytes, payload_bytes)) = lengths(&self.buffer) else { return Ok(None) };
        self.limits.check(header_bytes, payload_bytes)?;
        let packet_bytes = PREFIX_BYTES + header_bytes + payload_bytes;
        if self.buffer.len() < packet_bytes {
            return Ok(None);
        }
        self.largest_bytes = self.largest_bytes.max(packet_bytes);
        let mut packet = self.buffer.split_to(packet_bytes).freeze();
        let payload = packet.split_off(PREFIX_BYTES + header_bytes);
        let header = packet.slice(PREFIX_BYTES..);
        let header = M::decode(header)
            .map_err(|error| PacketError::Header { bytes: header_bytes, reason: error.to_string() })?;
        Ok(Some((header, payload)))
    }

    /// The bytes that the packet which is begun and not whole claims to have: those of its prefix, if that is not whole.
    ///
    /// Ask only after [`Self::next_packet`] answered `None`.
    pub fn begun(&self) -> Option<usize> {
        let claimed = lengths(&self.buffer).map_or(PREFIX_BYTES, |(h, p)| PREFIX_BYTES + h + p);
        (!self.buffer.is_empty()).then_some(claimed)
    }

    /// The stream ended: an error unless it ended between two packets.
    pub fn finish(&self) -> Result<(), PacketError> {
        let Some(claimed) = self.begun() else { return Ok(()) };
        Err(PacketError::Torn { missing: claimed.saturating_sub(self.buffer.len()) })
    }
}

/// Header and payload length, once the prefix is there.
fn lengths(buffer: &[u8]) -> Option<(usize, usize)> {
    let (prefix, _) = buffer.split_first_chunk::<PREFIX_BYTES>()?;
    let both = u64::from_le_bytes(*prefix);
    Some(((both & u64::from(u32::MAX)) as usize, (both >> 32) as usize))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{HelloBody, NodeHello};

    const LIMITS: PacketLimits = PacketLimits { header_bytes_max: 256, payload_bytes_max: 1 << 20 };

    fn hello() -> NodeHello {
        NodeHello { protocol: 1, cluster: "c".to_owned(), node: 1, identity: 2, boot: 3 }
    }

    /// Feeds bytes in pieces, taking packets out as the transport does.
    fn feed(
        decoder: &mut PacketDecoder,
        mut bytes: &[u8],
        step: usize,
    ) -> Result<Vec<(NodeHello, Bytes)>, PacketError> {
        let mut packets = Vec::new();
        loop {
            while let Some(packet) = decoder.next_packet()? {
                packets.push(packet);
            }
            if bytes.is_empty() {
                return Ok(packets);
            }
            let buffer = decoder.buffer();
            let room = buffer.capacity() - buffer.len();
            assert!(room > 0, "a reader with no room would take it for the end of the stream");
            let (now, later) = bytes.split_at(step.min(room).min(bytes.len()));
            buffer.extend_from_slice(now);
            bytes = later;
        }
    }

    fn prefix(header: u32, payload: u32) -> Vec<u8> {
        [header.to_le_bytes(), payload.to_le_bytes()].concat()
    }

    proptest! {
        #[test]
        fn packets_survive_any_cutting_of_the_stream(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5000), 1..5),
            step in 1_usize..3000,
        ) {
            let mut stream = Vec::new();
            for payload in &payloads {
                let middle = payload.len() / 2;
                let payload = Bytes::from(payload.clone());
                let chunks = vec![payload.slice(..middle), payload.slice(middle..)];
                stream.extend(encode_packet(&hello(), chunks, &LIMITS).unwrap().concat());
            }
            let mut decoder = PacketDecoder::new(LIMITS);
            let packets = feed(&mut decoder, &stream, step).unwrap();
            decoder.finish().unwrap();
            let expected: Vec<_> = payloads.into_iter().map(|p| (hello(), Bytes::from(p))).collect();
            prop_assert_eq!(packets, expected);
        }

        #[test]
        fn hostile_bytes_never_panic_nor_take_memory_that_did_not_arrive(
            header in any::<u32>(), payload in any::<u32>(),
            rest in prop::collection::vec(any::<u8>(), 0..2000), step in 1_usize..3000,
        ) {
            // Half of the cases stay inside the limits, where the lie is in the missing bytes.
            for (header, payload) in [(header, payload), (header % 257, payload % (1 << 20))] {
                let mut stream = prefix(header, payload);
                stream.extend(&rest);
                let mut decoder = PacketDecoder::new(LIMITS);
                let outcome = feed(&mut decoder, &stream, step);
                let most = 2 * READ_AHEAD_BYTES + (1 + READ_AHEAD_TIMES) * stream.len();
                prop_assert!(decoder.buffer.capacity() <= most);
                if header as usize > LIMITS.header_bytes_max || payload as usize > LIMITS.payload_bytes_max {
                    let named = matches!(
                        outcome,
                        Err(PacketError::HeaderTooLarge { .. } | PacketError::PayloadTooLarge { .. })
                    );
                    prop_assert!(named);
                }
            }
        }
    }

    #[test]
    fn over_limit_prefixes_are_refused_before_anything_else_arrives() {
        let refused =
            |header, payload| feed(&mut PacketDecoder::new(LIMITS), &prefix(header, payload), 8).unwrap_err();
        assert_eq!(refused(257, 0), PacketError::HeaderTooLarge { found: 257, limit: 256 });
        let found = u32::MAX as usize;
        assert_eq!(refused(0, u32::MAX), PacketError::PayloadTooLarge { found, limit: 1 << 20 });
    }

    #[test]
    fn room_for_a_packet_as_large_as_one_before_it_is_made_at_once() {
        let packet = encode_packet(&hello(), vec![Bytes::from(vec![7; 1 << 20])], &LIMITS).unwrap().concat();
        let mut decoder = PacketDecoder::new(LIMITS);
        let mut growths = || {
            let (mut fed, mut grown) = (0, 0);
            while decoder.next_packet::<NodeHello>().unwrap().is_none() {
                let (begun, before) = (decoder.begun().is_some(), decoder.buffer.capacity());
                let buffer = decoder.buffer();
                grown += usize::from(begun && buffer.capacity() > before);
                let step = 5_000.min(packet.len() - fed).min(buffer.capacity() - buffer.len());
                buffer.extend_from_slice(&packet[fed..fed + step]);
                fed += step;
            }
            grown
        };
        assert!(growths() > 1, "nobody promised that so much would come");
        assert_eq!(growths(), 1);
    }

    #[test]
    fn a_sender_refuses_what_its_reader_would() {
        let payload = vec![Bytes::from(vec![0; (1 << 20) + 1])];
        let error = encode_packet(&hello(), payload, &LIMITS).unwrap_err();
        assert!(matches!(error, PacketError::PayloadTooLarge { .. }));
    }

    #[test]
    fn a_stream_that_ends_inside_a_packet_is_torn() {
        let stream = encode_packet(&hello(), vec![Bytes::from_static(b"payload")], &LIMITS).unwrap().concat();
        for end in 1..stream.len() {
            let mut decoder = PacketDecoder::new(LIMITS);
            assert!(feed(&mut decoder, &stream[..end], 7).unwrap().is_empty());
            assert!(
                matches!(decoder.finish(), Err(PacketError::Torn { missing }) if missing > 0),
                "cut at {end}"
            );
        }
    }

    #[test]
    fn fields_of_a_newer_peer_are_skipped() {
        #[derive(Clone, PartialEq, prost::Message)]
        struct Newer {
            #[prost(uint32, tag = "1")]
            protocol: u32,
            #[prost(string, tag = "77")]
            later: String,
        }
        let newer = Newer { protocol: 1, later: "not known here".to_owned() };
        let newer = encode_packet(&newer, Vec::new(), &LIMITS).unwrap().concat();
        let mut decoder = PacketDecoder::new(LIMITS);
        decoder.buffer().extend_from_slice(&newer);
        let (older, _) = decoder.next_packet::<HelloBody>().unwrap().expect("whole");
        assert_eq!(older, HelloBody { protocol: 1, ..HelloBody::default() });
    }
}
