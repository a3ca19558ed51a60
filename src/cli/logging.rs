//! Logs of nodes, to stderr.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::settings::{LogFormat, LogSettings};

/// Starts logging for this process. Each `-v` raises the level by one.
pub(super) fn start(settings: &LogSettings, verbose: u8) {
    let level = raised(&settings.level, verbose);
    // Dependencies speak only when something is wrong, or when asked for everything.
    let others = if level == "trace" { "debug" } else { "warn" };
    let filter = EnvFilter::new(format!("{others},timberline={level}"));
    let colour = std::env::var_os("NO_COLOR").is_none() && io::stderr().is_terminal();
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colour);
    match settings.format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().init(),
    }
}

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

fn raised(level: &str, by: u8) -> &'static str {
    let at = LEVELS.iter().position(|known| *known == level).expect("the settings check it");
    LEVELS[(at + usize::from(by)).min(LEVELS.len() - 1)]
}
