//! A node: the threads and sockets around lanes, and what clients are answered.
//!
//! Knows nothing of how a record is ordered or replicated; that is the lane's. Invariants: a node folder belongs
//! to one node of one cluster for ever; nothing here waits without a bound; several nodes live in one process
//! and leave nothing behind when they stop.

mod clock_log;
mod clock_standing;
mod disk_threads;
mod error;
mod folder;
mod groups;
mod handle;
mod http;
mod lane_thread;
mod metadata;
mod metrics;
mod network;
mod options;
mod session;
mod shared;
mod simulated;
mod start;
mod upkeep;
mod work_queue;

pub use error::Error;
pub use folder::Error as FolderError;
pub use handle::NodeHandle;
pub use lane_thread::{SPIN_MAX, Waiting};
pub use options::{Limits, NodeOptions, ReplicationOptions};
pub use simulated::{Ground, SimulatedNode};
pub use start::Node;
