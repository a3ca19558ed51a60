//! Three real processes with real certificates in a folder of their own, all gone when this is dropped.

use std::fs::{self, File};
use std::io;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::cli::failure::Failure;
use crate::transport::init_certs;
use crate::types::NodeId;

pub(super) const NODES: u64 = 3;

/// The processes and their folder.
pub(super) struct Cluster {
    children: Vec<Child>,
    endpoints: Vec<String>,
    /// Dropped after the processes are gone.
    folder: Folder,
}

/// A folder that removes itself.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // The demo is over: a folder that cannot be removed is the system's to clean.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in &mut self.children {
            kill(child);
        }
    }
}

fn kill(child: &mut Child) {
    // Both fail only for a process that has already ended and been awaited.
    let _ = child.kill();
    let _ = child.wait();
}

impl Cluster {
    /// Makes folder, certificates and settings, and starts the processes.
    pub(super) fn start() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("timberline-demo-{}", std::process::id()));
        fs::create_dir(&path)
            .map_err(|error| Failure::plain(format!("cannot make {}: {error}", path.display())))?;
        let folder = Folder(path);
        let endpoints =
            free_addresses().map_err(|error| Failure::plain(format!("no free ports: {error}")))?;
        let mut cluster = Self { children: Vec::new(), endpoints, folder };
        init_certs(&cluster.certs(), NODES)?;
        for node in 1..=NODES {
            let settings = cluster.settings(node);
            fs::write(cluster.config(node), settings).map_err(|error| cluster.failed(node, &error))?;
            let child = cluster.spawn(node)?;
            cluster.children.push(child);
        }
        Ok(cluster)
    }

    pub(super) fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    pub(super) fn certs(&self) -> PathBuf {
        self.folder.0.join("certs")
    }

    /// SIGKILL: the process gets no chance to say goodbye.
    pub(super) fn kill(&mut self, node: NodeId) {
        kill(&mut self.children[node.0 as usize - 1]);
    }

    /// Starts a killed node again on what its files hold.
    pub(super) fn restart(&mut self, node: NodeId) -> Result<(), Failure> {
        let child = self.spawn(node.0)?;
        self.children[node.0 as usize - 1] = child;
        Ok(())
    }

    /// The last lines of every node's log, for a failure that nothing else explains.
    pub(super) fn logs(&self) -> String {
        let tail = |node| {
            let text = fs::read_to_string(self.log(node)).unwrap_or_default();
            let lines: Vec<_> = text.lines().rev().take(5).collect();
            let lines: Vec<_> =
                lines.into_iter().rev().map(|line| format!("  node {node}: {line}\n")).collect();
            lines.concat()
        };
        (1..=NODES).map(tail).collect()
    }

    fn config(&self, node: u64) -> PathBuf {
        self.folder.0.join(format!("node-{node}.toml"))
    }

    fn log(&self, node: u64) -> PathBuf {
        self.folder.0.join(format!("node-{node}.log"))
    }

    fn settings(&self, node: u64) -> String {
        let path = |path: &Path| toml::Value::String(path.display().to_string()).to_string();
        let nodes: Vec<_> = (1..=NODES)
            .zip(&self.endpoints)
            .map(|(id, address)| format!("{{ id = {id}, address = \"{address}\" }}"))
            .collect();
        // One machine has one clock: the declared bound is true of its nodes among themselves.
        format!(
            "[cluster]\nid = \"demo\"\ninitial_nodes = [{}]\n[node]\nid = {node}\ndata_dir = {}\ncerts_dir = {}\n\
             [clock]\nsource = \"declared\"\n",
            nodes.join(", "),
            path(&self.folder.0.join(format!("node-{node}"))),
            path(&self.certs()),
        )
    }

    fn spawn(&self, node: u64) -> Result<Child, Failure> {
        let spawn = || {
            let log = File::options().create(true).append(true).open(self.log(node))?;
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("serve").arg("--config").arg(self.config(node));
            // The demo's settings are its own, whatever the user's environment says.
            for (name, _) in
                std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TIMBERLINE_"))
            {
                command.env_remove(name);
            }
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()
        };
        spawn().map_err(|error| self.failed(node, &error))
    }

    fn failed(&self, node: u64, error: &io::Error) -> Failure {
        Failure::plain(format!("cannot start node {node} in {}: {error}", self.folder.0.display()))
    }
}

/// Addresses that are free now: asked of the system all at once, so that they differ.
fn free_addresses() -> io::Result<Vec<String>> {
    let sockets = (0..NODES).map(|_| UdpSocket::bind("127.0.0.1:0")).collect::<io::Result<Vec<_>>>()?;
    sockets.iter().map(|socket| Ok(socket.local_addr()?.to_string())).collect()
}
