//! Ring three of the proof: three real `serve` processes, real sockets and files, real faults, and the simulator's own
//! checkers over what clients saw.
//!
//! `TIMBERLINE_FAULT_SECONDS=N` makes each campaign that long, `TIMBERLINE_FAULT_SEED=N` repeats one's choices,
//! `TIMBERLINE_TEST_ROOT=1` adds the faults that mount file systems. docs/TESTING.md says more.

mod campaign;
#[path = "../processes/cluster.rs"]
mod cluster;
mod consistency;
mod disks;
mod powered;
mod relay;
mod volume;
mod witness;
mod workload;

use campaign::{Campaign, Fault};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigkill_of_one_and_of_all_breaks_no_promise() {
    let campaign = Campaign::start(campaign::prepare(&[])).await;
    campaign.run(&[Fault::Kill, Fault::KillAll]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_stopped_past_the_election_timeout_breaks_no_promise_when_it_goes_on() {
    let campaign = Campaign::start(campaign::prepare(&[])).await;
    campaign.run(&[Fault::Stop]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_loses_delays_doubles_reorders_and_cuts_one_way_breaks_no_promise() {
    let campaign = Campaign::start(campaign::prepare(&[])).await;
    campaign.run(&[Fault::Storm, Fault::KillInStorm, Fault::CutOff, Fault::CutLink]).await;
}
