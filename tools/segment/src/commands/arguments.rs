//! The command line's grammar. Knows no files.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};

use crate::moment::Moment;
use crate::output::Format;

/// Looks into Timberline's files, without a node, and never changes them.
#[derive(Debug, Parser)]
#[command(name = "timberline-segment", version)]
pub(super) struct Arguments {
    /// How data is written: a table on a terminal, else ndjson.
    #[arg(short, long, global = true, value_enum)]
    pub(super) output: Option<Format>,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists segments, shard by shard: what they hold, and whether their headers hold.
    Ls(Paths),
    /// Shows frames and records as far as they make sense; says where the thread is lost and found again.
    Dump(Dump),
    /// Checks everything there is to check; exit code 7 if anything is damaged.
    Verify(Verify),
    /// Says where two replicas part: frame, byte and record. Exit code 1 if they do.
    Diff {
        /// One replica: a data folder, a shard's folder or a segment.
        a: PathBuf,
        /// The other one.
        b: PathBuf,
    },
    /// Writes a whole copy of a damaged replica from its own good pieces and those of its peers.
    Repair(Repair),
    /// Checks the order of all shards, over the files of one or several nodes, and receipts against what is stored.
    VerifyOrder(Order),
    /// Measures: bytes by kind, batch sizes, uncertainty, gaps; a picture of them over time.
    Stat(Stat),
}

#[derive(Debug, Args)]
pub(super) struct Paths {
    /// Data folders, shards' folders or segments.
    #[arg(required = true)]
    pub(super) paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Dump {
    #[command(flatten)]
    pub(super) paths: Paths,
    /// Only frames with records of these offsets: FIRST..LAST, or a single one; either end may be left out.
    #[arg(long, value_name = "FIRST..LAST")]
    pub(super) offsets: Option<Offsets>,
    /// Only frames at or after this time: RFC 3339, ts:NANOSECONDS or -5m.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(super) from: Option<Moment>,
    /// Only frames before this time.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(super) until: Option<Moment>,
    /// Only this shard.
    #[arg(long)]
    pub(super) shard: Option<u64>,
    /// Shows each frame's records behind it.
    #[arg(long)]
    pub(super) records: bool,
    /// Ends after so many frames.
    #[arg(long, value_name = "FRAMES")]
    pub(super) max: Option<u64>,
}

/// A range of offsets, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offsets {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl FromStr for Offsets {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = |part: &str, empty: u64| {
            let number = if part.is_empty() { Ok(empty) } else { part.parse() };
            number
                .map_err(|_| format!("{text:?} is no range of offsets: write 100..199, 100.., ..199 or 100"))
        };
        if let Some((first, last)) = text.split_once("..") {
            return Ok(Self { first: parsed(first, 0)?, last: parsed(last, u64::MAX)? });
        }
        let only = if text.is_empty() { "nothing" } else { text };
        parsed(only, 0).map(|only| Self { first: only, last: only })
    }
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    #[command(flatten)]
    pub(super) paths: Paths,
    /// How many segments are checked side by side: as many as there are cores.
    #[arg(long, value_name = "N")]
    pub(super) threads: Option<usize>,
}

#[derive(Debug, Args)]
pub(super) struct Repair {
    /// Files of a replica of the same shard, on another node: pieces are taken from there. May be repeated.
    #[arg(long, value_name = "PEER_FILES", required = true)]
    pub(super) from: Vec<PathBuf>,
    /// Where the whole copy goes: a folder that does not exist yet.
    #[arg(long, value_name = "NEW_FOLDER")]
    pub(super) to: PathBuf,
    /// The damaged shard's folder, or a folder of several. It is left as it is.
    pub(super) damaged: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Order {
    #[command(flatten)]
    pub(super) paths: Paths,
    /// What `timberline produce --receipts` printed: each must match a stored batch.
    #[arg(long, value_name = "FILE")]
    pub(super) receipts: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Stat {
    #[command(flatten)]
    pub(super) paths: Paths,
    /// Draws a picture, as SVG.
    #[arg(long, value_name = "FILE")]
    pub(super) svg: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn offsets_are_a_range_or_a_single_one() {
        let range = |first, last| Ok(Offsets { first, last });
        assert_eq!("5..9".parse(), range(5, 9));
        assert_eq!("5..".parse(), range(5, u64::MAX));
        assert_eq!("..9".parse(), range(0, 9));
        assert_eq!("7".parse(), range(7, 7));
        for bad in ["", "a", "1..b", "-1"] {
            assert!(bad.parse::<Offsets>().unwrap_err().contains("100..199"), "{bad:?}");
        }
    }
}
