//! What one connection may have open.

use bytes::Bytes;
use timberline::node::Limits;
use timberline::types::Timestamp;
use timberline::wire::{
    ErrorCode, HelloBody, LocateBody, RequestBody, ResponseBody, SubscribeBody, Versions,
};

use crate::raw::{OneNode, block_on};

fn subscribe(shard: u64) -> RequestBody {
    RequestBody::Subscribe(SubscribeBody { shard, from_timestamp_ns: 0 })
}

fn assert_busy(answer: &ResponseBody) {
    let ResponseBody::Error(error) = answer else { panic!("{answer:?}") };
    assert!(error.code() == ErrorCode::Busy && error.retryable, "{error:?}");
    assert!(error.message.contains("reads that last"), "{error:?}");
}

#[test]
fn reads_that_last_are_bounded_over_all_streams_of_a_connection() {
    let node = OneNode::start(Limits { reads_per_connection: 3, ..Limits::default() });
    block_on(async {
        let (raw, mut first) = node.greet().await;
        let shard = first.topic("read").await;
        let mut held = [raw.stream().await, raw.stream().await, raw.stream().await];
        for stream in &mut held {
            assert!(matches!(stream.ask(subscribe(shard), Bytes::new()).await, ResponseBody::Deliver(_)));
        }
        let mut over = raw.stream().await;
        assert_busy(&over.ask(subscribe(shard), Bytes::new()).await);
        let waits = LocateBody { shard, at_ns: Timestamp::MAX.0, waits_closed: true };
        assert_busy(&over.ask(RequestBody::Locate(waits), Bytes::new()).await);
        over.assert_served().await;
        // Another client's are its own.
        let (_other, mut theirs) = node.greet().await;
        assert!(matches!(theirs.ask(subscribe(shard), Bytes::new()).await, ResponseBody::Deliver(_)));
        // One that ends makes room.
        held[0].send.finish().expect("it is open");
        assert!(matches!(over.insist(subscribe(shard), Bytes::new()).await, ResponseBody::Deliver(_)));
    });
}

#[test]
fn a_hello_tells_what_the_node_takes_and_which_versions_it_speaks() {
    let limits = Limits { requests_per_stream: 7, reads_per_connection: 9, ..Limits::default() };
    let node = OneNode::start(limits);
    block_on(async {
        let raw = node.connect(1 << 20).await;
        let mut stream = raw.stream().await;
        let hello = |protocol, protocol_oldest| {
            RequestBody::Hello(HelloBody { protocol, protocol_oldest, ..HelloBody::default() })
        };
        // A client of a later release that still understands this node's newest version, and one that does not.
        let (newest, oldest) = (Versions::OWN.newest, Versions::OWN.oldest);
        let answer = stream.ask(hello(newest + 5, newest), Bytes::new()).await;
        let ResponseBody::Hello(told) = answer else { panic!("{answer:?}") };
        assert_eq!((told.protocol, told.protocol_oldest), (newest, oldest));
        let taken = told.limits.expect("limits");
        assert_eq!((taken.requests_per_stream, taken.reads_per_connection), (7, 9));
        assert_eq!((taken.request_header_bytes, taken.request_payload_bytes), (64 << 10, 8 << 20));
        assert_eq!((taken.body_bytes, taken.record_bytes), (4 << 20, 1 << 20));
        assert_eq!((taken.streams, taken.in_flight_per_shard), (256, 1024));
        for unknown in [hello(newest + 5, newest + 1), hello(newest + 5, 0), hello(0, 0)] {
            let answer = stream.ask(unknown, Bytes::new()).await;
            let ResponseBody::Error(error) = answer else { panic!("{answer:?}") };
            assert!(
                error.code() == ErrorCode::Denied && error.message.contains("speaks protocol"),
                "{error:?}"
            );
        }
    });
}
