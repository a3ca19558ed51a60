//! One event as an application writes and reads it.

use bytes::Bytes;

/// A record. Its place in time and in the shard come from the batch that carries it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<Header>,
    /// The producer's own time, in nanoseconds since the Unix epoch (negative before it). Carried,
    /// never used for order.
    pub event_time_ns: Option<i64>,
}

/// A name and value beside the record's payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    pub name: String,
    pub value: Bytes,
}
