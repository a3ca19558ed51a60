//! Why bytes are not a frame or a batch.

/// A decoding failure: what was expected, what was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("cut short: {needed} bytes needed, {available} available")]
    Short { needed: usize, available: usize },
    #[error("no frame here: magic is {found:#010x}")]
    Magic { found: u32 },
    #[error("frame format version {found} is not readable by this build (it reads version 1)")]
    Version { found: u16 },
    #[error("header checksum is {found:#010x}, computed {computed:#010x}")]
    HeaderCrc { found: u32, computed: u32 },
    #[error("body checksum is {found:#010x}, computed {computed:#010x}")]
    BodyCrc { found: u32, computed: u32 },
    #[error("{field} has the value {found}, which format version 1 does not define")]
    Field { field: &'static str, found: u64 },
    #[error("{field} is {found}, above the limit of {max}")]
    TooLarge { field: &'static str, found: u64, max: u64 },
    #[error("its {compression} body cannot be decompressed: {what}")]
    Compressed { compression: &'static str, what: &'static str },
    #[error("record {record} of {count} is malformed: {what}")]
    Record { record: u32, count: u32, what: &'static str },
}
