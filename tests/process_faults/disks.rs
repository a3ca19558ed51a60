//! Faults of disks, which need root: a power cut that takes all that was not synced, and a disk that is full.

use std::process::Stdio;

use rand::Rng as _;
use rand::seq::SliceRandom as _;
use timberline::types::NodeId;

use super::campaign::{self, Campaign};
use super::cluster::NODES;
use super::powered::{Cutter, PoweredVolume, allowed, drop_caches};
use super::volume::{SmallVolume, log_count, powered_volume};

/// Segments so small that logs are rolled between two cuts.
const SMALL_SEGMENTS: [&str; 4] =
    ["--set", "storage.first_segment=16KiB", "--set", "storage.segment_max=1MiB"];

/// Cuts the power of some nodes, and brings them back. The process ends before its disk or after it, as the seed has
/// it: a node whose disk has just died must not acknowledge either.
fn cut(campaign: &mut Campaign, nodes: &[u16], volumes: &[PoweredVolume], cutter: &Cutter) {
    let disk_first = campaign.rng.random_bool(0.5);
    let flags = campaign.rng.random_range(1..=2);
    let first = if disk_first { "disk" } else { "process" };
    campaign.tell(&format!("power cut of {nodes:?}, {first} first, shutdown flags {flags}"));
    for ends_disk in [disk_first, !disk_first] {
        for node in nodes {
            if ends_disk {
                cutter.aim(&volumes[usize::from(*node) - 1], flags, None).cut();
            } else {
                campaign.cluster.kill(*node);
            }
        }
    }
    for node in nodes {
        volumes[usize::from(*node) - 1].restore();
        campaign.spawn(*node);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_of_some_and_of_all_loses_nothing_acknowledged() {
    if !allowed() {
        return;
    }
    let cluster = campaign::prepare(&SMALL_SEGMENTS);
    let cutter = Cutter::build(&cluster.path(""));
    let volumes: Vec<_> = (1..=NODES).map(|node| powered_volume(&cluster, node)).collect();
    drop_caches();
    let mut campaign = Campaign::start(cluster).await;
    let mut round = 0;
    while campaign.goes_on(round) {
        drop_caches();
        let mut nodes: Vec<u16> = (1..=NODES).collect();
        nodes.shuffle(&mut campaign.rng);
        if round % 2 == 1 {
            nodes.truncate(campaign.rng.random_range(1..nodes.len()));
        }
        campaign.works_again().await;
        // Cut while the logs of a new topic are being made: as soon as the first is seen.
        let logs = volumes.iter().map(log_count).collect::<Vec<_>>();
        let name = format!("unfinished-{round}");
        let mut creation = campaign.cluster.command(&["topic", "create", &name, "--shards", "3"]);
        let mut creation = creation.stdout(Stdio::null()).spawn().expect("the command starts");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while volumes.iter().map(log_count).eq(logs.iter().copied()) {
            assert!(std::time::Instant::now() < deadline, "no log of topic {name} appears");
            let ended = creation.try_wait().expect("its end can be asked for");
            assert!(ended.is_none_or(|status| status.success()), "a topic cannot be created: {ended:?}");
        }
        cut(&mut campaign, &nodes, &volumes, &cutter);
        campaign.works_again().await;
        creation.wait().expect("its end can be awaited");
        round += 1;
    }
    campaign.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_disk_is_full_says_so_the_others_go_on_and_it_comes_back_by_itself() {
    if !allowed() {
        return;
    }
    let cluster = campaign::prepare(&SMALL_SEGMENTS);
    let full = SmallVolume::mount(&cluster, 3, 256);
    let mut campaign = Campaign::start(cluster).await;
    let mut round = 0;
    while campaign.goes_on(round) {
        campaign.tell("the disk of node 3 is full");
        full.fill();
        campaign.runs_out_of_space(NodeId(3)).await;
        campaign.works_again().await;
        full.make_room();
        campaign.has_room_again(NodeId(3)).await;
        campaign.works_again().await;
        round += 1;
    }
    campaign.judge().await;
}
