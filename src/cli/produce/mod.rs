//! `produce`: lines of a file or stdin become records of a topic.

mod fields;
mod lines;
mod pace;
mod reader;
mod report;
mod send;
mod tally;

pub(super) use fields::{FieldPath, Fields, KeyPlace};
pub(super) use lines::Lines;
pub(super) use pace::Pace;
pub(super) use reader::{BadLine, Incoming, LineRecord};
pub(super) use report::receipt_row;
pub(super) use send::produce;
pub(super) use tally::{Counts, Tally};
