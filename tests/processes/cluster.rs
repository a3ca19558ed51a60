//! Three `timberline serve` processes on loopback, made with the commands a user types.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub(crate) const NODES: u16 = 3;

/// A cluster; its processes end and its files go with it.
pub(crate) struct Cluster {
    folder: TempDir,
    base_port: u16,
    nodes: Vec<Option<Child>>,
    /// Given to every `serve` beside its settings file.
    extra: Vec<&'static str>,
    /// A node whose process sees another wall clock: the library that shows it, and how far it is off, in seconds.
    pub(crate) skewed: Option<(u16, PathBuf, &'static str)>,
}

impl Cluster {
    /// Makes certificates and settings, and starts nothing yet.
    pub(crate) fn prepare(extra: &[&'static str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base_port = free_ports();
        let nodes = (0..NODES).map(|_| None).collect();
        let cluster = Self { folder, base_port, nodes, extra: extra.to_vec(), skewed: None };
        cluster.succeed(&["cert", "init", "--dir", "certs", "--nodes", "3"]);
        for node in 1..=NODES {
            let (node_text, port) = (node.to_string(), base_port.to_string());
            let template = cluster.succeed(&[
                "config",
                "template",
                "--node",
                &node_text,
                "--nodes",
                "3",
                "--base-port",
                &port,
            ]);
            std::fs::write(cluster.settings(node), template.stdout).expect("the settings file is written");
        }
        cluster
    }

    /// Starts all nodes, waits until they serve.
    pub(crate) fn start_all(&mut self) {
        (1..=NODES).for_each(|node| self.spawn(node));
        self.await_serving();
    }

    pub(crate) fn settings(&self, node: u16) -> PathBuf {
        self.path(&format!("node-{node}.toml"))
    }

    /// Where a node listens.
    pub(crate) fn address(&self, node: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.base_port + node - 1))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn spawn(&mut self, node: u16) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path(&format!("node-{node}.log")))
            .expect("a log file");
        let mut command =
            self.command(&["serve", "--config", self.settings(node).to_str().expect("a plain path")]);
        if let Some((_, library, by_s)) = self.skewed.as_ref().filter(|(skewed, ..)| *skewed == node) {
            command.env("LD_PRELOAD", library).env("FAKETIME", by_s);
            // Timers that jumped would stop the process; only the wall clock is at stake.
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        let child =
            command.args(&self.extra).stdout(Stdio::null()).stderr(log).spawn().expect("the server starts");
        self.nodes[usize::from(node) - 1] = Some(child);
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, node: u16) {
        if let Some(child) = &mut self.nodes[usize::from(node) - 1] {
            child.kill().expect("a running process can be killed");
            self.await_end(node);
        }
    }

    /// Sends a signal by its name, such as `TERM`.
    pub(crate) fn signal(&self, node: u16, name: &str) {
        let pid = self.pids()[usize::from(node) - 1].expect("the node runs").to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().expect("kill is there");
        assert!(sent.success(), "{name} to node {node}");
    }

    /// Waits for the end of a node that was told to end.
    pub(crate) fn await_end(&mut self, node: u16) -> ExitStatus {
        let mut child = self.nodes[usize::from(node) - 1].take().expect("the node runs");
        child.wait().expect("its end can be awaited")
    }

    /// The processes, node by node.
    pub(crate) fn pids(&self) -> Vec<Option<u32>> {
        self.nodes.iter().map(|node| node.as_ref().map(Child::id)).collect()
    }

    /// A `timberline` command, to be run in the cluster's folder against its endpoints.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let endpoints: Vec<String> = (1..=NODES).map(|node| self.address(node).to_string()).collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_timberline"));
        // What is set for the tests, or for somebody's own cluster, is no setting of this one.
        let foreign = std::env::vars_os().map(|(name, _)| name);
        for name in foreign.filter(|name| name.to_string_lossy().starts_with("TIMBERLINE_")) {
            command.env_remove(name);
        }
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("TIMBERLINE_ENDPOINT", endpoints.join(","))
            .env("TIMBERLINE_CERTS", self.path("certs"))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the command runs")
    }

    /// Runs a command that must succeed.
    pub(crate) fn succeed(&self, args: &[&str]) -> Output {
        let output = self.run(args);
        assert!(
            output.status.success(),
            "timberline {}: {}\n{}\n{}",
            args.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr),
            self.logs()
        );
        output
    }

    /// Waits until a fresh append to every shard of a scratch topic can be acknowledged.
    pub(crate) fn await_serving(&self) {
        let started = Instant::now();
        while !self.run(&["topic", "list"]).status.success() {
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "the cluster does not serve\n{}",
                self.logs()
            );
        }
    }

    /// The last lines of all nodes' logs, for a failure's message.
    pub(crate) fn logs(&self) -> String {
        let tail = |node: u16| {
            let log = std::fs::read_to_string(self.path(&format!("node-{node}.log"))).unwrap_or_default();
            let lines: Vec<&str> = log.lines().rev().take(15).collect();
            format!("--- node {node}\n{}", lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
        };
        (1..=NODES).map(tail).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        (1..=NODES).for_each(|node| self.kill(node));
    }
}

/// A base port whose block of ports is free, for nodes (UDP) and for their metrics (TCP, a hundred above).
fn free_ports() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 100).expect("below 100") * 200;
    let is_free = |base: u16| {
        (0..NODES).all(|node| {
            UdpSocket::bind(("127.0.0.1", base + node)).is_ok()
                && TcpListener::bind(("127.0.0.1", base + node + 100)).is_ok()
        })
    };
    // Tests of one process take blocks of their own, so that none takes what another is about to bind.
    (0..8)
        .map(|_| first + 10 * NEXT.fetch_add(1, Ordering::Relaxed))
        .find(|base| is_free(*base))
        .expect("some ports are free")
}
