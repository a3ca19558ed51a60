//! Client to node: what producers ask beside appends. A node that does not know this request answers `Invalid`; one that knows it never does.

use super::client::AppendedBody;

/// Fences every run of a producer so far in a shard, by the shard's leader; or tells what became of a batch.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FenceProducerBody {
    #[prost(uint64, tag = "1")]
    pub shard: u64,
    #[prost(fixed64, tag = "2")]
    pub producer: u64,
    /// The epoch and sequence of a batch that is asked about, both or none. If it stands in the shard, or that cannot be told, nothing is fenced.
    #[prost(uint32, optional, tag = "3")]
    pub epoch: Option<u32>,
    #[prost(uint64, optional, tag = "4")]
    pub sequence: Option<u64>,
    /// Fence nothing: only tell what is known of the batch.
    #[prost(bool, tag = "5")]
    pub peek: bool,
    /// The batch's run asks itself, and goes on: a fence has the epoch after the batch's, and not the first of a new run.
    #[prost(bool, tag = "6")]
    pub same_run: bool,
}

/// Answer to a `FenceProducer`, once what it tells of is released.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ProducerFencedBody {
    /// After a fence: its epoch, the lowest that is not shut out. That of a new run is its first one, and the 255 above are its own, too.
    #[prost(uint32, tag = "1")]
    pub epoch: u32,
    /// A timestamp released in the shard: that of the fence, or of the batch. 0: none.
    #[prost(fixed64, tag = "2")]
    pub at_ns: u64,
    /// Of the batch: 0 none was asked about, 1 applied, 2 not applied and never will be, 3 cannot be told any more, 4 not applied now.
    #[prost(uint32, tag = "3")]
    pub fate: u32,
    /// The receipt of a batch that was applied.
    #[prost(message, optional, tag = "4")]
    pub receipt: Option<AppendedBody>,
}
