//! Stand-ins for what a client talks to. Tests only.

mod frames;

pub(super) use frames::frames_of;
