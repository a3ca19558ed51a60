//! The shard's laws: three replicas in one thread, over logs in memory, under one true time.

mod appends;
mod bench;
mod chaos;
mod closing;
mod conditions;
mod configuration;
mod intake;
mod leadership;
mod producers;
mod restarts;
mod trimming;
