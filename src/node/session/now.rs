//! The time, for those who make marks of reads of it.
//!
//! Asked of the lane, so that the other nodes' clocks have judged it: a clock that they hold to be wrong gives none. Knows nothing
//! of levels.

use super::answers;
use crate::clock::Unfit;
use crate::node::shared::NodeShared;
use crate::wire::{ErrorBody, ErrorCode, NowBody, NowRequestBody};

pub(super) async fn now(host: &NodeShared, request: &NowRequestBody) -> Result<NowBody, ErrorBody> {
    let moment = host.lane.moment().await.map_err(answers::busy)?;
    let interval = moment.vouched(request.by_majority).map_err(|unfit| refusal(host, unfit))?;
    Ok(NowBody {
        node: host.node.0,
        earliest_ns: interval.earliest.0,
        latest_ns: interval.latest.0,
        admissible_ns: moment.admissible.0,
    })
}

fn refusal(host: &NodeShared, unfit: Unfit) -> ErrorBody {
    let code = match unfit {
        Unfit::Distrusted(_) => ErrorCode::Fenced,
        Unfit::Unheard => ErrorCode::Unavailable,
    };
    answers::error(
        code,
        true,
        format!("node {} does not tell the time: {unfit}; ask another node", host.node),
    )
}
