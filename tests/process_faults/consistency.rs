//! What each consistency level does while a network is cut in two: measured over real processes behind relays, and compared with
//! the table of docs/CONSISTENCY.md, which is what this prints.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use timberline::client::{
    Client, ClientOptions, ConsumerOptions, Error, Kind, Level, ProducerOptions, Until,
};
use timberline::types::{Record, Timestamp, Token, TopicName};

use super::campaign::put_between;
use super::cluster::{Cluster, NODES};
use super::relay::{Network, Party, Weather};

/// The node that is cut off.
const LONELY: u16 = 3;
/// How long a client waits for an answer: it may first wait for both of the nodes that it does not reach, 3 s each.
const PATIENCE: Duration = Duration::from_secs(8);
const SERVES_MAX: Duration = Duration::from_secs(60);
/// Ages that the cut outlives, and that it does not.
const AGE: Duration = Duration::from_secs(1);
const LONG_AGE: Duration = Duration::from_secs(600);
/// Reads of each level by which it is measured what it costs while all is well.
const READS: usize = 20;

/// One cluster, and a client on either side of a cut to come.
struct Divided {
    cluster: Cluster,
    network: Network,
    topic: TopicName,
    /// What was acknowledged so far.
    acknowledged: BTreeSet<String>,
    written: usize,
}

/// What is tried, and the values that an answer must contain.
struct Trial<'a> {
    name: &'static str,
    options: ConsumerOptions,
    must_contain: &'a BTreeSet<String>,
}

/// Everything that was acknowledged before the cut, and a token and a time of then.
struct Before {
    acknowledged: BTreeSet<String>,
    token: Token,
}

impl Divided {
    async fn start() -> Self {
        let mut cluster = Cluster::prepare(&[]);
        let nodes = (1..=NODES).map(|node| cluster.address(node)).collect();
        let network = Network::start(nodes, 1).await;
        put_between(&cluster, &network);
        cluster.start_all();
        cluster.succeed(&["topic", "create", "cut", "--shards", "2"]);
        let topic = "cut".parse().expect("a good name");
        Self { cluster, network, topic, acknowledged: BTreeSet::new(), written: 0 }
    }

    async fn client(&self) -> Client {
        let endpoints = self.network.addresses().iter().map(ToString::to_string).collect();
        let certs = self.cluster.path("certs");
        let client = Client::connect(ClientOptions { endpoints, certs, request_timeout: PATIENCE });
        let client = client.await.expect("a healthy cluster answers");
        client.describe_topic(&self.topic).await.expect("the topic was just made");
        client
    }

    /// Cuts the lonely node off from the others; clients reach that side or the other one.
    fn cut(&self, clients_reach_lonely: bool) {
        let mut cut = BTreeSet::new();
        for node in (1..=NODES).map(Party::Node) {
            let is_lonely = node == Party::Node(LONELY);
            if !is_lonely {
                cut.extend([(node, Party::Node(LONELY)), (Party::Node(LONELY), node)]);
            }
            if is_lonely != clients_reach_lonely {
                cut.extend([(node, Party::Client), (Party::Client, node)]);
            }
        }
        self.network.set(Weather { cut, ..Weather::default() });
    }

    /// Appends to every shard, and notes what was acknowledged.
    async fn append(&mut self, client: &Client) -> Result<(), Error> {
        let options = ProducerOptions { timeout: PATIENCE, ..ProducerOptions::default() };
        let producer = client.producer(&self.topic, options).await?;
        for key in 0..8 {
            self.written += 1;
            let value = format!("value-{}", self.written);
            let record = Record {
                key: Some(format!("key-{key}").into()),
                value: Some(value.clone().into()),
                ..Record::default()
            };
            producer.send(record).await?.await.map_err(|failure| failure.error)?;
            self.acknowledged.insert(value);
        }
        Ok(())
    }

    /// Appends until all shards take it.
    async fn append_surely(&mut self, client: &Client) {
        let began = Instant::now();
        while let Err(error) = self.append(client).await {
            assert!(began.elapsed() < SERVES_MAX, "{error}\n{}", self.cluster.logs());
        }
    }

    async fn read(&self, client: &Client, options: ConsumerOptions) -> Result<BTreeSet<String>, Error> {
        let mut consumer = client.consumer(&self.topic, options).await?;
        let mut values = BTreeSet::new();
        while let Some(consumed) = consumer.next().await? {
            let value = consumed.record.value.unwrap_or_default();
            values.insert(String::from_utf8_lossy(&value).into_owned());
        }
        Ok(values)
    }

    async fn attempt(&self, client: &Client, trial: &Trial<'_>) -> &'static str {
        let answer = self.read(client, trial.options.clone()).await;
        if let Ok(values) = &answer {
            let lacking: Vec<_> = trial.must_contain.difference(values).collect();
            assert!(lacking.is_empty(), "{}: {lacking:?} are missing", trial.name);
        }
        said(trial.name, answer.map(drop))
    }

    /// What each level does for a client.
    async fn column(&mut self, client: &Client, before: &Before, told: Token) -> Vec<&'static str> {
        let all = self.acknowledged.clone();
        let mut words = Vec::new();
        for trial in trials(before, &all, told) {
            words.push(self.attempt(client, &trial).await);
        }
        let described = client.describe_topic(&self.topic).await.map(drop);
        words.push(said("describe", described));
        words.push(said("append", self.append(client).await));
        words
    }
}

