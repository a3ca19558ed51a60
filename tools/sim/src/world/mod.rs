//! The world around the lanes: time, nodes, links, disks, clocks, and what goes wrong with them.
//!
//! Knows nothing of what clients want. Invariants: whatever happens stands on the agenda first, and happens in the
//! order of its time; nothing reaches a later life of a node that was meant for an earlier one.

mod agenda;
mod atlas;
mod calm;
mod clock;
mod clock_laws;
mod episodes;
mod faults;
mod life;
mod membership;
mod network;
mod node;
mod output;
mod scene;
mod swap;
mod timing;

pub(crate) use agenda::{Answer, ClientEvent};
pub(crate) use calm::Standing;
pub(crate) use output::{seen, with_records};
pub(crate) use scene::{Asker, EPOCH_NS, World};
