//! How cost grows with one dimension of the load, all else being equal.
//!
//! `dimension` says what is varied, and over which steps; `step` is one of them, as something to run; `point` is what it came to.

mod dimension;
mod point;
mod step;

pub(crate) use dimension::Dimension;
#[cfg(test)]
pub(crate) use point::tests;
pub(crate) use point::{MIB, POINT_TITLES, Point};
pub(crate) use step::{Base, Step};
