//! What the files are made of: bytes by kind, batch sizes, uncertainty and gaps over time; and a picture of it.
//!
//! `collect` reads headers alone and counts; `picture` draws what was counted and reads nothing.

mod collect;
mod panels;
mod picture;

pub(crate) use collect::{Bucket, Measured, measure};
pub(crate) use picture::draw;
