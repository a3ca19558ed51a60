//! `clock watch`: asks every node again and again, and shows what came, drawn on a terminal or as JSON in a pipe.
//!
//! Each node is asked by a task of its own: one that hangs delays no other's row. Every refresh tells of all nodes, of the
//! first one on: it waits until each has answered or was given up.

use std::io::{self, IsTerminal};
use std::time::Duration;

use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::council::Council;
use super::frame::{Picture, draw};
use super::line::Line;
use super::row::ClockRow;
use super::screen::Screen;
use super::sighting::{Sighting, Watched};
use super::status::ANSWER_LIMIT;
use crate::cli::arguments::{Common, WatchArguments};
use crate::cli::connect::connect;
use crate::cli::failure::Failure;
use crate::cli::output::{Format, print_line, to_json};
use crate::client::{Client, ClockAnswer};
use crate::types::{Monotonic, NodeId};

const INTERVAL_MIN: Duration = Duration::from_millis(50);
/// A node counts as unheard after so long without an answer, or after so many refreshes if that is longer.
const SILENCE: Duration = Duration::from_secs(1);
const SILENT_REFRESHES: u32 = 3;
/// Frames that are not drawn on a terminal are so wide.
const PLAIN_COLUMNS: usize = 140;

pub(in crate::cli) async fn watch(arguments: &WatchArguments, common: &Common) -> Result<(), Failure> {
    let WatchArguments { interval, count } = *arguments;
    if interval < INTERVAL_MIN {
        return Err(Failure::usage(format!("--interval {interval:?}: at least {INTERVAL_MIN:?}")));
    }
    let is_terminal = io::stdout().is_terminal();
    let is_drawn = match common.output {
        None => is_terminal,
        Some(Format::Table) => true,
        Some(Format::Ndjson) => false,
        Some(Format::Json | Format::Raw) => {
            return Err(Failure::usage("what goes on is no document: say -o ndjson or -o table"));
        }
    };
    let client = connect(common).await?;
    let mut stop = Stop::listen()?;
    let mut watching = Watching::start(&client, interval).await?;
    if is_drawn && is_terminal {
        return watching.on_screen(count, &mut stop).await;
    }
    let mut shown = 0;
    while (count == 0 || shown < count) && watching.next(&mut stop).await {
        shown += 1;
        if is_drawn {
            watching.print_frame()?;
        } else {
            watching.print_rows(shown)?;
        }
    }
    Ok(())
}

/// What ends a view that has no end of its own.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
    keys: Option<mpsc::Receiver<()>>,
}

impl Stop {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::plain(format!("cannot listen for signals: {error}")))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            keys: None,
        })
    }

    async fn wait(&mut self) {
        let Self { terminate, interrupt, keys } = self;
        let pressed = async {
            let key = match keys {
                Some(keys) => keys.recv().await,
                None => None,
            };
            // Without a keyboard only signals end it.
            if key.is_none() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = pressed => {}
        }
    }
}

/// All nodes, each asked in turns.
struct Watching {
    cluster: String,
    every: Duration,
    /// The common clock counts from here.
    start: Instant,
    nodes: Vec<(NodeId, Watched)>,
    answers: mpsc::Receiver<ClockAnswer>,
    refreshes: tokio::time::Interval,
    /// Aborted when dropped.
    _asking: JoinSet<()>,
}

