//! The demo from beginning to end.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, interval, timeout};

use super::cluster::{Cluster, NODES};
use super::feed::{Answer, Feed, flights};
use super::proof::{Proof, Sent, prove};
use super::screen::{bar, next_steps, show, step};
use crate::cli::arguments::Common;
use crate::cli::connect::block_on;
use crate::cli::failure::{Failure, Kind};
use crate::cli::moment::show_ns;
use crate::cli::output::print_line;
use crate::cli::produce::Counts;
use crate::client::{
    self, Client, ClientOptions, Consumed, ConsumerOptions, CreateTopic, Partitioning, Start, Topic, Until,
};
use crate::types::{Durability, NodeId, Record, Retention, ShardId, Term, TopicName};

const SHARDS: u32 = 8;
const START_WITHIN: Duration = Duration::from_secs(20);
const READ_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(in crate::cli) fn demo(common: &Common) -> Result<(), Failure> {
    if common.output.is_some() {
        return Err(Failure::usage("`demo` prints a story, not data: leave -o out"));
    }
    block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::from)?;
        let interrupted = || Failure::plain("interrupted; the demo's processes and folder are gone");
        tokio::select! {
            told = tell() => told,
            _ = tokio::signal::ctrl_c() => Err(interrupted()),
            _ = terminate.recv() => Err(interrupted()),
        }
    })
}

async fn tell() -> Result<(), Failure> {
    let flights = flights()?;
    step(&format!(
        "{} flights that left New York in the first week of 2013, keyed by aircraft",
        flights.len()
    ))?;
    let mut cluster = Cluster::start()?;
    let told = act(&mut cluster, &flights).await;
    told.map_err(|failure| Failure { message: format!("{failure}\n{}", cluster.logs()), ..failure })?;
    print_line(&format!("\nAll proofs hold.\n\n{}", next_steps()))
}

async fn act(cluster: &mut Cluster, flights: &[Record]) -> Result<(), Failure> {
    let client = connect(cluster).await?;
    let topic = create(&client).await?;
    step(&format!(
        "{NODES} processes with mutual TLS on {}; topic {} of {SHARDS} shards, {NODES} replicas each",
        cluster.endpoints().join(", "),
        topic.name
    ))?;
    let run = feed(cluster, &client, &topic, flights).await?;
    let mut proofs = verify(&client, &topic.name, &run.sent).await?;
    print_line("")?;
    for proof in &proofs {
        show(proof)?;
    }
    let failed_over = run.failover();
    show(&failed_over)?;
    figures(&run)?;
    proofs.push(failed_over);
    let broken = proofs.iter().filter(|proof| !proof.holds).count();
    if broken > 0 {
        return Err(Failure::plain(format!("{broken} of {} proofs failed", proofs.len())));
    }
    Ok(())
}

async fn connect(cluster: &Cluster) -> Result<Client, Failure> {
    let options = ClientOptions {
        endpoints: cluster.endpoints().to_vec(),
        certs: cluster.certs(),
        request_timeout: Duration::from_secs(10),
    };
    let connect = async {
        let mut looks = interval(LOOK_EVERY);
        loop {
            looks.tick().await;
            if let Ok(client) = Client::connect(options.clone()).await {
                return client;
            }
        }
    };
    let late = |_| Failure::new(Kind::Unavailable, "the nodes did not start in time; their logs end with:");
    timeout(START_WITHIN, connect).await.map_err(late)
}

/// Creates the topic and waits until every shard has a leader.
async fn create(client: &Client) -> Result<Topic, Failure> {
    let name: TopicName = "flights".parse().expect("it is a name");
    let partitioning = Partitioning::Hash;
    let (durability, retention) = (Durability::Disk, Retention::default());
    let (replicas, shards) = (NODES as u32, SHARDS);
    let topic = CreateTopic { name: name.clone(), shards, replicas, partitioning, durability, retention };
    let ready = async {
        client.create_topic(topic).await?;
        let mut looks = interval(LOOK_EVERY);
        loop {
            looks.tick().await;
            // A node that has not heard of the topic yet says that it does not exist.
            match client.describe_topic(&name).await {
                Ok(topic) if topic.shards.iter().all(|shard| shard.leader.is_some()) => return Ok(topic),
                Err(error) if error.kind() != client::Kind::NotFound => return Err(Failure::from(error)),
                _ => {}
            }
        }
    };
    let late = |_| {
        Failure::new(Kind::Unavailable, "the shards elected no leaders in time; the nodes' logs end with:")
    };
    timeout(START_WITHIN, ready).await.map_err(late)?
}

