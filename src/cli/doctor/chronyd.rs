//! Whether this machine's chronyd could serve as a source of time: asked as a node would ask it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::finding::Finding;
use crate::cli::configuration;
use crate::cli::failure::Failure;
use crate::cli::moment::show_ns;
use crate::clock::{Clock, ClockOptions, ClockState, ClockStatus, SourceChoice, SourceOptions};

const LOOK_EVERY: Duration = Duration::from_millis(20);
/// It answers at once, or not at all.
const LOOKS_MAX: u32 = 40;

/// Where the node of this configuration asks it; without one, where chronyd listens by default.
pub(super) fn address(config: Option<&Path>) -> Result<SocketAddr, Failure> {
    let Some(config) = config else { return Ok(SourceOptions::default().chrony_address) };
    Ok(configuration::read(config, &[])?.settings.clock.chrony_address)
}

/// Asks the chronyd of this machine.
pub(super) async fn ask(address: SocketAddr) -> ClockStatus {
    let options =
        SourceOptions { choice: SourceChoice::Chrony, chrony_address: address, ..SourceOptions::default() };
    // Any bound is an answer.
    let clock = options.clock(ClockOptions { eps_max_ns: u64::MAX, ..ClockOptions::default() }, None);
    for _ in 0..LOOKS_MAX {
        if is_synchronised(&clock) {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
        clock.refresh();
    }
    clock.status()
}

fn is_synchronised(clock: &Clock) -> bool {
    clock.now().is_trusted()
}

pub(super) fn check(status: &ClockStatus) -> Finding {
    const CHECK: &str = "chronyd on this machine";
    match status.state {
        ClockState::Trusted => {
            let uncertainty = show_ns(status.uncertainty_ns);
            Finding::ok(
                CHECK,
                format!("synchronised, to within {uncertainty}; leap second: {}", status.leap.as_str()),
            )
        }
        ClockState::Untrusted(fault) => {
            let reason = status.reason.clone().unwrap_or_else(|| fault.to_string());
            Finding::warning(CHECK, reason, "systemctl status chrony; chronyc tracking; chronyc -n sources")
        }
    }
}
