//! The command line's grammar, and what its flags come to as a workload.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use timberline::settings::{parse_duration, parse_size};
use timberline::types::{Durability, SHARD_IN_FLIGHT_MAX, TopicName};

use super::growth::GrowthArguments;
use super::rates::Rates;
use crate::failure::Failure;
use crate::output::Format;
use crate::workload::{Mode, Preset, Shape, Workload};

/// Puts load on a Timberline cluster and says what became of the time
///
/// Closed loop without a rate: as much as is answered. With --rate or --sweep open loop: batches are due at fixed times, and
/// their latency counts from then, whatever became of those before. Starts no cluster unless told to (--dev).
#[derive(Debug, Parser)]
#[command(name = "timberline-load", version, max_term_width = 110, args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) cluster: ClusterArguments,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The same load on a bare log in three processes: what this machine takes for the bytes alone
    Floor(FloorArguments),
    /// How throughput, latency, CPU and memory change as one thing grows, each step on a cluster of its own
    Growth(GrowthArguments),
    /// One process of the floor
    #[command(hide = true)]
    FloorNode(NodeArguments),
}

#[derive(Debug, Args)]
pub(super) struct ClusterArguments {
    #[command(flatten)]
    pub(super) load: LoadArguments,
    /// Nodes to connect to first; the others are found from them [default: 127.0.0.1:7400]
    #[arg(long, env = "TIMBERLINE_ENDPOINT", value_name = "HOST:PORT[,..]", value_delimiter = ',')]
    pub(super) endpoint: Vec<String>,
    /// Folder with ca.pem, client.pem and client.key [default: ./certs, else ./data/certs]
    #[arg(long, env = "TIMBERLINE_CERTS", value_name = "DIR")]
    pub(super) certs: Option<PathBuf>,
    /// Start so many nodes in this process instead; their work and the load's cannot be told apart then
    #[arg(long, value_name = "NODES", num_args = 0..=1, default_missing_value = "3", conflicts_with_all = ["endpoint", "certs", "pids", "metrics", "serve"],
          value_parser = clap::value_parser!(u64).range(1..=9), group = "own")]
    pub(super) dev: Option<u64>,
    /// Start so many `timberline serve` processes instead, in a folder that goes with them
    #[arg(long, value_name = "NODES", num_args = 0..=1, default_missing_value = "3", conflicts_with_all = ["endpoint", "certs", "pids", "metrics"],
          value_parser = clap::value_parser!(u64).range(1..=9), group = "own")]
    pub(super) serve: Option<u64>,
    /// With --serve: a setting of every node, such as `storage.segment_max=16MiB`
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "serve")]
    pub(super) settings: Vec<String>,
    /// With --serve: run each workload twice, the second time with one follower stopped for so long, four fifths of the time
    #[arg(long, value_name = "DURATION", requires = "serve", value_parser = parse_duration)]
    pub(super) slow_follower: Option<Duration>,
    /// With --dev or --serve: how far this machine's clock may be from true time
    #[arg(long, value_name = "DURATION", default_value = "50us", value_parser = parse_duration, requires = "own")]
    pub(super) uncertainty: Duration,
    /// The topic to create [default: load- and a number]
    #[arg(long, value_name = "NAME")]
    pub(super) topic: Option<TopicName>,
    /// Leave the topic and its records behind
    #[arg(long)]
    pub(super) keep_topic: bool,
    /// The topic's shards
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) shards: u32,
    /// How many nodes hold each shard [default: 3, or all of --dev]
    #[arg(long)]
    pub(super) replicas: Option<u32>,
    /// Where a quorum holds a batch before it is acknowledged: disk or memory
    #[arg(long, default_value = "disk")]
    pub(super) durability: Durability,
    /// Follow with a merged consumer, and tell when records could be read
    #[arg(long)]
    pub(super) visible: bool,
    /// The nodes' processes, whose CPU and memory are told [default: those that listen on the nodes' addresses, if those
    /// are this machine's]
    #[arg(long, value_name = "PID[,..]", value_delimiter = ',')]
    pub(super) pids: Vec<u32>,
    /// Where the nodes serve metrics (metrics.listen), to tell how many files they sync
    #[arg(long, value_name = "HOST:PORT[,..]", value_delimiter = ',')]
    pub(super) metrics: Vec<SocketAddr>,
    /// Run the same on the floor first
    #[arg(long)]
    pub(super) with_floor: bool,
    #[command(flatten)]
    pub(super) floor: FloorFile,
}

