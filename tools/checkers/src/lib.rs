//! What Timberline promises, as checks of a recorded history: nothing acknowledged is lost, one order, closed
//! means closed.
//!
//! Knows nothing of how a history came about: the simulator and the tests with real processes record the same one.
//! Offsets and timestamps are the witness, so every check is a sort and a sweep. Times of the observer (`at_ns`) are
//! of one clock, in nanoseconds since the Unix epoch: true time in the simulator, the machine's own clock where all
//! nodes share one machine.

mod appends;
mod beginning;
mod checker;
mod closed;
mod conditions;
mod freshness;
mod groups;
mod history;
mod log;
mod marks;
mod merged;
mod nodes;
mod order;
mod streams;
mod time;

pub use checker::{Checker, Tally, Violation, check_all};
pub use history::{
    Append, Begun, Closing, Demand, Entry, Expects, FreshRead, GroupPlace, GroupRead, GroupStep, History,
    Leading, Load, Marked, MergedRecord, MergedStream, Outcome, Positions, Refuted, ReplicaLog, Shown, Stamp,
    Terms, Untold,
};
pub use marks::disordered_pairs;
