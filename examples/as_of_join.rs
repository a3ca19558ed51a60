//! Two topics read in one order: each flight meets the weather as it was known when the flight left.
//!
//!     cargo run --example as_of_join [-- --quick]
//!
//! Flights and weather reports of the first week of 2013 in New York go into a topic each, in the order in which they happened.
//! The join needs no windows, no buffers and no watermarks: a report that was acknowledged before a flight was sent comes before
//! it in the merged order, whichever topics and shards they are in.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;

use serde_json::Value;
use timberline::client::{Client, ConsumerOptions, CreateTopic, ProducerOptions, Until};
use timberline::testing::Cluster;
use timberline::types::{Record, TopicName};

const FLIGHTS: &[u8] = include_bytes!("../tests/data/flights-2013-01-first-week.ndjson.zst");
const WEATHER: &[u8] = include_bytes!("../tests/data/weather-2013-01-first-week.ndjson.zst");
/// Events of a short run: about a day.
const QUICK: usize = 1000;

/// Something that happened at an airport.
struct Event {
    is_flight: bool,
    value: Value,
}

impl Event {
    fn text(&self, field: &str) -> String {
        self.value[field].as_str().unwrap_or_default().to_owned()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut events = events()?;
    if std::env::args().any(|argument| argument == "--quick") {
        events.truncate(QUICK);
    }
    let cluster = Cluster::start()?;
    let client = cluster.client().await?;
    let topics: [TopicName; 2] = ["weather".parse()?, "flights".parse()?];
    for topic in &topics {
        client.create_topic(CreateTopic { shards: 3, replicas: 1, ..CreateTopic::named(topic) }).await?;
    }
    play(&client, &topics, &events).await?;
    let joined = join(&client, &topics).await?;
    // What happened first was sent first: the same join over the events themselves.
    assert_eq!(joined, expected(&events));
    report(&joined);
    Ok(())
}

/// All events in the order in which they happened; a report comes before the flights of its minute.
fn events() -> Result<Vec<Event>, Box<dyn Error>> {
    let mut events = Vec::new();
    for (is_flight, packed) in [(false, WEATHER), (true, FLIGHTS)] {
        let lines = String::from_utf8(zstd::decode_all(packed)?)?;
        for line in lines.lines() {
            events.push(Event { is_flight, value: serde_json::from_str(line)? });
        }
    }
    events.retain(|event| !event.is_flight || event.value["kind"] == "departed");
    events.sort_by_key(|event| event.text("event_time"));
    Ok(events)
}

/// Sends them. Where reports follow flights or flights reports, the former are acknowledged first: that is all it takes.
async fn play(client: &Client, topics: &[TopicName; 2], events: &[Event]) -> Result<(), Box<dyn Error>> {
    let weather = client.producer(&topics[0], ProducerOptions::default()).await?;
    let flights = client.producer(&topics[1], ProducerOptions::default()).await?;
    for run in events.chunk_by(|a, b| a.is_flight == b.is_flight) {
        let producer = if run[0].is_flight { &flights } else { &weather };
        for event in run {
            let (key, value) = (Some(event.text("origin").into()), Some(event.value.to_string().into()));
            producer.send(Record { key, value, ..Record::default() }).await?;
        }
        producer.flush().await?;
    }
    Ok(())
}

/// A flight's name and delay, and the wind of the last report before it.
type Joined = Vec<(String, f64, Option<f64>)>;

/// One pass over both topics.
async fn join(client: &Client, topics: &[TopicName; 2]) -> Result<Joined, Box<dyn Error>> {
    let to_end = ConsumerOptions { until: Until::ToEnd, ..ConsumerOptions::default() };
    let mut consumer = client.consumer(topics, to_end).await?;
    let (mut joined, mut wind) = (Joined::new(), HashMap::new());
    while let Some(read) = consumer.next().await? {
        let value = serde_json::from_slice(read.record.value.as_deref().unwrap_or_default())?;
        take(&mut joined, &mut wind, &Event { is_flight: *read.topic == topics[1], value });
    }
    joined.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(joined)
}

fn expected(events: &[Event]) -> Joined {
    let (mut joined, mut wind) = (Joined::new(), HashMap::new());
    for event in events {
        take(&mut joined, &mut wind, event);
    }
    joined.sort_by(|a, b| a.0.cmp(&b.0));
    joined
}

fn take(joined: &mut Joined, wind: &mut HashMap<String, Option<f64>>, event: &Event) {
    let origin = event.text("origin");
    if event.is_flight {
        let name = format!("{} {}{}", event.text("event_time"), event.text("carrier"), event.value["flight"]);
        let delay = event.value["dep_delay_min"].as_f64().unwrap_or_default();
        joined.push((name, delay, wind.get(&origin).copied().flatten()));
    } else {
        wind.insert(origin, event.value["wind_speed_mph"].as_f64());
    }
}

/// The mean delay by how strong the wind was.
fn report(joined: &Joined) {
    let mut by_wind: BTreeMap<i64, (u32, f64)> = BTreeMap::new();
    for (_, delay, wind) in joined {
        let Some(wind) = wind else { continue };
        let row = by_wind.entry((wind / 5.0) as i64 * 5).or_default();
        *row = (row.0 + 1, row.1 + delay);
    }
    println!("wind, mph   flights   mean delay, min");
    for (wind, (flights, delay)) in by_wind {
        println!("{wind:>4} to {:<4}{flights:>7}{:>18.1}", wind + 5, delay / f64::from(flights));
    }
}