#[derive(Debug, Args)]
pub(super) struct FloorArguments {
    #[command(flatten)]
    pub(super) load: LoadArguments,
    #[command(flatten)]
    pub(super) floor: FloorFile,
}

#[derive(Debug, Args)]
pub(super) struct FloorFile {
    /// How large the file of each of the floor's nodes is; it is filled round and round
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = parse_size)]
    pub(super) floor_file: u64,
}

#[derive(Debug, Args)]
pub(super) struct NodeArguments {
    #[arg(long)]
    pub(super) folder: PathBuf,
    #[arg(long)]
    pub(super) certificate: PathBuf,
    #[arg(long)]
    pub(super) follower: Vec<SocketAddr>,
    #[arg(long, value_parser = parse_size)]
    pub(super) file_size: u64,
}

/// What is offered, and how it is told.
#[derive(Debug, Args)]
pub(super) struct LoadArguments {
    /// What is offered; the flags below change parts of it
    #[arg(long, value_enum, default_value_t = Preset::W1, ignore_case = true)]
    pub(super) workload: Preset,
    /// Open loop: records due each second
    #[arg(long, value_name = "RECORDS/s", conflicts_with = "sweep")]
    pub(super) rate: Option<NonZeroU64>,
    /// Open loop at one rate after the other: 1000,2000,5000 or LOW..HIGH:COUNT
    #[arg(long, value_name = "RATES")]
    pub(super) sweep: Option<Rates>,
    /// Draw latency against rate, as SVG
    #[arg(long, value_name = "FILE", requires = "sweep")]
    pub(super) plot: Option<PathBuf>,
    /// Tell which share of an append's time each stage took, on stderr
    #[arg(long)]
    pub(super) stages: bool,
    /// End with exit code 1 if a rate was lost
    #[arg(long)]
    pub(super) strict: bool,
    /// Open loop: appends that may be under way; more wait, and are late
    #[arg(long, value_name = "BATCHES", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(super) outstanding: u32,
    /// Producers
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=65_536))]
    pub(super) producers: Option<u32>,
    /// Batches that each producer keeps in flight [default: the workload's; with a rate 8, the most that a shard takes of one]
    #[arg(long, value_name = "BATCHES", value_parser = clap::value_parser!(u32).range(..=4_096))]
    pub(super) in_flight: Option<u32>,
    /// Records of a batch
    #[arg(long, value_name = "RECORDS")]
    pub(super) batch: Option<u32>,
    /// Connections that producers are spread over
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=4_096))]
    pub(super) connections: Option<u32>,
    /// Bytes of a record's value
    #[arg(long, value_name = "BYTES", default_value_t = 1024)]
    pub(super) record_size: usize,
    /// Append the lines of this file instead, again and again; `.zst` is read as it is
    #[arg(long, value_name = "FILE", conflicts_with = "record_size")]
    pub(super) file: Option<PathBuf>,
    /// W4: how many records are replayed
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) replay_records: u64,
    /// How long each run is measured
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_duration)]
    pub(super) duration: Duration,
    /// How long it runs before
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    pub(super) warmup: Duration,
    /// Where --dev and the floor keep their files for as long as they run [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    pub(super) folder: Option<PathBuf>,
    /// How reports are printed [default: table on a terminal, ndjson when piped]
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub(super) output: Option<Format>,
}

impl LoadArguments {
    /// The runs asked for; records are `record_bytes` long, at most.
    pub(super) fn workloads(&self, record_bytes: usize) -> Result<Vec<Workload>, Failure> {
        let preset = self.workload.shape();
        let has_rate = self.rate.is_some() || self.sweep.is_some();
        // What is due must not wait for what was due before, as far as the client library allows.
        let in_flight = if has_rate { SHARD_IN_FLIGHT_MAX } else { preset.in_flight };
        let shape = Shape {
            producers: self.producers.map_or(preset.producers, |count| count as usize),
            in_flight: self.in_flight.map_or(in_flight, |count| count as usize),
            batch_records: self.batch.unwrap_or(preset.batch_records),
            connections: self.connections.map_or(preset.connections, |count| count as usize),
        };
        let rates = self.sweep.iter().flat_map(|sweep| &sweep.0).chain(&self.rate);
        let outstanding_max = self.outstanding as usize;
        let mut modes: Vec<_> =
            rates.map(|rate| Mode::Open { records_per_second: *rate, outstanding_max }).collect();
        if self.workload == Preset::W4 {
            if !modes.is_empty() {
                let refused =
                    "W4 reads, and has no rate: leave --rate and --sweep out, or take another workload";
                return Err(Failure::Usage(refused.to_owned()));
            }
            modes.push(Mode::Replay { records: self.replay_records });
        } else if modes.is_empty() {
            modes.push(Mode::Closed);
        }
        let as_preset = shape == preset && self.file.is_none() && self.record_size == 1024;
        let name = if as_preset && !has_rate { self.workload.name() } else { "custom" };
        let (warmup, duration) = (self.warmup, self.duration);
        let workload = |mode| Workload { name, shape, mode, record_bytes, warmup, duration };
        let workloads: Vec<_> = modes.into_iter().map(workload).collect();
        workloads[0].check().map_err(Failure::Usage)?;
        Ok(workloads)
    }

