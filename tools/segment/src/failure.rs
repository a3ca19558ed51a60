//! Why a command failed, and the exit code that says so to scripts.

use std::path::PathBuf;
use std::process::ExitCode;

use timberline::disk;

/// A failed command: what happened, where, and what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error("{path} does not exist; name a data folder, a shard's folder or a segment file", path = path.display())]
    Absent { path: PathBuf },
    #[error("{path} holds no shard's files; name a data folder, a shard's folder or a segment file", path = path.display())]
    NoShards { path: PathBuf },
    #[error(transparent)]
    Disk(#[from] disk::Error),
    #[error("cannot write the output: {0}")]
    Output(std::io::Error),
    #[error("cannot write {path}: {source}", path = path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("{path} exists already; a repair writes a new folder and touches no other: name one that does not exist", path = path.display())]
    Occupied { path: PathBuf },
    #[error("{0}")]
    Refused(String),
    /// What was found is on stdout already; this is its sum.
    #[error("{0}")]
    Differs(String),
    #[error("{0}")]
    Damaged(String),
}

impl Failure {
    /// The numbers are a contract.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Output(_) if self.is_quiet() => 0,
            Self::Usage(_) => 2,
            Self::Absent { .. } | Self::NoShards { .. } => 3,
            Self::Damaged(_) | Self::Refused(_) => 7,
            Self::Disk(_)
            | Self::Output(_)
            | Self::Write { .. }
            | Self::Occupied { .. }
            | Self::Differs(_) => 1,
        })
    }

    /// The reader of our output went away: nothing is wrong, and nothing is said.
    pub fn is_quiet(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

impl From<std::io::Error> for Failure {
    /// Only output is written without further context; other files say which they are.
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}