fn to_end(level: Level) -> ConsumerOptions {
    let (until, consistency) = (Until::ToEnd, Some(level));
    ConsumerOptions { until, consistency, timeout: PATIENCE, ..ConsumerOptions::default() }
}

fn said(what: &str, result: Result<(), Error>) -> &'static str {
    match result {
        Ok(()) => "answered",
        Err(error) if error.kind() == Kind::Unavailable => "unavailable",
        Err(error) => panic!("{what}: {error}"),
    }
}

/// `told` is what somebody on the majority's side has seen, who hands it on.
fn trials<'a>(before: &'a Before, all: &'a BTreeSet<String>, told: Token) -> Vec<Trial<'a>> {
    let Token(then) = before.token;
    let as_of =
        ConsumerOptions { until: Until::Closed(then), timeout: PATIENCE, ..ConsumerOptions::default() };
    let old = &before.acknowledged;
    [
        ("read as of a time before the cut", as_of, old),
        ("eventual", to_end(Level::Eventual), old),
        ("bounded, the cut is younger than the age", to_end(Level::Bounded(LONG_AGE)), old),
        ("bounded, the cut is older", to_end(Level::Bounded(AGE)), old),
        ("session, or causal, the token from before the cut", to_end(Level::Causal(before.token)), old),
        ("session, or causal, the token from the majority's side", to_end(Level::Causal(told)), all),
        ("linearizable", to_end(Level::Linearizable), all),
    ]
    .map(|(name, options, must_contain)| Trial { name, options, must_contain })
    .into()
}

fn table(columns: &[Vec<&'static str>; 3]) -> String {
    let before = Before { acknowledged: BTreeSet::new(), token: Token::default() };
    let (all, token) = (BTreeSet::new(), Token::default());
    let names = trials(&before, &all, token).into_iter().map(|trial| trial.name);
    let names = names.chain(["a new client asks for the topic", "append"]);
    let mut text = String::from("| | no cut | majority's side | minority's side |\n|---|---|---|---|\n");
    for (row, name) in names.enumerate() {
        let [well, majority, minority] = columns.each_ref().map(|column| column[row]);
        let _ = writeln!(text, "| {name} | {well} | {majority} | {minority} |");
    }
    text
}

/// What reads of each level take while all is well, at the median.
async fn costs(divided: &Divided, client: &Client) -> String {
    let levels = [Level::Eventual, Level::Bounded(AGE), Level::Session, Level::Linearizable];
    let mut text = String::new();
    for level in levels {
        let mut took = Vec::new();
        for _ in 0..READS {
            let began = Instant::now();
            divided.read(client, to_end(level)).await.expect("all is well");
            took.push(began.elapsed());
        }
        took.sort_unstable();
        let _ =
            writeln!(text, "{level:?}: {:?} at the median, {:?} at most", took[READS / 2], took[READS - 1]);
    }
    text
}

/// The part of the document that stands between two comments.
fn documented() -> String {
    let document = include_str!("../../docs/CONSISTENCY.md");
    let (_, rest) = document.split_once("<!-- measured -->\n").expect("the table begins there");
    let (table, _) = rest.split_once("<!-- end -->").expect("and ends there");
    table.to_owned()
}

/// The side with a majority answers everything; the other one what needs nothing new, and refuses the rest in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn levels_do_in_a_divided_network_what_the_document_says() {
    let mut divided = Divided::start().await;
    let (client, other) = (divided.client().await, divided.client().await);
    divided.append_surely(&client).await;
    let all = divided.acknowledged.clone();
    // Read to the end: its token names a time that all shards are closed at, on every node in a moment.
    assert_eq!(divided.read(&client, to_end(Level::Linearizable)).await.expect("all is well"), all);
    let before = Before { acknowledged: all, token: client.token() };
    for node in 1..=NODES {
        let node = Some(timberline::types::NodeId(node.into()));
        let pinned = ConsumerOptions { node, ..to_end(Level::Causal(before.token)) };
        divided.read(&client, pinned).await.expect("it is closed there");
    }
    println!("{}", costs(&divided, &client).await);
    let well = divided.column(&client, &before, client.token()).await;
    divided.cut(false);
    divided.append_surely(&client).await;
    let majority = divided.column(&client, &before, client.token()).await;
    let told = client.token();
    assert!(told.0 > Timestamp::ZERO.max(before.token.0));
    divided.cut(true);
    let minority = divided.column(&other, &before, told).await;
    let measured = table(&[well, majority, minority]);
    println!("{measured}");
    assert_eq!(documented(), measured, "docs/CONSISTENCY.md says otherwise than what was measured");
    divided.network.set(Weather::default());
    let began = Instant::now();
    let healed = loop {
        match divided.read(&client, to_end(Level::Linearizable)).await {
            Ok(values) => break values,
            Err(error) => assert!(began.elapsed() < SERVES_MAX, "{error}"),
        }
    };
    assert!(
        divided.acknowledged.is_subset(&healed),
        "what was acknowledged is there when it is one network again"
    );
}
