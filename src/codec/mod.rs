//! Bytes of frames and records, format version 1. All integers little-endian.
//!
//! Knows nothing of files, of the network, or of who may read what. Decoding never trusts a length
//! before it is proved, never panics on foreign bytes, and never allocates more than the input's size.

mod error;
mod frame;

pub use error::Error;
pub use frame::{BODY_BYTES_MAX, Compression, Frame, FrameHeader, FrameKind, HEADER_BYTES, chain_root};
