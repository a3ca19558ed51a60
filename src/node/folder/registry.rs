//! The file `shards.registry`: every shard whose replica was ever opened in this folder.
//!
//! A shard is written here after its files are durable and before its replica first speaks. So a shard
//! that stands here must have its files, or they were lost; one that does not never answered anybody.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::Error;
use crate::disk::Disk;
use crate::types::ShardId;

const FILE: &str = "shards.registry";
const TITLE: &str = "timberline-shards 1";

/// What is to be done with a shard that has a replica on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// New here: make its files.
    Create,
    /// A crash stopped its making: clear away what is there, then make it.
    CreateAnew,
    Open,
    /// It was opened here before and its files are gone: a blank replica must not take its place.
    Lost,
    /// It was removed here, for its topic is deleted.
    Removed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Hosted,
    Removed,
}

/// The registry, in memory as on disk.
pub(crate) struct Registry {
    disk: Arc<dyn Disk>,
    entries: BTreeMap<ShardId, Entry>,
}

impl Registry {
    /// Writes an empty registry into a folder that has no node file yet.
    pub(super) fn create(disk: &Arc<dyn Disk>) -> Result<(), Error> {
        Ok(disk.replace(Path::new(FILE), encode(&BTreeMap::new()).as_bytes())?)
    }

    /// Whether the folder holds a registry that is not empty, or not readable.
    pub(super) fn is_used(disk: &Arc<dyn Disk>) -> bool {
        match disk.read(Path::new(FILE)) {
            Ok(None) => false,
            Ok(Some(content)) => decode(&content).map_or(true, |entries| !entries.is_empty()),
            Err(_) => true,
        }
    }

    pub(crate) fn open(disk: Arc<dyn Disk>) -> Result<Self, Error> {
        let missing = Error::Damaged { file: FILE, line: 1, problem: "the file is missing" };
        let content = disk.read(Path::new(FILE))?.ok_or(missing)?;
        Ok(Self { entries: decode(&content)?, disk })
    }

    pub(crate) fn fate(&self, shard: ShardId, has_files: bool) -> Fate {
        match (self.entries.get(&shard), has_files) {
            (None, false) => Fate::Create,
            (None, true) => Fate::CreateAnew,
            (Some(Entry::Hosted), true) => Fate::Open,
            (Some(Entry::Hosted), false) => Fate::Lost,
            (Some(Entry::Removed), _) => Fate::Removed,
        }
    }

    /// Notes shards whose files are now durable.
    pub(crate) fn note_hosted(&mut self, shards: &[ShardId]) -> Result<(), Error> {
        self.note(shards, Entry::Hosted)
    }

    /// Notes shards whose files are about to be removed for good.
    pub(crate) fn note_removed(&mut self, shards: &[ShardId]) -> Result<(), Error> {
        self.note(shards, Entry::Removed)
    }

    fn note(&mut self, shards: &[ShardId], entry: Entry) -> Result<(), Error> {
        let mut entries = self.entries.clone();
        entries.extend(shards.iter().map(|shard| (*shard, entry)));
        self.disk.replace(Path::new(FILE), encode(&entries).as_bytes())?;
        self.entries = entries;
        Ok(())
    }
}

fn encode(entries: &BTreeMap<ShardId, Entry>) -> String {
    let lines = entries.iter().map(|(shard, entry)| match entry {
        Entry::Hosted => format!("{shard} hosted\n"),
        Entry::Removed => format!("{shard} removed\n"),
    });
    std::iter::once(format!("{TITLE}\n")).chain(lines).collect()
}

fn decode(content: &[u8]) -> Result<BTreeMap<ShardId, Entry>, Error> {
    let damaged = |line, problem| Error::Damaged { file: FILE, line, problem };
    let text = std::str::from_utf8(content).map_err(|_| damaged(1, "not text"))?;
    let mut lines = text.lines().enumerate();
    if lines.next().is_none_or(|(_, title)| title != TITLE) {
        return Err(damaged(1, "not a shard registry of format 1"));
    }
    lines
        .map(|(at, line)| {
            let (shard, state) = line.split_once(' ').unwrap_or((line, ""));
            let entry = match state {
                "hosted" => Entry::Hosted,
                "removed" => Entry::Removed,
                _ => return Err(damaged(at + 1, "neither hosted nor removed")),
            };
            let shard = shard.parse().map_err(|_| damaged(at + 1, "a shard id was expected"))?;
            Ok((ShardId(shard), entry))
        })
        .collect()
}
