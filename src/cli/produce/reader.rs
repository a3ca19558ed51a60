//! The thread that reads and parses lines, so that a slow disk or terminal never holds up the network.

use std::io;

use tokio::sync::mpsc;

use super::{Fields, Lines};
use crate::types::Record;

/// Records read ahead of sending.
const RECORDS_AHEAD: usize = 1024;

/// A record and where it was read.
pub(in crate::cli) struct LineRecord {
    pub record: Record,
    pub place: String,
}

/// A line that is no record: where, and what to do.
#[derive(Clone, Debug)]
pub(in crate::cli) struct BadLine(pub String);

/// Records as they are read; ends at the end of the input or after the first bad line.
pub(in crate::cli) struct Incoming {
    records: mpsc::Receiver<Result<LineRecord, BadLine>>,
}

impl Incoming {
    pub(in crate::cli) fn start(lines: Lines, fields: Fields) -> io::Result<Self> {
        let (sender, records) = mpsc::channel(RECORDS_AHEAD);
        // Detached: a read from a terminal cannot be interrupted, and must not keep the process.
        std::thread::Builder::new().name("lines".into()).spawn(move || read(lines, &fields, &sender))?;
        Ok(Self { records })
    }

    pub(in crate::cli) async fn next(&mut self) -> Option<Result<LineRecord, BadLine>> {
        self.records.recv().await
    }
}

fn read(mut lines: Lines, fields: &Fields, sender: &mpsc::Sender<Result<LineRecord, BadLine>>) {
    loop {
        let read = match lines.next_line() {
            Ok(None) => return,
            Ok(Some(line)) => fields.record(line),
            Err(error) => Err(error.to_string()),
        };
        let place = lines.place();
        let item = match read {
            Ok(record) => Ok(LineRecord { record, place }),
            Err(reason) => Err(BadLine(format!("{place}: {reason}"))),
        };
        let bad = item.is_err();
        if sender.blocking_send(item).is_err() || bad {
            return;
        }
    }
}
