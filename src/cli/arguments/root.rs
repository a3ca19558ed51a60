//! The commands, and the flags that all of them share.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

use super::{
    CertCommand, ClockCommand, ClusterCommand, ConfigCommand, ConsumeArguments, DevArguments,
    DoctorArguments, GroupCommand, ProduceArguments, ServeArguments, ShardCommand, TopicCommand,
};
use crate::cli::output::Format;

/// A sharded, replicated, time-ordered event log: one true-time order across all shards
#[derive(Debug, Parser)]
#[command(name = "timberline", version, propagate_version = true, max_term_width = 110, after_help = EXIT_CODES)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Start with `timberline demo`.\n\nExit codes: 0 done; 1 failure; 2 usage; 3 not found; \
4 denied; 5 conflict or fenced; 6 timeout or unavailable; 7 corruption.";

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Common {
    /// Nodes to connect to first; the others are found from them [default: 127.0.0.1:7400]
    #[arg(
        long,
        global = true,
        env = "TIMBERLINE_ENDPOINT",
        value_name = "HOST:PORT[,..]",
        value_delimiter = ','
    )]
    pub endpoint: Vec<String>,
    /// Folder with ca.pem, client.pem and client.key [default: ./certs, else ./data/certs]
    #[arg(long, global = true, env = "TIMBERLINE_CERTS", value_name = "DIR")]
    pub certs: Option<PathBuf>,
    /// How data is printed [default: table on a terminal, ndjson when piped]
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT")]
    pub output: Option<Format>,
    /// Say more on stderr; twice for even more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Send a real data set through a three-node cluster, kill a leader on the way, and prove that nothing broke
    Demo,
    /// Run a cluster of N nodes in this process, with certificates made on the way; Ctrl-C stops it
    Dev(DevArguments),
    /// Run one node; SIGTERM hands its leaderships over and stops it
    Serve(ServeArguments),
    /// Check a configuration, show what it resolves to, or print a template
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Make the certificates of a development cluster
    #[command(subcommand)]
    Cert(CertCommand),
    /// Create, list, show and delete topics
    #[command(subcommand)]
    Topic(TopicCommand),
    /// Append records, one a line, from a file or stdin
    Produce(ProduceArguments),
    /// Read records: all shards merged in one true-time order, or shard by shard
    Consume(ConsumeArguments),
    /// Consumer groups: who reads what, and how far behind
    #[command(subcommand)]
    Group(GroupCommand),
    /// What each shard's replicas hold
    #[command(subcommand)]
    Shard(ShardCommand),
    /// The nodes, and who leads how much
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// How well each node knows the time
    #[command(subcommand)]
    Clock(ClockCommand),
    /// One line a check: result, reason, the command that fixes it
    Doctor(DoctorArguments),
}
