//! A bar on stderr while a run lasts; nothing in a pipe.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// The time of one run as a bar.
pub(crate) struct RunBar(ProgressBar);

impl RunBar {
    pub(crate) fn start(what: String, lasts: Duration) -> Self {
        let style = ProgressStyle::with_template("{prefix} [{bar:30}] {msg}").expect("the template is right");
        let bar = ProgressBar::new(milliseconds(lasts)).with_style(style).with_prefix(what);
        Self(bar)
    }

    /// To be told what has passed, and how many records are done.
    pub(crate) fn progress(&self) -> impl Fn(Duration, u64) + Sync + '_ {
        |passed, records| {
            self.0.set_message(format!("{:.1} s, {records} records", passed.as_secs_f64()));
            self.0.set_position(milliseconds(passed));
        }
    }
}

impl Drop for RunBar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
