//! `demo`: a real data set through three real processes, a leader killed on the way, and the proof on screen.

mod run;

pub(super) use run::demo;
