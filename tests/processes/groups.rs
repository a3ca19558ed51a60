//! Consumer groups of real processes: members that are killed, that are stopped and wake, that come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::Cluster;
use crate::{await_output, lines, number, start};

/// A member's death is noticed, and its shards are read on, within so long.
const PROGRESS_WITHIN: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(30);
const SHARDS: u64 = 6;

/// What members printed, as it comes: each number with its shard, by the member's name.
#[derive(Default)]
struct Board {
    read: Mutex<BTreeMap<&'static str, Vec<(u64, u64)>>>,
    news: Condvar,
}

type Read = BTreeMap<&'static str, Vec<(u64, u64)>>;

impl Board {
    fn add(&self, name: &'static str, row: &Value) {
        let value = row["value"].as_str().expect("a value").parse().expect("a number");
        self.read.lock().unwrap().entry(name).or_default().push((value, number(row, "shard")));
        self.news.notify_all();
    }

    /// Waits until what was read satisfies `done`.
    fn wait(&self, what: &str, mut done: impl FnMut(&Read) -> bool) {
        let read = self.read.lock().unwrap();
        let (read, waited) = self.news.wait_timeout_while(read, PATIENCE, |read| !done(read)).unwrap();
        let counts: Vec<_> = read.iter().map(|(name, read)| (name, read.len())).collect();
        assert!(!waited.timed_out(), "{what}: {counts:?}");
    }

    fn look<T>(&self, at: impl FnOnce(&Read) -> T) -> T {
        at(&self.read.lock().unwrap())
    }
}

fn of<'a>(read: &'a Read, name: &str) -> &'a [(u64, u64)] {
    read.get(name).map_or(&[], Vec::as_slice)
}

/// A member whose output goes to the board.
struct Member {
    name: &'static str,
    child: Child,
    reader: Option<JoinHandle<()>>,
}

impl Member {
    fn start(cluster: &Cluster, board: &Arc<Board>, name: &'static str) -> Self {
        let log = std::fs::File::create(cluster.path(&format!("{name}.log"))).expect("a log file");
        let reading = ["consume", "events", "--group", "g", "--member-name", name, "-o", "ndjson"];
        let child = cluster.command(&reading).stdout(Stdio::piped()).stderr(log).spawn();
        let mut child = child.expect("the member starts");
        let (out, board) = (BufReader::new(child.stdout.take().expect("a pipe")), Arc::clone(board));
        let reader = std::thread::spawn(move || {
            // A killed member's last line may be torn.
            let rows = out.lines().map_while(Result::ok);
            rows.filter_map(|line| serde_json::from_str(&line).ok()).for_each(|row| board.add(name, &row));
        });
        Self { name, child, reader: Some(reader) }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill is there").success(), "{name}");
    }

