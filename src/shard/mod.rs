//! One replica of one shard: the rules that turn a replicated log into a time-ordered one.
//!
//! Knows nothing of files, sockets, threads or OS clocks: time is an argument, events go in, what to write, to
//! send and to answer comes out. Invariants: timestamps strictly rise, across terms (I2); nothing is exposed
//! before `now.earliest` is past it (I4); a replica whose clock is not trusted assigns, exposes and promises
//! nothing (I7); answers leave in index order (I9), but for those that were asked for at commitment.

mod admission;
mod conditions;
mod configuration;
mod error;
mod exposure;
mod fence;
mod floor;
mod guard;
mod intake;
mod log_view;
mod marking;
mod options;
mod persistence;
mod producers;
mod promises;
mod reign;
mod release;
mod replica;
mod request;
mod rest;
mod sequencer;
mod standing;
mod status;
mod strangers;
#[cfg(test)]
mod test_time;
#[cfg(test)]
mod tests;
mod trimming;

pub use error::{Error, StepRefusal};
pub use floor::{FloorQuestion, FloorReply};
pub use guard::{admits_promise, latest_admissible};
pub use log_view::{ShardLog, entry_of};
pub use options::ShardOptions;
pub use producers::{FenceRequest, Fenced};
pub use promises::Promise;
pub use release::Position;
pub use replica::Shard;
pub use request::{Admission, Answer, AppendRequest, Outcome, Refusal};
pub use standing::Standing;
pub use status::{Persist, ShardStatus};
