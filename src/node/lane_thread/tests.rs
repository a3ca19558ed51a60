//! Laws of following the system topic, on a lane without shards.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Progress;
use super::hosting::Hosting;
use crate::clock::{AgreementOptions, Fault, Reading, TimeInterval};
use crate::codec::{Compression, Frame, FrameHeader, FrameKind, encode_records};
use crate::disk::{Disk, MemoryDisk};
use crate::lane::{Lane, LaneOptions, ScrubOptions};
use crate::log::LogOptions;
use crate::node::folder::{NodeFolder, Owner, Registry};
use crate::types::{BatchId, Index, Monotonic, NodeId, Offset, Record, Term, Timestamp};
use crate::wire::{RegisterNode, SystemChange, SystemRecord};

fn reading(earliest: u64, fault: Option<Fault>) -> Reading {
    let interval = TimeInterval { earliest: Timestamp(earliest), latest: Timestamp(earliest + 2) };
    Reading::new(interval, Monotonic(earliest), fault)
}

fn registration(index: u64, stamped: u64) -> Frame {
    let register = RegisterNode { node: index, address: format!("node-{index}:1") };
    let value = SystemRecord::new(SystemChange::RegisterNode(register)).encoded();
    let batch = encode_records(&[Record { value: Some(value), ..Record::default() }]).unwrap();
    let header = FrameHeader {
        kind: FrameKind::Data,
        compression: Compression::None,
        body_crc: batch.crc,
        body_len: batch.body.len() as u32,
        record_count: batch.count,
        term: Term(1),
        index: Index(index),
        first_offset: Offset(index - 1),
        first_timestamp: Timestamp(stamped),
        uncertainty_ns: 1,
        committed: Index(0),
        batch: BatchId::default(),
        chain: 0,
        start: Index(0),
    };
    Frame::new(header, batch.body)
}

fn following() -> (Hosting, Lane, watch::Receiver<Progress>) {
    let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
    let (cluster, node) = ("c".parse().unwrap(), NodeId(1));
    let owner = Owner { cluster, node, initial_nodes: vec![node] };
    NodeFolder::open(&disk, &owner, 1).unwrap();
    let options = LaneOptions {
        node,
        cluster: owner.cluster,
        log: LogOptions::default(),
        raft_tick: Duration::from_millis(50),
        election_ticks: 10..20,
        heartbeat_ticks: 2,
        closed_tick: Duration::from_millis(20),
        eps_max_ns: 10,
        agreement: AgreementOptions::among(vec![node]),
        unanswered_max: 8,
        scrub: ScrubOptions::default(),
        seed: 1,
    };
    let (progress, watcher) = watch::channel(Progress::default());
    let registry = Registry::open(Arc::clone(&disk)).unwrap();
    (Hosting::new(node, registry, progress), Lane::new(options, disk), watcher)
}

#[test]
fn a_system_record_shows_only_when_the_clock_is_past_it_and_trusted() {
    let (mut hosting, mut lane, progress) = following();
    hosting.take([registration(1, 100), registration(2, 200)]);
    let mut shown_at = |now: Reading| {
        hosting.step(&mut lane, &now);
        (progress.borrow().view.next_offset().0, hosting.idle_for().is_some())
    };
    assert_eq!(shown_at(reading(100, None)), (0, true), "earliest must be past the stamp");
    assert_eq!(shown_at(reading(500, Some(Fault::Unsynchronised))), (0, true));
    assert_eq!(shown_at(reading(101, None)), (1, true));
    assert_eq!(shown_at(reading(201, None)), (2, false));
    let view = Arc::clone(&progress.borrow().view);
    assert_eq!(view.address(NodeId(2)), Some("node-2:1"));
    assert_eq!(progress.borrow().settled, Offset(2));
}
