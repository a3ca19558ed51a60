//! Which source a node uses, as its settings say, and the clock made of it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{Auto, Chrony, ClockBound, ClockBoundOptions, Declared, Injected, Kernel};
use crate::clock::{Clock, ClockOptions, TimeSource};

/// The setting `clock.source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceChoice {
    /// The best that measures; never the declared one.
    Auto,
    ClockBound,
    Chrony,
    Kernel,
    Declared,
}

/// Everything a source may need to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceOptions {
    pub choice: SourceChoice,
    /// The bound that the operator vouches for, if the choice is `Declared`.
    pub declared_uncertainty: Duration,
    pub clockbound: ClockBoundOptions,
    /// chronyd's command port, on this machine.
    pub chrony_address: SocketAddr,
    /// The daemon that writes the kernel's `maxerror`, by the operator's word.
    pub kernel_attested: Option<String>,
    /// The hypervisor's page, watched whatever the source; it need not be there.
    pub vmclock_path: PathBuf,
}

impl Default for SourceOptions {
    /// `Auto`, with each daemon where it is by default.
    fn default() -> Self {
        Self {
            choice: SourceChoice::Auto,
            declared_uncertainty: Duration::from_millis(1),
            clockbound: ClockBoundOptions::default(),
            chrony_address: (Ipv4Addr::LOCALHOST, 323).into(),
            kernel_attested: None,
            vmclock_path: PathBuf::from("/dev/vmclock0"),
        }
    }
}

impl SourceOptions {
    /// The operator vouches for `uncertainty`.
    pub fn declared(uncertainty: Duration) -> Self {
        Self { choice: SourceChoice::Declared, declared_uncertainty: uncertainty, ..Self::default() }
    }

    /// Makes the clock of this machine; `inject_file`, of tests of faults, makes its source lie.
    pub fn clock(&self, options: ClockOptions, inject_file: Option<&Path>) -> Clock {
        let honest = self.source(options.growth_ppb);
        let source: Arc<dyn TimeSource> = match inject_file {
            Some(file) => Arc::new(Injected::new(honest, file)),
            None => Arc::from(honest),
        };
        Clock::new(options, source).watching_vmclock(&self.vmclock_path)
    }

    fn source(&self, growth_ppb: u64) -> Box<dyn TimeSource> {
        let clockbound = || Box::new(ClockBound::new(self.clockbound.clone()));
        let chrony = || Box::new(Chrony::new(self.chrony_address));
        let kernel = || Box::new(Kernel::new(self.kernel_attested.clone(), growth_ppb));
        match self.choice {
            SourceChoice::Auto => Box::new(Auto::new(vec![clockbound(), chrony(), kernel()])),
            SourceChoice::ClockBound => clockbound(),
            SourceChoice::Chrony => chrony(),
            SourceChoice::Kernel => kernel(),
            SourceChoice::Declared => Box::new(Declared::new(self.declared_uncertainty)),
        }
    }
}
