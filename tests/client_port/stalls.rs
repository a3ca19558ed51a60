//! Packets that are begun and not finished, and answers that nobody reads.

use std::time::Instant;

use bytes::Bytes;
use timberline::node::Limits;
use timberline::transport::{CloseCode, PacketTime};
use timberline::wire::{ErrorCode, RequestBody, ResponseBody};

use crate::raw::{HURRIED, OneNode, RawStream, block_on, packet, within};

const STALLED: u64 = CloseCode::Stalled as u64;

fn hurried() -> OneNode {
    OneNode::start(Limits { packet_time: HURRIED, ..Limits::default() })
}

async fn assert_given_up(stream: &mut RawStream) {
    let code = within(stream.send.stopped()).await.expect("the connection stands").expect("a code");
    assert_eq!(code.into_inner(), STALLED);
    assert_eq!(stream.answer().await, None);
}

#[test]
fn half_a_packet_is_dropped_in_time_and_the_rest_of_the_connection_lives_on() {
    let node = hurried();
    block_on(async {
        let (raw, mut beside) = node.greet().await;
        let (_other, mut of_others) = node.greet().await;
        let whole = packet(7, RequestBody::Cluster(true), Bytes::from(vec![0; 100]));
        // Within the prefix, behind it, within the header, within the payload.
        for end in [1, 8, 9, whole.len() - 1] {
            let began = Instant::now();
            let mut stalled = raw.stream().await;
            stalled.write(&whole[..end]).await;
            assert_given_up(&mut stalled).await;
            assert!(began.elapsed() >= HURRIED.least, "given up after {:?}", began.elapsed());
            // Idle since before: between packets a stream owes nothing.
            beside.assert_served().await;
            of_others.assert_served().await;
        }
    });
}

#[test]
fn a_stalled_stream_answers_what_it_took_before() {
    let node = hurried();
    block_on(async {
        let (raw, _beside) = node.greet().await;
        let mut stream = raw.stream().await;
        stream.assert_served().await;
        let request = packet(2, RequestBody::Cluster(true), Bytes::new());
        stream.write(&[&request[..], &request[..5]].concat()).await;
        let (answer, _) = stream.answer().await.expect("it was taken");
        assert_eq!(answer.id, 2);
        assert_given_up(&mut stream).await;
    });
}

#[test]
fn a_packet_that_trickles_is_served_within_the_limit() {
    let node = OneNode::start(Limits::default());
    block_on(async {
        let (raw, mut beside) = node.greet().await;
        let mut slow = raw.stream().await;
        for byte in packet(7, RequestBody::Cluster(true), Bytes::from_static(b"payload")) {
            slow.write(&[byte]).await;
            beside.assert_served().await;
        }
        let (answer, _) = slow.answer().await.expect("served");
        assert!(answer.id == 7 && matches!(answer.body, Some(ResponseBody::Cluster(_))), "{answer:?}");
    });
}

#[test]
fn each_packet_has_a_time_of_its_own() {
    let node = hurried();
    block_on(async {
        let (raw, mut beside) = node.greet().await;
        let (mut slow, request) = (raw.stream().await, packet(7, RequestBody::Cluster(true), Bytes::new()));
        for _ in 0..3 {
            let (begin, rest) = request.split_at(5);
            slow.write(begin).await;
            beside.assert_served().await;
            slow.write(rest).await;
            assert_eq!(slow.answer().await.expect("served").0.id, 7);
            // Idle for longer than a packet may take.
            let mut stalled = raw.stream().await;
            stalled.write(begin).await;
            assert_given_up(&mut stalled).await;
        }
    });
}

#[test]
fn a_packet_that_trickles_beyond_the_limit_is_dropped_however_steadily_it_comes() {
    let node = hurried();
    block_on(async {
        let (raw, mut beside) = node.greet().await;
        let mut slow = raw.stream().await;
        let claim = packet(7, RequestBody::Cluster(true), Bytes::from(vec![0; 8 << 20]));
        let began = Instant::now();
        let mut sent = 0;
        let trickling = async {
            while slow.send.write_all(&claim[sent..=sent]).await.is_ok() {
                sent += 1;
                beside.assert_served().await;
            }
        };
        within(trickling).await;
        assert!(began.elapsed() >= HURRIED.least && sent > 1, "{sent} bytes in {:?}", began.elapsed());
        assert_given_up(&mut slow).await;
    });
}

#[test]
fn a_slow_reader_of_answers_is_not_dropped_and_has_a_bounded_number_of_them_waiting() {
    const WAVES: u64 = 3;
    const WAVE: u64 = 200;
    let node = hurried();
    block_on(async {
        let (_greeted, _) = node.greet().await;
        let raw = node.connect(1 << 10).await;
        let mut stream = raw.stream().await;
        let hello = timberline::wire::HelloBody { protocol: 1, ..Default::default() };
        stream.ask(RequestBody::Hello(hello), Bytes::new()).await;
        for wave in 0..WAVES {
            let ids = 2 + wave * WAVE..2 + (wave + 1) * WAVE;
            let asked = ids.flat_map(|id| packet(id, RequestBody::Cluster(true), Bytes::new()));
            stream.write(&asked.collect::<Vec<_>>()).await;
            // For longer than a packet may take, nothing is read.
            let mut stalled = raw.stream().await;
            stalled.write(&[1]).await;
            assert_given_up(&mut stalled).await;
        }
        let (mut answered, mut busy) = (0, 0);
        for _ in 0..WAVES * WAVE {
            match stream.answer().await.expect("the stream stands").0.body {
                Some(ResponseBody::Cluster(_)) => answered += 1,
                Some(ResponseBody::Error(error)) if error.code() == ErrorCode::Busy => busy += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(answered >= Limits::default().requests_per_stream, "{answered} answered, {busy} busy");
        assert!(busy > 0, "answers that nobody reads count as unanswered");
    });
}

#[test]
fn the_time_of_a_packet_grows_with_what_it_claims() {
    let time = PacketTime::default();
    assert_eq!(time.limit(0).as_secs(), 10);
    assert_eq!(time.limit(8 << 20).as_secs(), 18);
}
