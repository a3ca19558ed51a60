//! A view of the system topic that is as new as the question.
//!
//! A node that has just started, or lags, must not say "there is no such topic": it first hears everything that was
//! stamped before it was asked. A clock that is not to be trusted, by its source or by the others, cannot tell when that was: its
//! node answers nothing. Knows nothing of what is asked.

use std::sync::Arc;
use std::time::Duration;

use super::answers;
use crate::lane::ReadFrom;
use crate::node::metadata::View;
use crate::node::shared::NodeShared;
use crate::types::{ShardId, Timestamp};
use crate::wire::{ErrorBody, ErrorCode};

/// How long a question waits for that; the asker then tries again, here or elsewhere.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(1);

/// The view, once it holds every change stamped before now: the system topic is closed past that on this node.
pub(super) async fn view(host: &NodeShared) -> Result<Arc<View>, ErrorBody> {
    tokio::time::timeout(CATCH_UP_TIMEOUT, catch_up(host)).await.unwrap_or_else(|_| {
        let message = format!(
            "node {} has not yet heard how the cluster's topics stand now; try again shortly, or ask another node",
            host.node
        );
        Err(answers::error(ErrorCode::Unavailable, true, message))
    })
}

async fn now_at_the_latest(host: &NodeShared) -> Result<Timestamp, ErrorBody> {
    let now = host.lane.moment().await.map_err(answers::busy)?;
    let Some(fault) = now.reading.fault else { return Ok(now.reading.interval.latest) };
    let message = format!(
        "node {} cannot tell whether it has heard how the cluster's topics stand now, for its clock is not trusted: {fault}; ask \
         another node",
        host.node
    );
    Err(answers::error(ErrorCode::Unavailable, true, message))
}

async fn catch_up(host: &NodeShared) -> Result<Arc<View>, ErrorBody> {
    let asked = now_at_the_latest(host).await?;
    let system = ShardId::SYSTEM;
    let closed = host.lane.read(system, ReadFrom::Time(asked), 1, asked).map_err(answers::busy)?;
    let closed = closed.await.map_err(|_| answers::stopped())?;
    closed.map_err(|refusal| answers::unreadable(host, &refusal))?;
    let statuses = host.lane.statuses(Some(vec![system])).await.map_err(answers::busy)?;
    let released = statuses.first().map(|status| status.released).unwrap_or_default();
    let mut progress = host.lane.progress();
    let folded = progress.wait_for(|progress| progress.view.next_offset() >= released).await;
    Ok(Arc::clone(&folded.map_err(|_| answers::stopped())?.view))
}
