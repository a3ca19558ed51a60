//! A node.
mod metadata;
