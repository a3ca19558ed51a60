//! Three workers share the jobs of a topic; one dies in the midst of them, and the others take over what it had.
//!
//!     cargo run --example group_of_workers
//!
//! Each job is done at least once: what the dead worker had done since its last commit is done again. A worker that must not do a
//! job twice remembers, with the effect, the job's place (its shard and offset).

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use timberline::client::{Client, CreateTopic, GroupOptions, ProducerOptions};
use timberline::testing::Cluster;
use timberline::types::{GroupName, Record, TopicName};
use tokio::sync::Notify;

const JOBS: usize = 600;
const SESSION_TIMEOUT: Duration = Duration::from_millis(500);

/// How often each job was done, and news of it.
#[derive(Default)]
struct Board {
    done: Mutex<BTreeMap<String, u32>>,
    news: Notify,
}

impl Board {
    fn note(&self, job: String) {
        *self.done.lock().expect("no worker panics while it notes").entry(job).or_default() += 1;
        self.news.notify_waiters();
    }

    async fn wait_for(&self, jobs: usize) {
        loop {
            let news = self.news.notified();
            if self.done.lock().expect("no worker panics while it notes").len() >= jobs {
                return;
            }
            news.await;
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::start()?;
    let client = cluster.client().await?;
    let (jobs, group): (TopicName, GroupName) = ("jobs".parse()?, "workers".parse()?);
    client.create_topic(CreateTopic { shards: 6, replicas: 1, ..CreateTopic::named(&jobs) }).await?;
    let producer = client.producer(&jobs, ProducerOptions::default()).await?;
    for job in 0..JOBS {
        let job = format!("job-{job}");
        producer.send(Record { key: Some(job.into()), ..Record::default() }).await?;
    }
    producer.flush().await?;

    let board = Arc::new(Board::default());
    let mut workers: Vec<_> = ["ada", "bob", "eve"]
        .into_iter()
        .map(|name| {
            // A client of its own each, as in processes of their own.
            let (options, board) = (cluster.client_options(), Arc::clone(&board));
            let (jobs, group) = (jobs.clone(), group.clone());
            tokio::spawn(async move {
                let client = Client::connect(options).await?;
                work(&client, &group, &jobs, name, &board).await
            })
        })
        .collect();

    board.wait_for(JOBS / 3).await;
    workers.remove(0).abort();
    println!("ada dies without a word after {} jobs", JOBS / 3);
    board.wait_for(JOBS).await;

    let info = client.describe_group(&group).await?;
    let behind: u64 =
        info.places.iter().filter_map(|place| place.lag.as_ref().ok()).map(|lag| lag.records).sum();
    let done = board.done.lock().expect("no worker panics while it notes").clone();
    let again = done.values().filter(|times| **times > 1).count();
    println!("{} of {JOBS} jobs are done, {again} of them twice; {behind} are not committed yet", done.len());
    for worker in workers {
        worker.abort();
    }
    Ok(())
}

/// Does jobs until it dies. Each is done when the next one is asked for.
async fn work(
    client: &Client,
    group: &GroupName,
    jobs: &TopicName,
    name: &str,
    board: &Board,
) -> Result<(), timberline::client::Error> {
    let options =
        GroupOptions { name: name.to_owned(), session_timeout: SESSION_TIMEOUT, ..GroupOptions::default() };
    let mut member = client.group_consumer(group, jobs, options).await?;
    loop {
        match member.next().await {
            Ok(job) => {
                // The work: here it takes a millisecond.
                tokio::time::sleep(Duration::from_millis(1)).await;
                let key = job.record.key.unwrap_or_default();
                board.note(String::from_utf8_lossy(&key).into_owned());
            }
            // It was taken for dead while it was busy or cut off: the next call joins anew.
            Err(error) if error.is_stale_member() => {}
            Err(error) => return Err(error),
        }
    }
}
