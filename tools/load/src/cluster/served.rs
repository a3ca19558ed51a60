//! `timberline serve` processes on loopback, in a folder that goes with them.
//!
//! This program is `timberline` under that name (`commands/run.rs`), so that they are always of the version that is linked here. What they
//! spend is theirs alone. They end with the thread that started them, whatever ends it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use timberline::transport::init_certs;

use crate::failure::Failure;

/// What `serve` is called by; the first of a process's arguments.
pub(crate) const PROGRAM: &str = "timberline";
const READY_MAX: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(10);
const ANSWER_MAX: Duration = Duration::from_secs(1);
const LOG_LINES: usize = 5;

/// Running processes. Dropping them kills them and removes their files.
pub(crate) struct ServedCluster {
    nodes: Vec<Served>,
    folder: tempfile::TempDir,
}

struct Served {
    process: Child,
    listen: SocketAddr,
    metrics: SocketAddr,
}

impl ServedCluster {
    /// Starts so many nodes that declare `uncertainty`, each with `settings` (`KEY=VALUE`), and waits until they serve. The
    /// calling thread must outlive them.
    pub(crate) fn start(
        nodes: u64,
        uncertainty: Duration,
        settings: &[String],
        folder: &Path,
    ) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new()
            .prefix("timberline-load-")
            .tempdir_in(folder)
            .map_err(|source| Failure::Write { path: folder.to_owned(), source })?;
        init_certs(&folder.path().join("certs"), nodes)?;
        let places = free_places(nodes)
            .map_err(|source| Failure::Machine { what: "find free ports on 127.0.0.1", source })?;
        let mut cluster = Self { nodes: Vec::new(), folder };
        for node in 1..=nodes {
            cluster.spawn(node, &places, uncertainty, settings)?;
        }
        cluster.await_ready()?;
        Ok(cluster)
    }

    fn spawn(
        &mut self,
        node: u64,
        places: &[(SocketAddr, SocketAddr)],
        uncertainty: Duration,
        settings: &[String],
    ) -> Result<(), Failure> {
        let written = |path: &Path, text: &str| {
            std::fs::write(path, text).map_err(|source| Failure::Write { path: path.to_owned(), source })
        };
        let config = self.path(&format!("node-{node}.toml"));
        written(&config, &settings_text(node, places, uncertainty))?;
        let log = self.path(&format!("node-{node}.log"));
        written(&log, "")?;
        let log = std::fs::File::options()
            .append(true)
            .open(&log)
            .map_err(|source| Failure::Write { path: log, source })?;
        let program = std::env::current_exe()
            .map_err(|source| Failure::Machine { what: "find this program", source })?;
        let mut command = Command::new(program);
        // Settings in the environment are somebody else's cluster's.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TIMBERLINE_"))
        {
            command.env_remove(name);
        }
        command.arg0(PROGRAM).arg("serve").arg("--config").arg(config);
        for setting in settings {
            command.arg("--set").arg(setting);
        }
        command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = command
            .spawn()
            .map_err(|error| Failure::ServedNode { node, reason: format!("cannot be started: {error}") })?;
        let (listen, metrics) = places[node as usize - 1];
        self.nodes.push(Served { process, listen, metrics });
        Ok(())
    }

    fn await_ready(&mut self) -> Result<(), Failure> {
        let began = Instant::now();
        for at in 0..self.nodes.len() {
            let node = at as u64 + 1;
            while !is_ready(self.nodes[at].metrics) {
                if let Ok(Some(status)) = self.nodes[at].process.try_wait() {
                    let reason = format!("ended with {status}: {}", self.last_lines(node));
                    return Err(Failure::ServedNode { node, reason });
                }
                if began.elapsed() > READY_MAX {
                    let what = format!("node {node} was not ready: {}", self.last_lines(node));
                    let instead = "try again on a machine with less to do";
                    return Err(Failure::Late { what, seconds: READY_MAX.as_secs(), instead });
                }
                std::thread::sleep(LOOK_EVERY);
            }
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn last_lines(&self, node: u64) -> String {
        let log = std::fs::read_to_string(self.path(&format!("node-{node}.log"))).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.listen.to_string()).collect()
    }

    pub(crate) fn certs(&self) -> PathBuf {
        self.path("certs")
    }

    /// Where each node serves its metrics.
    pub(crate) fn metrics(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.metrics).collect()
    }

    /// The processes, from node 1 on.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.nodes.iter().map(|node| node.process.id()).collect()
    }
}

impl Drop for ServedCluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            // It may have ended by itself.
            let _ = node.process.kill();
            let _ = node.process.wait();
        }
    }
}

/// For each node where it listens (UDP) and where it serves metrics (TCP). Asked of the system all at once, so that they differ.
fn free_places(nodes: u64) -> std::io::Result<Vec<(SocketAddr, SocketAddr)>> {
    let bind = |_| Ok((UdpSocket::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?));
    let sockets: Vec<_> = (0..nodes).map(bind).collect::<std::io::Result<_>>()?;
    sockets.iter().map(|(udp, tcp)| Ok((udp.local_addr()?, tcp.local_addr()?))).collect()
}

fn settings_text(node: u64, places: &[(SocketAddr, SocketAddr)], uncertainty: Duration) -> String {
    let listed: Vec<_> = (1..)
        .zip(places)
        .map(|(id, (listen, _))| format!("{{ id = {id}, address = \"{listen}\" }}"))
        .collect();
    let (_, metrics) = places[node as usize - 1];
    format!(
        "[cluster]\nid = \"load\"\ninitial_nodes = [{}]\n\
         [node]\nid = {node}\ndata_dir = \"data-{node}\"\ncerts_dir = \"certs\"\n\
         [metrics]\nlisten = \"{metrics}\"\n\
         [clock]\nsource = \"declared\"\nuncertainty = \"{}ns\"\n\
         [log]\nlevel = \"warn\"\n",
        listed.join(", "),
        uncertainty.as_nanos()
    )
}

/// Whether a node says that it serves.
fn is_ready(metrics: SocketAddr) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&metrics, ANSWER_MAX)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.write_all(b"GET /ready HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    ask().is_ok_and(|answer: String| answer.starts_with("HTTP/1.1 200"))
}
