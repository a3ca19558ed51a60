//! A process that is stopped and goes on, again and again: a follower whose every part is slow, its disk among them.
//!
//! Nothing in the node knows of it: signals do it. Between two pauses it runs for a quarter of one, so that it is stopped four fifths of the time.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::failure::Failure;

/// A rhythm under way. Dropping it lets the process go on.
pub(crate) struct Pauses {
    /// Dropped to end it.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Pauses {
    /// How long a process runs between two pauses.
    pub(crate) fn running(paused: Duration) -> Duration {
        paused / 4
    }

    /// Stops the process for `paused`, lets it run, and so on.
    pub(crate) fn start(process: u32, paused: Duration) -> Result<Self, Failure> {
        let (end, ended) = channel::<()>();
        let process = i32::try_from(process).ok().and_then(Pid::from_raw).expect("it is a process's number");
        let goes_on = move |time| ended.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
        let rhythm = move || {
            while kill_process(process, Signal::STOP).is_ok() {
                let is_wanted = goes_on(paused);
                // If it is gone there is nothing left to hold up.
                if kill_process(process, Signal::CONT).is_err()
                    || !is_wanted
                    || !goes_on(Self::running(paused))
                {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("pauses".into())
            .spawn(rhythm)
            .map_err(|source| Failure::Machine { what: "start a thread", source })?;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Pauses {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // It has let the process go on, or found it gone.
            let _ = thread.join();
        }
    }
}
