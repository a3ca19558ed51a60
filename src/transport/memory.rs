//! stub
use super::{Inbox, Link, StreamClass};
use crate::types::NodeId;
use crate::wire::NodeMessage;
use bytes::Bytes;
use std::sync::Arc;
/// A network in memory: delivers when told to, loses by seed.
#[derive(Clone)]
pub struct MemoryNetwork;
impl MemoryNetwork {
    /// Loses `loss_per_mille` of a thousand messages.
    pub fn new(_seed: u64, _loss_per_mille: u32, _queue_messages_max: usize) -> Self {
        todo!()
    }
    pub fn join(&self, _node: NodeId, _inbox: Arc<dyn Inbox>) -> MemoryLink {
        todo!()
    }
    /// Delivers what is queued; answers how many.
    pub fn deliver(&self) -> usize {
        todo!()
    }
}
/// One node's end of a [`MemoryNetwork`].
pub struct MemoryLink;
impl Link for MemoryLink {
    fn send(&self, _to: NodeId, _message: NodeMessage, _payload: Vec<Bytes>, _class: StreamClass) -> bool {
        todo!()
    }
}
