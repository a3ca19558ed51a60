//! Why a command failed, and the exit code that says so to scripts.

use std::fmt;
use std::process::ExitCode;

/// The families of failures that exit codes tell apart (the numbers are a contract).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Failure = 1,
    Usage = 2,
    NotFound = 3,
    Denied = 4,
    Conflict = 5,
    Unavailable = 6,
    Corruption = 7,
}

/// A failed command: what happened, where, and what to do next.
#[derive(Debug)]
pub(super) struct Failure {
    pub kind: Kind,
    pub message: String,
    /// The reader of our output went away: nothing is wrong, and nothing is said.
    pub quiet: bool,
}

impl Failure {
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), quiet: false }
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    pub(super) fn plain(message: impl Into<String>) -> Self {
        Self::new(Kind::Failure, message)
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        if self.quiet { ExitCode::SUCCESS } else { ExitCode::from(self.kind as u8) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<std::io::Error> for Failure {
    /// Only output is written without further context; reading files says which.
    fn from(error: std::io::Error) -> Self {
        let quiet = error.kind() == std::io::ErrorKind::BrokenPipe;
        Self { quiet, ..Self::plain(format!("cannot write the output: {error}")) }
    }
}
