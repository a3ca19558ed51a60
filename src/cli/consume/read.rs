//! The command: reads in the order asked for and prints, until the end asked for.

use std::future::{Future, poll_fn};
use std::io::Write;
use std::pin::pin;
use std::task::Poll;

use super::group::consume_as_member;
use super::print::Printer;
use crate::cli::arguments::{Common, Consistency, ConsumeArguments, OnTrimmedArgument, OrderArgument};
use crate::cli::connect::connect;
use crate::cli::failure::Failure;
use crate::cli::moment::{From, Moment, show};
use crate::cli::output::{Format, say, stream};
use crate::client::{
    Client, Consumer, ConsumerOptions, Cursor, Error, Item, KeyRange, Level, Marked, OnTrimmed, Order,
    Skipped, Start, Until,
};
use crate::types::{NodeId, ShardId, Timestamp, TopicName};

pub(in crate::cli) async fn consume(arguments: ConsumeArguments, common: &Common) -> Result<(), Failure> {
    if let Some(group) = &arguments.group {
        return consume_as_member(group, &arguments, common).await;
    }
    let format = Format::or_default(common.output);
    check(&arguments, format)?;
    let (cursor, level) = (cursor(&arguments)?, level(&arguments)?);
    let client = connect(common).await?;
    if let (Some(Level::Session), Some(token)) = (level, arguments.token) {
        client.resume(token);
    }
    let options = options(&arguments, cursor, level, &client).await?;
    let mut consumer = client.consumer(&arguments.topics, options).await?;
    let mut printer = Printer::new(arguments.topics.len() > 1, format, stream());
    printer.begin()?;
    let read = read(&mut consumer, &mut printer, &arguments).await;
    // What was read is printed whole even if reading then failed.
    printer.end()?;
    let (summary, cursor, token) = (printer.summary(), consumer.cursor(), client.token());
    say(&format!("{summary}; resume with --from cursor:{cursor}; others see as much with --token {token}"));
    read
}

/// Refuses what is no record where nothing would tell it from records.
fn check(arguments: &ConsumeArguments, format: Format) -> Result<(), Failure> {
    if arguments.marks && format == Format::Raw {
        return Err(Failure::usage(
            "--marks has no place among raw values: choose another output (-o ndjson), or leave it out and read the \
             marks on stderr",
        ));
    }
    if arguments.closed && format == Format::Raw {
        return Err(Failure::usage(
            "--closed has no place among raw values: choose another output (-o ndjson), or leave it out",
        ));
    }
    Ok(())
}

/// The level asked for. What a level does not need is refused, never ignored.
fn level(arguments: &ConsumeArguments) -> Result<Option<Level>, Failure> {
    let level = match (arguments.consistency, arguments.token, arguments.age) {
        (None, None, None) => return Ok(None),
        (Some(Consistency::Linearizable), None, None) => Level::Linearizable,
        (Some(Consistency::Session), Some(_), None) => Level::Session,
        (Some(Consistency::Causal), Some(token), None) => Level::Causal(token),
        (Some(Consistency::Bounded), None, Some(age)) => Level::Bounded(age),
        (Some(Consistency::Eventual), None, None) => Level::Eventual,
        _ => {
            return Err(Failure::usage(
                "--token TOKEN belongs to --consistency session and causal, and they to it; --age DURATION belongs to \
                 --consistency bounded",
            ));
        }
    };
    let follows = arguments.until.is_none() && !arguments.to_end;
    let is_bounded_stream = follows && arguments.consistency == Some(Consistency::Bounded);
    if !arguments.to_end && level != Level::Eventual && !is_bounded_stream {
        return Err(Failure::usage(
            "--consistency says what a read to the end contains: give --to-end. As of a time (--until) a read is the same at \
             every level, and one that goes on may only be bounded",
        ));
    }
    Ok(Some(level))
}

fn cursor(arguments: &ConsumeArguments) -> Result<Option<Cursor>, Failure> {
    let From::Cursor(text) = &arguments.from else { return Ok(None) };
    text.parse().map(Some).map_err(|error: crate::client::InvalidCursor| Failure::usage(error.to_string()))
}

