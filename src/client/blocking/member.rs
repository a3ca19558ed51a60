//! Consuming as a member of a group.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::engine::Engine;
use crate::client::{self, Consumed, Error};
use crate::types::ShardId;

/// Reads topics as a member of a group; see `client::GroupConsumer`. It is heard between calls too, by the client's thread: a
/// member that takes long over a record is not taken for dead. As an iterator it gives records as they come, without an end;
/// after a failure it goes on, as `client::GroupConsumer::next` does.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cluster = timberline::testing::Cluster::start()?;
/// use std::time::Duration;
///
/// use timberline::client::blocking::Client;
/// use timberline::client::{CreateTopic, GroupOptions, ProducerOptions};
/// use timberline::types::Record;
///
/// let client = Client::connect(cluster.client_options())?;
/// let jobs = "jobs".parse()?;
/// client.create_topic(CreateTopic { replicas: 1, ..CreateTopic::named(&jobs) })?;
/// let producer = client.producer(&jobs, ProducerOptions::default())?;
/// for job in ["wash", "dry"] {
///     producer.send(Record { value: Some(job.into()), ..Record::default() })?.wait()?;
/// }
///
/// let mut worker = client.group_consumer(&"workers".parse()?, &jobs, GroupOptions::default())?;
/// let mut done = Vec::new();
/// while done.len() < 2 {
///     // Nothing new for so long: time to look after something else.
///     let Some(job) = worker.next_within(Duration::from_secs(1))? else { continue };
///     done.push(job.record.value);
/// }
/// assert_eq!(done, [Some("wash".into()), Some("dry".into())]);
/// // Commits both: who joins the group next goes on behind them.
/// worker.leave()?;
/// # Ok(())
/// # }
/// ```
pub struct GroupConsumer {
    member: client::GroupConsumer,
    // Last: what runs on it is dropped before.
    engine: Arc<Engine>,
}

impl GroupConsumer {
    pub(super) fn new(member: client::GroupConsumer, engine: Arc<Engine>) -> Self {
        Self { member, engine }
    }

    /// The next record of those that this member holds, if one comes within so long; whatever was handed out before counts as
    /// done, also if none does.
    pub fn next_within(&mut self, limit: Duration) -> Result<Option<Consumed>, Error> {
        let next = self.engine.run(async { timeout(limit, self.member.next()).await });
        next.map_or(Ok(None), |next| next.map(Some))
    }

    /// Commits everything that was handed out, of what is still held.
    pub fn commit(&mut self) -> Result<(), Error> {
        self.engine.run(self.member.commit())
    }

    /// Commits everything that was handed out and leaves: others go on behind it at once.
    pub fn leave(self) -> Result<(), Error> {
        let Self { member, engine } = self;
        engine.run(member.leave())
    }

    /// The shards that this member holds by now.
    pub fn held(&mut self) -> Vec<ShardId> {
        self.member.held()
    }
}

impl Iterator for GroupConsumer {
    type Item = Result<Consumed, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.engine.run(self.member.next()))
    }
}
