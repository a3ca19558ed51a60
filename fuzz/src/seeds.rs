//! First inputs for every target, cut out of the files of format version 1 and of the packets recorded of protocol 1.

use std::path::Path;
use std::sync::OnceLock;

const FILES: [&str; 4] =
    ["vote", "00000000000000000001.segment", "00000000000000000002.segment", "00000000000000000001.index"];
const HEAD: usize = 4096;
const HEADER: usize = 128;

/// The golden files by name.
pub fn golden() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    static READ: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let read = READ.get_or_init(|| FILES.iter().map(|name| read("format-v1", name)).collect());
    FILES.into_iter().zip(read.iter().cloned())
}

fn read(folder: &str, name: &str) -> Vec<u8> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = ["tests/data", "../tests/data"].map(|data| package.join(data).join(folder));
    let folder = found.into_iter().find(|folder| folder.is_dir()).expect("the golden files");
    std::fs::read(folder.join(name)).expect("a golden file")
}

/// Where the frames of a segment stand.
fn frames(segment: &[u8]) -> Vec<&[u8]> {
    let (mut frames, mut at) = (Vec::new(), HEAD);
    while segment[at..].starts_with(b"TMBL") {
        let len = HEADER + word(&segment[at..], 16);
        frames.push(&segment[at..at + len]);
        at += len.next_multiple_of(8);
    }
    frames
}

fn word(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize
}

/// The first inputs of a target.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    let files: Vec<_> = golden().map(|(_, content)| content).collect();
    let segments = [&files[1][..], &files[2]];
    let all = || segments.into_iter().flat_map(frames);
    match target {
        "frame_header" => all().map(<[u8]>::to_vec).collect(),
        "segment_head" => segments.map(|segment| segment[..HEAD].to_vec()).into(),
        "shard_state" => segments.map(|segment| segment[96..96 + word(segment, 16)].to_vec()).into(),
        "records" => all().filter(|frame| frame[6] == 1).map(as_records).collect(),
        "vote_and_index" => vec![files[0].clone(), [&files[0][..], &[0; 512], &files[3]].concat()],
        "segment" => segments.map(|segment| segment[HEAD..].to_vec()).into(),
        "client_packet" => client_packets(),
        "folder" => (0..FILES.len()).map(|file| as_folder(&files, file)).collect(),
        other => panic!("no target is called {other}"),
    }
}

/// The recorded requests and answers, as they were sent, in pieces of one byte and of 256; and each request alone.
fn client_packets() -> Vec<Vec<u8>> {
    let [requests, answers] = ["requests", "answers"].map(|name| read("protocol-v1", name));
    let mut seeds: Vec<_> = [0, 255]
        .into_iter()
        .flat_map(|step| [&requests, &answers].map(|all| [&[step], &all[..]].concat()))
        .collect();
    let mut rest = &requests[..];
    while !rest.is_empty() {
        let (one, behind) = rest.split_at(8 + word(rest, 0) + word(rest, 4));
        seeds.push([&[255], one].concat());
        rest = behind;
    }
    seeds
}

/// Compression, count, body.
fn as_records(frame: &[u8]) -> Vec<u8> {
    [&[frame[7], frame[20], frame[21]], &frame[HEADER..]].concat()
}

/// All files in a folder that is empty, or one in the place of the same of a golden folder.
fn as_folder(files: &[Vec<u8>], one: usize) -> Vec<u8> {
    let numbers = [0_u8, 1, 2, 4];
    let file = |at: usize| {
        let len = u16::try_from(files[at].len()).expect("a small file");
        [&[numbers[at]][..], &len.to_le_bytes(), &files[at]].concat()
    };
    if one == 0 {
        [vec![0], (0..files.len()).flat_map(file).collect()].concat()
    } else {
        [vec![1], file(one)].concat()
    }
}