    /// SIGKILL; all that it printed is on the board then.
    fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ended");
        self.reader.take().expect("it was read").join().expect("it printed records");
    }

    /// Leaves in good order.
    fn leave(&mut self) {
        self.signal("INT");
        assert!(self.child.wait().expect("it ended").success());
    }

    fn log(&self, cluster: &Cluster) -> String {
        std::fs::read_to_string(cluster.path(&format!("{}.log", self.name))).unwrap_or_default()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A producer that sends numbers, each its own key, for as long as it runs.
struct Feed(Child);

impl Feed {
    fn start(cluster: &Cluster, count: u64) -> Self {
        let numbers: Vec<String> = (0..count).map(|number| format!("{number} {number}")).collect();
        std::fs::write(cluster.path("numbers"), numbers.join("\n")).expect("a file");
        let args = [
            "produce",
            "events",
            "--file",
            "numbers",
            "--key-separator",
            " ",
            "--rate",
            "500",
            "-o",
            "ndjson",
        ];
        let child = cluster.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self(child.expect("the producer starts"))
    }

    fn finish(&mut self) {
        assert!(self.0.wait().expect("it ended").success());
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn with_topic() -> Cluster {
    let cluster = start();
    cluster.succeed(&["topic", "create", "events", "--shards", &SHARDS.to_string()]);
    cluster
}

fn group(cluster: &Cluster) -> Value {
    lines(&cluster.succeed(&["group", "show", "g", "-o", "ndjson"]).stdout).remove(0)
}

/// How many shards each member holds, once every one of them is held and nobody waits.
fn await_shares(cluster: &Cluster, expected: &[u64]) {
    await_output(cluster, &["group", "show", "g", "-o", "ndjson"], |text| {
        let group = lines(text.as_bytes()).remove(0);
        let mut counts: Vec<u64> =
            group["members"].as_array().unwrap().iter().map(|member| number(member, "shard_count")).collect();
        counts.sort_unstable();
        let waits = group["shards"].as_array().unwrap().iter().any(|shard| !shard["wanted_by"].is_null());
        counts == expected && !waits
    });
}

fn shards_of(read: &[(u64, u64)]) -> BTreeSet<u64> {
    read.iter().map(|(_, shard)| *shard).collect()
}

/// How often each number was read, by whomever.
fn counts(read: &Read) -> BTreeMap<u64, usize> {
    let mut counts = BTreeMap::new();
    for (value, _) in read.values().flatten() {
        *counts.entry(*value).or_default() += 1;
    }
    counts
}

fn await_all(board: &Board, records: u64) {
    board.wait("all is read", |read| counts(read).len() as u64 == records);
}

fn reads(name: &'static str, count: usize) -> impl FnMut(&Read) -> bool {
    move |read| of(read, name).len() >= count
}

#[test]
fn members_that_come_and_go_in_good_order_lose_and_repeat_nothing_and_the_group_knows_its_lag() {
    let (cluster, board, records) = (with_topic(), Arc::new(Board::default()), 3000);
    let mut feed = Feed::start(&cluster, records);
    let mut first = Member::start(&cluster, &board, "first");
    board.wait("the first member reads", reads("first", 100));
    let mut second = Member::start(&cluster, &board, "second");
    board.wait("the second member reads", reads("second", 100));
    let mut third = Member::start(&cluster, &board, "third");
    await_shares(&cluster, &[2, 2, 2]);
    board.wait("the third member reads", reads("third", 100));
    first.leave();
    await_shares(&cluster, &[3, 3]);
    feed.finish();
    await_all(&board, records);
    // The last commits come within a second or so.
    await_output(&cluster, &["group", "show", "g", "-o", "ndjson"], |text| {
        let group = lines(text.as_bytes()).remove(0);
        (number(&group, "lag_ns"), number(&group, "lag_records")) == (0, 0)
    });
    second.leave();
    third.leave();
    let repeated: Vec<_> = board.look(counts).into_iter().filter(|(_, count)| *count != 1).collect();
    assert!(repeated.is_empty(), "{repeated:?}");
    let refused = cluster.run(&["group", "reset", "nobody", "--to", "begin"]);
    assert_eq!(refused.status.code(), Some(3), "there is no such group");
    cluster.succeed(&["group", "reset", "g", "--to", "begin"]);
    let group = group(&cluster);
    assert_eq!(number(&group, "lag_records"), records);
    assert!(number(&group, "lag_ns") > 1_000_000_000, "{group}");
    assert_eq!(lines(&cluster.succeed(&["group", "list", "-o", "ndjson"]).stdout)[0]["group"], "g");
    cluster.succeed(&["group", "delete", "g"]);
    assert!(cluster.succeed(&["group", "list", "-o", "ndjson"]).stdout.is_empty());
}

#[test]
fn others_read_on_within_two_seconds_of_a_members_death_and_nothing_is_lost() {
    let (cluster, board, records) = (with_topic(), Arc::new(Board::default()), 5000);
    let mut feed = Feed::start(&cluster, records);
    let mut victim = Member::start(&cluster, &board, "victim");
    let _other = Member::start(&cluster, &board, "other");
    await_shares(&cluster, &[3, 3]);
    let refused = cluster.run(&["group", "reset", "g", "--to", "begin"]);
    assert_eq!(refused.status.code(), Some(5), "not under its members");
    let before = board.look(|read| (of(read, "victim").len(), of(read, "other").len()));
    board.wait("both read", |read| {
        of(read, "victim").len() > before.0 + 100 && of(read, "other").len() > before.1 + 100
    });
    let died = Instant::now();
    victim.kill();
    let lost = board.look(|read| shards_of(&of(read, "victim")[before.0..]));
    let seen = board.look(|read| of(read, "other").len());
    board.wait("the other reads on in all shards of the dead one", |read| {
        shards_of(&of(read, "other")[seen..]).is_superset(&lost)
    });
    let after = died.elapsed();
    println!("{} shards were read on {after:?} after the death", lost.len());
    assert!(after < PROGRESS_WITHIN, "{after:?}");
    feed.finish();
    await_all(&board, records);
    // What is read twice lies behind the dead member's last commit, so it was read by both.
    let is_without_repeats = |read: &Read, name| {
        let own = of(read, name);
        own.iter().collect::<BTreeSet<_>>().len() == own.len()
    };
    assert!(board.look(|read| is_without_repeats(read, "victim") && is_without_repeats(read, "other")));
}

#[test]
fn a_member_that_was_stopped_for_longer_than_its_timeout_commits_nothing_when_it_wakes_and_joins_anew() {
    let (cluster, board, records) = (with_topic(), Arc::new(Board::default()), 4000);
    let mut feed = Feed::start(&cluster, records);
    let sleeper = Member::start(&cluster, &board, "sleeper");
    let _other = Member::start(&cluster, &board, "other");
    await_shares(&cluster, &[3, 3]);
    board.wait("the one to be stopped reads", reads("sleeper", 200));
    sleeper.signal("STOP");
    await_shares(&cluster, &[6]);
    let positions = |group: &Value| -> BTreeMap<u64, u64> {
        let shards = group["shards"].as_array().unwrap().iter();
        shards.map(|shard| (number(shard, "shard"), number(shard, "next_timestamp_ns"))).collect()
    };
    let before = positions(&group(&cluster));
    sleeper.signal("CONT");
    await_shares(&cluster, &[3, 3]);
    assert!(sleeper.log(&cluster).contains("was taken for dead"), "its commit is refused as stale");
    let after = positions(&group(&cluster));
    assert!(before.iter().all(|(shard, next)| after[shard] >= *next), "no position falls");
    feed.finish();
    await_all(&board, records);
}
