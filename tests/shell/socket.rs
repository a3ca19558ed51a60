//! turmoil's UDP as a socket of quinn's, with weather of its own.
//!
//! Knows nothing of QUIC. turmoil delays and cuts; here datagrams are lost, doubled, or dropped because the path takes
//! none so large, as one seed has it. Every datagram sent is a line of the trace.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use turmoil::net::UdpSocket;

/// What becomes of datagrams on their way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) lost_per_mille: u32,
    pub(crate) doubled_per_mille: u32,
    /// The path drops what is larger.
    pub(crate) datagram_bytes_max: usize,
}

/// Every datagram sent: when, between whom, how large, what became of it.
pub(crate) type Trace = Arc<Mutex<Vec<String>>>;

/// One bound socket.
pub(crate) struct SimulatedUdp {
    socket: Arc<UdpSocket>,
    readable: Mutex<Option<Readable>>,
    weather: Weather,
    random: Mutex<StdRng>,
    trace: Trace,
}

type Readable = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

impl SimulatedUdp {
    /// Binds a port of the host whose task this is.
    pub(crate) async fn bind(
        port: u16,
        weather: Weather,
        seed: u64,
        trace: Trace,
    ) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).await?);
        let random = Mutex::new(StdRng::seed_from_u64(seed));
        Ok(Arc::new(Self { socket, readable: Mutex::default(), weather, random, trace }))
    }

    fn copies(&self, bytes: usize) -> usize {
        let mut random = self.random.lock().expect("no panic under the lock");
        let (lost, doubled) = (random.random_range(0..1000), random.random_range(0..1000));
        if bytes > self.weather.datagram_bytes_max || lost < self.weather.lost_per_mille {
            return 0;
        }
        1 + usize::from(doubled < self.weather.doubled_per_mille)
    }
}

impl AsyncUdpSocket for SimulatedUdp {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit) -> io::Result<()> {
        let to = transmit.destination;
        for datagram in transmit.contents.chunks(transmit.segment_size.unwrap_or(transmit.contents.len())) {
            let copies = self.copies(datagram.len());
            let at = turmoil::sim_elapsed().unwrap_or_default();
            let from = self.socket.local_addr()?.port();
            let line = format!("{} ms {from}->{to} {} bytes x{copies}", at.as_millis(), datagram.len());
            self.trace.lock().expect("no panic under the lock").push(line);
            for _ in 0..copies {
                self.socket.try_send_to(datagram, to)?;
            }
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        context: &mut Context,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut readable = self.readable.lock().expect("no panic under the lock");
        loop {
            let socket = &self.socket;
            let waiting = readable.get_or_insert_with(|| {
                let socket = Arc::clone(socket);
                Box::pin(async move { socket.readable().await })
            });
            ready!(waiting.as_mut().poll(context))?;
            // It holds the socket's lock until it is dropped.
            *readable = None;
            match self.socket.try_recv_from(&mut buffers[0]) {
                Ok((len, addr)) => {
                    meta[0] = RecvMeta { addr, len, stride: len, ecn: None, dst_ip: None };
                    return Poll::Ready(Ok(1));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

impl fmt::Debug for SimulatedUdp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("SimulatedUdp").field(&self.socket).finish()
    }
}

/// turmoil takes every datagram at once.
#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _context: &mut Context) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
