//! Three `timberline serve` processes on loopback, made with the commands a user types.

use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub(crate) const NODES: u16 = 3;

/// A running cluster; its processes end and its files go with it.
pub(crate) struct Cluster {
    folder: TempDir,
    base_port: u16,
    nodes: Vec<Option<Child>>,
    /// Given to every `serve` beside its settings file.
    extra: Vec<&'static str>,
}

impl Cluster {
    /// Makes certificates and settings, starts all nodes, waits until they serve.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same, with further arguments for every `serve`.
    pub(crate) fn start_with(extra: &[&'static str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base_port = free_ports();
        let mut cluster =
            Self { folder, base_port, nodes: (0..NODES).map(|_| None).collect(), extra: extra.to_vec() };
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
        (1..=NODES).for_each(|node| cluster.spawn(node));
        cluster.await_serving();
        cluster
    }

    fn settings(&self, node: u16) -> PathBuf {
        self.path(&format!("node-{node}.toml"))
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
        let child = self
            .command(&["serve", "--config", self.settings(node).to_str().expect("a plain path")])
            .args(&self.extra)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the server starts");
        self.nodes[usize::from(node) - 1] = Some(child);
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, node: u16) {
        if let Some(mut child) = self.nodes[usize::from(node) - 1].take() {
            child.kill().expect("a running process can be killed");
            child.wait().expect("a killed process ends");
        }
    }

    /// SIGTERM; the exit status.
    pub(crate) fn terminate(&mut self, node: u16) -> Option<i32> {
        let mut child = self.nodes[usize::from(node) - 1].take().expect("the node runs");
        let pid = child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill is there");
        assert!(sent.success());
        child.wait().expect("a terminated process ends").code()
    }

    /// A `timberline` command, to be run in the cluster's folder against its endpoints.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let endpoints: Vec<String> =
            (0..NODES).map(|place| format!("127.0.0.1:{}", self.base_port + place)).collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_timberline"));
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

    /// The nodes' own memory together, files that they map not counted.
    pub(crate) fn anonymous_memory_bytes(&self) -> u64 {
        let of = |child: &Child| {
            let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("it runs");
            let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("Linux tells");
            let kib = line.split_whitespace().nth(1).expect("a number");
            kib.parse::<u64>().expect("a number") << 10
        };
        self.nodes.iter().flatten().map(of).sum()
    }

    /// Waits until a look at the cluster satisfies `done`; what it looked like last is in the failure's message.
    pub(crate) fn await_output(&self, args: &[&str], mut done: impl FnMut(&str) -> bool) -> String {
        let started = Instant::now();
        loop {
            let output = self.run(args);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if output.status.success() && done(&text) {
                return text;
            }
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "{args:?} still says {text}\n{}",
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

/// The first week of flights, as the repository carries it.
pub(crate) fn first_week() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/flights-2013-01-first-week.ndjson.zst")
}
