//! Writing: records are gathered into batches per shard, sent to the shards' leaders, and answered.
//!
//! `gather` fills batches, `window` decides what is sent and what a failure means, `routes` knows each
//! shard's leader, `stream` is one long-lived stream to a node, `driver` is the task that joins them. Beside them,
//! `conditional` appends what is to be taken only if a condition holds.

mod batches;
mod conditional;
#[cfg(test)]
mod conditional_tests;
mod doubts;
mod driver;
mod gather;
mod options;
mod outcome;
mod producing;
mod requests;
mod routes;
mod stream;
#[cfg(test)]
mod tests;
mod window;

pub use options::{OnReport, ProducerOptions};
pub use outcome::{AppendFailure, BatchReport, Delivered, Delivery};
pub use producing::{OnTerms, Producer};
pub(super) use requests::{fate_of, question};
