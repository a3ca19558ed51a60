//! One seed's world: three machines, whoever talks to them, and what goes wrong between them.
//!
//! Knows nothing of what runs on the machines. turmoil ticks every host by a millisecond of virtual time; between two
//! ticks machines crash and come back, links are cut and heal, as the seed has it.

use std::cell::Cell;
use std::fmt::Write as _;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Once};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use timberline::clock::{Clock, ClockOptions, Declared, SimulatedTicks};
use timberline::disk::MemoryDisk;
use timberline::transport::{ClientEndpoint, ClientOptions, Socket};
use turmoil::Sim;

use crate::certs;
use crate::socket::{SimulatedUdp, Trace, Weather};

pub(crate) const NODES: [u64; 3] = [1, 2, 3];
const PORT: u16 = 7600;
const TICK: Duration = Duration::from_millis(1);
/// Real time that a tick may take before a task is said to spin.
const TICK_TAKES_MAX: Duration = Duration::from_secs(30);
/// True time when the world begins.
const EPOCH_NS: u64 = 1_700_000_000_000_000_000;
/// How far a clock may be off, and how far two of the three are.
pub(crate) const UNCERTAINTY: Duration = Duration::from_millis(1);

type Failure = Box<dyn std::error::Error>;

/// What outlives a crash.
pub(crate) struct Machine {
    pub(crate) node: u64,
    pub(crate) disk: Arc<MemoryDisk>,
    ticks: SimulatedTicks,
    /// Starts so far.
    starts: Cell<u64>,
    climate: Climate,
}

/// What all sockets of a world share.
#[derive(Clone)]
pub(crate) struct Climate {
    pub(crate) seed: u64,
    weather: Weather,
    trace: Trace,
}

/// Something that goes wrong for a while.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Crash(u64),
    Cut(u64, u64),
    CutOneWay(u64, u64),
    CutClients(u64),
    /// Nothing is lost between two, and all of it comes late.
    Hold(u64, u64),
    /// The power of all three fails.
    Blackout,
}

pub(crate) struct World {
    sim: Sim<'static>,
    climate: Climate,
    random: StdRng,
    machines: Vec<Rc<Machine>>,
    clients: Vec<String>,
    /// What is wrong now, and until when.
    troubles: Vec<(Duration, Trouble)>,
    next_trouble: Duration,
    story: String,
    panics_before: u64,
    watch: mpsc::Sender<()>,
}