/// What happened while the data was sent.
struct Run {
    sent: Vec<Sent>,
    counts: Counts,
    answers: Vec<Answer>,
    killed_at: Instant,
    /// The shards that the killed node led, and the terms that ended with it.
    orphans: Vec<(ShardId, Term)>,
}

/// Sends everything; kills a leader half-way, and starts it again later.
async fn feed(
    cluster: &mut Cluster,
    client: &Client,
    topic: &Topic,
    flights: &[Record],
) -> Result<Run, Failure> {
    let (first, rest) = flights.split_at(flights.len() / 2);
    let (second, third) = rest.split_at(rest.len() / 2);
    let bar = bar(flights.len());
    let mut feed = Feed::start(client, &topic.name).await?;
    feed.send(first, &bar).await;
    // Whoever leads the shard of the very next record.
    let now = client.describe_topic(&topic.name).await?;
    let shard = now.router.shard_of(second[0].key.as_deref().unwrap_or_default());
    let victim = now.shard(shard).and_then(|shard| shard.leader).unwrap_or(NodeId(1));
    let led = now.shards.iter().filter(|shard| shard.leader == Some(victim));
    let orphans: Vec<_> = led.map(|shard| (shard.shard, shard.term)).collect();
    cluster.kill(victim);
    let killed_at = Instant::now();
    let count = orphans.len();
    bar.suspend(|| {
        step(&format!(
            "half-way: node {victim}, leader of shard {shard} and {count} in all, killed (SIGKILL)"
        ))
    })?;
    feed.send(second, &bar).await;
    cluster.restart(victim)?;
    bar.suspend(|| step(&format!("node {victim} started again on its files, while records go on")))?;
    feed.send(third, &bar).await;
    let (sent, counts, answers) = feed.finish().await;
    bar.finish_and_clear();
    step("all sent; reading everything back, merged, from each node")?;
    Ok(Run { sent, counts, answers, killed_at, orphans })
}

impl Run {
    /// How long after the kill the last of the orphaned shards acknowledged under a new leader.
    fn failover(&self) -> Proof {
        let recovered = |(shard, term): &(ShardId, Term)| {
            let mut after =
                self.answers.iter().filter(|answer| answer.shard == *shard && answer.term > *term);
            after.next().map(|answer| answer.at.saturating_duration_since(self.killed_at))
        };
        let times: Vec<_> = self.orphans.iter().filter_map(recovered).collect();
        match times.iter().max() {
            Some(slowest) => {
                let ns = u64::try_from(slowest.as_nanos()).unwrap_or(u64::MAX);
                let (count, all) = (times.len(), self.orphans.len());
                Proof::of(
                    count == all,
                    format!("failover: {} until {count} of {all} shards acknowledged again", show_ns(ns)),
                )
            }
            None => Proof::of(false, "failover: no shard of the killed node acknowledged under a new leader"),
        }
    }
}

/// Reads all from every node and compares: with what was promised, and node with node.
async fn verify(client: &Client, topic: &TopicName, sent: &[Sent]) -> Result<Vec<Proof>, Failure> {
    let mut reads = Vec::new();
    for node in 1..=NODES {
        let late = |_| {
            Failure::new(Kind::Unavailable, format!("node {node} did not show everything in time; logs:"))
        };
        reads.push(timeout(READ_WITHIN, read(client, topic, NodeId(node))).await.map_err(late)??);
    }
    let mut proofs = prove(sent, &reads[0]);
    let same = reads.iter().all(|read| *read == reads[0]);
    proofs
        .push(Proof::of(same, format!("the same records in the same order from each of the {NODES} nodes")));
    Ok(proofs)
}

async fn read(client: &Client, topic: &TopicName, node: NodeId) -> Result<Vec<Consumed>, Failure> {
    let options = ConsumerOptions {
        from: Start::Begin,
        until: Until::ToEnd,
        node: Some(node),
        ..ConsumerOptions::default()
    };
    let mut consumer = client.consumer(topic, options).await?;
    let mut read = Vec::new();
    while let Some(consumed) = consumer.next().await? {
        read.push(consumed);
    }
    Ok(read)
}

fn figures(run: &Run) -> Result<(), Failure> {
    let uncertainty = run.answers.iter().map(|answer| answer.uncertainty_ns).max().unwrap_or(0);
    let share = run.counts.commit_wait_share() * 100.0;
    print_line(&format!(
        "  clock uncertainty {} (declared, not measured); commit-wait {share:.1} % of the time batches spent on their \
         leaders",
        show_ns(uncertainty)
    ))
}
