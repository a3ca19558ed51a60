//! Whether the kernel gives a socket the room that bursts need.
//!
//! Knows nothing of sockets: it judges a setting of this machine.

use super::finding::Finding;
use crate::transport::RECEIVE_BUFFER_BYTES;

const SETTING: &str = "/proc/sys/net/core/rmem_max";

/// What a socket may have for what arrives, in bytes; `None` where the kernel has no such setting.
pub(super) fn granted_bytes() -> Option<usize> {
    std::fs::read_to_string(SETTING).ok()?.trim().parse().ok()
}

pub(super) fn check(granted_bytes: usize) -> Finding {
    const CHECK: &str = "receive buffers on this machine";
    let kib = |bytes: usize| bytes >> 10;
    if granted_bytes >= RECEIVE_BUFFER_BYTES {
        return Finding::ok(CHECK, format!("sockets get the {} KiB they ask for", kib(RECEIVE_BUFFER_BYTES)));
    }
    let reason = format!(
        "sockets get {} KiB of the {} KiB they ask for: bursts are lost, and sent again late",
        kib(granted_bytes),
        kib(RECEIVE_BUFFER_BYTES)
    );
    Finding::warning(CHECK, reason, format!("sysctl -w net.core.rmem_max={RECEIVE_BUFFER_BYTES}"))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    #[test]
    fn a_kernel_that_gives_less_than_asked_is_named_with_the_setting_that_mends_it() {
        assert_eq!(check(RECEIVE_BUFFER_BYTES).result, Outcome::Ok);
        let less = check(212_992);
        assert_eq!(less.result, Outcome::Warning);
        assert!(less.reason.contains("208 KiB of the 4096 KiB"), "{less:?}");
        assert_eq!(less.fix.as_deref(), Some("sysctl -w net.core.rmem_max=4194304"));
    }
}
