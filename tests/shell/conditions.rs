//! Conditional appends through crashes and cuts: of several writers with one expectation one wins, and no update is lost.
//!
//! Writers add to one log by its next offset, and count one counter up by reading it as of a time and appending the next number if it
//! is unchanged since. One of them gives up soon, so that nobody knows the fate of some of its appends.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use timberline::client::{
    AppendFailure, Client, Consumed, ConsumerOptions, CreateTopic, Error, Outcome, Producer, ProducerOptions,
    Until,
};
use timberline::types::{Condition, Found, Offset, Receipt, Record, TopicName};

use crate::cluster::{PATIENCE, connect, run_node};
use crate::seeds;
use crate::world::{Climate, World};

const STORM: Duration = Duration::from_secs(8);
const LIMIT: Duration = Duration::from_secs(120);
const HASTE: Duration = Duration::from_millis(300);
const ROUND_EVERY: Duration = Duration::from_millis(40);
const WRITERS: u64 = 3;
const COUNTER: &str = "counter";

/// What the writers were told, by what their records say.
#[derive(Default)]
struct Book {
    won: BTreeMap<Offset, String>,
    lost: BTreeSet<String>,
    refused: u64,
    done: u64,
}

impl Book {
    fn note(&mut self, text: String, ended: &Result<Receipt, AppendFailure>) {
        match ended {
            Ok(receipt) => {
                let other = self.won.insert(receipt.first_offset, text);
                assert_eq!(other, None, "two won offset {}", receipt.first_offset);
            }
            Err(failure) => {
                self.refused += u64::from(matches!(failure.error, Error::ConditionFailed { .. }));
                if failure.outcome == Outcome::NotApplied {
                    self.lost.insert(text);
                }
            }
        }
    }
}

fn topic() -> TopicName {
    "ledger".parse().expect("a good name")
}

async fn read(client: &Client, until: Until) -> Result<Vec<Consumed>, Error> {
    let options = ConsumerOptions { until, timeout: PATIENCE, ..ConsumerOptions::default() };
    let mut consumer = client.consumer(&topic(), options).await?;
    let mut records = Vec::new();
    while let Some(consumed) = consumer.next().await? {
        records.push(consumed);
    }
    Ok(records)
}

fn text_of(record: &Record) -> &str {
    std::str::from_utf8(record.value.as_ref().expect("a value")).expect("text")
}

/// The counter's numbers, in the order of the log.
fn counted(records: &[Consumed]) -> Vec<u64> {
    let of_counter = records.iter().filter(|consumed| consumed.record.key.is_some());
    of_counter.map(|consumed| text_of(&consumed.record).split(' ').next().unwrap().parse().unwrap()).collect()
}

/// Counts on from what stands as of now. A read that does not come to its end is another writer's turn.
async fn count(client: &Client, producer: &Producer, name: &str, book: &RefCell<Book>) {
    let Ok(now) = client.now().await else { return };
    let Ok(records) = read(client, Until::Closed(now.interval.latest)).await else { return };
    let next = counted(&records).last().copied().unwrap_or(0) + 1;
    let text = format!("{next} {name}");
    let record = Record { key: Some(COUNTER.into()), value: Some(text.clone().into()), ..Record::default() };
    let unchanged = Condition::KeyUnchangedSince { key: COUNTER.into(), as_of: now.interval.latest };
    let ended = producer.append_if(unchanged, &[record]).await;
    book.borrow_mut().note(text, &ended);
}

/// Appends behind what it takes for the end; gives what it takes for the end then.
async fn extend(producer: &Producer, end: Offset, name: &str, book: &RefCell<Book>) -> Offset {
    let record = Record { value: Some(name.to_owned().into()), ..Record::default() };
    let ended = producer.append_if(Condition::NextOffset(end), &[record]).await;
    book.borrow_mut().note(name.to_owned(), &ended);
    match ended {
        Ok(receipt) => {
            assert_eq!(receipt.first_offset, end);
            end.plus(1)
        }
        Err(AppendFailure {
            error: Error::ConditionFailed { found: Found::NextOffset(next), .. }, ..
        }) => next,
        Err(_) => end,
    }
}

async fn write(climate: Climate, writer: u64, book: Rc<RefCell<Book>>) {
    let client = connect(&climate, writer).await;
    let shape = CreateTopic { shards: 1, replicas: 3, ..CreateTopic::named(&topic()) };
    // All but the first find it there.
    let _there = client.create_topic(shape).await;
    let timeout = if writer == 1 { HASTE } else { PATIENCE };
    let options = ProducerOptions { timeout, ..ProducerOptions::default() };
    let producer = client.producer(&topic(), options).await.expect("the topic is there");
    let mut turns = tokio::time::interval(ROUND_EVERY);
    let (mut end, mut round) = (Offset(0), 0);
    while turmoil::sim_elapsed() < Some(STORM) {
        turns.tick().await;
        round += 1;
        let name = format!("{writer}-{round}");
        if round % 3 == 0 {
            count(&client, &producer, &name, &book).await;
        } else {
            end = extend(&producer, end, &name, &book).await;
        }
    }
    book.borrow_mut().done += 1;
}

async fn prove(climate: Climate, book: Rc<RefCell<Book>>) {
    let client = connect(&climate, 4).await;
    let mut turns = tokio::time::interval(ROUND_EVERY);
    while book.borrow().done < WRITERS {
        turns.tick().await;
    }
    let records = read(&client, Until::ToEnd).await.expect("the storm is over");
    let book = book.borrow();
    for (offset, text) in &book.won {
        let there = &records[offset.0 as usize];
        assert_eq!((there.offset, text_of(&there.record)), (*offset, text.as_str()), "who won stands there");
    }
    let lost = records.iter().find(|consumed| book.lost.contains(text_of(&consumed.record)));
    assert!(lost.is_none(), "{lost:?} was not applied");
    let numbers = counted(&records);
    let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
    assert_eq!(numbers, expected, "no update is lost, and none counted twice");
    assert!(book.won.len() > 10 && book.refused > 5, "{} won, {} were refused", book.won.len(), book.refused);
}

#[test]
fn two_writers_with_one_expectation_one_wins() {
    for seed in seeds() {
        let book = Rc::new(RefCell::new(Book::default()));
        let mut world = World::new(seed, run_node);
        let climate = world.climate();
        for writer in 1..=WRITERS {
            world.client(&format!("writer-{writer}"), write(climate.clone(), writer, Rc::clone(&book)));
        }
        world.client("reader", prove(climate, book));
        world.run(STORM, LIMIT, |_| false);
    }
}
