//! How a lane's thread waits: for work, or for the moment when the clock will have passed a timestamp.
//!
//! A commit-wait is tens or hundreds of microseconds. tokio's timers count milliseconds, and the kernel lets a thread sleep
//! 50 us over its time to save wake-ups (timer slack), unless the thread asks for less. The rest of the lateness is waking
//! up itself; whoever has a core to spare may have the last part of each wait spun instead. Knows nothing of clocks that err:
//! what has passed is decided by the lane, on every wake, from the clock's `earliest`.

use std::num::NonZeroU64;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

/// The least slack there is.
const SLACK_NS: NonZeroU64 = NonZeroU64::MIN;
/// A longer spin is a busy core and little else.
pub const SPIN_MAX: Duration = Duration::from_millis(1);

/// The waits of one thread.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    spin: Duration,
}

impl Waiting {
    /// For the calling thread, whose timers become as exact as the kernel's are. The last `spin` of every wait, at most
    /// [`SPIN_MAX`], is spent spinning.
    pub fn on_this_thread(spin: Duration) -> Self {
        // A kernel that refuses leaves its 50 us: later, and no less right.
        let _ = rustix::thread::set_current_timer_slack(Some(SLACK_NS));
        Self { spin: spin.min(SPIN_MAX) }
    }

    /// The next of what arrives within `wait`.
    pub fn receive<T>(&self, queue: &Receiver<T>, wait: Duration) -> Result<T, RecvTimeoutError> {
        if self.spin.is_zero() {
            return queue.recv_timeout(wait);
        }
        let deadline = Instant::now() + wait;
        let parked = wait.saturating_sub(self.spin);
        if !parked.is_zero() {
            match queue.recv_timeout(parked) {
                Err(RecvTimeoutError::Timeout) => {}
                ended => return ended,
            }
        }
        loop {
            match queue.try_recv() {
                Ok(received) => return Ok(received),
                Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                Err(TryRecvError::Empty) if Instant::now() >= deadline => {
                    return Err(RecvTimeoutError::Timeout);
                }
                Err(TryRecvError::Empty) => std::hint::spin_loop(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_wait_ends_with_what_arrives_or_not_before_its_time() {
        for spin in [Duration::ZERO, Duration::from_micros(50), SPIN_MAX] {
            let waiting = Waiting::on_this_thread(spin);
            let (sender, queue) = channel();
            let (asked, began) = (Duration::from_micros(300), Instant::now());
            assert_eq!(waiting.receive(&queue, asked), Err(RecvTimeoutError::Timeout));
            assert!(began.elapsed() >= asked);
            sender.send(7).unwrap();
            assert_eq!(waiting.receive(&queue, Duration::from_secs(60)), Ok(7));
            drop(sender);
            assert_eq!(waiting.receive(&queue, Duration::from_secs(60)), Err(RecvTimeoutError::Disconnected));
        }
    }
}
