//! One look at the clock allocates nothing, whatever the source behind it.
//!
//! Counts what the whole process allocates, so one test stands here. The thread that started it may still note that it runs:
//! of a few rounds the least counts, for what a look allocates it allocates in each.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use timberline::clock::{Clock, ClockOptions, Declared, RawTime, Simulated, TimeSource};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const ROUNDS: usize = 3;
const LOOKS: usize = 10_000;

/// A source whose bound grows from now on.
fn growing() -> Simulated {
    let ns = |clock| {
        let now = clock_gettime(clock);
        (now.tv_sec * 1_000_000_000 + now.tv_nsec).cast_unsigned()
    };
    let now = RawTime {
        realtime_ns: ns(ClockId::Realtime),
        monotonic_ns: ns(ClockId::Monotonic),
        boot_ns: ns(ClockId::Boottime),
    };
    let source = Simulated::default();
    source.set(now, 0, 1_000_000, 50_000);
    source
}

#[test]
fn a_look_at_the_clock_allocates_nothing() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let declared: Arc<dyn TimeSource> = Arc::new(Declared::new(Duration::from_millis(1)));
    let fenced: Arc<dyn TimeSource> = Arc::new(Simulated::default());
    for (source, is_trusted) in [(declared, true), (Arc::new(growing()), true), (fenced, false)] {
        let clock = Clock::new(ClockOptions::default(), source);
        // The first look takes this thread's slot among the readers of the shared view.
        assert_eq!(clock.now().is_trusted(), is_trusted, "{}", clock.status().source);
        let allocated = |_| {
            let before = dhat::HeapStats::get().total_blocks;
            for _ in 0..LOOKS {
                black_box(clock.now());
            }
            dhat::HeapStats::get().total_blocks - before
        };
        let least = (0..ROUNDS).map(allocated).min();
        assert_eq!(least, Some(0), "{LOOKS} looks allocated that often");
    }
}
