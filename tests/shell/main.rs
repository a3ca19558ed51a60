//! Ring two: the real shell, node and client over a simulated network.
//!
//! quinn runs unmodified over turmoil's UDP (`socket`), under virtual time; machines crash and links are cut as a
//! seed has it (`world`). The node is the real one but for its threads (`timberline::node::SimulatedNode`), the client is
//! the real one.
//!
//! What a seed repeats: all that nodes and meshes do, datagram by datagram with their sizes, which is asserted. Keys and
//! connection ids are drawn anew each time, and nothing hangs on them. Not repeated is what the client does in the same
//! weather and troubles: its backoffs, its choice of nodes and the branches of `tokio::select!` (seeded only in an
//! unstable build of tokio) are random. So a failure with a client in it may need its seed more than once.

mod certs;
mod cluster;
mod conditions;
mod groups;
mod mesh;
mod reach;
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
