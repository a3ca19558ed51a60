//! Faults on purpose: a control file that makes a source lie. Only under an explicit test setting.
//!
//! Lines of the file: `offset_ns=..` moves the midpoint, `drift_ppb=..` lets it run away from the moment the line
//! was read, `claimed_uncertainty_ns=..` replaces the bound. No file, no lie. What is injected is added after the
//! wall clock is read, so the step detector, which watches the operating system's clocks, does not see it: that is
//! what makes it a lie. `step_ns=..` moves the midpoint as well, and is seen: as if somebody had set the wall clock, what the
//! source said before is void. A kernel's leap second is `step_ns=-1000000000`.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::clock::Fault;
use crate::clock::interval::drift;
use crate::clock::source::{Refusal, Sample, SourceError, TimeSource};
use crate::clock::ticks::RawTime;

/// The control file is looked at no more often than this.
const LOOK_EVERY_NS: u64 = 10_000_000;
/// A larger control file is malformed.
const FILE_BYTES_MAX: u64 = 4096;

/// What a control file asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lie {
    offset_ns: i64,
    drift_ppb: i64,
    claimed_uncertainty_ns: Option<u64>,
    step_ns: i64,
}

/// A step that was injected, and that the source gave no sample since.
#[derive(Clone, Copy, Debug)]
struct Stepped {
    by_ns: i64,
    /// The samples that it made void.
    void_to: u64,
}

/// What tells two contents of a file apart without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    len: u64,
    modified: (i64, i64),
}

#[derive(Debug)]
struct Seen {
    looked_at_boot_ns: Option<u64>,
    stamp: Option<Stamp>,
    lie: Result<Lie, String>,
    /// The drift runs from here.
    since_boot_ns: u64,
    changes: u64,
    stepped: Option<Stepped>,
    /// Of the source's last sample.
    number: u64,
}

/// Any source, with a control file that makes it lie.
pub struct Injected {
    honest: Box<dyn TimeSource>,
    file: PathBuf,
    seen: Mutex<Seen>,
}

impl Injected {
    pub fn new(honest: Box<dyn TimeSource>, file: &Path) -> Self {
        let seen = Seen {
            looked_at_boot_ns: None,
            stamp: None,
            lie: Ok(Lie::default()),
            since_boot_ns: 0,
            changes: 0,
            stepped: None,
            number: 0,
        };
        Self { honest, file: file.to_owned(), seen: Mutex::new(seen) }
    }

    fn look(&self, seen: &mut Seen, now: RawTime) {
        let recent = |looked: u64| now.boot_ns.saturating_sub(looked) < LOOK_EVERY_NS;
        if seen.looked_at_boot_ns.is_some_and(recent) {
            return;
        }
        seen.looked_at_boot_ns = Some(now.boot_ns);
        let stamp = match fs::metadata(&self.file) {
            Ok(metadata) => Some(stamp_of(&metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return self.take(seen, None, Err(error.to_string()), now),
        };
        if stamp != seen.stamp {
            let lie = if stamp.is_some() { read_lie(&self.file) } else { Ok(Lie::default()) };
            self.take(seen, stamp, lie, now);
        } else if stamp.is_none() && seen.lie.is_err() {
            self.take(seen, None, Ok(Lie::default()), now);
        }
    }

    fn take(&self, seen: &mut Seen, stamp: Option<Stamp>, lie: Result<Lie, String>, now: RawTime) {
        let lie = lie.map_err(|what| format!("clock injection file {}: {what}", self.file.display()));
        seen.stamp = stamp;
        if seen.lie == lie {
            return;
        }
        if let (Ok(before), Ok(after)) = (&seen.lie, &lie)
            && before.step_ns != after.step_ns
        {
            self.honest.disturbed(now);
            let by_ns = after.step_ns.saturating_sub(before.step_ns);
            seen.stepped = Some(Stepped { by_ns, void_to: seen.number });
        }
        *seen = Seen { lie, since_boot_ns: now.boot_ns, changes: seen.changes + 1, ..*seen };
    }
}

impl TimeSource for Injected {
    fn name(&self) -> String {
        format!("{}+injected", self.honest.name())
    }

    fn sample(&self, now: RawTime) -> Result<Sample, SourceError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        self.look(&mut seen, now);
        let lie = seen.lie.clone().map_err(SourceError::unreadable)?;
        let honest = match (self.honest.sample(now), seen.stepped) {
            (Ok(honest), Some(stepped)) if honest.number <= stepped.void_to => {
                return Err(stepped_error(stepped));
            }
            // What happened says more than that the source is silent.
            (Err(_), Some(stepped)) => return Err(stepped_error(stepped)),
            (sampled, _) => sampled?,
        };
        (seen.stepped, seen.number) = (None, honest.number);
        let drifted = drift(lie.drift_ppb, honest.at_boot_ns, seen.since_boot_ns);
        Ok(Sample {
            number: honest.number + seen.changes,
            offset_ns: honest
                .offset_ns
                .saturating_add(lie.offset_ns)
                .saturating_add(lie.step_ns)
                .saturating_add(drifted),
            offset_drift_ppb: honest.offset_drift_ppb.saturating_add(lie.drift_ppb),
            uncertainty_ns: lie.claimed_uncertainty_ns.unwrap_or(honest.uncertainty_ns),
            ..honest
        })
    }

    fn disturbed(&self, now: RawTime) {
        self.honest.disturbed(now);
    }

    fn refusals(&self) -> Vec<Refusal> {
        self.honest.refusals()
    }
}

fn stamp_of(metadata: &fs::Metadata) -> Stamp {
    Stamp { inode: metadata.ino(), len: metadata.len(), modified: (metadata.mtime(), metadata.mtime_nsec()) }
}

fn stepped_error(Stepped { by_ns, .. }: Stepped) -> SourceError {
    let fault = Fault::Stepped { by_ns };
    SourceError { fault, evidence: format!("{fault} (injected); what the source said before is void") }
}

fn read_lie(file: &Path) -> Result<Lie, String> {
    let len = fs::metadata(file).map_err(|error| error.to_string())?.len();
    if len > FILE_BYTES_MAX {
        return Err(format!("{len} bytes, the limit is {FILE_BYTES_MAX}"));
    }
    parse_lie(&fs::read_to_string(file).map_err(|error| error.to_string())?)
}

fn parse_lie(text: &str) -> Result<Lie, String> {
    let mut wanted = Lie::default();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let malformed = || {
            format!(
                "line {} is {line:?}, expected offset_ns=, drift_ppb=, step_ns= or claimed_uncertainty_ns= and a number",
                number + 1
            )
        };
        let (key, value) = line.split_once('=').ok_or_else(malformed)?;
        let value = value.trim();
        match key.trim() {
            "offset_ns" => wanted.offset_ns = value.parse().map_err(|_| malformed())?,
            "step_ns" => wanted.step_ns = value.parse().map_err(|_| malformed())?,
            "drift_ppb" => wanted.drift_ppb = value.parse().map_err(|_| malformed())?,
            "claimed_uncertainty_ns" => {
                wanted.claimed_uncertainty_ns = Some(value.parse().map_err(|_| malformed())?);
            }
            _ => return Err(malformed()),
        }
    }
    Ok(wanted)
}