impl Watching {
    async fn start(client: &Client, every: Duration) -> Result<Self, Failure> {
        let nodes: Vec<NodeId> = client.cluster().await?.nodes.iter().map(|node| node.node).collect();
        let (sender, answers) = mpsc::channel(nodes.len().max(1));
        let mut asking = JoinSet::new();
        for node in &nodes {
            asking.spawn(keep_asking(client.clone(), *node, every, sender.clone()));
        }
        let mut refreshes = tokio::time::interval(every);
        refreshes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            cluster: client.cluster_name().to_owned(),
            every,
            start: Instant::now(),
            nodes: nodes.into_iter().map(|node| (node, Watched::new(node))).collect(),
            answers,
            refreshes,
            _asking: asking,
        })
    }

    /// Waits until the next refresh is due, and takes the answers that come meanwhile; `false` if it is to end.
    async fn next(&mut self, stop: &mut Stop) -> bool {
        loop {
            let is_settled = self.nodes.iter().all(|(_, watched)| watched.is_settled());
            tokio::select! {
                () = stop.wait() => return false,
                Some(answer) = self.answers.recv() => self.take(answer),
                _ = self.refreshes.tick(), if is_settled => return true,
            }
        }
    }

    fn take(&mut self, answer: ClockAnswer) {
        let start = self.start;
        if let Some((_, watched)) = self.nodes.iter_mut().find(|(node, _)| *node == answer.node) {
            watched.take(answer, start);
        }
    }

    /// All clocks at one moment: now.
    fn sightings(&self) -> Vec<Sighting> {
        let now = Monotonic::default().plus(self.start.elapsed());
        let patience = SILENCE.max(self.every * SILENT_REFRESHES);
        self.nodes.iter().map(|(_, watched)| watched.at(now, patience)).collect()
    }

    fn frame(&self, columns: usize) -> Vec<Line> {
        let sightings = self.sightings();
        let council = Council::of(&sightings);
        let picture =
            Picture { cluster: &self.cluster, every: self.every, sightings: &sightings, council: &council };
        draw(&picture, columns)
    }

    async fn on_screen(&mut self, count: u64, stop: &mut Stop) -> Result<(), Failure> {
        let in_colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let screen = Screen::open(in_colour)?;
        stop.keys = Some(screen.quit_keys()?);
        let (mut shown, mut last) = (0, Vec::new());
        while (count == 0 || shown < count) && self.next(stop).await {
            shown += 1;
            last = self.frame(Screen::size().0);
            last.push(Line::default());
            last.push(Line::new(super::line::Paint::Grey, "q or Ctrl-C ends"));
            screen.show(&last)?;
        }
        let columns = Screen::size().0;
        drop(screen);
        // What was seen last stays to be read and copied; but for the word on how to end.
        last.truncate(last.len().saturating_sub(2));
        last.iter().try_for_each(|line| print_line(&line.render(columns, in_colour)))
    }

    fn print_frame(&self) -> Result<(), Failure> {
        let lines = self.frame(PLAIN_COLUMNS);
        lines
            .iter()
            .chain([&Line::default()])
            .try_for_each(|line| print_line(&line.render(PLAIN_COLUMNS, false)))
    }

    fn print_rows(&self, refresh: u64) -> Result<(), Failure> {
        let sightings = self.sightings();
        let council = Council::of(&sightings);
        sightings.iter().try_for_each(|seen| print_line(&to_json(&WatchRow::of(refresh, seen, &council))))
    }
}

async fn keep_asking(client: Client, node: NodeId, every: Duration, answers: mpsc::Sender<ClockAnswer>) {
    let mut turns = tokio::time::interval(every);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        if answers.send(client.read_clock(node, ANSWER_LIMIT).await).await.is_err() {
            return;
        }
    }
}

/// One node at one refresh: what `clock status` says of it, and where it stands among the others.
#[derive(Serialize)]
struct WatchRow {
    /// Counts from 1; all nodes of one refresh are shown for one moment.
    refresh: u64,
    #[serde(flatten)]
    clock: ClockRow,
    /// `majority`, `misses` or `unheard`.
    standing: &'static str,
    /// Its midpoint minus the middle of the majority, as closely as asking told.
    offset_low_ns: Option<i64>,
    offset_high_ns: Option<i64>,
    rtt_ns: u64,
}

impl WatchRow {
    fn of(refresh: u64, seen: &Sighting, council: &Council) -> Self {
        let clock = match &seen.clock {
            Ok(clock) => ClockRow::answered(clock),
            Err(reason) => ClockRow::unreachable(seen.node, reason.clone()),
        };
        let offset = seen.place.map(|place| place.midpoint.shifted(council.centre_ns.saturating_neg()));
        Self {
            refresh,
            clock,
            standing: council.standing(seen.node).as_str(),
            offset_low_ns: offset.map(|offset| offset.low_ns),
            offset_high_ns: offset.map(|offset| offset.high_ns),
            rtt_ns: seen.round_trip_ns,
        }
    }
}
