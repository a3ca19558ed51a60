//! One function a target: takes any bytes, and panics if a promise of the formats is broken.
//!
//! The promises: foreign bytes are an error, never a panic; what decodes encodes to the same bytes; a folder that is
//! refused is left as it is; one that opens opens again, with the same frames and nothing more to cut. Most bytes would
//! fail at a checksum, so inputs are tried twice: as they are, and with checksums made good.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use timberline::codec::{
    BODY_BYTES_MAX, Compression, Frame, FrameHeader, HEADER_BYTES, ShardState, checksum, decode_records,
    encode_records, validate_batch, validate_records,
};
use timberline::disk::{Disk, MemoryDisk};
use timberline::log::{Error, Log, LogIdentity, LogOptions, Share};
use timberline::segment::{HEAD_BYTES_MIN, SegmentHead};
use timberline::transport::TransportOptions;
use timberline::types::{GroupName, Membership, ReplicaId, ShardId, TopicId, TopicName};
use timberline::wire::{
    PREFIX_BYTES, PacketDecoder, Request, RequestBody, Response, Versions, encode_packet,
};

use super::seeds;

/// A target's name and function.
pub type Target = (&'static str, fn(&[u8]));

pub const ALL: [Target; 8] = [
    ("frame_header", frame_header),
    ("segment_head", segment_head),
    ("shard_state", shard_state),
    ("records", records),
    ("vote_and_index", vote_and_index),
    ("segment", segment),
    ("folder", folder),
    ("client_packet", client_packet),
];

const FOLDER: &str = "shards/7";
const OPTIONS: LogOptions =
    LogOptions { first_segment_bytes: 8 << 10, segment_bytes_max: 8 << 10, open_segments_max: 4 };
/// The files that a made-up folder may hold.
const NAMES: [&str; 8] = [
    "vote",
    "00000000000000000001.segment",
    "00000000000000000002.segment",
    "00000000000000000003.segment",
    "00000000000000000001.index",
    "00000000000000000002.index",
    "00000000000000000001.index.new",
    "a stranger",
];

fn identity() -> LogIdentity {
    let cluster = "golden".parse().expect("a valid name");
    LogIdentity { cluster, topic: TopicId(2), shard: ShardId(7), replica: ReplicaId(3) }
}

/// The bytes with the checksum at 8, over 12 to `end` and then 0 to 8, made good.
fn resealed(bytes: &[u8], end: usize) -> Option<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    let crc = checksum(&[bytes.get(12..end)?, &bytes[..8]]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
    Some(bytes)
}

pub fn frame_header(bytes: &[u8]) {
    for bytes in [Some(bytes.to_vec()), resealed(bytes, HEADER_BYTES)].into_iter().flatten() {
        let Ok(header) = FrameHeader::decode(&bytes) else { continue };
        assert_eq!(header.encode()[..], bytes[..HEADER_BYTES]);
        assert!(header.frame_len() <= HEADER_BYTES + BODY_BYTES_MAX);
        assert!(
            header.next_offset() >= header.first_offset && header.last_timestamp() >= header.first_timestamp
        );
        let mut whole = Bytes::from(bytes);
        let body = whole.split_off(HEADER_BYTES);
        if let Ok(frame) = Frame::decode(whole, body) {
            assert_eq!(frame.header, header);
            let _ = decode_records(&frame.body, header.compression, header.record_count);
        }
    }
}

pub fn segment_head(bytes: &[u8]) {
    let len =
        bytes.get(12..16).map_or(0, |len| u32::from_le_bytes([len[0], len[1], len[2], len[3]]) as usize);
    for bytes in [Some(bytes.to_vec()), resealed(bytes, len)].into_iter().flatten() {
        let Ok((head, len)) = SegmentHead::decode(&bytes) else { continue };
        let encoded = head.encode();
        // A head may be padded by more pages than it needs, as written by a version that said more.
        if encoded.len() as u64 == len {
            assert_eq!(encoded[..], bytes[..len as usize]);
        }
    }
}

pub fn shard_state(bytes: &[u8]) {
    if let Ok(state) = ShardState::decode(bytes) {
        assert_eq!(state.encode()[..], bytes[..]);
    }
}

/// The first byte is the compression, the next two the count.
pub fn records(bytes: &[u8]) {
    let Some((&[compression, low, high], body)) = bytes.split_first_chunk() else { return };
    let (body, count) = (Bytes::copy_from_slice(body), u32::from(u16::from_le_bytes([low, high])));
    let compression = Compression::ALL[usize::from(compression) % Compression::ALL.len()];
    let proved = validate_records(&body, compression, count);
    let decoded = decode_records(&body, compression, count);
    assert_eq!(proved.is_ok(), decoded.is_ok());
    let Ok(records) = decoded else { return };
    assert_eq!(records.len(), count as usize);
    let again = encode_records(&records).expect("what was decoded can be encoded");
    assert_eq!(again.body, compression.expand(&body).expect("it was expanded once"));
}

/// The first 1536 bytes are votes and mark, what follows is the index of the first segment of the golden log.
pub fn vote_and_index(bytes: &[u8]) {
    let (vote, index) = bytes.split_at(bytes.len().min(1536));
    let slots = || {
        let slots = vote.chunks(512).zip([80, 80, 56]);
        slots.flat_map(|(slot, end)| resealed(slot, end).unwrap_or_else(|| slot.to_vec())).collect()
    };
    for vote in [vote.to_vec(), slots()] {
        let disk = golden();
        disk.replace(&path("vote"), &vote).expect("room");
        if !index.is_empty() {
            disk.replace(&path("00000000000000000001.index"), index).expect("room");
        }
        if let Some(frames) = opened(&disk) {
            assert_eq!(
                frames,
                opened(&golden()).expect("the golden log opens"),
                "whatever index and vote say"
            );
        }
    }
}

/// What stands behind the head of a log's only segment.
pub fn segment(bytes: &[u8]) {
    let len = (HEAD_BYTES_MIN as usize + bytes.len()).next_multiple_of(HEAD_BYTES_MIN as usize).max(8192);
    let voters = vec![ReplicaId(1), ReplicaId(2), ReplicaId(3)];
    let membership = Membership { voters, ..Membership::default() };
    let state = ShardState::genesis(&identity().cluster, &ShardId(7), membership);
    let head =
        SegmentHead { identity: identity(), state, begins_log: true, previous: 0, file_bytes: len as u64 }
            .encode();
    for bytes in [bytes.to_vec(), with_good_headers(bytes)] {
        let disk = golden();
        let mut file = [&head[..], &bytes].concat();
        file.resize(len, 0);
        for name in &NAMES[2..=4] {
            let _ = disk.remove(&path(name));
        }
        disk.replace(&path(NAMES[1]), &file).expect("room");
        opened(&disk);
    }
}

/// Every header that stands at a multiple of 8 gets a checksum that holds, each follows the one before.
fn with_good_headers(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut chain = None;
    for at in (0..bytes.len().saturating_sub(HEADER_BYTES)).step_by(8) {
        if &bytes[at..at + 4] == b"TMBL" {
            if let Some(chain) = chain {
                bytes[at + 92..at + 96].copy_from_slice(&u32::to_le_bytes(chain));
            }
            let sealed = resealed(&bytes[at..at + HEADER_BYTES], HEADER_BYTES).expect("a whole header");
            chain = Some(u32::from_le_bytes([sealed[8], sealed[9], sealed[10], sealed[11]]));
            bytes[at..at + HEADER_BYTES].copy_from_slice(&sealed);
        }
    }
    bytes
}

/// Files one after the other: a byte that picks the name, two of the length, the content. A length above what is left
/// takes all of it. With the first byte odd, the golden log's files are there unless they are replaced.
pub fn folder(bytes: &[u8]) {
    let Some((first, mut rest)) = bytes.split_first() else { return };
    let disk = if first % 2 == 1 { golden() } else { Arc::new(MemoryDisk::new()) };
    while let Some((&[name, low, high], behind)) = rest.split_first_chunk() {
        let len = usize::from(u16::from_le_bytes([low, high])).min(behind.len());
        let content = &behind[..len];
        rest = &behind[len..];
        disk.replace(&path(NAMES[usize::from(name) % NAMES.len()]), content).expect("room");
    }
    opened(&disk);
}

/// What a client sends on one stream: the first byte says in how large pieces it arrives. What is a request is looked at as a
/// session does before it acts on it, and again with the CRC of an append made good. An answer is read likewise.
pub fn client_packet(bytes: &[u8]) {
    let Some((step, bytes)) = bytes.split_first() else { return };
    let step = usize::from(*step) + 1;
    for (request, payload) in packets::<Request>(bytes, step) {
        match request.body {
            Some(RequestBody::Append(append)) => {
                let (compression, count) = (append.compression, append.record_count);
                for crc in [append.body_crc, checksum(&[&payload])] {
                    if let Ok(compression) = validate_batch(&payload, crc, compression, count) {
                        let records = decode_records(&payload, compression, count);
                        assert_eq!(records.expect("they are proved").len(), count as usize);
                    }
                }
            }
            Some(RequestBody::Hello(hello)) => {
                let common = Versions::OWN.common(Versions::of(&hello));
                assert!(common.is_none_or(|version| Versions::OWN.contains(version)));
            }
            Some(RequestBody::CreateTopic(create)) => {
                assert_name(&create.name, |name: &TopicName| name.as_str());
            }
            Some(RequestBody::GroupBeat(beat)) => assert_name(&beat.group, |name: &GroupName| name.as_str()),
            _ => {}
        }
    }
    packets::<Response>(bytes, step);
}

/// A name that is taken is taken as it is.
fn assert_name<N: std::str::FromStr>(text: &str, of: impl Fn(&N) -> &str) {
    if let Ok(name) = text.parse::<N>() {
        assert_eq!(of(&name), text);
    }
}

/// The packets at the beginning of the bytes, which arrive in pieces. Each one encodes to a packet that decodes to the same.
fn packets<M: prost::Message + Default + PartialEq>(mut bytes: &[u8], step: usize) -> Vec<(M, Bytes)> {
    let limits = TransportOptions::default().request_limits;
    let mut decoder = PacketDecoder::new(limits);
    let mut packets = Vec::new();
    loop {
        match decoder.next_packet::<M>() {
            Ok(Some((message, payload))) => {
                // A list may come out a little longer than it came, and so be over the limits.
                if let Ok(again) = encode_packet(&message, vec![payload.clone()], &limits) {
                    let mut decoder = PacketDecoder::new(limits);
                    decoder.buffer().extend_from_slice(&again.concat());
                    let (same, beside) =
                        decoder.next_packet::<M>().expect("it decodes").expect("it is whole");
                    assert!(same == message && beside == payload);
                    assert_eq!(decoder.begun(), None);
                }
                packets.push((message, payload));
            }
            Ok(None) if !bytes.is_empty() => {
                let (now, later) = bytes.split_at(step.min(bytes.len()));
                decoder.buffer().extend_from_slice(now);
                bytes = later;
            }
            Ok(None) => {
                let begun = decoder.begun();
                assert_eq!(decoder.finish().is_ok(), begun.is_none());
                assert!(begun.is_none_or(|claimed| claimed >= PREFIX_BYTES));
                return packets;
            }
            Err(_) => return packets,
        }
    }
}

fn path(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}

/// The golden log on a disk of its own.
fn golden() -> Arc<MemoryDisk> {
    let disk = MemoryDisk::new();
    for (name, content) in seeds::golden() {
        disk.replace(&path(name), &content).expect("room");
    }
    Arc::new(disk)
}

fn contents(disk: &MemoryDisk) -> Vec<(PathBuf, Vec<u8>)> {
    let read = |path: PathBuf| (path.clone(), disk.read(&path).expect("readable").unwrap_or_default());
    disk.sizes().into_iter().map(|(path, _)| read(path)).collect()
}

fn open(disk: &Arc<MemoryDisk>) -> Result<(Log, Option<u64>), Error> {
    let disk = Arc::clone(disk) as Arc<dyn Disk>;
    let (log, recovery) = Log::open(disk, FOLDER.as_ref(), &identity(), OPTIONS)?;
    Ok((log, recovery.cut.map(|cut| cut.bytes)))
}

/// Opens the log and reads it in every way, twice; gives its frames, if all are sound.
fn opened(disk: &Arc<MemoryDisk>) -> Option<Vec<Frame>> {
    let before = contents(disk);
    let log = match open(disk) {
        Ok((log, _)) => log,
        Err(error) => {
            assert!(before == contents(disk), "a refused log is left as it is: {error}");
            return None;
        }
    };
    let frames = read(&log);
    drop(log);
    let (log, cut) = open(disk).expect("what opened opens again");
    assert_eq!(cut, None, "nothing is cut twice");
    assert_eq!(read(&log), frames);
    frames
}

/// All frames, one by one and together; `None` if one is damaged, which is then no part of any answer.
fn read(log: &Log) -> Option<Vec<Frame>> {
    let (first, last) = (log.first_index(), log.last_index());
    let mut frames = Vec::new();
    let mut index = first;
    while index <= last {
        let read = log.frames(index, index.plus(1), u64::MAX, Share::Copy);
        let is_sound = log.header(index).is_ok() && log.state_at(index).is_ok() && log.term(index).is_ok();
        let frame = read.ok().filter(|_| is_sound)?.remove(0);
        let _ = log.seek(frame.header.last_timestamp());
        let _ = log.seek_offset(frame.header.first_offset);
        frames.push(frame);
        index = index.plus(1);
    }
    if first <= last {
        assert_eq!(log.frames(first, last.plus(1), u64::MAX, Share::Map).ok().as_ref(), Some(&frames));
    }
    Some(frames)
}
