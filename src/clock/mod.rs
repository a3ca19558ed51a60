//! A clock that knows its own error: intervals that contain true time, and whether to trust them.
//!
//! Knows nothing of shards, of logs or of messages' bytes. `now()` is the only thing here that reads the
//! operating system's clocks, and no other folder reads them at all. Invariants: an honest sample's interval contains true
//! time (I1); uncertainty shrinks only on a new sample (I8).

mod agreement;
mod declared;
mod injected;
mod interval;
mod keeper;
mod simulated;
mod source;
mod status;
#[cfg(test)]
mod tests;
mod ticks;
mod watch;

pub use agreement::{
    Agreement, AgreementOptions, AgreementStatus, Answer, Ballot, Claim, Offsets, PeerStanding, Span,
    Standing, Verdict, Vote,
};
pub use declared::{DECLARED_QUIET, Declared};
pub use injected::Injected;
pub use interval::{Fault, Reading, TimeInterval};
pub use keeper::ClockKeeper;
pub use simulated::Simulated;
pub use source::{Sample, SourceError, TimeSource};
pub use status::{ClockState, ClockStatus, Step};
pub use ticks::{RawTime, SimulatedTicks};
pub use watch::{Clock, ClockOptions};