thread_local! {
    /// Panics on this thread, which runs every task of its world.
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

impl World {
    /// A world whose machines run `software` whenever they start.
    pub(crate) fn new<F, Fut>(seed: u64, software: F) -> Self
    where
        F: Fn(Rc<Machine>) -> Fut + Clone + 'static,
        Fut: Future<Output = Result<(), Failure>> + 'static,
    {
        let mut random = StdRng::seed_from_u64(seed);
        let weather = Weather {
            lost_per_mille: *[0, 0, 5, 20, 50].choose(&mut random).expect("some"),
            doubled_per_mille: *[0, 10, 30].choose(&mut random).expect("some"),
            datagram_bytes_max: *[1280, 1500, 9000].choose(&mut random).expect("some"),
        };
        Self::under(weather, random, seed, software)
    }

    /// A world in which nothing is lost on the way.
    pub(crate) fn in_fair_weather<F, Fut>(seed: u64, software: F) -> Self
    where
        F: Fn(Rc<Machine>) -> Fut + Clone + 'static,
        Fut: Future<Output = Result<(), Failure>> + 'static,
    {
        let weather = Weather { lost_per_mille: 0, doubled_per_mille: 0, datagram_bytes_max: 1500 };
        Self::under(weather, StdRng::seed_from_u64(seed), seed, software)
    }

    fn under<F, Fut>(weather: Weather, mut random: StdRng, seed: u64, software: F) -> Self
    where
        F: Fn(Rc<Machine>) -> Fut + Clone + 'static,
        Fut: Future<Output = Result<(), Failure>> + 'static,
    {
        count_panics();
        let latest = Duration::from_millis(random.random_range(2..30));
        let mut sim = turmoil::Builder::new()
            .rng_seed(random.random())
            .tick_duration(TICK)
            .min_message_latency(TICK)
            .max_message_latency(latest)
            .udp_capacity(4096)
            .simulation_duration(Duration::from_secs(600))
            .build();
        let climate = Climate { seed, weather, trace: Trace::default() };
        let uncertainty_ns = UNCERTAINTY.as_nanos() as u64;
        let starts_at = [EPOCH_NS, EPOCH_NS + uncertainty_ns, EPOCH_NS - uncertainty_ns];
        let machine = |(node, starts_at)| Machine {
            node,
            disk: Arc::default(),
            ticks: SimulatedTicks::starting_at(starts_at),
            starts: Cell::new(0),
            climate: climate.clone(),
        };
        let machines: Vec<_> = NODES.into_iter().zip(starts_at).map(machine).map(Rc::new).collect();
        for machine in &machines {
            let (name, machine, software) = (name(machine.node), Rc::clone(machine), software.clone());
            sim.host(name, move || {
                machine.starts.set(machine.starts.get() + 1);
                software(Rc::clone(&machine))
            });
        }
        let story = format!("seed {seed}: {weather:?}, up to {latest:?} on the way\n");
        Self {
            sim,
            climate,
            random,
            machines,
            clients: Vec::new(),
            troubles: Vec::new(),
            next_trouble: Duration::from_millis(1500),
            story,
            panics_before: PANICS.get(),
            watch: watch(seed),
        }
    }

    pub(crate) fn climate(&self) -> Climate {
        self.climate.clone()
    }

    /// Adds a host for a client's work; the run ends when all of them have.
    pub(crate) fn client(&mut self, name: &str, work: impl Future<Output = ()> + 'static) {
        self.clients.push(name.to_owned());
        self.sim.client(name, async move {
            work.await;
            Ok(())
        });
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.sim.elapsed()
    }

    /// The lines of all datagrams so far.
    pub(crate) fn trace(&self) -> Vec<String> {
        self.climate.trace.lock().expect("no panic under the lock").clone()
    }

    /// Runs through trouble for `storm`, then in fair weather until `done` or, without clients left, for good.
    pub(crate) fn run(&mut self, storm: Duration, limit: Duration, mut done: impl FnMut(&Self) -> bool) {
        loop {
            if self.elapsed() < storm {
                self.trouble();
            } else {
                self.end_troubles(|_| true);
            }
            for machine in &self.machines {
                machine.ticks.advance(TICK);
            }
            self.watch.send(()).expect("the watch ends with the world");
            let finished = self.sim.step().unwrap_or_else(|error| panic!("{error}\n{}", self.story));
            let panics = PANICS.get() - self.panics_before;
            assert!(panics == 0, "a task panicked\n{}", self.story);
            if done(self) || (finished && !self.clients.is_empty()) {
                return;
            }
            assert!(self.elapsed() < limit, "not done within {limit:?}\n{}", self.story);
        }
    }

    /// Ends what is over and begins what is due.
    fn trouble(&mut self) {
        let now = self.elapsed();
        self.end_troubles(|ends| ends <= now);
        if now < self.next_trouble {
            return;
        }
        let a = self.random.random_range(1..=3);
        let b = (a + self.random.random_range(0..2)) % 3 + 1;
        let trouble = match self.random.random_range(0..20) {
            0..7 => Trouble::Crash(a),
            7..10 => Trouble::Cut(a, b),
            10..13 => Trouble::CutOneWay(a, b),
            13..16 => Trouble::CutClients(a),
            16..19 => Trouble::Hold(a, b),
            _ => Trouble::Blackout,
        };
        let lasts = Duration::from_millis(self.random.random_range(20..3000));
        let _ = writeln!(self.story, "{now:?} {trouble:?} for {lasts:?}");
        self.begin(trouble);
        self.troubles.push((now + lasts, trouble));
        self.next_trouble = now + Duration::from_millis(self.random.random_range(100..2500));
    }

    fn begin(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Crash(node) => {
                let power = self.random.random();
                self.crash(node, power);
            }
            Trouble::Blackout => NODES.into_iter().for_each(|node| self.crash(node, true)),
            Trouble::Hold(a, b) => self.sim.hold(name(a), name(b)),
            Trouble::Cut(a, b) => self.sim.partition(name(a), name(b)),
            Trouble::CutOneWay(a, b) => self.sim.partition_oneway(name(a), name(b)),
            Trouble::CutClients(node) => {
                self.clients.iter().for_each(|client| self.sim.partition(client.as_str(), name(node)));
            }
        }
    }

    fn end_troubles(&mut self, over: impl Fn(Duration) -> bool) {
        let (ended, left) = std::mem::take(&mut self.troubles).into_iter().partition(|(ends, _)| over(*ends));
        self.troubles = left;
        let ended: Vec<(Duration, Trouble)> = ended;
        for (_, trouble) in ended {
            match trouble {
                Trouble::Crash(node) => self.start_again(node),
                Trouble::Blackout => NODES.into_iter().for_each(|node| self.start_again(node)),
                Trouble::Hold(a, b) => self.sim.release(name(a), name(b)),
                Trouble::Cut(a, b) | Trouble::CutOneWay(a, b) => self.sim.repair(name(a), name(b)),
                Trouble::CutClients(node) => {
                    self.clients.iter().for_each(|client| self.sim.repair(client.as_str(), name(node)));
                }
            }
        }
    }

    fn crash(&mut self, node: u64, power: bool) {
        self.sim.crash(name(node));
        if power {
            let coins = self.random.random();
            self.machines[node as usize - 1].disk.power_cut(coins);
        }
    }

    fn start_again(&mut self, node: u64) {
        if !self.sim.is_host_running(name(node)) {
            self.sim.bounce(name(node));
        }
    }
}

