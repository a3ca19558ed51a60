//! Every setting there is: its key, its kind with its bounds, its default. `config/timberline.toml` explains each.

use std::time::Duration;

/// What a setting's value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A name; its rule is checked where the name becomes a type.
    Name,
    /// One word. `refused` words are what somebody may well try, each with the reason why not and what to do.
    Choice {
        words: &'static [&'static str],
        refused: &'static [(&'static str, &'static str)],
    },
    Integer {
        min: u64,
        max: u64,
    },
    Duration {
        min: Duration,
        max: Duration,
    },
    /// Bytes.
    Size {
        min: u64,
        max: u64,
    },
    Switch,
    /// An IP address and port to listen on.
    Address,
    Path,
    /// The cluster's first nodes: `[{ id = 1, address = "host:port" }, ..]`, or `1=host:port,2=..` as text.
    Nodes,
}

impl Kind {
    /// How a value is written, for messages.
    pub fn expected(self) -> String {
        match self {
            Self::Name => "a name in quotes".into(),
            Self::Choice { words, .. } => format!("one of \"{}\"", words.join("\", \"")),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Duration { .. } => "a duration in quotes, such as \"10ms\"".into(),
            Self::Size { .. } => "a size in quotes, such as \"64KiB\"".into(),
            Self::Switch => "true or false".into(),
            Self::Address => "an IP address and port in quotes, such as \"127.0.0.1:7400\"".into(),
            Self::Path => "a path in quotes".into(),
            Self::Nodes => "a list of nodes, such as [{ id = 1, address = \"127.0.0.1:7400\" }]".into(),
        }
    }
}

/// One setting. `default` is its text, or empty if it has none: then `required` says whether it must be given.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub key: &'static str,
    pub kind: Kind,
    pub default: &'static str,
    pub required: bool,
    /// Breaks things on purpose: refused unless `testing.enabled`.
    pub fault: bool,
}

impl Setting {
    /// The environment variable that overrides it: `clock.eps_max` is `TIMBERLINE_CLOCK_EPS_MAX`.
    pub fn variable(&self) -> String {
        format!("TIMBERLINE_{}", self.key.replace('.', "_").to_uppercase())
    }

    pub fn find(key: &str) -> Option<&'static Self> {
        CATALOGUE.iter().find(|setting| setting.key == key)
    }
}

const fn required(key: &'static str, kind: Kind) -> Setting {
    Setting { key, kind, default: "", required: true, fault: false }
}

const fn optional(key: &'static str, kind: Kind) -> Setting {
    Setting { key, kind, default: "", required: false, fault: false }
}

const fn with_default(key: &'static str, kind: Kind, default: &'static str) -> Setting {
    Setting { key, kind, default, required: false, fault: false }
}

const fn fault(key: &'static str, kind: Kind) -> Setting {
    Setting { key, kind, default: "", required: false, fault: true }
}

