//! What the kernel says of its own clock.
//!
//! Reads only, never sets. Knows nothing of sources or of who is to be believed. The one system call here, `adjtimex(2)`,
//! has no safe wrapper in any crate worth its weight.

mod call;

pub use call::{KernelClock, read};
