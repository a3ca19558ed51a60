//! Reading topics: one shard, every shard as it comes, or all of them merged in the total order.
//!
//! One task per shard keeps a subscription alive and proves what arrives (`subscription`, `proof`); what
//! they deliver is merged (`streams`) and handed out (`reader`). A shard's task reads on only when the consumer allows it.

mod acquaint;
mod bound;
mod cursor;
mod marks;
mod nearest;
mod options;
mod plan;
mod proof;
mod reader;
mod span;
mod streams;
mod subscription;
#[cfg(test)]
mod tests;

pub use cursor::{Cursor, InvalidCursor};
pub use marks::{Marked, Marks};
pub use options::{ConsumerOptions, OnTrimmed, Order, Start, Until};
pub use reader::{Consumed, Consumer, Item, Skipped};