/// A failure names its seed, whatever failed.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}repeat with TIMBERLINE_SHELL_SEED={}", self.story, self.climate.seed);
        }
    }
}

impl Machine {
    /// This start's number, from 1.
    pub(crate) fn starts(&self) -> u64 {
        self.starts.get()
    }

    pub(crate) async fn socket(&self) -> Result<Socket, Failure> {
        let seed = self.climate.seed ^ (self.node << 32) ^ (self.starts() << 40);
        self.climate.socket(PORT, seed).await
    }

    /// The machine's clock, off by as much as it declares.
    pub(crate) fn clock(&self) -> Arc<Clock> {
        let source = Arc::new(Declared::new(UNCERTAINTY));
        Arc::new(Clock::simulated(ClockOptions::default(), source, self.ticks.clone()))
    }
}

impl Climate {
    async fn socket(&self, port: u16, seed: u64) -> Result<Socket, Failure> {
        let udp = SimulatedUdp::bind(port, self.weather, seed, Arc::clone(&self.trace)).await?;
        Ok(Socket::simulated(udp, seed)?)
    }

    /// A client's endpoint on the host whose task this is.
    pub(crate) async fn client_endpoint(&self, number: u64) -> ClientEndpoint {
        let socket = self.socket(0, self.seed ^ (number << 52)).await.expect("a free port");
        ClientEndpoint::on(socket, &certs::client(), ClientOptions::default()).expect("a good identity")
    }
}

fn name(node: u64) -> String {
    format!("node-{node}")
}

/// Where a machine listens: turmoil counts hosts up from 192.168.0.1.
pub(crate) fn address(node: u64) -> SocketAddr {
    SocketAddr::from(([192, 168, 0, node as u8], PORT))
}

/// tokio keeps a task's panic to itself; a simulation must not.
fn count_panics() {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            hook(panic);
        }));
    });
}

/// A task that never waits stops virtual time for good. The watch, told of every tick, then ends the process with
/// the seed's name.
fn watch(seed: u64) -> mpsc::Sender<()> {
    let (tick, ticks) = mpsc::channel();
    std::thread::spawn(move || {
        loop {
            match ticks.recv_timeout(TICK_TAKES_MAX) {
                Ok(()) => {}
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    eprintln!("a task spins: repeat with TIMBERLINE_SHELL_SEED={seed}");
                    std::process::exit(1);
                }
            }
        }
    });
    tick
}
