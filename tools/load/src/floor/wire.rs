//! The floor's bytes: QUIC tuned as Timberline's is, and frames of batches.
//!
//! A stream begins with one byte that says what it is for. *Append*: frames one way, and the other way, as often as it
//! changes, how many frames of this stream a majority holds (u64). *Replay*: the file's frames from the first on. A
//! frame: u32 body bytes, u32 records, the body. Little-endian throughout.

use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use quinn::udp::UdpSocketState;
use quinn::{
    ClientConfig, Endpoint, EndpointConfig, MtuDiscoveryConfig, RecvStream, ServerConfig, TransportConfig,
    VarInt,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use timberline::transport::RECEIVE_BUFFER_BYTES;

use crate::failure::Failure;

pub(super) const APPEND: u8 = b'A';
pub(super) const REPLAY: u8 = b'R';
pub(super) const FRAME_HEAD_BYTES: usize = 8;
/// The name in the certificate, for all nodes.
pub(super) const SERVER_NAME: &str = "floor";

/// The same windows and datagrams as Timberline's own connections have.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
const DATAGRAM_BYTES_MAX: u16 = 6500;
const STREAMS_MAX: u32 = 4096;
const KEEP_ALIVE: Duration = Duration::from_secs(2);

/// A socket on loopback with room for bursts as Timberline's own have, and an endpoint on it.
pub(super) fn endpoint(server: Option<ServerConfig>) -> Result<Endpoint, Failure> {
    let open = || {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let buffers = UdpSocketState::new((&udp).into())?;
        buffers.set_recv_buffer_size((&udp).into(), RECEIVE_BUFFER_BYTES)?;
        let mut config = EndpointConfig::default();
        config.max_udp_payload_size(DATAGRAM_BYTES_MAX).expect("1,200 or more");
        let runtime = quinn::default_runtime().expect("called within a tokio runtime");
        Endpoint::new(config, server, udp, runtime)
    };
    open().map_err(|source| Failure::Machine { what: "open a socket on 127.0.0.1", source })
}

/// A batch as a frame.
pub(super) fn frame(batch: &[Bytes]) -> Bytes {
    let body_bytes: usize = batch.iter().map(Bytes::len).sum();
    let mut frame = BytesMut::with_capacity(FRAME_HEAD_BYTES + body_bytes);
    frame.put_u32_le(body_bytes as u32);
    frame.put_u32_le(batch.len() as u32);
    for value in batch {
        frame.put_slice(value);
    }
    frame.freeze()
}

/// The next frame of a stream, head included; `None` at the stream's end or if it breaks.
pub(super) async fn read_frame(stream: &mut RecvStream, frame_bytes_max: usize) -> Option<Bytes> {
    let mut head = [0; FRAME_HEAD_BYTES];
    stream.read_exact(&mut head).await.ok()?;
    let [body_bytes, _] = head_of(head);
    let whole = FRAME_HEAD_BYTES + body_bytes as usize;
    if whole > frame_bytes_max {
        return None;
    }
    let mut frame = BytesMut::zeroed(whole);
    frame[..FRAME_HEAD_BYTES].copy_from_slice(&head);
    stream.read_exact(&mut frame[FRAME_HEAD_BYTES..]).await.ok()?;
    Some(frame.freeze())
}

/// Body bytes and records.
fn head_of(head: [u8; FRAME_HEAD_BYTES]) -> [u32; 2] {
    let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    [number(0), number(4)]
}

/// Counts the records of whole frames in a stream of any pieces, without joining them.
#[derive(Default)]
pub(super) struct FrameCounter {
    head: [u8; FRAME_HEAD_BYTES],
    head_bytes: usize,
    body_bytes_left: usize,
}

impl FrameCounter {
    /// Records of the frames that end in the next piece.
    pub(super) fn count(&mut self, mut piece: &[u8]) -> u64 {
        let mut records = 0;
        while !piece.is_empty() {
            if self.head_bytes < FRAME_HEAD_BYTES {
                let taken = piece.len().min(FRAME_HEAD_BYTES - self.head_bytes);
                self.head[self.head_bytes..self.head_bytes + taken].copy_from_slice(&piece[..taken]);
                self.head_bytes += taken;
                piece = &piece[taken..];
                self.body_bytes_left = head_of(self.head)[0] as usize;
            }
            let taken = piece.len().min(self.body_bytes_left);
            piece = &piece[taken..];
            self.body_bytes_left -= taken;
            if self.head_bytes == FRAME_HEAD_BYTES && self.body_bytes_left == 0 {
                records += u64::from(head_of(self.head)[1]);
                self.head_bytes = 0;
            }
        }
        records
    }
}

fn transport() -> Arc<TransportConfig> {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(DATAGRAM_BYTES_MAX);
    let mut config = TransportConfig::default();
    config
        .mtu_discovery_config(Some(mtu))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(u64::from(CONNECTION_WINDOW_BYTES));
    Arc::new(config)
}

/// Makes the certificate that all nodes show and all clients expect.
pub(super) fn write_certificate(folder: &Path) -> Result<(), Failure> {
    let made = rcgen::generate_simple_self_signed([SERVER_NAME.to_owned()])
        .map_err(|error| Failure::Floor(format!("no certificate could be made: {error}")))?;
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).map_err(|source| Failure::Write { path, source })
    };
    write("floor.der", made.cert.der())?;
    write("floor.key", &made.signing_key.serialize_der())
}

