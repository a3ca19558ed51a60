//! The floor's three processes: started in a folder of their own, and gone with it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::wire::write_certificate;
use crate::failure::Failure;

pub(crate) const NODES: usize = 3;

/// A running floor. Dropping it ends its processes and removes their files.
pub(crate) struct Floor {
    /// The leader last.
    children: Vec<Child>,
    leader: SocketAddr,
    folder: tempfile::TempDir,
}

impl Floor {
    /// Starts the nodes, each with a file of `file_bytes` in a new folder under `folder`.
    pub(crate) fn start(folder: &Path, file_bytes: u64) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new()
            .prefix("timberline-floor-")
            .tempdir_in(folder)
            .map_err(|source| Failure::Write { path: folder.to_owned(), source })?;
        write_certificate(folder.path())?;
        let mut floor = Self { children: Vec::new(), leader: SocketAddr::from(([127, 0, 0, 1], 0)), folder };
        let mut followers: Vec<SocketAddr> = Vec::new();
        for node in 1..=NODES {
            let leads = node == NODES;
            let others = if leads { &followers[..] } else { &[] };
            let address = floor.start_node(node, others, file_bytes)?;
            if leads {
                floor.leader = address;
            } else {
                followers.push(address);
            }
        }
        Ok(floor)
    }

    fn start_node(
        &mut self,
        node: usize,
        followers: &[SocketAddr],
        file_bytes: u64,
    ) -> Result<SocketAddr, Failure> {
        let failed = |reason: String| Failure::FloorNode { node, reason };
        let folder = self.folder.path().join(format!("node-{node}"));
        std::fs::create_dir(&folder).map_err(|source| Failure::Write { path: folder.clone(), source })?;
        let program = std::env::current_exe()
            .map_err(|source| Failure::Machine { what: "find this program", source })?;
        let mut command = Command::new(program);
        command.arg("floor-node").arg("--folder").arg(&folder).arg("--certificate").arg(self.folder.path());
        command.arg("--file-size").arg(format!("{file_bytes}B"));
        for follower in followers {
            command.arg("--follower").arg(follower.to_string());
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| failed(format!("cannot be started: {error}")))?;
        let out = child.stdout.take().expect("it is piped");
        self.children.push(child);
        let mut line = String::new();
        BufReader::new(out)
            .read_line(&mut line)
            .map_err(|error| failed(format!("does not tell its address: {error}")))?;
        let address = line.trim_end().strip_prefix("ready ").and_then(|address| address.parse().ok());
        address.ok_or_else(|| failed("ended before it was ready; its message stands above".to_owned()))
    }

    pub(crate) fn leader(&self) -> SocketAddr {
        self.leader
    }

    pub(crate) fn certificate_folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        for child in &mut self.children {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
