//! `group list|show|reset|delete`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::arguments::{Common, GroupCommand};
use super::connect::connect;
use super::failure::Failure;
use super::moment::{From, Moment, show, show_ns};
use super::output::{Format, Row, print_row, print_rows};
use crate::client::{Client, GroupInfo, GroupPlace, GroupStart, GroupSummary};
use crate::types::{GroupName, MemberId, Timestamp};

pub(super) async fn group(command: GroupCommand, common: &Common) -> Result<(), Failure> {
    let format = Format::or_default(common.output);
    let client = connect(common).await?;
    match command {
        GroupCommand::List => {
            let groups = client.list_groups().await?;
            print_rows(format, &groups.iter().map(SummaryRow::of).collect::<Vec<_>>())
        }
        GroupCommand::Show { name } => show_group(&client, &name, format).await,
        GroupCommand::Reset { name, to } => {
            client.reset_group(&name, group_start(&to, &client).await?).await?;
            show_group(&client, &name, format).await
        }
        GroupCommand::Delete { name } => {
            client.delete_group(&name).await?;
            print_row(format, &Deleted { group: name.to_string(), deleted: true })
        }
    }
}

async fn show_group(client: &Client, name: &GroupName, format: Format) -> Result<(), Failure> {
    let row = GroupRow::of(&client.describe_group(name).await?);
    print_row(format, &row)?;
    if format == Format::Table { print_rows(format, &row.shards) } else { Ok(()) }
}

/// Where a group begins, as a user wrote it.
pub(super) async fn group_start(from: &From, client: &Client) -> Result<GroupStart, Failure> {
    match from {
        From::Begin => Ok(GroupStart::Begin),
        From::End => Ok(GroupStart::End),
        From::At(moment) => {
            let is_relative = matches!(moment, Moment::Ago(_));
            let now = if is_relative { client.now().await?.interval.latest } else { Timestamp::ZERO };
            Ok(GroupStart::Time(moment.resolve(now)))
        }
        From::Cursor(_) => Err(Failure::usage(
            "a group has a position of its own in each shard: name begin, end or a time instead of a cursor",
        )),
    }
}

#[derive(Serialize)]
struct SummaryRow {
    group: String,
    generation: u64,
    member_count: u32,
    shard_count: u32,
    topics: Vec<String>,
}

impl SummaryRow {
    fn of(group: &GroupSummary) -> Self {
        Self {
            group: group.name.to_string(),
            generation: group.generation,
            member_count: group.members,
            shard_count: group.shards,
            topics: group.topics.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Row for SummaryRow {
    fn titles() -> Vec<&'static str> {
        vec!["GROUP", "MEMBERS", "SHARDS", "GENERATION", "TOPICS"]
    }
    fn cells(&self) -> Vec<Vec<String>> {
        vec![vec![
            self.group.clone(),
            self.member_count.to_string(),
            self.shard_count.to_string(),
            self.generation.to_string(),
            self.topics.join(" "),
        ]]
    }
    fn raw(&self) -> String {
        self.group.clone()
    }
}

/// One group; the field names are a contract.
#[derive(Serialize)]
struct GroupRow {
    group: String,
    generation: u64,
    topics: Vec<String>,
    /// The shard's that is furthest behind in time.
    lag_ns: u64,
    /// Of all shards together.
    lag_records: u64,
    members: Vec<MemberRow>,
    shards: Vec<PlaceRow>,
}

#[derive(Serialize)]
struct MemberRow {
    member: String,
    name: String,
    shard_count: usize,
}

#[derive(Serialize)]
struct PlaceRow {
    topic: String,
    shard: u64,
    member: Option<String>,
    member_name: Option<String>,
    /// Who waits for the shard.
    wanted_by: Option<String>,
    next_timestamp_ns: u64,
    lag_ns: Option<u64>,
    lag_records: Option<u64>,
    /// Why the lag is not known.
    failure: Option<String>,
}

impl GroupRow {
    fn of(group: &GroupInfo) -> Self {
        let names: BTreeMap<MemberId, &str> =
            group.members.iter().map(|member| (member.member, member.name.as_str())).collect();
        let owned = |owner: MemberId| group.places.iter().filter(|place| place.owner == Some(owner)).count();
        let members = group.members.iter().map(|member| MemberRow {
            member: id(member.member),
            name: member.name.clone(),
            shard_count: owned(member.member),
        });
        let shards: Vec<PlaceRow> = group.places.iter().map(|place| PlaceRow::of(place, &names)).collect();
        Self {
            group: group.name.to_string(),
            generation: group.generation,
            topics: group.topics.iter().map(ToString::to_string).collect(),
            lag_ns: shards.iter().filter_map(|shard| shard.lag_ns).max().unwrap_or(0),
            lag_records: shards.iter().filter_map(|shard| shard.lag_records).sum(),
            members: members.collect(),
            shards,
        }
    }
}

impl PlaceRow {
    fn of(place: &GroupPlace, names: &BTreeMap<MemberId, &str>) -> Self {
        let lag = place.lag.as_ref();
        Self {
            topic: place.topic.to_string(),
            shard: place.shard.0,
            member: place.owner.map(id),
            member_name: place.owner.and_then(|owner| names.get(&owner)).map(ToString::to_string),
            wanted_by: place.wanted_by.map(id),
            next_timestamp_ns: place.next.0,
            lag_ns: lag.ok().map(|lag| lag.ns),
            lag_records: lag.ok().map(|lag| lag.records),
            failure: lag.err().map(ToString::to_string),
        }
    }
}

fn id(member: MemberId) -> String {
    format!("{:016x}", member.0)
}

impl Row for GroupRow {
    fn titles() -> Vec<&'static str> {
        vec!["GROUP", "GENERATION", "MEMBERS", "LAG", "RECORDS", "TOPICS"]
    }
    fn cells(&self) -> Vec<Vec<String>> {
        vec![vec![
            self.group.clone(),
            self.generation.to_string(),
            self.members.len().to_string(),
            show_ns(self.lag_ns),
            self.lag_records.to_string(),
            self.topics.join(" "),
        ]]
    }
    fn raw(&self) -> String {
        self.group.clone()
    }
}

impl Row for PlaceRow {
    fn titles() -> Vec<&'static str> {
        vec!["TOPIC", "SHARD", "MEMBER", "NEXT", "LAG", "RECORDS"]
    }
    fn cells(&self) -> Vec<Vec<String>> {
        let member = match (&self.member_name, &self.wanted_by) {
            (Some(name), Some(_)) => format!("{name} (is to yield it)"),
            (Some(name), None) => name.clone(),
            (None, _) => "-".to_owned(),
        };
        let failure = || self.failure.clone().unwrap_or_default();
        vec![vec![
            self.topic.clone(),
            self.shard.to_string(),
            member,
            show(Timestamp(self.next_timestamp_ns)),
            self.lag_ns.map_or_else(failure, show_ns),
            self.lag_records.map_or_else(|| "-".to_owned(), |records| records.to_string()),
        ]]
    }
    fn raw(&self) -> String {
        self.shard.to_string()
    }
}

#[derive(Serialize)]
struct Deleted {
    group: String,
    deleted: bool,
}

impl Row for Deleted {
    fn titles() -> Vec<&'static str> {
        vec!["GROUP", "RESULT"]
    }
    fn cells(&self) -> Vec<Vec<String>> {
        vec![vec![self.group.clone(), "deleted".into()]]
    }
    fn raw(&self) -> String {
        self.group.clone()
    }
}
