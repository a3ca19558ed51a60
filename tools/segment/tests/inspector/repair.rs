//! A repaired folder is the one that was damaged, as it was before; or it is not written.

use std::path::Path;

use crate::fixture::{Leader, Replica, contents, flip, overwrite, places, run};

fn repair(damaged: &Path, peer: &Path, to: &Path) -> crate::fixture::Ran {
    let (peer, to) = (peer.to_str().unwrap(), to.to_str().unwrap());
    run(&["repair", "--from", peer, "--to", to], &[damaged])
}

/// Damages, each on its own: which segment, from which byte, how many bytes become noise.
fn damages(replica: &Replica) -> Vec<(u64, usize, usize)> {
    let second = places(&replica.segment(2));
    let last = replica.last_used();
    let of_last = places(&replica.segment(last));
    vec![
        (1, 30, 1),
        (1, 9, 1),
        (1, 4096 + 130, 1),
        (2, 50, 400),
        (2, second[0].0 + 20, 1),
        (2, second[1].0 + 140, 1),
        (2, second[1].0, second[3].1 - second[1].0),
        (2, 0, 8000),
        (last, 97, 1),
        (last, of_last[of_last.len() - 3].0 + 10, 1),
        (last, of_last[of_last.len() - 1].0 + 10, 1),
        (last, of_last[of_last.len() - 1].0 + 135, 1),
    ]
}

#[test]
fn a_repair_from_a_good_peer_gives_back_every_byte() {
    let frames = Leader::new().story();
    let peer = Replica::new(2, &frames);
    let count = damages(&peer).len();
    for number in 0..count {
        let replica = Replica::new(1, &frames);
        let before = contents(&replica.folder());
        let (segment, at, len) = damages(&replica)[number];
        let path = replica.segment(segment);
        let noise: Vec<u8> =
            std::fs::read(&path).unwrap()[at..at + len].iter().map(|byte| byte ^ 0xa5).collect();
        overwrite(&path, at, &noise);
        assert_eq!(run(&["verify"], &[replica.root()]).code, 7, "damage {number}");
        let target = tempfile::tempdir().unwrap();
        let to = target.path().join("whole");
        let ran = repair(&replica.folder(), peer.root(), &to);
        assert_eq!(ran.code, 0, "damage {number}: {}", ran.err);
        assert!(contents(&to) == before, "damage {number}: the copy differs");
        let audit = std::fs::read_to_string(target.path().join("whole.audit.ndjson")).unwrap();
        let is_told = audit.contains(r#""source":"peer""#) || audit.contains(r#""source":"rebuilt""#);
        assert!(is_told, "damage {number}: {audit}");
    }
}

#[test]
fn a_cut_segment_and_a_wrong_index_are_made_whole_again() {
    let frames = Leader::new().story();
    let (replica, peer) = (Replica::new(1, &frames), Replica::new(2, &frames));
    let before = contents(&replica.folder());
    let whole = std::fs::read(replica.segment(2)).unwrap();
    std::fs::write(replica.segment(2), &whole[..4500]).unwrap();
    let index = replica.folder().join("00000000000000000001.index");
    flip(&index, 70);
    let target = tempfile::tempdir().unwrap();
    let to = target.path().join("node");
    // A whole data folder, with the shard below it.
    let ran = repair(replica.root(), peer.root(), &to);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(contents(&to.join("shards/7")) == before);
}

#[test]
fn without_a_good_copy_nothing_is_written() {
    let frames = Leader::new().story();
    let (replica, peer) = (Replica::new(1, &frames), Replica::new(2, &frames));
    let at = places(&replica.segment(2))[1].0 + 20;
    flip(&replica.segment(2), at);
    flip(&peer.segment(2), at);
    let target = tempfile::tempdir().unwrap();
    let to = target.path().join("whole");
    let ran = repair(&replica.folder(), peer.root(), &to);
    assert_eq!(ran.code, 7);
    assert!(ran.err.contains("no good copy") && !to.exists(), "{}", ran.err);
    assert_eq!(std::fs::read_dir(target.path()).unwrap().count(), 0);
}

#[test]
fn a_vote_is_never_made_up() {
    let frames = Leader::new().story();
    let (replica, peer) = (Replica::new(1, &frames), Replica::new(2, &frames));
    std::fs::write(replica.folder().join("vote"), [7; 1024]).unwrap();
    let target = tempfile::tempdir().unwrap();
    let ran = repair(&replica.folder(), peer.root(), &target.path().join("whole"));
    assert_eq!(ran.code, 7);
    assert!(ran.err.contains("vote"), "{}", ran.err);
}

#[test]
fn a_repair_never_writes_into_a_folder_that_exists() {
    let replica = Replica::new(1, &Leader::new().story());
    let target = tempfile::tempdir().unwrap();
    assert_eq!(repair(&replica.folder(), replica.root(), target.path()).code, 1);
}
