//! The thread that keeps a clock's sample fresh, so that `now()` never has to.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Clock;

const REFRESH_EVERY: Duration = Duration::from_millis(10);

/// Refreshes a clock every 10 ms until dropped.
#[derive(Debug)]
pub struct ClockKeeper {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ClockKeeper {
    pub fn start(clock: Arc<Clock>) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let keep = move || {
            while stopped.recv_timeout(REFRESH_EVERY) == Err(RecvTimeoutError::Timeout) {
                clock.refresh();
            }
        };
        let thread = thread::Builder::new().name("clock".to_owned()).spawn(keep)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for ClockKeeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there has been reported by the panic hook; there is nothing to add.
            let _ = thread.join();
        }
    }
}
