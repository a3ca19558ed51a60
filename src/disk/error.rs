//! What an operating system refused, and where.

use std::path::{Path, PathBuf};

/// A failed file operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {operation} {path}: {source}", path = path.display())]
    Io { operation: &'static str, path: PathBuf, source: std::io::Error },
    #[error("no space left to {operation} {path}; free space on this disk and try again", path = path.display())]
    NoSpace { operation: &'static str, path: PathBuf },
    #[error("{path} is in use by another process; stop it, or choose another data folder", path = path.display())]
    Locked { path: PathBuf },
    #[error("an earlier sync of {path} failed: its pages may be lost, so it takes no writes until restart", path = path.display())]
    Poisoned { path: PathBuf },
}

impl Error {
    /// Wraps an IO error, telling a full disk apart.
    pub fn io(operation: &'static str, path: &Path, source: std::io::Error) -> Self {
        let path = path.to_owned();
        if source.kind() == std::io::ErrorKind::StorageFull {
            Self::NoSpace { operation, path }
        } else {
            Self::Io { operation, path, source }
        }
    }
}
