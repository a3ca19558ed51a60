//! Appends through a producer of the client library: each batch is one batch on the wire.

use bytes::Bytes;
use timberline::client::{Client, Delivery, Producer, ProducerOptions};
use timberline::codec::{BODY_BYTES_MAX, RECORD_BYTES_MAX};
use timberline::types::{Record, SHARD_IN_FLIGHT_MAX, StageTimes, TopicName};
use tokio::sync::Mutex;

use crate::drive::Append;
use crate::failure::Failure;
use crate::workload::Workload;

/// Unanswered records of all producers together.
const MEMORY_BYTES_MAX: usize = 1 << 30;

/// One producer of the load.
pub(crate) struct ClusterAppends {
    producer: Producer,
    /// Held while a batch is handed over, so that two never share one on the wire.
    turn: Mutex<()>,
}

impl ClusterAppends {
    pub(super) async fn start(
        client: &Client,
        topic: &TopicName,
        workload: &Workload,
    ) -> Result<Self, Failure> {
        let shape = workload.shape;
        let options = ProducerOptions {
            batch_records: shape.batch_records,
            batch_bytes: BODY_BYTES_MAX,
            in_flight: shape.in_flight.min(SHARD_IN_FLIGHT_MAX),
            memory_bytes_max: (MEMORY_BYTES_MAX / shape.producers).max(2 * RECORD_BYTES_MAX),
            ..ProducerOptions::default()
        };
        let producer = client.producer(topic, options).await?;
        Ok(Self { producer, turn: Mutex::new(()) })
    }

    /// Hands a batch over; the last record's delivery stands for all of them, which share its batch.
    async fn send(&self, batch: Vec<Bytes>, due_ns: i64) -> Result<Option<Delivery>, String> {
        let _turn = self.turn.lock().await;
        let mut last = None;
        for value in batch {
            let record = Record { value: Some(value), event_time_ns: Some(due_ns), ..Record::default() };
            last = Some(self.producer.send(record).await.map_err(|error| error.to_string())?);
        }
        Ok(last)
    }
}

impl Append for ClusterAppends {
    async fn append(&self, batch: Vec<Bytes>, due_ns: i64) -> Result<Option<StageTimes>, String> {
        let Some(last) = self.send(batch, due_ns).await? else { return Ok(None) };
        let delivered = last.wait().await.map_err(|failure| failure.to_string())?;
        // A retry's receipt knows nothing of the first attempt's stages.
        Ok(Some(delivered.receipt.wait).filter(|told| *told != StageTimes::default()))
    }
}
