//! What the machine gives without Timberline, for benchmarks to compare with.

mod stream;

pub(crate) use stream::Bare;
