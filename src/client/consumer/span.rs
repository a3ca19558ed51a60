//! From what a reader asks for to a cursor and a last timestamp.
//!
//! Invariants: a read that ends does so at one timestamp for all its shards, no lower than its level's mark; a start or an end
//! in the future is refused.

use super::plan::Plan;
use super::{ConsumerOptions, Cursor, Start, Until};
use crate::client::error::Error;
use crate::client::fresh::{Now, check_future, now, passed_now, reached, refuse_future};
use crate::clock::{Level, TimeInterval};
use crate::types::Timestamp;

/// Where to start and the timestamp to stop after, if there is one.
pub(super) async fn span(plan: &Plan) -> Result<(Cursor, Option<Timestamp>), Error> {
    let Plan { core, options, .. } = plan;
    check(options)?;
    let from = match options.from {
        Start::Begin => Cursor::BEGIN,
        Start::End => Cursor::after(passed_now(core).await?),
        Start::Time(first) => Cursor::after(first.minus_ns(1)),
        Start::Cursor(cursor) => cursor,
    };
    if matches!(options.from, Start::Time(_) | Start::Cursor(_)) && from.timestamp > Timestamp::ZERO {
        refuse_future(core, from.timestamp).await?;
    }
    let until = match options.until {
        Until::Forever => None,
        Until::Closed(last) => {
            refuse_future(core, last).await?;
            Some(last)
        }
        Until::ToEnd => Some(end(plan).await?),
    };
    Ok((from, until))
}

/// A level says what a read contains when it ends by itself. One that never ends may be bounded; one that ends at a time that was named
/// has none.
fn check(options: &ConsumerOptions) -> Result<(), Error> {
    let rule = "a level belongs to a read to the end: one as of a time is the same at every level, and one without end is \
                never whole, and may only be bounded";
    match options.consistency {
        Some(level)
            if level != Level::Eventual
                && options.until != Until::ToEnd
                && options.bound_while_following().is_none() =>
        {
            Err(Error::Option { option: "consistency", found: format!("{level:?}"), rule })
        }
        _ => Ok(()),
    }
}

/// The timestamp at which a read to the end ends: its level's mark, or what its shards are closed at anyway, if that is more.
async fn end(plan: &Plan) -> Result<Timestamp, Error> {
    let Plan { core, options, .. } = plan;
    let level = options.consistency.unwrap_or(Level::Linearizable);
    // Before the time is asked: its answer may take long, and another read of this session goes on meanwhile.
    let own = core.session.token();
    let told: Option<Now> =
        if level.needs_clock() { Some(now(core, level.needs_majority()).await?) } else { None };
    let interval =
        told.map_or(TimeInterval { earliest: Timestamp::ZERO, latest: Timestamp::ZERO }, |now| now.interval);
    let mark = level.mark(interval, own);
    match told {
        Some(now) => check_future(mark, &now)?,
        None => refuse_future(core, mark).await?,
    }
    if level == Level::Linearizable {
        return Ok(mark);
    }
    Ok(mark.max(reached(core, plan.places.clone(), options.node).await?))
}
