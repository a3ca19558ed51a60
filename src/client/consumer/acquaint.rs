//! Connects to the nodes that may be read from, so that their distance is known before one is chosen.
//!
//! Invariant: a node that is down, or far, makes nobody wait for it: what shakes hands so late cannot be the nearest.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::client::core::Core;
use crate::types::NodeId;

/// Round trips that a connection takes: the handshake, the hello, and twice that for what was lost.
const ROUND_TRIPS: u32 = 4;
/// What both ends may need for the cryptography of a handshake.
const HANDSHAKE_MAX: Duration = Duration::from_millis(20);

/// Connects to all `nodes`, and returns once those that are near have answered, or `limit` has passed.
pub(super) async fn acquaint(core: &Arc<Core>, nodes: BTreeSet<NodeId>, limit: Duration) {
    let begun = Instant::now();
    let mut dialling = JoinSet::new();
    for node in nodes {
        let core = Arc::clone(core);
        dialling.spawn(async move { core.connected(node).await.ok().map(|connected| connected.rtt()) });
    }
    let mut wait = limit;
    while let Ok(Some(dialled)) = timeout_at(begun + wait, dialling.join_next()).await {
        if let Ok(Some(rtt)) = dialled {
            wait = wait.min(rtt * ROUND_TRIPS + HANDSHAKE_MAX);
        }
    }
    // Connections that still come about are of use to whoever moves on.
    dialling.detach_all();
}