const fn ms(min: u64, max: u64) -> Kind {
    Kind::Duration { min: Duration::from_millis(min), max: Duration::from_millis(max) }
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

const SOURCE: Kind = Kind::Choice {
    words: &["auto", "clockbound", "chrony", "kernel", "declared"],
    refused: &[(
        "ptp",
        "comes through chrony or ClockBound, which know its error: see docs/CLOCK_SOURCES.md",
    )],
};
const ATTESTED: Kind = Kind::Choice {
    words: &["nobody", "chronyd", "ntpd", "ntpd-rs"],
    refused: &[
        ("systemd-timesyncd", "writes a maxerror of 0, which bounds nothing; install chrony in its place"),
        (
            "linuxptp",
            "writes a maxerror of 0, which bounds nothing; let chrony follow the PTP hardware clock",
        ),
        ("openntpd", "writes no maxerror at all; install chrony in its place"),
    ],
};
const LEVEL: Kind = Kind::Choice { words: &["error", "warn", "info", "debug", "trace"], refused: &[] };
const FORMAT: Kind = Kind::Choice { words: &["text", "json"], refused: &[] };
const SPIN: Kind = Kind::Duration { min: Duration::ZERO, max: Duration::from_millis(1) };
const UNCERTAINTY: Kind = Kind::Duration { min: Duration::ZERO, max: Duration::from_secs(10) };

/// All settings, in the order of `config/timberline.toml`.
pub const CATALOGUE: &[Setting] = &[
    required("cluster.id", Kind::Name),
    required("cluster.initial_nodes", Kind::Nodes),
    required("node.id", Kind::Integer { min: 1, max: 65_535 }),
    optional("node.listen", Kind::Address),
    required("node.data_dir", Kind::Path),
    required("node.certs_dir", Kind::Path),
    with_default("node.drain_timeout", ms(0, 60_000), "5s"),
    optional("metrics.listen", Kind::Address),
    with_default("clock.source", SOURCE, "auto"),
    with_default("clock.uncertainty", UNCERTAINTY, "1ms"),
    with_default("clock.clockbound_path", Kind::Path, "/var/run/clockbound/shm0"),
    with_default("clock.clockbound_drift_ppb_min", Kind::Integer { min: 0, max: 10_000_000 }, "10000"),
    with_default("clock.chrony_address", Kind::Address, "127.0.0.1:323"),
    with_default("clock.kernel_attested", ATTESTED, "nobody"),
    with_default("clock.vmclock_path", Kind::Path, "/dev/vmclock0"),
    with_default("clock.drift_ppb", Kind::Integer { min: 10, max: 10_000_000 }, "50000"),
    with_default("clock.eps_max", ms(1, 10_000), "10ms"),
    fault("clock.inject_file", Kind::Path),
    with_default("testing.enabled", Kind::Switch, "false"),
    with_default("replication.raft_tick", ms(5, 1_000), "30ms"),
    with_default("replication.heartbeat_interval", ms(5, 10_000), "60ms"),
    with_default("replication.election_timeout_min", ms(50, 60_000), "300ms"),
    with_default("replication.election_timeout_max", ms(50, 120_000), "600ms"),
    with_default("replication.closed_tick", ms(5, 1_000), "20ms"),
    with_default("replication.wait_spin", SPIN, "0ns"),
    with_default("replication.quorum_wait", Kind::Switch, "false"),
    with_default("storage.first_segment", Kind::Size { min: 16 * KIB, max: 64 * MIB }, "64KiB"),
    with_default("storage.segment_max", Kind::Size { min: MIB, max: 1024 * MIB }, "64MiB"),
    with_default("storage.sync_threads", Kind::Integer { min: 1, max: 64 }, "4"),
    with_default("storage.scrub_bytes_per_second", Kind::Size { min: 0, max: 1024 * MIB }, "16MiB"),
    with_default("limits.connections", Kind::Integer { min: 1, max: 1_000_000 }, "1024"),
    with_default("limits.streams_per_connection", Kind::Integer { min: 32, max: 65_536 }, "256"),
    with_default("limits.requests_per_stream", Kind::Integer { min: 1, max: 65_536 }, "256"),
    with_default("limits.unanswered_per_shard", Kind::Integer { min: 1, max: 1_000_000 }, "1024"),
    with_default("limits.queue_bytes", Kind::Size { min: MIB, max: 65_536 * MIB }, "64MiB"),
    with_default("limits.subscription_bytes", Kind::Size { min: 64 * KIB, max: 1024 * MIB }, "1MiB"),
    with_default("limits.shards", Kind::Integer { min: 1, max: 1_000_000 }, "5000"),
    with_default("log.level", LEVEL, "info"),
    with_default("log.format", FORMAT, "text"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Value;

    #[test]
    fn every_default_is_a_valid_value_of_its_setting_and_keys_are_unique() {
        for (n, setting) in CATALOGUE.iter().enumerate() {
            assert!(
                CATALOGUE[..n].iter().all(|other| other.variable() != setting.variable()),
                "{}",
                setting.key
            );
            if !setting.default.is_empty() {
                Value::from_text(setting.kind, setting.default).unwrap();
                assert!(!setting.required && !setting.fault, "{}", setting.key);
            }
        }
    }
}
