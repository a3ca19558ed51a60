//! How long a wait is that was meant to be short: a lane thread's way beside the kernel's default and tokio's sleep.
//! `cargo bench --bench waiting` prints what was asked for and what came, in microseconds.

use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use timberline::node::Waiting;

const WAITS: usize = 2_000;
const ASKED_US: [u64; 4] = [50, 100, 200, 500];

fn main() {
    println!("{:<34} {:>8} {:>8} {:>8} {:>8}", "wait", "asked us", "p50 us", "p99 us", "max us");
    let nothing = channel::<()>();
    for asked in ASKED_US.map(Duration::from_micros) {
        print_row("channel, default slack of 50 us", asked, || {
            let _ = nothing.1.recv_timeout(asked);
        });
        std::thread::scope(|scope| {
            for (name, spin_us) in [("lane thread", 0), ("lane thread, spins the last 50 us", 50)] {
                let measured = scope.spawn(move || lane_thread(asked, Duration::from_micros(spin_us)));
                print(name, asked, &measured.join().expect("it measures"));
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        print_row("tokio's sleep", asked, || runtime.block_on(async { tokio::time::sleep(asked).await }));
    }
}

fn lane_thread(asked: Duration, spin: Duration) -> Histogram<u64> {
    let waiting = Waiting::on_this_thread(spin);
    let (_sender, queue): (_, Receiver<()>) = channel();
    measure(|| {
        let _ = waiting.receive(&queue, asked);
    })
}

fn measure(mut wait: impl FnMut()) -> Histogram<u64> {
    let mut got = Histogram::new(3).expect("three digits");
    for _ in 0..WAITS {
        let began = Instant::now();
        wait();
        got.record(began.elapsed().as_nanos() as u64).expect("a sane wait");
    }
    got
}

fn print_row(name: &str, asked: Duration, wait: impl FnMut()) {
    print(name, asked, &measure(wait));
}

fn print(name: &str, asked: Duration, got: &Histogram<u64>) {
    let us = |quantile| got.value_at_quantile(quantile) / 1000;
    println!("{name:<34} {:>8} {:>8} {:>8} {:>8}", asked.as_micros(), us(0.5), us(0.99), got.max() / 1000);
}
