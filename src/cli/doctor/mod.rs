//! `doctor`: whether all is well, one line a check, each with the command that mends what is not.
//!
//! Knows nothing of how a node decides: it asks what any client may ask, and judges the answers. What judges them asks
//! nothing.

mod buffers;
mod certificates;
mod chronyd;
mod clocks;
mod examine;
mod finding;
mod shards;

pub(super) use examine::doctor;
