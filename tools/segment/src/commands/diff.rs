//! `diff`: where two replicas of the same shards part.

use std::iter::Peekable;
use std::path::Path;

use serde::Serialize;
use timberline::codec::HEADER_BYTES;
use timberline::types::Index;

use super::arguments::Paths;
use crate::failure::Failure;
use crate::folder::{ShardFolder, open_paths};
use crate::frames::{Frames, Good, frames};
use crate::moment::show_count;
use crate::naming::field;
use crate::output::{Format, Row, Sink, say};

const TITLES: [&str; 7] = ["shard", "what", "frames", "a", "b", "record", "detail"];

/// What the comparison tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum What {
    /// Frames that both have, byte for byte.
    Same,
    /// The first frame that differs.
    Parts,
    /// Frames that only one has, before the other's first.
    BeginsEarlier,
    /// Frames that only one has, behind the other's last.
    GoesFurther,
    /// Frames that one has and the other should have.
    Missing,
    /// A shard whose files only one side has.
    NoTwin,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Parts => "PARTS",
            Self::BeginsEarlier => "begins earlier",
            Self::GoesFurther => "goes further",
            Self::Missing => "MISSING",
            Self::NoTwin => "no twin",
        }
    }
}

#[derive(Serialize)]
struct Side {
    file: String,
    at_byte: u64,
}

#[derive(Serialize)]
struct Line {
    shard: Option<u64>,
    what: What,
    first_index: Option<u64>,
    last_index: Option<u64>,
    a: Option<Side>,
    b: Option<Side>,
    /// Of the first record that differs: its offset.
    offset: Option<u64>,
    detail: String,
}

impl Row for Line {
    fn cells(&self) -> Vec<String> {
        let dash = || "-".to_owned();
        let side = |side: &Option<Side>| {
            side.as_ref().map_or_else(dash, |side| format!("{} byte {}", side.file, side.at_byte))
        };
        let frames = match (self.first_index, self.last_index) {
            (Some(first), Some(last)) if first == last => first.to_string(),
            (Some(first), Some(last)) => format!("{first} to {last}"),
            _ => dash(),
        };
        vec![
            self.shard.map_or_else(|| "?".to_owned(), |shard| shard.to_string()),
            self.what.name().to_owned(),
            frames,
            side(&self.a),
            side(&self.b),
            self.offset.map_or_else(dash, |offset| offset.to_string()),
            self.detail.clone(),
        ]
    }
}

pub(super) fn diff(a: &Path, b: &Path, format: Format) -> Result<(), Failure> {
    let open = |path: &Path| open_paths(&Paths { paths: vec![path.to_owned()] }.paths);
    let (of_a, of_b) = (open(a)?, open(b)?);
    let mut lines = Vec::new();
    for folder in &of_a {
        match of_b.iter().find(|other| other.shard() == folder.shard()) {
            Some(other) => lines.extend(Comparison::new(folder, other).run()),
            None => lines.push(no_twin(folder, "only a has this shard")),
        }
    }
    let is_alone = |folder: &&ShardFolder| of_a.iter().all(|other| other.shard() != folder.shard());
    lines.extend(of_b.iter().filter(is_alone).map(|folder| no_twin(folder, "only b has this shard")));
    let mut sink = Sink::new(format, &TITLES);
    for line in &lines {
        sink.row(line)?;
    }
    sink.finish()?;
    let count = |what| lines.iter().filter(|line| line.what == what).count();
    match (count(What::Parts), count(What::Missing), count(What::NoTwin)) {
        (0, 0, 0) => {
            say("the replicas agree wherever both have frames");
            Ok(())
        }
        (0, 0, alone) => Err(Failure::Differs(format!("{alone} shards have files on one side only"))),
        (0, missing, _) => Err(Failure::Damaged(format!(
            "frames are missing in {missing} places; `timberline-segment verify` names the damage"
        ))),
        (parted, ..) => Err(Failure::Differs(format!("the replicas part in {parted} shards"))),
    }
}

fn no_twin(folder: &ShardFolder, detail: &str) -> Line {
    Line {
        shard: folder.shard().map(|shard| shard.0),
        what: What::NoTwin,
        first_index: None,
        last_index: None,
        a: None,
        b: None,
        offset: None,
        detail: format!("{detail}: {}", folder.path.display()),
    }
}

struct Comparison<'a> {
    shard: Option<u64>,
    a: Peekable<Frames<'a>>,
    b: Peekable<Frames<'a>>,
    lines: Vec<Line>,
    same: Option<(Index, Index)>,
    is_begun: bool,
}

