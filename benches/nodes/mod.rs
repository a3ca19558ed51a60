//! A cluster in this process, for benchmarks and for tests that need clocks they can set.

mod cluster;

pub(crate) use cluster::Nodes;
