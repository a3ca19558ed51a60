//! The file `peers`: the identity of every other node's data folder, as first met.
//!
//! A node that comes back with another identity has lost what it promised, voted and acknowledged. It is
//! refused here, whatever its certificate says.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::Error;
use crate::disk::Disk;
use crate::transport::{Checked, PeerIdentities};
use crate::types::NodeId;

const FILE: &str = "peers";
const TITLE: &str = "timberline-peers 1";

/// All peers met so far.
pub(crate) struct RememberedPeers {
    disk: Arc<dyn Disk>,
    met: Mutex<BTreeMap<u64, u64>>,
}

impl RememberedPeers {
    pub(crate) fn open(disk: Arc<dyn Disk>) -> Result<Self, Error> {
        let met = match disk.read(Path::new(FILE))? {
            Some(content) => decode(&content)?,
            None => BTreeMap::new(),
        };
        Ok(Self { disk, met: Mutex::new(met) })
    }
}

impl RememberedPeers {
    /// As [`PeerIdentities::check`], waiting for the disk.
    pub(crate) fn check(&self, node: NodeId, identity: u64) -> Result<(), String> {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        match met.get(&node.0) {
            Some(known) if *known == identity => Ok(()),
            Some(_) => Err(format!(
                "node {node} came back with a data folder that is not the one it had (another identity): it may \
                 have forgotten what it acknowledged. Give it its old folder back; replacing a node \
                 (`--replace`) is not built yet"
            )),
            None => {
                let mut with_it = met.clone();
                with_it.insert(node.0, identity);
                self.disk
                    .replace(Path::new(FILE), encode(&with_it).as_bytes())
                    .map_err(|error| format!("the identity of node {node} cannot be remembered: {error}"))?;
                *met = with_it;
                Ok(())
            }
        }
    }
}

/// Answers at once; see `network` for the way that keeps a runtime's thread free.
impl PeerIdentities for RememberedPeers {
    fn check(&self, node: NodeId, identity: u64) -> Checked<'_> {
        Box::pin(std::future::ready(Self::check(self, node, identity)))
    }
}

fn encode(met: &BTreeMap<u64, u64>) -> String {
    let lines = met.iter().map(|(node, identity)| format!("{node} {identity}\n"));
    std::iter::once(format!("{TITLE}\n")).chain(lines).collect()
}

fn decode(content: &[u8]) -> Result<BTreeMap<u64, u64>, Error> {
    let damaged = |line, problem| Error::Damaged { file: FILE, line, problem };
    let text = std::str::from_utf8(content).map_err(|_| damaged(1, "not text"))?;
    let mut lines = text.lines().enumerate();
    if lines.next().is_none_or(|(_, title)| title != TITLE) {
        return Err(damaged(1, "not a peers file of format 1"));
    }
    lines
        .map(|(at, line)| {
            let (node, identity) = line.split_once(' ').unwrap_or((line, ""));
            match (node.parse(), identity.parse()) {
                (Ok(node), Ok(identity)) => Ok((node, identity)),
                _ => Err(damaged(at + 1, "two numbers were expected")),
            }
        })
        .collect()
}
