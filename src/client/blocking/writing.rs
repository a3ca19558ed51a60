//! Producing.

use std::sync::Arc;

use super::engine::Engine;
use crate::client::{self, AppendFailure, Delivered, Error};
use crate::types::{Condition, ProducerId, Receipt, Record, Token};

/// Writes to a topic; see `client::Producer`. Batches are sent while the caller does something else.
pub struct Producer {
    producer: client::Producer,
    // Last: what runs on it is dropped before.
    engine: Arc<Engine>,
}

/// A record under way. Dropping it changes nothing.
pub struct Delivery {
    delivery: client::Delivery,
    engine: Arc<Engine>,
}

impl Producer {
    pub(super) fn new(producer: client::Producer, engine: Arc<Engine>) -> Self {
        Self { producer, engine }
    }

    /// The id by which shards recognise this producer's batches.
    pub fn id(&self) -> ProducerId {
        self.producer.id()
    }

    /// Takes a record, and blocks only while `memory_bytes_max` bytes are unanswered. An error says that it was not taken.
    pub fn send(&self, record: Record) -> Result<Delivery, Error> {
        let delivery = self.engine.run(self.producer.send(record))?;
        Ok(Delivery { delivery, engine: Arc::clone(&self.engine) })
    }

    /// Appends records as one batch, if `condition` holds, and waits for the end; see `client::Producer::append_if`.
    pub fn append_if(&self, condition: Condition, records: &[Record]) -> Result<Receipt, AppendFailure> {
        self.engine.run(self.producer.append_if(condition, records))
    }

    /// Takes a record that is to be stamped later than the token; see `client::Producer::after`.
    pub fn send_after(&self, token: Token, record: Record) -> Result<Delivery, Error> {
        let delivery = self.engine.run(self.producer.after(token).send(record))?;
        Ok(Delivery { delivery, engine: Arc::clone(&self.engine) })
    }

    /// Closes every batch and waits for the end of all that were open. The first failure among them is returned.
    pub fn flush(&self) -> Result<(), AppendFailure> {
        self.engine.run(self.producer.flush())
    }

    /// Takes no more records, and flushes.
    pub fn close(self) -> Result<(), AppendFailure> {
        self.engine.run(self.producer.close())
    }
}

impl Delivery {
    /// Waits for the end of the record's batch.
    pub fn wait(self) -> Result<Delivered, AppendFailure> {
        self.engine.run(self.delivery.wait())
    }
}
