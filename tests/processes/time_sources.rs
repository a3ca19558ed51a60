//! Nodes that take their time from ClockBound's shared file, written here as its daemon writes it, and from nobody.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::cluster::{Cluster, NODES};
use super::faults::append_one;
use super::{await_output, lines};

const SYNCHRONIZED: i32 = 1;
const DISRUPTED: i32 = 3;
/// How often the daemon writes.
const BEAT: Duration = Duration::from_millis(100);
const AUTO: [&str; 6] = [
    "--set",
    "clock.source=auto",
    "--set",
    "clock.clockbound_path=shm0",
    "--set",
    // Where no chronyd listens, whatever this machine has.
    "clock.chrony_address=127.0.0.1:9",
];

/// A ClockBound daemon, played; it ends when dropped.
struct Daemon {
    status: Arc<AtomicI32>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Daemon {
    fn start(segment: PathBuf) -> Self {
        let status = Arc::new(AtomicI32::new(SYNCHRONIZED));
        let (stop, stopped) = channel();
        let says = Arc::clone(&status);
        let write = move || {
            let beside = segment.with_extension("new");
            let file = std::fs::File::create(&beside).expect("the segment is made");
            let mut generation = 2;
            loop {
                file.write_all_at(&message(generation, says.load(Ordering::Relaxed)), 0)
                    .expect("it is written");
                if generation == 2 {
                    std::fs::rename(&beside, &segment).expect("it takes its place whole");
                }
                generation += 2;
                if stopped.recv_timeout(BEAT) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        Self { status, stop: Some(stop), thread: Some(std::thread::spawn(write)) }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.stop.take());
        // Its panic, if there was one, has been printed.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A bound of 100 us, as of now and for three seconds; docs/PROTOCOL.md of clock-bound has the layout.
fn message(generation: u16, status: i32) -> Vec<u8> {
    let now = clock_gettime(ClockId::Monotonic);
    let mut bytes = Vec::new();
    for word in [0x414D_5A4E_u32, 0x4342_0200, 80] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.extend(2_u16.to_ne_bytes());
    bytes.extend(generation.to_ne_bytes());
    for long in [now.tv_sec, now.tv_nsec, now.tv_sec + 3, now.tv_nsec, 100_000, 0] {
        bytes.extend(long.to_ne_bytes());
    }
    bytes.extend(50_000_u32.to_ne_bytes());
    bytes.extend(status.to_ne_bytes());
    bytes.resize(80, 0);
    bytes
}

/// Waits until every node's clock has this source and a reason with this in it.
fn await_clocks(cluster: &Cluster, source: &str, state: &str, reason: &str) {
    await_output(cluster, &["clock", "status", "-o", "ndjson"], |status| {
        let nodes = lines(status.as_bytes());
        let has = |node: &serde_json::Value, field: &str, text: &str| {
            node[field].as_str().is_some_and(|found| found.contains(text))
        };
        let all_have = |node: &serde_json::Value| {
            has(node, "source", source) && has(node, "state", state) && has(node, "reason", reason)
        };
        nodes.len() == usize::from(NODES) && nodes.iter().all(all_have)
    });
}

#[test]
fn nodes_serve_while_clockbound_vouches_for_their_clocks_and_never_without() {
    let mut cluster = Cluster::prepare(&AUTO);
    (1..=NODES).for_each(|node| cluster.spawn(node));
    await_clocks(&cluster, "auto", "fenced", "no source of time can be used. Install chrony");
    let daemon = Daemon::start(cluster.path("shm0"));
    await_clocks(&cluster, "clockbound", "trusted", "");
    cluster.succeed(&["topic", "create", "flights", "--shards", "2"]);
    append_one(&cluster);
    daemon.status.store(DISRUPTED, Ordering::Relaxed);
    await_clocks(&cluster, "auto", "fenced", "status Disrupted");
    daemon.status.store(SYNCHRONIZED, Ordering::Relaxed);
    await_clocks(&cluster, "clockbound", "trusted", "");
    append_one(&cluster);
    drop(daemon);
    await_clocks(&cluster, "auto", "fenced", "it is stale");
    std::fs::remove_file(cluster.path("shm0")).expect("the segment goes");
    await_clocks(&cluster, "auto", "fenced", "start the ClockBound daemon");
    let _daemon = Daemon::start(cluster.path("shm0"));
    await_clocks(&cluster, "clockbound", "trusted", "");
    append_one(&cluster);
}
