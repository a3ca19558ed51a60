//! Levels and tokens as a user types them.

use serde_json::Value;

use crate::{lines, start};

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The word after `word` in what a command said.
fn after(text: &str, word: &str) -> String {
    let rest = text.split(word).nth(1).unwrap_or_else(|| panic!("{word} in {text}"));
    rest.split_whitespace().next().expect("something follows").to_owned()
}

#[test]
fn what_one_command_wrote_another_reads_by_its_token_at_every_level() {
    let cluster = start();
    cluster.succeed(&["topic", "create", "notes", "--shards", "3"]);
    std::fs::write(cluster.path("lines"), "one\ntwo\nthree\n").expect("a file");
    let written = cluster.succeed(&["produce", "notes", "--file", "lines", "-o", "ndjson"]);
    let summary: Value = serde_json::from_slice(&written.stdout).expect("one row");
    let token = summary["token"].as_str().expect("something was acknowledged").to_owned();
    let levels: [&[&str]; 4] = [
        &["--consistency", "session", "--token", &token],
        &["--consistency", "causal", "--token", &token],
        &["--consistency", "linearizable"],
        &[],
    ];
    for level in levels {
        for node in ["1", "2", "3"] {
            let reading = ["consume", "notes", "--to-end", "-o", "ndjson", "--node", node];
            let read = cluster.succeed(&[&reading, level].concat());
            assert_eq!(lines(&read.stdout).len(), 3, "{level:?} on node {node}");
            assert!(after(&stderr(&read), "--token ") >= token, "a reader has seen what it read");
        }
    }
    let following =
        ["consume", "notes", "--max", "3", "--consistency", "bounded", "--age", "1m", "-o", "ndjson"];
    assert_eq!(lines(&cluster.succeed(&following).stdout).len(), 3);
    for level in [&["--consistency", "bounded", "--age", "10m"][..], &["--consistency", "eventual"]] {
        cluster.succeed(&[&["consume", "notes", "--to-end", "-o", "ndjson"], level].concat());
    }
}

#[test]
fn levels_that_say_nothing_tokens_of_the_future_and_times_of_the_future_are_refused() {
    let cluster = start();
    cluster.succeed(&["topic", "create", "notes", "--shards", "1"]);
    let wrong: [&[&str]; 11] = [
        &["--to-end", "--consistency", "session"],
        &["--to-end", "--consistency", "causal"],
        &["--to-end", "--consistency", "bounded"],
        &["--to-end", "--consistency", "linearizable", "--age", "5s"],
        &["--to-end", "--token", "18000000000000ff"],
        &["--to-end", "--consistency", "causal", "--token", "18"],
        &["--consistency", "linearizable"],
        &["--until", "-1s", "--consistency", "linearizable"],
        &["--until", "-1s", "--consistency", "bounded", "--age", "1s"],
        &["--to-end", "--consistency", "causal", "--token", "7fffffffffffffff"],
        &["--until", "2200-01-01T00:00:00Z"],
    ];
    for arguments in wrong {
        let refused = cluster.run(&[&["consume", "notes"], arguments].concat());
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {}", stderr(&refused));
    }
    let refused = cluster.run(&["consume", "notes", "--from", "2200-01-01T00:00:00Z"]);
    assert!(stderr(&refused).contains("lies in the future"), "{}", stderr(&refused));
}
