//! What `fuzz/` does for hours, for a moment: the golden files, and random changes of them, through the same functions.
//! No bytes make a decoder panic, break a promise, or allocate more than what the input allows.
//!
//! `TIMBERLINE_FOREIGN_BYTES=N` tries N changes a target; the changes are the same in every run.

#[expect(unreachable_pub, reason = "public where it is a library")]
#[path = "../fuzz/src/seeds.rs"]
mod seeds;
#[expect(unreachable_pub, reason = "public where it is a library")]
#[path = "../fuzz/src/targets.rs"]
mod targets;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use timberline::codec::{BODY_BYTES_MAX, Compression};

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// Notes the largest piece of memory that this thread asks for.
struct Noting;

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.set(LARGEST.get().max(layout.size()));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Noting = Noting;

fn largest_piece(of: impl FnOnce()) -> usize {
    LARGEST.set(0);
    of();
    LARGEST.get()
}

fn changes() -> usize {
    std::env::var("TIMBERLINE_FOREIGN_BYTES").map_or(400, |count| count.parse().expect("a number"))
}

/// A seed with some of its bytes changed, left out, doubled, or taken from another seed.
fn changed(seeds: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    let mut bytes = seeds[random.random_range(0..seeds.len())].clone();
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(0..=bytes.len());
        match random.random_range(0..5) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..bytes.len().min(at + 8 * random.random_range(1..20)))),
            2 => bytes.extend_from_within(at..),
            3 => {
                let other = &seeds[random.random_range(0..seeds.len())];
                let from = random.random_range(0..=other.len());
                bytes.splice(at.., other[from..].iter().copied());
            }
            // Numbers at the edges of what a field takes.
            _ => {
                let number =
                    [0, 1, u64::MAX, 1 << 63, random.random()][random.random_range(0..5)].to_le_bytes();
                let len = [1, 2, 4, 8][random.random_range(0..4)].min(bytes.len() - at);
                bytes[at..at + len].copy_from_slice(&number[..len]);
            }
        }
    }
    bytes.truncate(40_000);
    bytes
}

#[test]
fn no_bytes_break_a_decoder_a_log_or_their_bounds_of_memory() {
    for (name, target) in targets::ALL {
        let seeds = seeds::of(name);
        assert!(!seeds.is_empty(), "{name} has seeds");
        let mut random = StdRng::seed_from_u64(seeds.len() as u64);
        let inputs = seeds.clone().into_iter().chain((0..changes()).map(|_| changed(&seeds, &mut random)));
        for bytes in inputs {
            let largest = largest_piece(|| target(&bytes));
            // What a body expands to, and its records; all else is a factor of what is there.
            let expands = ["records", "client_packet"].contains(&name);
            let bound = 64 * bytes.len() + (1 << 20) + if expands { 16 * BODY_BYTES_MAX } else { 0 };
            assert!(largest <= bound, "{name}: {largest} bytes at once for {} bytes", bytes.len());
        }
    }
}

#[test]
fn a_length_that_lies_takes_no_more_memory_than_a_body_may_have() {
    for compression in [Compression::Lz4, Compression::Zstd] {
        for stated in [BODY_BYTES_MAX as u32 + 1, u32::MAX] {
            let stored = [&stated.to_le_bytes()[..], &[0; 40]].concat().into();
            let largest = largest_piece(|| drop(compression.expand(&stored)));
            assert!(largest < 1000, "{compression:?}: {largest} bytes for a length of {stated}");
        }
    }
    assert!(largest_piece(|| drop(vec![0_u8; 5000])) >= 5000, "what is asked for is seen");
}
