//! `produce`: lines of a file or stdin become records of a topic.

mod fields;
mod lines;

pub(super) use fields::{FieldPath, Fields, KeyPlace};
pub(super) use lines::{LineError, Lines};
