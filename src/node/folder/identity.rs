//! The file `node`: whose folder this is, its random identity, and how often it was started.

use std::path::Path;
use std::sync::Arc;

use super::Error;
use super::registry::Registry;
use crate::disk::{Disk, FolderLock};
use crate::types::{ClusterId, NodeId};

const FILE: &str = "node";
const TITLE: &str = "timberline-node 1";
/// Names that a start may leave behind before the node file stands, or that a file system puts there.
const HARMLESS: [&str; 5] = ["lock", "node.new", "shards.registry", "shards.registry.new", "lost+found"];

/// Who wants to use the folder.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
    /// All nodes the cluster began with, rising.
    pub(crate) initial_nodes: Vec<NodeId>,
}

/// A locked data folder that belongs to this node.
pub(crate) struct NodeFolder {
    /// Drawn when the folder was made: a blank folder shows as another identity.
    pub(crate) identity: u64,
    /// 1 at the first start.
    pub(crate) boot: u64,
    _lock: FolderLock,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct NodeFile {
    cluster: String,
    node: u64,
    identity: u64,
    boot: u64,
    initial_nodes: String,
}

impl NodeFolder {
    /// Locks the folder, proves that it is `owner`'s, or makes it so if it is empty, and counts this start.
    /// `fresh_identity` is used for an empty folder only.
    pub(crate) fn open(disk: &Arc<dyn Disk>, owner: &Owner, fresh_identity: u64) -> Result<Self, Error> {
        let lock = disk.lock()?;
        let path = Path::new(FILE);
        let mut file = match disk.read(path)? {
            Some(content) => NodeFile::decode(&content)?,
            None => NodeFile::fresh(disk, owner, fresh_identity)?,
        };
        file.check(owner)?;
        file.boot += 1;
        disk.replace(path, file.encode().as_bytes())?;
        Ok(Self { identity: file.identity, boot: file.boot, _lock: lock })
    }
}

impl NodeFile {
    fn fresh(disk: &Arc<dyn Disk>, owner: &Owner, identity: u64) -> Result<Self, Error> {
        let names = disk.list(Path::new(""))?;
        let strange = names
            .iter()
            .map(|name| name.to_string_lossy())
            .find(|name| !name.starts_with('.') && !HARMLESS.contains(&name.as_ref()))
            .or_else(|| Registry::is_used(disk).then(|| "shards.registry".into()));
        if let Some(entry) = strange {
            return Err(Error::NotEmpty { entry: entry.into_owned() });
        }
        Registry::create(disk)?;
        Ok(Self {
            cluster: owner.cluster.to_string(),
            node: owner.node.0,
            identity,
            boot: 0,
            initial_nodes: owner.listed(),
        })
    }

    fn check(&self, owner: &Owner) -> Result<(), Error> {
        if self.cluster != owner.cluster.as_str() || self.node != owner.node.0 {
            return Err(Error::Foreign {
                found_cluster: self.cluster.clone(),
                found_node: self.node,
                cluster: owner.cluster.clone(),
                node: owner.node,
            });
        }
        if self.initial_nodes != owner.listed() {
            return Err(Error::OtherNodes { found: self.initial_nodes.clone(), wanted: owner.listed() });
        }
        Ok(())
    }

    fn encode(&self) -> String {
        let Self { cluster, node, identity, boot, initial_nodes } = self;
        format!(
            "{TITLE}\ncluster {cluster}\nnode {node}\nidentity {identity}\nboot {boot}\ninitial-nodes {initial_nodes}\n"
        )
    }

    fn decode(content: &[u8]) -> Result<Self, Error> {
        let damaged = |line, problem| Error::Damaged { file: FILE, line, problem };
        let text = std::str::from_utf8(content).map_err(|_| damaged(1, "not text"))?;
        let lines: Vec<&str> = text.lines().collect();
        if lines.first() != Some(&TITLE) || lines.len() != 6 || !text.ends_with('\n') {
            return Err(damaged(1, "not a node file of format 1"));
        }
        let field = |at: usize, name: &str| {
            let value = lines[at].strip_prefix(name).and_then(|rest| rest.strip_prefix(' '));
            value.ok_or_else(|| damaged(at + 1, "another field was expected"))
        };
        let number = |at: usize, name: &str| {
            field(at, name)?.parse::<u64>().map_err(|_| damaged(at + 1, "a number was expected"))
        };
        Ok(Self {
            cluster: field(1, "cluster")?.to_owned(),
            node: number(2, "node")?,
            identity: number(3, "identity")?,
            boot: number(4, "boot")?,
            initial_nodes: field(5, "initial-nodes")?.to_owned(),
        })
    }
}

impl Owner {
    fn listed(&self) -> String {
        self.initial_nodes.iter().map(NodeId::to_string).collect::<Vec<_>>().join(" ")
    }
}
