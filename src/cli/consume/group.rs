//! `consume --group`: reads as a member of a group, until told to end; then it leaves, so that others go on at once.

use std::io::Write;

use super::print::Printer;
use crate::cli::arguments::{Common, ConsumeArguments};
use crate::cli::connect::connect;
use crate::cli::failure::Failure;
use crate::cli::groups::group_start;
use crate::cli::output::{Format, say, stream};
use crate::client::{GroupConsumer, GroupOptions};
use crate::types::GroupName;

pub(super) async fn consume_as_member(
    group: &GroupName,
    arguments: &ConsumeArguments,
    common: &Common,
) -> Result<(), Failure> {
    let format = Format::or_default(common.output);
    let client = connect(common).await?;
    let from = group_start(&arguments.from, &client).await?;
    let mut options = GroupOptions { from, name: member_name(arguments), ..GroupOptions::default() };
    if let Some(timeout) = arguments.session_timeout {
        options.session_timeout = timeout;
    }
    let mut member = client.group_consumer(group, &arguments.topics, options).await?;
    let mut printer = Printer::new(arguments.topics.len() > 1, format, stream());
    printer.begin()?;
    let read = read(&mut member, &mut printer, arguments.max).await;
    printer.end()?;
    // What was printed is committed, even if reading then failed.
    let left = member.leave().await;
    say(&format!("{}; group {group} goes on behind them", printer.summary()));
    read.and(left.map_err(Failure::from))
}

/// What people know the member by: unless it is told, the process.
fn member_name(arguments: &ConsumeArguments) -> String {
    arguments.member_name.clone().unwrap_or_else(|| format!("timberline-{}", std::process::id()))
}

async fn read(
    member: &mut GroupConsumer,
    printer: &mut Printer<impl Write>,
    max: Option<u64>,
) -> Result<(), Failure> {
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    while max.is_none_or(|max| printer.printed() < max) {
        // The next call may commit what was printed: it has to be out by then.
        printer.flush()?;
        let next = tokio::select! {
            next = member.next() => next,
            _ = &mut interrupted => return Ok(()),
        };
        match next {
            Ok(record) => printer.print(&record)?,
            Err(error) if error.is_stale_member() => say(&format!("{error}; joining anew")),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
