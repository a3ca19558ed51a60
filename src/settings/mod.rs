//! Configuration: TOML, environment and flags to typed settings, each with the place it came from.
//!
//! Knows nothing of what the settings do. A misspelt key, a wrong unit, a value out of bounds or a clash of two
//! values is a [`Problem`] that names file, line and column and says what was expected; nothing is ever ignored.
//! Invariants: every default is the safe one; `config/timberline.toml` documents every setting of the
//! [`catalogue`] and equals the defaults, but for what is right on one machine only; settings that break things on purpose need `testing.enabled`.

mod catalogue;
mod document;
mod options;
mod problem;
mod resolve;
mod template;
mod units;
mod value;

pub use catalogue::{CATALOGUE, Kind, Setting};
pub use options::{
    ClockSettings, ClockSource, ClusterSettings, LimitSettings, LogFormat, LogSettings, NodeSettings,
    ReplicationSettings, Settings, StorageSettings,
};
pub use problem::{Problem, Problems};
pub use resolve::{ConfigFile, Entry, Origin, Resolved, Sources, load};
pub use template::{TemplateOptions, template};
pub use units::{format_duration, format_size, parse_duration, parse_size};
pub use value::{NodeAddress, Value};
