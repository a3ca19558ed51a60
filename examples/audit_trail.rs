//! A ledger whose every entry has a receipt, and an audit that holds the log to them.
//!
//!     cargo run --example audit_trail                                    in a cluster of its own
//!     cargo run --example audit_trail -- 127.0.0.1:7400 data/certs       in that of `timberline dev`
//!
//! Receipts go to stdout, one JSON object a batch, as those of `timberline produce --receipts`. The audit here asks the cluster;
//! `timberline-segment verify-order DATA.. --receipts FILE` asks the files alone, without a node that could lie.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use timberline::client::blocking::Client;
use timberline::client::{
    BatchReport, ClientOptions, ConsumerOptions, CreateTopic, OnReport, ProducerOptions, Until,
};
use timberline::testing::Cluster;
use timberline::types::{Offset, Receipt, Record, ShardId, Timestamp, TopicName};

const ENTRIES: u32 = 500;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (own, options) = if let [endpoint, certs] = &arguments[..] {
        let request_timeout = Duration::from_secs(10);
        (None, ClientOptions { endpoints: vec![endpoint.clone()], certs: certs.into(), request_timeout })
    } else {
        let cluster = Cluster::start()?;
        let options = cluster.client_options();
        (Some(cluster), options)
    };
    let client = Client::connect(options)?;
    let ledger: TopicName = "ledger".parse()?;
    let replicas = if own.is_some() { 1 } else { 3 };
    client.create_topic(CreateTopic { shards: 4, replicas, ..CreateTopic::named(&ledger) })?;

    let receipts = post(&client, &ledger)?;
    for receipt in &receipts {
        println!("{}", line(&ledger, receipt));
    }
    let found = audit(&client, &ledger, &receipts)?;
    eprintln!(
        "{} receipts, {found} entries: each is where its receipt says, and nothing else is there",
        receipts.len()
    );
    Ok(())
}

/// Posts entries, and returns the receipts of all their batches.
fn post(client: &Client, ledger: &TopicName) -> Result<Vec<Receipt>, Box<dyn Error>> {
    let (sender, reports) = mpsc::channel::<BatchReport>();
    let on_report = OnReport(Arc::new(move |report| {
        // The receiver is there until the producer is closed.
        let _ = sender.send(report.clone());
    }));
    let options = ProducerOptions { batch_records: 20, on_report: Some(on_report), ..Default::default() };
    let producer = client.producer(ledger, options)?;
    for entry in 0..ENTRIES {
        let (account, cents) = (entry % 17, i64::from(entry * 7919 % 2000) - 1000);
        producer.send(Record {
            key: Some(format!("account-{account}").into()),
            value: Some(format!("{{\"entry\":{entry},\"cents\":{cents}}}").into()),
            ..Record::default()
        })?;
    }
    // After this every batch has ended, and a failure would have been returned.
    producer.close()?;
    Ok(reports.try_iter().map(|report| report.result).collect::<Result<_, _>>()?)
}

/// A receipt in the words of `timberline produce --receipts`.
fn line(topic: &TopicName, receipt: &Receipt) -> String {
    let Receipt { shard, first_offset, first_timestamp, record_count, uncertainty_ns, term, .. } = receipt;
    let durability = receipt.durability.as_str();
    let header_crc = receipt.header_crc.map_or("null".to_owned(), |crc| crc.to_string());
    format!(
        "{{\"topic\":\"{topic}\",\"shard\":{shard},\"first_offset\":{first_offset},\"first_timestamp_ns\":{},\
         \"record_count\":{record_count},\"uncertainty_ns\":{uncertainty_ns},\"durability\":\"{durability}\",\"term\":{term},\
         \"header_crc\":{header_crc}}}",
        first_timestamp.0
    )
}

/// Reads the whole ledger and settles it against the receipts.
fn audit(client: &Client, ledger: &TopicName, receipts: &[Receipt]) -> Result<usize, Box<dyn Error>> {
    let mut promised: HashMap<(ShardId, Offset), Timestamp> = HashMap::new();
    for receipt in receipts {
        for at in 0..u64::from(receipt.record_count) {
            let place = (receipt.shard, receipt.first_offset.plus(at));
            promised.insert(place, receipt.first_timestamp.plus_ns(at));
        }
    }
    let entries = promised.len();
    let to_end = ConsumerOptions { until: Until::ToEnd, ..ConsumerOptions::default() };
    for entry in client.consumer(ledger, to_end)? {
        let entry = entry?;
        match promised.remove(&(entry.shard, entry.offset)) {
            Some(timestamp) if timestamp == entry.timestamp => {}
            Some(timestamp) => {
                return Err(format!("stamped {}, receipted {timestamp}", entry.timestamp).into());
            }
            None => return Err(format!("nobody has a receipt for {entry:?}").into()),
        }
    }
    if promised.is_empty() { Ok(entries) } else { Err(format!("missing: {promised:?}").into()) }
}
