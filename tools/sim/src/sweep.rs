//! Many seeds, one thread a core, until one fails.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::run::{Options, Run, run};
use crate::totals::Totals;

/// Hears of every seed that is done.
pub trait Progress: Sync {
    fn done(&self, run: &Run);
}

/// Runs `seeds`; stops at the first failure, whose run it gives, the lowest of those that failed.
pub fn sweep(
    seeds: impl Iterator<Item = u64> + Send,
    options: &Options,
    progress: &dyn Progress,
) -> (Totals, Option<Run>) {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let seeds = Mutex::new(seeds);
    let stop = AtomicBool::new(false);
    let sums = Mutex::new((Totals::default(), None::<Run>));
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let Some(seed) = seeds.lock().expect("no panic while seeds are drawn").next() else { return };
            let run = run(seed, options);
            progress.done(&run);
            let mut sums = sums.lock().expect("no panic while sums are held");
            sums.0.add(&run.totals);
            if run.verdict.is_err() {
                stop.store(true, Ordering::Relaxed);
                if sums.1.as_ref().is_none_or(|failed| run.seed < failed.seed) {
                    sums.1 = Some(run);
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    sums.into_inner().expect("all threads have ended")
}
