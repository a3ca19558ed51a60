//! Ring two: the real shell, node and client over a simulated network.
//!
//! quinn runs unmodified over turmoil's UDP (`socket`), under virtual time; machines crash and links are cut as a
//! seed has it (`world`). The node is the real one but for its threads (`timberline::node::SimulatedNode`), the client is
//! the real one.

mod certs;
mod cluster;
mod mesh;
mod socket;
mod streams;
mod world;

/// The seeds of a run: twenty, or as the environment says.
fn seeds() -> std::ops::Range<u64> {
    let variable = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    match variable("TIMBERLINE_SHELL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..1 + variable("TIMBERLINE_SHELL_SEEDS").unwrap_or(20),
    }
}
