//! Every source of time there is, and the choice among them; `docs/CLOCK_SOURCES.md` is their manual.
//!
//! A source turns what somebody else measured, or vouches for, into samples. It knows nothing of the clock that carries
//! them on, nor of peers. Invariants: nothing here blocks, but for reading a small file or asking the kernel; a refusal
//! says what was read, where, what was expected and what to do.

mod auto;
mod chrony;
mod clockbound;
mod declared;
mod injected;
mod kernel;
mod options;
mod simulated;
#[cfg(test)]
mod tests;

pub use auto::Auto;
pub use chrony::Chrony;
pub use clockbound::{ClockBound, ClockBoundOptions};
pub use declared::{DECLARED_QUIET, Declared};
pub use injected::Injected;
pub use kernel::Kernel;
pub use options::{SourceChoice, SourceOptions};
pub use simulated::Simulated;
