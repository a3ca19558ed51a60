//! Bytes of frames, records and a shard's state, format version 1. All integers little-endian.
//!
//! Knows nothing of files, of the network, or of who may read what. Decoding never trusts a length
//! before it is proved, never panics on foreign bytes, and never allocates more than `BODY_BYTES_MAX` for
//! what a body decompresses to, and otherwise more than the input's size by a constant factor.

mod compression;
mod dedup;
mod error;
mod frame;
mod order_mark;
mod records;
mod shard_state;

pub use compression::Compression;
pub use dedup::{DedupEntry, DedupTable, DedupVerdict, PRODUCERS_MAX, Trace};
pub use error::Error;
pub use frame::{
    BODY_BYTES_MAX, Frame, FrameHeader, FrameKind, HEADER_BYTES, chain_root, check_body_crc, checksum,
};
pub use order_mark::{ORDER_MARK_BYTES, decode_order_mark, encode_order_mark};
pub use records::{
    BatchBuilder, EncodedBatch, RECORD_BYTES_MAX, decode_records, encode_records, encoded_len,
    validate_batch, validate_records, visit_keys,
};
pub use shard_state::ShardState;
