//! The story of a run: a fingerprint always, lines a person can follow if wanted.

use std::fmt;

/// What happened, in order.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    fingerprint: u64,
    events: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    pub(crate) fn new(tells: bool) -> Self {
        Self { fingerprint: 0xcbf2_9ce4_8422_2325, events: 0, lines: tells.then(Vec::new) }
    }

    /// Mixes an event into the fingerprint (FNV-1a, Fowler, Noll, Vo).
    pub(crate) fn mark(&mut self, at_ns: u64, words: &[u64]) {
        self.events += 1;
        for word in [at_ns].iter().chain(words) {
            self.fingerprint = (self.fingerprint ^ word).wrapping_mul(0x0000_0100_0000_01b3);
            self.fingerprint ^= self.fingerprint >> 29;
        }
    }

    /// Tells a line, if anybody listens.
    pub(crate) fn tell(&mut self, at_ns: u64, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>13} {}", Seconds(at_ns), line()));
        }
    }

    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}

/// Nanoseconds, shown as seconds.
#[derive(Clone, Copy)]
pub(crate) struct Seconds(pub(crate) u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = format!("{}.{:06} s", self.0 / 1_000_000_000, self.0 % 1_000_000_000 / 1000);
        f.pad(&shown)
    }
}
