//! Replay: a topic filled before is read from its first record, merged, again and again.

use std::sync::Arc;
use std::time::Duration;

use timberline::client::{ConsumerOptions, Until};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::topic::Cluster;
use crate::drive::{Append, Budget, Progress, Window};
use crate::failure::Failure;
use crate::records::Records;
use crate::workload::Workload;

/// Records and bytes of values read in a window.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Replayed {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

/// Writes `records` records, as fast as they are taken; not measured.
pub(crate) async fn fill<A: Append>(
    producers: &[Arc<A>],
    workload: &Workload,
    values: &Records,
    records: u64,
) -> Result<(), Failure> {
    let left = Budget::of(records);
    let mut tasks = JoinSet::new();
    for producer in producers {
        for _ in 0..workload.shape.in_flight {
            let (producer, values, left) = (Arc::clone(producer), values.clone(), left.clone());
            let batch_records = workload.shape.batch_records;
            tasks.spawn(async move {
                while let Some(count) = left.take(batch_records) {
                    producer.append(values.batch(count), 0).await?;
                }
                Ok::<_, String>(())
            });
        }
    }
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        ended.map_err(Failure::Fill)?;
    }
    Ok(())
}

/// Reads the topic from its first record on, and again, until the window ends.
pub(crate) async fn replay(
    cluster: &Cluster,
    window: Window,
    progress: Progress<'_>,
) -> Result<Replayed, Failure> {
    let mut replayed = Replayed::default();
    let (mut read, mut told) = (0, window.began);
    while Instant::now() < window.ends {
        let options = ConsumerOptions { until: Until::ToEnd, ..ConsumerOptions::default() };
        let mut consumer = cluster.client().consumer(cluster.topic(), options).await?;
        while let Some(consumed) = consumer.next().await? {
            let now = Instant::now();
            if now >= window.ends {
                return Ok(replayed);
            }
            if window.measures(now) {
                replayed.records += 1;
                replayed.bytes += consumed.record.value.map_or(0, |value| value.len() as u64);
            }
            read += 1;
            if now.duration_since(told) > Duration::from_millis(200) {
                progress(now.duration_since(window.began), read);
                told = now;
            }
        }
    }
    Ok(replayed)
}
