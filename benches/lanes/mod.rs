//! Many nodes' lanes in one thread, for the benchmarks of quiet clusters.

pub(crate) mod world;
