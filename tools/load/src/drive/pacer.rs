//! Releases an open loop's appends when they are due, from a thread of its own.
//!
//! tokio's timers tick in milliseconds, which is longer than an append may take; a thread that allows no timer slack wakes
//! within some tens of microseconds. It never waits for anything but time.

use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::window::Window;
use crate::schedule::Schedule;

/// The least slack there is; the kernel's default of 50 us makes every append late by as much.
const SLACK_NS: NonZeroU64 = NonZeroU64::MIN;

/// Starts the thread, which ends by itself once the last append is due.
pub(super) fn start(
    schedule: Schedule,
    window: Window,
    released: Arc<Semaphore>,
    tasks: usize,
) -> io::Result<()> {
    let pace = move || {
        // Without it appends are released a little later; the report tells how late.
        let _ = rustix::thread::set_current_timer_slack(Some(SLACK_NS));
        let all = schedule.due_before(window.ends - window.began);
        let mut given = 0;
        while given < all {
            let now_due = schedule.due_before(window.began.elapsed() + Duration::from_nanos(1)).min(all);
            released.add_permits((now_due - given) as usize);
            given = now_due;
            std::thread::sleep(schedule.due(given).saturating_sub(window.began.elapsed()));
        }
        released.add_permits(tasks);
    };
    std::thread::Builder::new().name("pacer".into()).spawn(pace).map(drop)
}
