//! Bytes that mean nothing, and packets that mean almost what they should, over real connections to a real node.

use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use timberline::codec::encode_records;
use timberline::node::Limits;
use timberline::types::Record;
use timberline::wire::{
    AppendBody, GroupBeatBody, LocateBody, NowRequestBody, PREFIX_BYTES, RequestBody, ResponseBody,
    SubscribeBody, TopicNameBody,
};

use crate::raw::{OneNode, RawStream, block_on, packet};
use crate::recorded;

const ROUNDS: u64 = 150;
/// How long a stranger waits for what its bytes bring; the node may have nothing to say.
const LISTENS: Duration = Duration::from_millis(30);

fn honest() -> Vec<Vec<u8>> {
    let name = || TopicNameBody { name: "recorded".to_owned() };
    let bodies = [
        RequestBody::DeleteTopic(name()),
        RequestBody::DescribeTopic(name()),
        RequestBody::ShardStatus(name()),
        RequestBody::ListTopics(true),
        RequestBody::Clock(true),
        RequestBody::Now(NowRequestBody { by_majority: true }),
        RequestBody::Locate(LocateBody { shard: 1, at_ns: 1, waits_closed: true }),
        RequestBody::GroupBeat(GroupBeatBody {
            group: "g".to_owned(),
            member: 5,
            ..GroupBeatBody::default()
        }),
    ];
    let more = (5..).zip(bodies).map(|(id, body)| packet(id, body, Bytes::new()));
    recorded::requests().into_iter().chain(more).collect()
}

/// A packet with some of its bytes changed, left out or doubled; half of the time its prefix is made to fit again, so that
/// what is behind it is looked at.
fn changed(honest: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    let mut bytes = honest[random.random_range(0..honest.len())].clone();
    let header = u32::from_le_bytes(bytes[..4].try_into().expect("four bytes")) as usize;
    let payload = bytes.split_off(PREFIX_BYTES + header);
    for _ in 0..random.random_range(0..4) {
        let at = random.random_range(0..bytes.len());
        match random.random_range(0..4) {
            0 => bytes.truncate(at.max(1)),
            1 => bytes.extend_from_within(at..),
            2 => bytes[at] = random.random(),
            _ => bytes[at] ^= 1 << random.random_range(0..8),
        }
    }
    if random.random() && bytes.len() >= PREFIX_BYTES {
        let header = bytes.len() - PREFIX_BYTES;
        bytes[..4].copy_from_slice(&(header as u32).to_le_bytes());
        bytes[4..8].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    }
    bytes.extend(payload);
    bytes
}

async fn molest(stream: &mut RawStream, honest: &[Vec<u8>], random: &mut StdRng) {
    for _ in 0..random.random_range(1..8) {
        let bytes = match random.random_range(0..4) {
            0 => (0..random.random_range(1..300)).map(|_| random.random()).collect(),
            _ => changed(honest, random),
        };
        // The node may have ended stream or connection.
        if stream.send.write_all(&bytes).await.is_err() {
            return;
        }
    }
    if random.random() {
        let _ = stream.send.finish();
    }
    let listening = async { while stream.answer().await.is_some() {} };
    let _ = tokio::time::timeout(LISTENS, listening).await;
}

#[test]
fn no_bytes_of_a_stranger_keep_a_node_from_serving_others() {
    let node = OneNode::start(Limits { shards: 40, ..Limits::default() });
    let honest = honest();
    block_on(async {
        let (_bystander, mut beside) = node.greet().await;
        let shard = beside.topic("bystander").await;
        let mut sequence = 0..;
        for round in 0..ROUNDS {
            let mut random = StdRng::seed_from_u64(round);
            let stranger = node.connect(1 << 20).await;
            let mut streams = Vec::new();
            for _ in 0..random.random_range(1..4) {
                let Ok((send, receive)) = stranger.connection.open_bi().await else { break };
                streams.push(RawStream::of(send, receive));
            }
            if random.random_range(0..4) > 0 {
                // Most say hello, so that more of them is looked at.
                let _ = streams[0].send.write_all(&honest[0]).await;
            }
            for stream in &mut streams {
                molest(stream, &honest, &mut random).await;
            }
            if round % 10 == 0 {
                append(&mut beside, shard, sequence.next().expect("endless")).await;
            }
            beside.assert_served().await;
        }
        let subscribe = SubscribeBody { shard, from_timestamp_ns: 0 };
        let answer = beside.ask(RequestBody::Subscribe(subscribe), Bytes::new()).await;
        assert!(matches!(answer, ResponseBody::Deliver(_)), "{answer:?}");
    });
}

async fn append(stream: &mut RawStream, shard: u64, sequence: u64) {
    let batch = encode_records(&[Record::default()]).expect("a small batch");
    let append = AppendBody {
        shard,
        record_count: 1,
        body_crc: batch.crc,
        producer: 0x5eed_5eed_5eed_5eed,
        epoch: 1,
        sequence,
        lowest_open_sequence: sequence,
        ..AppendBody::default()
    };
    match stream.insist(RequestBody::Append(append), batch.body).await {
        // A stranger is a client, too: what it appends by chance may stand in between.
        ResponseBody::Appended(receipt) => assert!(receipt.first_offset >= sequence, "{receipt:?}"),
        other => panic!("{other:?}"),
    }
}
