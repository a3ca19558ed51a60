//! The command: sends what the reader reads, at a rate, and stops at the first thing that goes wrong.
//!
//! Invariant: whatever stops it, batches under way are awaited and reported first, so that nothing acknowledged goes
//! unmentioned.

use std::io::Write;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use super::report::Summary;
use super::{BadLine, FieldPath, Fields, Incoming, KeyPlace, LineRecord, Lines, Pace, Tally, receipt_row};
use crate::cli::arguments::{Common, ProduceArguments};
use crate::cli::connect::connect;
use crate::cli::failure::{Failure, Kind};
use crate::cli::output::{Format, print_row, say, stream};
use crate::client::{self, OnReport, Producer, ProducerOptions};
use crate::codec::RECORD_BYTES_MAX;
use crate::types::{ProducerId, TopicName};

pub(in crate::cli) async fn produce(arguments: ProduceArguments, common: &Common) -> Result<(), Failure> {
    if arguments.receipts && !matches!(common.output, None | Some(Format::Ndjson)) {
        return Err(Failure::usage(
            "--receipts prints one JSON object per batch: leave -o out, or say -o ndjson",
        ));
    }
    let fields = fields(&arguments)?;
    let lines = Lines::open(arguments.file.as_deref(), RECORD_BYTES_MAX).map_err(|error| {
        let name = arguments.file.as_deref().unwrap_or("stdin".as_ref()).display();
        Failure::usage(format!("cannot read {name}: {error}"))
    })?;
    let client = connect(common).await?;
    let tally = Arc::new(Tally::new(arguments.receipts));
    let options = options(&arguments, &tally)?;
    let producer = client.producer(&arguments.topic, options).await?;
    let incoming = Incoming::start(lines, fields)
        .map_err(|error| Failure::plain(format!("cannot start the reading thread: {error}")))?;
    let mut sending = Sending {
        topic: &arguments.topic,
        producer,
        tally: &tally,
        pace: arguments.rate.map(Pace::new),
        progress: progress(),
        last_place: None,
    };
    let started = Instant::now();
    let stopped = sending.run(incoming).await;
    let flushed = sending.producer.flush().await;
    sending.print_receipts()?;
    sending.progress.finish_and_clear();
    let summary = Summary::of(&arguments.topic, &tally.counts(), started.elapsed());
    if arguments.receipts {
        say(&summary.sentence());
    } else {
        print_row(Format::or_default(common.output), &summary)?;
    }
    outcome(stopped, &sending)?;
    // The tally has every failed batch: what is left is a producer that ended before its batches did.
    flushed.map_err(|failure| Failure::plain(failure.to_string()))
}

fn fields(arguments: &ProduceArguments) -> Result<Fields, Failure> {
    let key = match (&arguments.key_field, &arguments.key_separator) {
        (Some(path), _) => KeyPlace::Field(FieldPath::new(path)),
        (None, Some(separator)) if separator.is_empty() => {
            return Err(Failure::usage("--key-separator is empty; give the text between key and value"));
        }
        (None, Some(separator)) => KeyPlace::Before(separator.clone()),
        (None, None) => KeyPlace::Nowhere,
    };
    let event_time = arguments.event_time_field.as_deref().map(FieldPath::new);
    Ok(Fields { key, key_default: arguments.key_default.clone(), event_time })
}

fn options(arguments: &ProduceArguments, tally: &Arc<Tally>) -> Result<ProducerOptions, Failure> {
    let batch_bytes = usize::try_from(arguments.batch_bytes)
        .map_err(|_| Failure::usage(format!("--batch-bytes {} is too large", arguments.batch_bytes)))?;
    let tally = Arc::clone(tally);
    Ok(ProducerOptions {
        batch_records: arguments.batch_records.get(),
        batch_bytes,
        linger: arguments.linger,
        compression: arguments.compression.compression(),
        in_flight: arguments.in_flight.get() as usize,
        producer: arguments.producer_id.map(|id| ProducerId(id.get())),
        timeout: arguments.timeout,
        on_report: Some(OnReport(Arc::new(move |report| tally.report(report)))),
        ..ProducerOptions::default()
    })
}

/// A spinner on a terminal; nothing elsewhere.
fn progress() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {human_pos} records sent, {per_sec}, {elapsed}");
    ProgressBar::new_spinner().with_style(style.expect("the template is valid"))
}

/// Why reading stopped before the end of the input.
enum Stop {
    BadLine(BadLine),
    BatchFailed,
    Interrupted,
    Output(Failure),
}

struct Sending<'a> {
    topic: &'a TopicName,
    producer: Producer,
    tally: &'a Tally,
    pace: Option<Pace>,
    progress: ProgressBar,
    last_place: Option<String>,
}

impl Sending<'_> {
    async fn run(&mut self, mut incoming: Incoming) -> Result<(), Stop> {
        let interrupted = tokio::signal::ctrl_c();
        tokio::pin!(interrupted);
        loop {
            tokio::select! {
                biased;
                _ = &mut interrupted => return Err(Stop::Interrupted),
                () = self.tally.changed() => {
                    self.print_receipts().map_err(Stop::Output)?;
                    if self.tally.has_failed() {
                        return Err(Stop::BatchFailed);
                    }
                }
                read = incoming.next() => match read {
                    Some(Ok(line)) => self.send(line).await?,
                    Some(Err(bad)) => return Err(Stop::BadLine(bad)),
                    None => return Ok(()),
                },
            }
        }
    }

    async fn send(&mut self, line: LineRecord) -> Result<(), Stop> {
        if let Some(pace) = &mut self.pace {
            pace.wait().await;
        }
        match self.producer.send(line.record).await {
            Ok(_) => {
                self.progress.inc(1);
                self.last_place = Some(line.place);
                Ok(())
            }
            Err(error) => Err(Stop::BadLine(BadLine(format!("{}: {error}", line.place)))),
        }
    }

    fn print_receipts(&self) -> Result<(), Failure> {
        let reports = self.tally.drain();
        if reports.is_empty() {
            return Ok(());
        }
        let mut out = stream();
        for report in &reports {
            writeln!(out, "{}", receipt_row(self.topic, report))?;
        }
        out.flush()?;
        Ok(())
    }
}

/// The command's end: what stopped it, else the first failed batch, else success.
fn outcome(stopped: Result<(), Stop>, sending: &Sending<'_>) -> Result<(), Failure> {
    let after = sending.last_place.as_ref().map_or_else(String::new, |place| format!(" after {place}"));
    if let Some((kind, message)) = sending.tally.counts().failure {
        let kind = if kind == client::Kind::Unavailable { Kind::Unavailable } else { Kind::Failure };
        return Err(Failure::new(kind, format!("a batch failed: {message}; nothing was read on{after}")));
    }
    match stopped {
        Ok(()) => Ok(()),
        Err(Stop::Output(failure)) => Err(failure),
        Err(Stop::BadLine(BadLine(what))) => Err(Failure::plain(format!(
            "{what}\nAll lines before it were sent and acknowledged; send the rest from that line on once it is mended."
        ))),
        Err(Stop::BatchFailed) => Err(Failure::plain(format!("a batch failed; nothing was read on{after}"))),
        Err(Stop::Interrupted) => Err(Failure::plain(format!("interrupted; nothing was read on{after}"))),
    }
}
