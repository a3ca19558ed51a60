//! Protocol 1, spoken forever: packets that the first builds sent, and answers that they got, as files.
//!
//! A node answers the requests in `tests/data/protocol-v1/requests`, and this build reads the answers beside them as they were
//! meant. The files were written by `TIMBERLINE_WRITE_PROTOCOL_V1=FOLDER cargo test --test client_port`, which writes them anew
//! into FOLDER; whatever fails here has broken the protocol, and takes a new version instead.

use std::path::Path;

use bytes::Bytes;
use timberline::codec::{Frame, FrameHeader, FrameKind, HEADER_BYTES, decode_records, encode_records};
use timberline::node::Limits;
use timberline::types::Record;
use timberline::wire::{
    AppendBody, CreateTopicBody, ErrorBody, HelloBody, PREFIX_BYTES, PacketDecoder, PacketLimits, Request,
    RequestBody, Response, ResponseBody, SubscribeBody,
};

use crate::raw::{OneNode, RawStream, block_on, packet, within};

const VALUES: [&str; 3] = ["one", "two", "three"];

fn recorded(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/protocol-v1").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The packets in a file, cut by their prefixes.
fn packets(file: &[u8]) -> Vec<&[u8]> {
    let (mut packets, mut rest) = (Vec::new(), file);
    while !rest.is_empty() {
        let word = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().expect("four bytes")) as usize;
        let (packet, behind) = rest.split_at(PREFIX_BYTES + word(0) + word(4));
        packets.push(packet);
        rest = behind;
    }
    packets
}

/// The requests of the first builds: a hello, a topic, a batch for its shard, which is the first of a new cluster, and a
/// subscription to it.
pub(crate) fn requests() -> Vec<Vec<u8>> {
    packets(&recorded("requests")).into_iter().map(<[u8]>::to_vec).collect()
}

/// Plays the requests against a node on one stream, each when the one before it is answered.
async fn play(stream: &mut RawStream, requests: &[Vec<u8>]) -> Vec<(Response, Bytes)> {
    let mut answers = Vec::new();
    for request in requests {
        answers.push(loop {
            stream.write(request).await;
            let (response, payload) = stream.answer().await.expect("the stream stands");
            // The first leader may not be there yet.
            if !matches!(response.body, Some(ResponseBody::Error(ErrorBody { retryable: true, .. }))) {
                break (response, payload);
            }
        });
    }
    while values(&answers).len() < VALUES.len() {
        answers.push(stream.answer().await.expect("what was acknowledged is delivered"));
    }
    answers
}

/// The values of all records delivered.
fn values(answers: &[(Response, Bytes)]) -> Vec<String> {
    let mut values = Vec::new();
    for (_, payload) in answers {
        let mut payload = payload.clone();
        while !payload.is_empty() {
            let header_bytes = payload.split_to(HEADER_BYTES);
            let body_len = FrameHeader::decode(&header_bytes).expect("a header").body_len as usize;
            let frame = Frame::decode(header_bytes, payload.split_to(body_len)).expect("a frame");
            if frame.header.kind == FrameKind::Data {
                let (compression, count) = (frame.header.compression, frame.header.record_count);
                let records = decode_records(&frame.body, compression, count).expect("records");
                let value = |record: Record| String::from_utf8(record.value.expect("one").to_vec());
                values.extend(records.into_iter().map(|record| value(record).expect("text")));
            }
        }
    }
    values
}

/// What the answers say, whoever gave them.
fn assert_understood(answers: &[(Response, Bytes)]) {
    let bodies: Vec<_> = answers.iter().map(|(response, _)| response.body.as_ref().expect("known")).collect();
    let ids: Vec<_> = answers.iter().map(|(response, _)| response.id).take(4).collect();
    assert_eq!(ids, [1, 2, 3, 4]);
    let [ResponseBody::Hello(hello), ResponseBody::Topic(topic), ResponseBody::Appended(receipt), reads @ ..] =
        &bodies[..]
    else {
        panic!("{bodies:?}")
    };
    assert_eq!((hello.protocol, hello.cluster.as_str(), hello.node), (1, "recorded", 1));
    assert_eq!((topic.name.as_str(), topic.shards.len(), topic.shards[0].shard), ("recorded", 1, 1));
    assert_eq!((receipt.shard, receipt.first_offset, receipt.record_count), (1, 0, 3));
    assert!(receipt.first_timestamp_ns > topic.created_ns && topic.created_ns > 0);
    for read in reads {
        let ResponseBody::Deliver(delivery) = read else { panic!("{read:?}") };
        assert_eq!((delivery.shard, delivery.kept_from_offset), (1, 0));
    }
    assert_eq!(values(answers), VALUES);
}

