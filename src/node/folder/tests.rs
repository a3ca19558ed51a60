//! Laws of the data folder.

use std::path::Path;
use std::sync::Arc;

use super::{Error, Fate, NodeFolder, Owner, Registry, RememberedPeers};
use crate::disk::{Disk, MemoryDisk};
use crate::types::{NodeId, ShardId};

fn disk() -> Arc<dyn Disk> {
    Arc::new(MemoryDisk::new())
}

fn owner(cluster: &str, node: u64) -> Owner {
    let initial_nodes = vec![NodeId(1), NodeId(2), NodeId(3)];
    Owner { cluster: cluster.parse().unwrap(), node: NodeId(node), initial_nodes }
}

fn content(disk: &Arc<dyn Disk>) -> Vec<Option<Vec<u8>>> {
    ["node", "shards.registry", "peers"].map(|name| disk.read(Path::new(name)).unwrap()).to_vec()
}

#[test]
fn an_empty_folder_becomes_the_nodes_and_every_start_is_counted() {
    let disk = disk();
    for boot in 1..4 {
        let folder = NodeFolder::open(&disk, &owner("c", 1), 77 + boot).unwrap();
        assert_eq!((folder.boot, folder.identity), (boot, 78));
    }
}

#[test]
fn a_folder_of_another_cluster_or_node_is_refused_and_left_untouched() {
    let disk = disk();
    drop(NodeFolder::open(&disk, &owner("c", 1), 5).unwrap());
    let before = content(&disk);
    for other in [owner("d", 1), owner("c", 2)] {
        let refused = NodeFolder::open(&disk, &other, 6).err().unwrap();
        assert!(matches!(refused, Error::Foreign { found_node: 1, .. }), "{refused}");
    }
    let fewer = Owner { initial_nodes: vec![NodeId(1)], ..owner("c", 1) };
    let refused = NodeFolder::open(&disk, &fewer, 6).err().unwrap();
    assert!(matches!(refused, Error::OtherNodes { .. }), "{refused}");
    assert_eq!(content(&disk), before);
}

#[test]
fn a_folder_with_files_but_without_a_node_file_is_never_taken_for_empty() {
    let disk = disk();
    drop(disk.create(Path::new("shards/0/segment"), 64).unwrap());
    let refused = NodeFolder::open(&disk, &owner("c", 1), 5).err().unwrap();
    assert!(matches!(refused, Error::NotEmpty { .. }), "{refused}");
    assert_eq!(content(&disk), [None, None, None]);
}

#[test]
fn a_locked_folder_is_refused() {
    let disk = disk();
    let held = NodeFolder::open(&disk, &owner("c", 1), 5).unwrap();
    assert!(matches!(NodeFolder::open(&disk, &owner("c", 1), 5), Err(Error::Disk(_))));
    drop(held);
    assert!(NodeFolder::open(&disk, &owner("c", 1), 5).is_ok());
}

#[test]
fn a_damaged_file_is_named_with_its_line() {
    let disk = disk();
    drop(NodeFolder::open(&disk, &owner("c", 1), 5).unwrap());
    disk.replace(Path::new("shards.registry"), b"timberline-shards 1\n7 hosted\n8 host").unwrap();
    let refused = Registry::open(Arc::clone(&disk)).err().unwrap();
    assert!(matches!(refused, Error::Damaged { file: "shards.registry", line: 3, .. }), "{refused}");
    disk.replace(Path::new("peers"), b"something else\n").unwrap();
    assert!(matches!(RememberedPeers::open(disk), Err(Error::Damaged { file: "peers", line: 1, .. })));
}

#[test]
fn a_folder_that_lost_its_registry_does_not_open() {
    assert!(matches!(Registry::open(disk()), Err(Error::Damaged { .. })));
}

#[test]
fn a_peer_that_comes_back_with_another_folder_is_refused_even_after_a_restart() {
    let disk = disk();
    let peers = RememberedPeers::open(Arc::clone(&disk)).unwrap();
    assert_eq!(peers.check(NodeId(2), 22), Ok(()));
    assert_eq!(peers.check(NodeId(3), 33), Ok(()));
    drop(peers);
    let peers = RememberedPeers::open(disk).unwrap();
    assert_eq!(peers.check(NodeId(2), 22), Ok(()));
    assert!(peers.check(NodeId(2), 23).unwrap_err().contains("--replace"));
}

#[test]
fn a_shard_once_opened_is_never_made_again_blank() {
    let disk = disk();
    drop(NodeFolder::open(&disk, &owner("c", 1), 5).unwrap());
    let mut registry = Registry::open(Arc::clone(&disk)).unwrap();
    let [a, b] = [ShardId(1), ShardId(2)];
    assert_eq!(registry.fate(a, false), Fate::Create);
    assert_eq!(registry.fate(a, true), Fate::CreateAnew, "its making was cut short");
    registry.note_hosted(&[a, b]).unwrap();
    registry.note_removed(&[b]).unwrap();
    let registry = Registry::open(disk).unwrap();
    assert_eq!(registry.fate(a, true), Fate::Open);
    assert_eq!(registry.fate(a, false), Fate::Lost);
    assert_eq!(registry.fate(b, false), Fate::Removed);
}
