//! `demo`: a real data set through three real processes, a leader killed on the way, and the proof on screen.
//!
//! `story` tells it in order; `cluster` owns the processes and their folder; `feed` sends the data and remembers what
//! was promised; `proof` compares that with what is read, and knows nothing of how either came about.

mod cluster;
mod feed;
mod proof;
mod screen;
mod story;

pub(super) use story::demo;
