//! The child process that works on the log, seen from the parent: it is started, heard line by line, and ended.
//!
//! Knows nothing of what the lines promise. Invariants: every whole line that the child wrote is heard, those too that
//! were in the pipe when it ended; a child that ends before the power is cut, or that panics, fails the test.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::promises::Promises;
use super::telling::MARK;

const ROOT: &str = "TIMBERLINE_POWER_CUT_ROOT";
const SEED: &str = "TIMBERLINE_POWER_CUT_SEED";
/// Only to fail: within so long a child says something, or ends.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// After so many lines the power goes, whatever was aimed at.
const LINES_MAX: u32 = 3_000;
/// Lines that are kept for a failure's message.
const LINES_KEPT: usize = 40;
/// What the test harness gives for a test that failed.
const FAILED: i32 = 101;

/// In a child: the folder to work in, and the seed.
pub(crate) fn child_of() -> Option<(PathBuf, u64)> {
    let root = std::env::var_os(ROOT)?;
    let seed = std::env::var(SEED).expect("a seed comes with the folder");
    Some((root.into(), seed.parse().expect("a seed is a number")))
}

/// A child at work.
pub(crate) struct Witness {
    child: Child,
    lines: Receiver<String>,
    last: VecDeque<String>,
    /// What the last step heard was of.
    step: String,
    /// What the cut met, by the first step that failed.
    met: Option<String>,
}

/// Passes on every whole line that is meant for the witness.
fn listen(out: ChildStdout, heard: &Sender<String>) {
    let mut out = BufReader::new(out);
    loop {
        let mut line = String::new();
        let read = out.read_line(&mut line).expect("a child writes text");
        let whole = line.strip_suffix('\n');
        if read == 0 || whole.is_none() {
            return;
        }
        // The harness writes its own words before the first of ours.
        if let Some((_, line)) = line.trim_end().split_once(MARK)
            && heard.send(line.to_owned()).is_err()
        {
            return;
        }
    }
}

impl Witness {
    pub(crate) fn start(root: &Path, seed: u64) -> Self {
        let this = std::env::current_exe().expect("this program");
        let mut child = Command::new(this)
            .args(["--nocapture"])
            .env(ROOT, root)
            .env(SEED, seed.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts once more");
        let out = child.stdout.take().expect("its output is a pipe");
        let (heard, lines) = channel();
        std::thread::spawn(move || listen(out, &heard));
        Self { child, lines, last: VecDeque::new(), step: "start".to_owned(), met: None }
    }

    fn hear(&mut self, line: String, promises: &mut Promises) {
        match line.split_once(' ') {
            Some(("step", step)) => step.clone_into(&mut self.step),
            Some(("met", met)) => drop(self.met.get_or_insert_with(|| met.to_owned())),
            _ => promises.hear(&line),
        }
        if self.last.len() == LINES_KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// Hears until a step of that name begins as often as that, or for long enough.
    pub(crate) fn await_step(&mut self, name: &str, occurrence: u32, promises: &mut Promises) {
        let (goal, mut left) = (format!("step {name}"), occurrence);
        for _ in 0..LINES_MAX {
            let line = self.lines.recv_timeout(SILENCE_MAX);
            let line = line.unwrap_or_else(|error| panic!("{error} before the cut\n{}", self.last_lines()));
            left -= u32::from(line == goal);
            self.hear(line, promises);
            if left == 0 {
                return;
            }
        }
    }

    /// The power is cut: kills the child, or lets it meet the cut and end by itself. Gives what met the cut.
    pub(crate) fn end(&mut self, is_killed: bool, promises: &mut Promises) -> String {
        if is_killed {
            self.child.kill().expect("a child can be killed");
        }
        loop {
            match self.lines.recv_timeout(SILENCE_MAX) {
                Ok(line) => self.hear(line, promises),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it works on without power\n{}", self.last_lines()),
            }
        }
        let status = self.child.wait().expect("a child's end can be awaited");
        assert!(status.code() != Some(FAILED), "the child failed\n{}", self.last_lines());
        self.met.clone().unwrap_or_else(|| self.step.clone())
    }

    /// For a failure's message.
    pub(crate) fn last_lines(&self) -> String {
        format!("the last lines:\n  {}", Vec::from(self.last.clone()).join("\n  "))
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        // It may still run when the test fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
