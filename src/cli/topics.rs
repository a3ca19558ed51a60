//! `topic create|list|show|delete`.

use bytes::Bytes;
use serde::Serialize;

use super::arguments::{Common, Partitioning, TopicCommand, TopicCreateArguments};
use super::connect::connect;
use super::failure::Failure;
use super::moment;
use super::output::{Format, Row, print_row, print_rows};
use super::partition::PartitionStart;
use crate::client::{self, CreateTopic, Topic};
use crate::settings::{format_duration, format_size};
use crate::types::{Retention, TopicName};

pub(super) async fn topic(command: TopicCommand, common: &Common) -> Result<(), Failure> {
    let format = Format::or_default(common.output);
    match command {
        TopicCommand::Create(arguments) => {
            let topic = request(arguments)?;
            let created = connect(common).await?.create_topic(topic).await?;
            print_row(format, &TopicRow::of(&created))
        }
        TopicCommand::List => {
            let topics = connect(common).await?.list_topics().await?;
            print_rows(format, &topics.iter().map(TopicRow::of).collect::<Vec<_>>())
        }
        TopicCommand::Show { name } => {
            let topic = connect(common).await?.describe_topic(&name).await?;
            print_row(format, &TopicRow::of(&topic))?;
            if format == Format::Table { print_rows(format, &TopicRow::of(&topic).shards) } else { Ok(()) }
        }
        TopicCommand::Delete { name } => {
            connect(common).await?.delete_topic(&name).await?;
            print_row(format, &Deleted::of(&name))
        }
    }
}

/// Parses what the flags say, and refuses what is not built before anything is asked of the cluster.
fn request(arguments: TopicCreateArguments) -> Result<CreateTopic, Failure> {
    let TopicCreateArguments {
        name,
        shards,
        replicas,
        partitioning,
        split_at,
        durability,
        retention,
        retention_bytes,
    } = arguments;
    let retention = Retention::checked(retention, retention_bytes)
        .map_err(|problem| Failure::usage(problem.to_string()))?;
    if shards == 0 || replicas == 0 {
        return Err(Failure::usage("--shards and --replicas are at least 1"));
    }
    let partitioning = match partitioning {
        Partitioning::Hash if split_at.is_empty() => client::Partitioning::Hash,
        Partitioning::Hash => return Err(Failure::usage("--split-at needs --partitioning range")),
        Partitioning::Range => client::Partitioning::Range { split_at: split_keys(shards, split_at)? },
    };
    Ok(CreateTopic { name, shards, replicas, partitioning, durability, retention })
}

fn split_keys(shards: u32, split_at: Vec<String>) -> Result<Vec<Bytes>, Failure> {
    let wanted = shards as usize - 1;
    if split_at.len() != wanted {
        let given = split_at.len();
        return Err(Failure::usage(format!("{shards} shards need {wanted} keys in --split-at, not {given}")));
    }
    if split_at.iter().any(String::is_empty) || !split_at.is_sorted_by(|a, b| a < b) {
        return Err(Failure::usage("the keys in --split-at must rise, and none may be empty"));
    }
    Ok(split_at.into_iter().map(Bytes::from).collect())
}

#[derive(Serialize)]
struct TopicRow {
    topic: String,
    id: u64,
    shard_count: usize,
    replica_count: usize,
    partitioning: &'static str,
    durability: &'static str,
    retention_ns: Option<u64>,
    retention_bytes: Option<u64>,
    created_ns: u64,
    shards: Vec<ShardRow>,
}

#[derive(Serialize)]
struct ShardRow {
    shard: u64,
    #[serde(flatten)]
    start: PartitionStart,
    leader: Option<u64>,
    term: u64,
    replicas: Vec<u64>,
}

impl TopicRow {
    fn of(topic: &Topic) -> Self {
        let shard = |shard: &client::ShardInfo| ShardRow {
            shard: shard.shard.0,
            start: PartitionStart::of(&shard.partition),
            leader: shard.leader.map(|node| node.0),
            term: shard.term.0,
            replicas: shard.replicas.iter().map(|replica| replica.node.0).collect(),
        };
        let shards: Vec<_> = topic.shards.iter().map(shard).collect();
        Self {
            topic: topic.name.to_string(),
            id: topic.id.0,
            shard_count: shards.len(),
            replica_count: shards.first().map_or(0, |shard| shard.replicas.len()),
            partitioning: shards.first().map_or("hash", |shard| shard.start.partitioning()),
            durability: topic.durability.as_str(),
            retention_ns: topic.retention.age.map(|_| topic.retention.numbers().0),
            retention_bytes: topic.retention.bytes,
            created_ns: topic.created.0,
            shards,
        }
    }
}