    /// Where files go that live as long as the run.
    pub(super) fn folder(&self) -> PathBuf {
        self.folder.clone().unwrap_or_else(std::env::temp_dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(flags: &str) -> Result<Arguments, String> {
        let words = std::iter::once("timberline-load").chain(flags.split_whitespace());
        Arguments::try_parse_from(words).map_err(|error| error.to_string())
    }

    fn workloads(flags: &str) -> Result<Vec<Workload>, String> {
        let load = parse(flags)?.cluster.load;
        load.workloads(load.record_size).map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_grammar_is_sound() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn presets_are_what_they_are_called_and_anything_else_is_custom() {
        let name = |flags| workloads(flags).unwrap()[0].name;
        assert_eq!([name(""), name("--workload w2"), name("--workload W3")], ["w1", "w2", "w3"]);
        assert_eq!([name("--batch 7"), name("--record-size 7"), name("--rate 7")], ["custom"; 3]);
        let replay = &workloads("--workload w4 --replay-records 5").unwrap()[0];
        assert_eq!((replay.name, replay.mode), ("w4", Mode::Replay { records: 5 }));
        let changed =
            workloads("--workload w3 --batch 5 --producers 9 --in-flight 2 --connections 3").unwrap();
        let shape = Shape { producers: 9, in_flight: 2, batch_records: 5, connections: 3 };
        assert_eq!((changed[0].shape, changed[0].mode), (shape, Mode::Closed));
    }

    #[test]
    fn with_a_rate_a_producer_has_as_much_in_flight_as_a_shard_takes_unless_told_otherwise() {
        let in_flight = |flags| workloads(flags).unwrap()[0].shape.in_flight;
        assert_eq!([in_flight("--rate 5"), in_flight("--sweep 5,6"), in_flight("")], [8, 8, 1]);
        assert_eq!(in_flight("--rate 5 --in-flight 2"), 2);
    }

    #[test]
    fn a_sweep_is_one_open_loop_for_each_rate() {
        let modes: Vec<_> = workloads("--sweep 10,20 --outstanding 9")
            .unwrap()
            .iter()
            .map(|workload| workload.mode)
            .collect();
        let open =
            |rate| Mode::Open { records_per_second: NonZeroU64::new(rate).unwrap(), outstanding_max: 9 };
        assert_eq!(modes, [open(10), open(20)]);
    }

    #[test]
    fn bad_flags_are_refused_with_what_to_write_instead() {
        for (flags, says) in [
            ("--rate 0", "non-zero"),
            ("--rate 5 --sweep 1,2", "cannot be used with"),
            ("--sweep 5..1:3", "1000..64000:7"),
            ("--plot a.svg", "--sweep"),
            ("--duration 5", "5"),
            ("--workload w5", "w4"),
            ("--workload w4 --rate 5", "has no rate"),
            ("--dev --endpoint a:1", "cannot be used with"),
            ("--dev 10", "1..=9"),
            ("--uncertainty 1ms", "--dev"),
            ("--slow-follower 200ms", "--serve"),
            ("--set a.b=1", "--serve"),
            ("--dev --serve", "cannot be used with"),
            ("--batch 0", "--batch is 0"),
            ("--connections 2", "--connections 2 are more than the 1 producers"),
            ("--duration 0s", "--duration is 0"),
            ("--outstanding 0", "1..=65536"),
            ("--record-size 5 --file a", "cannot be used with"),
        ] {
            let refused = workloads(flags).err().unwrap_or_else(|| panic!("{flags} is taken"));
            assert!(refused.contains(says), "{flags}: {refused}");
        }
    }
}
