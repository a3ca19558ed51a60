//! What only a simulator turns on: known mistakes, planted on purpose, and limits so small that rare branches
//! are common.
//!
//! Knows nothing of what it switches: the code that holds a mistake or a limit asks here. Invariants: without the
//! cargo feature `simulation` every answer is "no" at compile time and costs nothing; with it, an answer concerns the
//! calling thread alone, so runs side by side do not disturb each other, and nothing but a call turns anything on.

mod bug;
mod limit;

#[cfg(feature = "simulation")]
pub use bug::plant;
pub use bug::{Bug, is_planted};
#[cfg(feature = "simulation")]
pub use limit::shrink;
pub use limit::{Limit, limit};
