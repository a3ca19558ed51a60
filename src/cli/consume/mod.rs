//! `consume`: records of a topic, in order, to stdout.

mod group;
mod print;
mod read;

pub(super) use read::consume;