impl<'a> Comparison<'a> {
    fn new(a: &'a ShardFolder, b: &'a ShardFolder) -> Self {
        let shard = a.shard().map(|shard| shard.0);
        let (a, b) = (frames(a).peekable(), frames(b).peekable());
        Self { shard, a, b, lines: Vec::new(), same: None, is_begun: false }
    }

    fn run(mut self) -> Vec<Line> {
        loop {
            let indexes = (self.a.peek().map(Good::index), self.b.peek().map(Good::index));
            match indexes {
                (None, None) => break,
                (Some(a), Some(b)) if a == b => {
                    let (a, b) = (self.a.next(), self.b.next());
                    if let Some(line) = a.zip(b).and_then(|(a, b)| self.compare(&a, &b)) {
                        self.lines.push(line);
                        break;
                    }
                }
                (Some(a), b) if b.is_none_or(|b| a < b) => self.alone(true, b),
                (a, _) => self.alone(false, a),
            }
        }
        if let Some((first, last)) = self.same {
            let count = show_count(last.0 - first.0 + 1);
            let same = self.line(What::Same, first, last, format!("{count} frames are the same"));
            self.lines.insert(0, same);
        }
        self.lines
    }

    fn line(&self, what: What, first: Index, last: Index, detail: String) -> Line {
        let (first_index, last_index) = (Some(first.0), Some(last.0));
        Line { shard: self.shard, what, first_index, last_index, a: None, b: None, offset: None, detail }
    }

    /// Frames that only one side has, up to where the other goes on.
    fn alone(&mut self, is_a: bool, other: Option<Index>) {
        let (side, name, lacking) = if is_a { (&mut self.a, "a", "b") } else { (&mut self.b, "b", "a") };
        let Some(first) = side.next() else { return };
        let mut last = first.index();
        while let Some(next) = side.next_if(|next| other.is_none_or(|other| next.index() < other)) {
            last = next.index();
        }
        let (what, detail) = match other {
            None => (What::GoesFurther, format!("{name} goes further than {lacking}")),
            Some(_) if self.is_begun => {
                (What::Missing, format!("{lacking} lacks them, or they are damaged there"))
            }
            Some(_) => (What::BeginsEarlier, format!("{name} begins earlier than {lacking}")),
        };
        let place = Some(Side { file: first.file(), at_byte: first.found.at_byte });
        let line = self.line(what, first.index(), last, detail);
        self.lines.push(if is_a { Line { a: place, ..line } } else { Line { b: place, ..line } });
    }

    fn compare(&mut self, a: &Good<'_>, b: &Good<'_>) -> Option<Line> {
        self.is_begun = true;
        let index = a.index();
        let (of_a, of_b) = (a.bytes(), b.bytes());
        if of_a == of_b {
            self.same = Some((self.same.map_or(index, |(first, _)| first), index));
            return None;
        }
        let differs = of_a.iter().zip(of_b).position(|(a, b)| a != b).unwrap_or(of_a.len().min(of_b.len()));
        // The CRC at the header's front differs whenever anything does; what it covers says more.
        let telling = |(a, b): (&u8, &u8)| a != b;
        let in_header = of_a[12..HEADER_BYTES].iter().zip(&of_b[12..HEADER_BYTES]).position(telling);
        let (offset, record) = record_that_differs(a, b);
        let detail = format!(
            "the first field that differs is its {}{record}; terms {} and {}",
            in_header.map_or("body", |at| field(12 + at)),
            a.header().term,
            b.header().term,
        );
        let place =
            |good: &Good<'_>| Some(Side { file: good.file(), at_byte: good.found.at_byte + differs as u64 });
        let line = self.line(What::Parts, index, index, detail);
        Some(Line { a: place(a), b: place(b), offset, ..line })
    }
}

/// The offset of the first record that differs, and how to say it.
fn record_that_differs(a: &Good<'_>, b: &Good<'_>) -> (Option<u64>, String) {
    let (Ok(of_a), Ok(of_b)) = (a.records(), b.records()) else {
        return (None, ", and a body holds no records".to_owned());
    };
    let same = of_a.iter().zip(&of_b).take_while(|(a, b)| a == b).count();
    if same == of_a.len() && same == of_b.len() {
        return (None, "; its records are the same".to_owned());
    }
    let offset = a.header().first_offset.0 + same as u64;
    (Some(offset), format!("; record {same} of the batch, at offset {offset}, differs"))
}
