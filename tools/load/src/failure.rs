//! Why a command failed, and the exit code that says so to scripts.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use timberline::client::{self, Kind};
use timberline::{node, transport};

/// A failed command: what happened, where, and what to do next.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Client(#[from] client::Error),
    #[error(transparent)]
    Node(#[from] node::Error),
    #[error(transparent)]
    Certificates(#[from] transport::Error),
    #[error(
        "no client certificate: neither certs nor data/certs has client.pem; name its folder with --certs DIR or \
             TIMBERLINE_CERTS"
    )]
    NoCertificates,
    #[error("{what} within {seconds} s; {instead}")]
    Late { what: String, seconds: u64, instead: &'static str },
    #[error("cannot read {path}: {source}", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {path}: {source}", path = path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot {what}: {source}")]
    Machine { what: &'static str, source: io::Error },
    #[error("{path}, line {line} is over {max} bytes, the limit of a record; split it, or leave it out", path = path.display())]
    LongLine { path: PathBuf, line: u64, max: usize },
    #[error("{path} holds no lines; name a file with one record a line", path = path.display())]
    NoRecords { path: PathBuf },
    #[error("the records to replay could not be written: {0}")]
    Fill(String),
    #[error("the floor's node {node} {reason}")]
    FloorNode { node: usize, reason: String },
    #[error("node {node} {reason}")]
    ServedNode { node: u64, reason: String },
    #[error("the floor: {0}")]
    Floor(String),
    #[error("process {pid} cannot be looked at: {source}; name processes that run with --pids")]
    Process { pid: u32, source: io::Error },
    #[error(
        "no metrics from {address}: {source}; name where nodes serve them (metrics.listen) with --metrics"
    )]
    Metrics { address: SocketAddr, source: io::Error },
    #[error("the picture cannot be drawn: {0}")]
    Picture(String),
    /// The report is on stdout already; this is its sum.
    #[error("{0}")]
    RateLost(String),
    #[error("cannot write the output: {0}")]
    Output(io::Error),
}

impl Failure {
    /// The numbers are a contract, the same as those of `timberline`.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Output(_) if self.is_quiet() => 0,
            Self::Usage(_) | Self::LongLine { .. } | Self::NoRecords { .. } => 2,
            Self::Client(error) => match error.kind() {
                Kind::Failure => 1,
                Kind::Usage => 2,
                Kind::NotFound => 3,
                Kind::Denied => 4,
                Kind::Conflict => 5,
                Kind::Unavailable => 6,
                Kind::Corruption => 7,
            },
            Self::NoCertificates => 4,
            Self::Late { .. } => 6,
            _ => 1,
        })
    }

    /// The reader of our output went away: nothing is wrong, and nothing is said.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