async fn options(
    arguments: &ConsumeArguments,
    cursor: Option<Cursor>,
    consistency: Option<Level>,
    client: &Client,
) -> Result<ConsumerOptions, Failure> {
    let relative = |moment: Option<Moment>| matches!(moment, Some(Moment::Ago(_)));
    let from_moment = if let From::At(moment) = arguments.from { Some(moment) } else { None };
    let asks_now = relative(from_moment) || relative(arguments.until);
    let now = if asks_now { client.now().await?.interval.latest } else { Timestamp::ZERO };
    let from = match (&arguments.from, cursor) {
        (_, Some(cursor)) => Start::Cursor(cursor),
        (From::End, _) => Start::End,
        (From::At(moment), _) => Start::Time(moment.resolve(now)),
        (From::Begin | From::Cursor(_), _) => Start::Begin,
    };
    let until = match arguments.until {
        Some(moment) => Until::Closed(moment.resolve(now)),
        None if arguments.to_end => Until::ToEnd,
        None => Until::Forever,
    };
    let order = match (arguments.shard, arguments.order) {
        (Some(shard), _) => Order::Shard(ShardId(shard)),
        (None, OrderArgument::Merged) => Order::Merged,
        (None, OrderArgument::Shard) => Order::EachShard,
    };
    let keys = arguments.key.clone().map(KeyRange::only).or_else(|| arguments.key_range.clone());
    let node = arguments.node.map(NodeId);
    let on_trimmed = match arguments.on_trimmed {
        OnTrimmedArgument::Fail => OnTrimmed::Fail,
        OnTrimmedArgument::Earliest => OnTrimmed::Earliest,
    };
    Ok(ConsumerOptions {
        from,
        until,
        order,
        consistency,
        keys,
        node,
        on_trimmed,
        ..ConsumerOptions::default()
    })
}

/// Prints until the end, `max`, Ctrl-C or a failure; flushes whenever there is nothing to print.
async fn read(
    consumer: &mut Consumer,
    printer: &mut Printer<impl Write>,
    arguments: &ConsumeArguments,
) -> Result<(), Failure> {
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    while arguments.max.is_none_or(|max| printer.printed() < max) {
        let next = if let Some(next) = at_once(consumer).await {
            next
        } else {
            printer.flush()?;
            tokio::select! {
                next = consumer.next_item() => next,
                _ = &mut interrupted => return Ok(()),
            }
        };
        match next? {
            Some(Item::Record(record)) => printer.print(&record)?,
            Some(Item::Mark(marked)) => {
                let notice = notice(&marked);
                if arguments.marks {
                    let topic = consumer.topic_of(marked.shard).map_or("", TopicName::as_str);
                    printer.print_mark(topic, &marked, &notice)?;
                }
                // What it concerns was printed before.
                printer.flush()?;
                say(&notice);
            }
            Some(Item::Skipped(skipped)) => say(&missing(&skipped)),
            Some(Item::Closed(closed)) if arguments.closed => printer.print_closed(closed)?,
            Some(Item::Closed(_)) => {}
            None => return Ok(()),
        }
    }
    Ok(())
}

/// What a mark says, to people.
fn notice(marked: &Marked) -> String {
    let Marked { shard, mark, .. } = marked;
    let (from, until, why) = (mark.from, mark.until, mark.why());
    format!(
        "order not guaranteed: shard {shard}, records stamped {} to {} ({} to {} ns), may be out of order against other \
         shards: {why}; nothing is lost, and within the shard the order holds",
        show(from),
        show(until),
        from.0,
        until.0,
    )
}

/// What is missing, to people.
fn missing(skipped: &Skipped) -> String {
    let Skipped { shard, through, kept_from, .. } = skipped;
    format!(
        "records are missing: shard {shard} was trimmed through {} ({} ns), and is read on from offset {kept_from}",
        show(*through),
        through.0,
    )
}

/// The next item if it is there already.
async fn at_once(consumer: &mut Consumer) -> Option<Result<Option<Item>, Error>> {
    let mut next = pin!(consumer.next_item());
    poll_fn(|context| match next.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
