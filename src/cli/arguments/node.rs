//! Flags of the commands that run or inspect nodes and topics.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::cli::moment::From;
use crate::settings::{parse_duration, parse_size};
use crate::types::{GroupName, TopicName};

#[derive(Debug, Args)]
pub(in crate::cli) struct DevArguments {
    /// How many nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=9))]
    pub nodes: u64,
    /// Where certificates and data are kept, for the next run too
    #[arg(long, default_value = "data", value_name = "DIR")]
    pub data: PathBuf,
    /// Node N listens on this port + N - 1
    #[arg(long, default_value_t = 7400, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub base_port: u16,
    /// How far this machine's clock may be from true time
    #[arg(long, default_value = "1ms", value_name = "DURATION")]
    pub uncertainty: String,
    /// Override a setting on all nodes, such as `clock.eps_max=5ms`
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ServeArguments {
    /// The node's configuration; `timberline config template` prints one
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Override a setting, such as `clock.eps_max=5ms`
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ConfigSource {
    /// The configuration to read
    #[arg(long, value_name = "FILE", default_value = "timberline.toml")]
    pub config: PathBuf,
    /// Override a setting, such as `clock.eps_max=5ms`
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DoctorArguments {
    /// The configuration of this machine's node: where its chronyd is asked (127.0.0.1:323 without it)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct TemplateArguments {
    /// Which node the template is for
    #[arg(long, default_value_t = 1)]
    pub node: u64,
    /// Of how many
    #[arg(long, default_value_t = 3)]
    pub nodes: u64,
    /// Node N listens on this port + N - 1
    #[arg(long, default_value_t = 7400, value_name = "PORT")]
    pub base_port: u16,
    /// Check this file instead of printing a template (not built: use `config check`)
    #[arg(long, value_name = "FILE", hide = true)]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ConfigCommand {
    /// Say whether a configuration is right; each mistake with file, line, column and what was expected
    Check(ConfigSource),
    /// Every setting, its value and where that came from
    Show(ConfigSource),
    /// A commented configuration for one node of a cluster on this machine
    Template(TemplateArguments),
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum CertCommand {
    /// Make a development CA and certificates for nodes 1..N and one client
    Init {
        /// Where to; nothing there is overwritten
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
        nodes: u64,
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TopicCommand {
    /// Create a topic
    Create(TopicCreateArguments),
    /// All topics
    List,
    /// One topic with its shards
    Show { name: TopicName },
    /// Delete a topic with all its records
    Delete { name: TopicName },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Partitioning {
    Hash,
    Range,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct TopicCreateArguments {
    pub name: TopicName,
    /// How many shards; with range partitioning, one more than there are split keys
    #[arg(long)]
    pub shards: u32,
    /// How many nodes hold each shard
    #[arg(long, default_value_t = 3)]
    pub replicas: u32,
    /// How keys are spread over the shards
    #[arg(long, value_enum, default_value_t = Partitioning::Hash)]
    pub partitioning: Partitioning,
    /// With range partitioning: the keys at which one shard ends and the next begins, rising
    #[arg(long, value_name = "KEY,KEY..", value_delimiter = ',')]
    pub split_at: Vec<String>,
    /// Where a quorum holds a batch before it is acknowledged (disk; memory is not built yet)
    #[arg(long, default_value = "disk")]
    pub durability: crate::types::Durability,
    /// Records may go once they are older than this, such as 7d, by the time of their commit [default: they are kept]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub retention: Option<std::time::Duration>,
    /// A shard's oldest records may go while the rest of it holds as much, such as 10GiB [default: they are kept]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub retention_bytes: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ShardCommand {
    /// Each shard of a topic: key range, leader, replicas and their positions
    List { topic: TopicName },
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum GroupCommand {
    /// All consumer groups
    List,
    /// One group: who reads which shard, from where on, and how far behind, in time and in records
    Show { name: GroupName },
    /// Move a group that has no members: it reads on from there in all its shards
    Reset {
        name: GroupName,
        /// begin, end, or a time (RFC 3339, ts:NANOSECONDS, -5m)
        #[arg(long, value_name = "WHERE", allow_hyphen_values = true)]
        to: From,
    },
    /// Forget a group that has no members, and where it stood
    Delete { name: GroupName },
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ClusterCommand {
    /// The nodes as one of them sees them
    Status,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ClockCommand {
    /// Each node's clock: state, source, uncertainty, peers
    Status,
    /// All nodes' intervals on one axis, live; without a terminal one JSON object per node and refresh
    Watch(WatchArguments),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct WatchArguments {
    /// How often every node is asked and the view drawn anew, at least 50ms
    #[arg(long, value_name = "DURATION", default_value = "250ms", value_parser = parse_duration)]
    pub interval: std::time::Duration,
    /// End after so many refreshes; 0: never
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub count: u64,
}
