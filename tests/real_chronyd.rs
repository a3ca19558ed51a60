//! A real chronyd, asked by the clock: opt-in, because it needs Debian's package `chrony` and root.
//!
//! Two instances on loopback, one that serves and one that follows it, both with `-x`, so that neither touches the
//! system clock. `TIMBERLINE_TEST_CHRONYD=1` allows it; without it, or without chronyd, each law says `skipped` and why.

use std::fs::{self, Permissions};
use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use timberline::clock::{Clock, ClockOptions, SourceChoice, SourceOptions};

/// Longer than two instances need to agree on the time of one machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Whether chronyd may be run; says why not.
fn allowed() -> bool {
    let reason = if std::env::var("TIMBERLINE_TEST_CHRONYD").as_deref() != Ok("1") {
        "it runs chronyd, which needs root and TIMBERLINE_TEST_CHRONYD=1"
    } else if !Command::new("chronyd")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
    {
        "there is no chronyd; `apt-get install chrony` brings it"
    } else if !rustix::process::geteuid().is_root() {
        "chronyd runs as root"
    } else {
        return true;
    };
    // Not by `eprintln!`: what a passing test prints by it is not shown.
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
    false
}

/// A chronyd with a folder and ports of its own, ended when dropped.
struct Chronyd {
    process: Child,
    commands: SocketAddr,
    time: SocketAddr,
    _folder: TempDir,
}

/// A port nobody has now.
fn free_port() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port is free")
}

impl Chronyd {
    fn start(role: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // chronyd refuses a folder that others may write to, or read.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o750)).expect("its mode is set");
        let (commands, time) = (free_port(), free_port());
        let path = |name: &str| folder.path().join(name).display().to_string();
        let configuration = format!(
            "{role}\nport {}\nbindaddress 127.0.0.1\nallow 127.0.0.1\ncmdport {}\nbindcmdaddress 127.0.0.1\nbindcmdaddress {}\n\
             pidfile {}\ndriftfile {}\n",
            time.port(),
            commands.port(),
            path("chronyd.sock"),
            path("chronyd.pid"),
            path("drift"),
        );
        fs::write(folder.path().join("chrony.conf"), configuration).expect("its configuration is written");
        let process = Command::new("chronyd")
            .args(["-x", "-d", "-u", "root", "-f"])
            .arg(folder.path().join("chrony.conf"))
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("log")).expect("its log"))
            .spawn()
            .expect("chronyd starts");
        Self { process, commands, time, _folder: folder }
    }

    /// A clock that asks it.
    fn clock(&self, choice: SourceChoice, nothing: &Path) -> Clock {
        let mut options = SourceOptions { choice, chrony_address: self.commands, ..SourceOptions::default() };
        options.clockbound.path = nothing.join("shm0");
        options.vmclock_path = nothing.join("vmclock0");
        options.clock(ClockOptions::default(), None)
    }
}

impl Drop for Chronyd {
    fn drop(&mut self) {
        // It ends at once, or has ended; either way it is waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Refreshes the clock until `done`.
fn until(clock: &Clock, done: impl Fn(&Clock) -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done(clock) {
        assert!(Instant::now() < deadline, "{:?}", clock.status());
        std::thread::yield_now();
        clock.refresh();
    }
}

fn reason(clock: &Clock) -> String {
    clock.status().reason.unwrap_or_default()
}

#[test]
fn a_chronyd_that_follows_another_gives_the_bound_it_shows() {
    if !allowed() {
        return;
    }
    let nothing = tempfile::tempdir().expect("a folder");
    let server = Chronyd::start("local stratum 5");
    let follower =
        Chronyd::start(&format!("server 127.0.0.1 port {} minpoll -4 maxpoll -4 iburst", server.time.port()));
    let clock = follower.clock(SourceChoice::Chrony, nothing.path());
    until(&clock, |clock| clock.now().is_trusted());
    let port = follower.commands.port().to_string();
    let shown =
        Command::new("chronyc").args(["-n", "-c", "-h", "127.0.0.1", "-p", &port, "tracking"]).output();
    let shown = String::from_utf8(shown.expect("chronyc runs").stdout).expect("it prints text");
    let fields: Vec<&str> = shown.trim().split(',').collect();
    let seconds = |at: usize| fields[at].parse::<f64>().unwrap_or_else(|_| panic!("{shown}"));
    assert_eq!(fields[0], "7F000001", "it follows the other: {shown}");
    let shown_bound = Duration::from_secs_f64(seconds(10) / 2.0 + seconds(11) + seconds(4).abs());
    let status = clock.status();
    // Reports are a moment apart; both are some microseconds, and a clock's bound grows by 50 a second.
    let bound = Duration::from_nanos(status.uncertainty_ns);
    assert!(bound < shown_bound + Duration::from_micros(500), "{status:?}, chronyc: {shown}");
    assert!(status.uncertainty_ns > 5_000 && status.leap.as_str() == "none", "{status:?}");
    drop(follower);
    until(&clock, |clock| reason(clock).contains("chronyd at"));
}

#[test]
fn a_chronyd_in_local_mode_is_refused() {
    if !allowed() {
        return;
    }
    let nothing = tempfile::tempdir().expect("a folder");
    let local = Chronyd::start("local stratum 5");
    for choice in [SourceChoice::Chrony, SourceChoice::Auto] {
        let clock = local.clock(choice, nothing.path());
        until(&clock, |clock| reason(clock).contains("is in local mode"));
        assert!(!clock.now().is_trusted());
    }
}

#[test]
fn a_chronyd_without_a_server_is_not_synchronised() {
    if !allowed() {
        return;
    }
    let nothing = tempfile::tempdir().expect("a folder");
    let lonely = Chronyd::start("");
    let clock = lonely.clock(SourceChoice::Chrony, nothing.path());
    until(&clock, |clock| reason(clock).contains("not synchronised"));
}
