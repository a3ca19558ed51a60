//! The laws of a group.
