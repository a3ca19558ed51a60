//! A clock that knows its own error: intervals that contain true time, and whether to trust them.
//!
//! Knows nothing of shards, of logs or of messages' bytes. `now()` is the only thing here that reads the
//! operating system's clocks, and no other folder reads them at all. Invariants: an honest sample's interval contains true
//! time (I1); uncertainty shrinks only on a new sample (I8).

mod agreement;
mod freshness;
mod interval;
mod keeper;
mod shared_page;
mod source;
mod sources;
mod status;
#[cfg(test)]
mod tests;
mod ticks;
mod vmclock;
mod watch;

pub use agreement::{
    Agreement, AgreementOptions, AgreementStatus, Answer, Ballot, Claim, Doubt, DoubtStanding, Offsets,
    PeerStanding, Span, Standing, Verdict, Vote,
};
pub use freshness::{Level, Moment, Unfit};
pub use interval::{Fault, Reading, TimeInterval};
pub use keeper::ClockKeeper;
pub use source::{Leap, Refusal, Sample, SourceError, TimeSource};
pub use sources::{
    Auto, Chrony, ClockBound, ClockBoundOptions, DECLARED_QUIET, Declared, Injected, Kernel, Simulated,
    SourceChoice, SourceOptions,
};
pub use status::{ClockState, ClockStatus, Step};
pub use ticks::{RawTime, SimulatedTicks};
pub use watch::{Clock, ClockOptions};