#[test]
fn a_node_understands_what_the_first_builds_sent() {
    let node = OneNode::start(Limits::default());
    block_on(async {
        let raw = node.connect(1 << 20).await;
        let answers = within(play(&mut raw.stream().await, &requests())).await;
        assert_understood(&answers);
    });
}

#[test]
fn a_client_understands_what_nodes_of_the_first_builds_answered() {
    let limits = PacketLimits { header_bytes_max: 1 << 20, payload_bytes_max: 8 << 20 };
    let mut decoder = PacketDecoder::new(limits);
    let mut answers = Vec::new();
    for packet in packets(&recorded("answers")) {
        decoder.buffer().extend_from_slice(packet);
        answers.push(decoder.next_packet().expect("it decodes").expect("it is whole"));
    }
    assert_understood(&answers);
}

#[test]
fn the_recorded_requests_are_what_they_say() {
    let written: Vec<Request> = today().iter().map(|packet| request(packet)).collect();
    let recorded: Vec<Request> = requests().iter().map(|packet| request(packet)).collect();
    assert_eq!(recorded, written);
}

fn request(packet: &[u8]) -> Request {
    let header = u32::from_le_bytes(packet[..4].try_into().expect("four bytes")) as usize;
    prost::Message::decode(&packet[PREFIX_BYTES..PREFIX_BYTES + header]).expect("a request")
}

/// The requests as they were written into the file.
fn today() -> Vec<Vec<u8>> {
    let record = |value: &&'static str| Record { value: Some((*value).into()), ..Record::default() };
    let batch = encode_records(&VALUES.iter().map(record).collect::<Vec<_>>()).expect("a small batch");
    let hello = HelloBody { protocol: 1, cluster: "recorded".to_owned(), ..HelloBody::default() };
    let create = CreateTopicBody {
        name: "recorded".to_owned(),
        shards: 1,
        replicas: 1,
        retention_ns: 3_600_000_000_000,
        ..CreateTopicBody::default()
    };
    let append = AppendBody {
        shard: 1,
        record_count: batch.count,
        body_crc: batch.crc,
        producer: 7,
        epoch: 1,
        ..AppendBody::default()
    };
    vec![
        packet(1, RequestBody::Hello(hello), Bytes::new()),
        packet(2, RequestBody::CreateTopic(create), Bytes::new()),
        packet(3, RequestBody::Append(append), batch.body),
        packet(4, RequestBody::Subscribe(SubscribeBody { shard: 1, from_timestamp_ns: 0 }), Bytes::new()),
    ]
}

#[test]
fn the_files_are_written_anew_where_a_variable_says() {
    let Some(folder) = std::env::var_os("TIMBERLINE_WRITE_PROTOCOL_V1") else { return };
    let node = OneNode::start(Limits::default());
    let answers = block_on(async {
        let raw = node.connect(1 << 20).await;
        within(play(&mut raw.stream().await, &today())).await
    });
    let limits = PacketLimits { header_bytes_max: 1 << 20, payload_bytes_max: 8 << 20 };
    let encoded = answers.into_iter().flat_map(|(response, payload)| {
        timberline::wire::encode_packet(&response, vec![payload], &limits).expect("within limits").concat()
    });
    std::fs::write(Path::new(&folder).join("answers"), encoded.collect::<Vec<u8>>()).expect("written");
    std::fs::write(Path::new(&folder).join("requests"), today().concat()).expect("written");
}