fn read(folder: &Path, name: &str) -> Result<Vec<u8>, Failure> {
    let path = folder.join(name);
    std::fs::read(&path).map_err(|source| Failure::Read { path, source })
}

pub(super) fn server_config(certificate_folder: &Path) -> Result<ServerConfig, Failure> {
    let certificate = CertificateDer::from(read(certificate_folder, "floor.der")?);
    let key = PrivatePkcs8KeyDer::from(read(certificate_folder, "floor.key")?);
    let mut config = ServerConfig::with_single_cert(vec![certificate], key.into())
        .map_err(|error| Failure::Floor(format!("its certificate does not hold: {error}")))?;
    config.transport_config(transport());
    Ok(config)
}

pub(super) fn client_config(certificate_folder: &Path) -> Result<ClientConfig, Failure> {
    let refused =
        |error: &dyn std::fmt::Display| Failure::Floor(format!("its certificate does not hold: {error}"));
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from(read(certificate_folder, "floor.der")?);
    roots.add(certificate).map_err(|error| refused(&error))?;
    let mut config =
        ClientConfig::with_root_certificates(Arc::new(roots)).map_err(|error| refused(&error))?;
    config.transport_config(transport());
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_once_however_a_stream_is_cut() {
        let batches: [&[&'static [u8]]; 3] = [&[b"ab", b"c"], &[b""], &[b"d", b"e", b"fgh", b"i"]];
        let stream: Vec<u8> = batches
            .iter()
            .flat_map(|batch| frame(&batch.iter().map(|value| Bytes::from_static(value)).collect::<Vec<_>>()))
            .collect();
        for piece_bytes in 1..=stream.len() {
            let mut counter = FrameCounter::default();
            let records: u64 = stream.chunks(piece_bytes).map(|piece| counter.count(piece)).sum();
            assert_eq!(records, 7, "in pieces of {piece_bytes}");
        }
        assert_eq!(
            FrameCounter::default().count(&stream[..stream.len() - 1]),
            3,
            "the last frame is not whole"
        );
    }

    #[test]
    fn a_frame_is_its_head_and_the_values_one_after_the_other() {
        let frame = frame(&[Bytes::from_static(b"ab"), Bytes::from_static(b"c")]);
        assert_eq!(&frame[..], b"\x03\0\0\0\x02\0\0\0abc");
        assert_eq!(head_of(frame[..FRAME_HEAD_BYTES].try_into().unwrap()), [3, 2]);
    }
}
