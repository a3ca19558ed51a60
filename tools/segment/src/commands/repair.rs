//! `repair`: a whole copy of a damaged replica, and the record of what was taken from where.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::arguments::Repair;
use crate::failure::Failure;
use crate::folder::{ShardFolder, open_all, open_paths};
use crate::mending::{Plan, Source, Taken, write};
use crate::moment::{show_bytes, show_count};
use crate::output::{Format, Row, Sink, say};

const TITLES: [&str; 9] = ["shard", "file", "at byte", "bytes", "what", "frames", "source", "from", "detail"];

impl Row for Taken {
    fn cells(&self) -> Vec<String> {
        let frames = match (self.first_index, self.last_index) {
            (Some(first), Some(last)) if first == last => first.to_string(),
            (Some(first), Some(last)) => format!("{first} to {last}"),
            _ => "-".to_owned(),
        };
        vec![
            self.shard.to_string(),
            self.file.clone(),
            self.at_byte.to_string(),
            show_bytes(self.bytes),
            self.what.to_owned(),
            frames,
            format!("{:?}", self.source).to_lowercase(),
            format!("{} byte {}", self.from_file, self.from_byte),
            self.detail.clone(),
        ]
    }
}

/// The audit record's first line.
#[derive(Serialize)]
struct Heading<'a> {
    repaired: &'a Path,
    to: &'a Path,
    peers: &'a [PathBuf],
    at: String,
    by: &'static str,
}

pub(super) fn repair(asked: &Repair, format: Format) -> Result<(), Failure> {
    let audit = audit_path(&asked.to)?;
    for path in [&asked.to, &audit] {
        if path.exists() {
            return Err(Failure::Occupied { path: path.clone() });
        }
    }
    let damaged = open_all(&asked.damaged)?;
    if damaged.iter().any(|folder| folder.only.is_some()) {
        return Err(Failure::Usage(
            "give the shard's folder, not one file of it: a segment is repaired by what its \
            neighbours say"
                .to_owned(),
        ));
    }
    let peers = open_paths(&asked.from)?;
    let plans: Result<Vec<_>, _> = damaged.iter().map(|folder| Plan::new(folder, &peers)).collect();
    let plans = plans?;
    for (folder, plan) in damaged.iter().zip(&plans) {
        write(plan, &place(folder, asked))?;
    }
    let taken: Vec<&Taken> = plans.iter().flat_map(|plan| &plan.taken).collect();
    record(asked, &audit, &taken).map_err(|source| Failure::Write { path: audit.clone(), source })?;
    let mut sink = Sink::new(format, &TITLES);
    for one in taken.iter().filter(|taken| taken.source != Source::Own) {
        sink.row(*one)?;
    }
    sink.finish()?;
    let bytes = |source| taken.iter().filter(|taken| taken.source == source).map(|taken| taken.bytes).sum();
    say(&format!(
        "{} shards written to {} and verified: {} kept, {} from peers, {} rebuilt, {} cut; what came from where stands \
         in {}",
        show_count(plans.len() as u64),
        asked.to.display(),
        show_bytes(bytes(Source::Own)),
        show_bytes(bytes(Source::Peer)),
        show_bytes(bytes(Source::Rebuilt)),
        show_bytes(bytes(Source::Cut)),
        audit.display(),
    ));
    Ok(())
}

/// The record stands beside the new folder, which so holds a log's files and nothing else.
fn audit_path(to: &Path) -> Result<PathBuf, Failure> {
    let name = to.file_name().ok_or_else(|| Failure::Usage(format!("{} names no folder", to.display())))?;
    let mut name = name.to_owned();
    name.push(".audit.ndjson");
    Ok(to.with_file_name(name))
}

/// Where the copy of one of several shards goes: at the same place below the new folder.
fn place(folder: &ShardFolder, asked: &Repair) -> PathBuf {
    match folder.path.strip_prefix(&asked.damaged) {
        Ok(below) if !below.as_os_str().is_empty() => asked.to.join(below),
        _ => asked.to.clone(),
    }
}

fn record(asked: &Repair, audit: &Path, taken: &[&Taken]) -> std::io::Result<()> {
    let mut out = BufWriter::new(File::create_new(audit)?);
    let heading = Heading {
        repaired: &asked.damaged,
        to: &asked.to,
        peers: &asked.from,
        at: jiff::Timestamp::now().to_string(),
        by: concat!("timberline-segment ", env!("CARGO_PKG_VERSION")),
    };
    serde_json::to_writer(&mut out, &heading)?;
    out.write_all(b"\n")?;
    for one in taken {
        serde_json::to_writer(&mut out, one)?;
        out.write_all(b"\n")?;
    }
    out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
}
