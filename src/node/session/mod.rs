//! What clients ask, answered: one task per connection, one per stream, requests matched to answers by id.
//!
//! Knows nothing of how shards work; it proves what clients send, hands it to the lane and words the answers.
//! Invariants: the batches of one stream reach the lane in the order they were sent; unanswered requests are bounded per
//! stream, and reads that are held per connection, too; every refusal says what, where and what next.

mod answers;
mod append;
mod connection;
mod current;
mod groups;
mod locate;
mod now;
mod producers;
mod status;
mod stream;
mod subscribe;
mod topics;

pub(crate) use append::append_values;
pub(crate) use connection::serve;
pub(crate) use topics::append_system;
