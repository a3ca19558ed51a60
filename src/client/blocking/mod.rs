//! The client without async: the same producers and consumers, whose calls block their thread.
//!
//! Thin: each call runs the client's own future. One thread of the client's own keeps batches and subscriptions going between
//! calls. Not for use within a tokio runtime: there is the client itself for that.
//!
//! ```
//! use timberline::client::blocking::Client;
//! use timberline::client::{ConsumerOptions, CreateTopic, ProducerOptions, Until};
//! use timberline::testing::Cluster;
//! use timberline::types::Record;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = Cluster::start()?;
//! let client = Client::connect(cluster.client_options())?;
//! let orders = "orders".parse()?;
//! client.create_topic(CreateTopic { replicas: 1, ..CreateTopic::named(&orders) })?;
//!
//! let producer = client.producer(&orders, ProducerOptions::default())?;
//! let receipts = (1..=3).map(|order| {
//!     let value = Some(format!("order {order}").into());
//!     producer.send(Record { value, ..Record::default() })
//! });
//! let receipts: Vec<_> = receipts.collect::<Result<_, _>>()?;
//! let last = receipts.into_iter().last().expect("three were sent").wait()?;
//!
//! let to_end = ConsumerOptions { until: Until::ToEnd, ..ConsumerOptions::default() };
//! let read: Vec<_> = client.consumer(&orders, to_end)?.collect::<Result<_, _>>()?;
//! assert_eq!((read.len(), read[2].timestamp), (3, last.timestamp));
//!
//! // Whatever else the client offers:
//! let nodes = client.run(async |client| client.cluster().await)?.nodes;
//! assert_eq!(nodes.len(), 1);
//! # Ok(())
//! # }
//! ```

mod connected;
mod engine;
mod member;
mod reading;
mod writing;

pub use connected::Client;
pub use member::GroupConsumer;
pub use reading::Consumer;
pub use writing::{Delivery, Producer};