impl TopicRow {
    fn retention(&self) -> String {
        let age = self.retention_ns.map(|ns| format_duration(std::time::Duration::from_nanos(ns)));
        let parts: Vec<_> = age.into_iter().chain(self.retention_bytes.map(format_size)).collect();
        if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
    }
}

impl Row for TopicRow {
    fn titles() -> Vec<&'static str> {
        vec!["TOPIC", "SHARDS", "REPLICAS", "PARTITIONING", "DURABILITY", "RETENTION", "CREATED"]
    }
    fn cells(&self) -> Vec<Vec<String>> {
        vec![vec![
            self.topic.clone(),
            self.shard_count.to_string(),
            self.replica_count.to_string(),
            self.partitioning.to_owned(),
            self.durability.to_owned(),
            self.retention(),
            moment::show(crate::types::Timestamp(self.created_ns)),
        ]]
    }
    fn raw(&self) -> String {
        self.topic.clone()
    }
}

impl Row for ShardRow {
    fn titles() -> Vec<&'static str> {
        vec!["SHARD", "FROM", "LEADER", "TERM", "NODES"]
    }
    fn cells(&self) -> Vec<Vec<String>> {
        let nodes: Vec<_> = self.replicas.iter().map(u64::to_string).collect();
        vec![vec![
            self.shard.to_string(),
            self.start.to_string(),
            self.leader.map_or_else(|| "-".into(), |node| node.to_string()),
            self.term.to_string(),
            nodes.join(" "),
        ]]
    }
    fn raw(&self) -> String {
        self.shard.to_string()
    }
}

#[derive(Serialize)]
struct Deleted {
    topic: String,
    deleted: bool,
}

impl Deleted {
    fn of(name: &TopicName) -> Self {
        Self { topic: name.to_string(), deleted: true }
    }
}

impl Row for Deleted {
    fn titles() -> Vec<&'static str> {
        vec!["TOPIC", "RESULT"]
    }
    fn cells(&self) -> Vec<Vec<String>> {
        vec![vec![self.topic.clone(), "deleted".into()]]
    }
    fn raw(&self) -> String {
        self.topic.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::failure::Kind;
    use crate::types::Durability;

    fn create(flags: &[&str]) -> Result<CreateTopic, Failure> {
        use clap::Parser;
        let all = ["timberline", "topic", "create", "t", "--shards", "3"].iter().chain(flags);
        let arguments =
            crate::cli::arguments::Arguments::try_parse_from(all).expect("the grammar knows the flag");
        let crate::cli::arguments::Command::Topic(TopicCommand::Create(arguments)) = arguments.command else {
            panic!("it is `topic create`")
        };
        request(arguments)
    }

    #[test]
    fn durability_is_disk_unless_memory_is_asked_for() {
        assert_eq!(create(&[]).unwrap().durability, Durability::Disk);
        assert_eq!(create(&["--durability", "memory"]).unwrap().durability, Durability::Memory);
    }

    #[test]
    fn retention_is_told_and_out_of_range_refused() {
        let kept = create(&["--retention", "7d", "--retention-bytes", "10GiB"]).unwrap().retention;
        assert_eq!(kept.numbers(), (7 * 86_400_000_000_000, 10 << 30));
        assert_eq!(create(&[]).unwrap().retention, Retention::default());
        for flags in [["--retention", "10ms"], ["--retention-bytes", "1KiB"]] {
            assert_eq!(create(&flags).unwrap_err().kind, Kind::Usage);
        }
    }

    #[test]
    fn split_keys_must_fit_the_shards_and_rise() {
        assert!(create(&["--partitioning", "range", "--split-at", "b,d"]).is_ok());
        for keys in ["b", "d,b", "b,b", "b,"] {
            assert!(create(&["--partitioning", "range", "--split-at", keys]).is_err(), "{keys}");
        }
        assert!(create(&["--split-at", "b,d"]).is_err());
    }
}
