//! What an endpoint stands on: the machine's UDP, or a network that a simulator gives.
//!
//! Knows nothing of connections. Time is tokio's in either case, so a paused clock holds for quinn's timers too.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use quinn::{AsyncUdpSocket, EndpointConfig, Runtime, ServerConfig};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::Error;

/// A UDP socket for one endpoint.
pub struct Socket {
    udp: Arc<dyn AsyncUdpSocket>,
    address: SocketAddr,
    /// Seeds what quinn draws; from the operating system if there is none.
    seed: Option<u64>,
}

impl Socket {
    /// Binds `address` on this machine; must be called within a tokio runtime, which then runs the socket.
    pub fn bind(address: SocketAddr) -> Result<Self, Error> {
        let bind = || {
            let udp = runtime().wrap_udp_socket(UdpSocket::bind(address)?)?;
            Self::new(udp, None)
        };
        bind().map_err(|source| Error::Bind { address, source })
    }

    /// A simulator's socket. What quinn draws at random comes from `seed`; keys and connection ids still come from the
    /// operating system, and neither their sizes nor any moment hangs on them.
    pub fn simulated(udp: Arc<dyn AsyncUdpSocket>, seed: u64) -> io::Result<Self> {
        Self::new(udp, Some(seed))
    }

    /// A socket for both address families, or for IPv4 alone where there is no other.
    pub(super) fn bind_any() -> Result<Self, Error> {
        // On Linux a socket bound to `::` takes IPv4 too, unless the machine says otherwise.
        let any = |ip: std::net::IpAddr| Self::bind(SocketAddr::new(ip, 0));
        any(Ipv6Addr::UNSPECIFIED.into()).or_else(|_| any(Ipv4Addr::UNSPECIFIED.into()))
    }

    fn new(udp: Arc<dyn AsyncUdpSocket>, seed: Option<u64>) -> io::Result<Self> {
        let address = udp.local_addr()?;
        Ok(Self { udp, address, seed })
    }

    /// The address really bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts an endpoint on it.
    pub(super) fn open(
        self,
        mut config: EndpointConfig,
        server: Option<ServerConfig>,
    ) -> Result<quinn::Endpoint, Error> {
        config.rng_seed(self.seed.map(|seed| StdRng::seed_from_u64(seed).random()));
        let Self { udp, address, .. } = self;
        quinn::Endpoint::new_with_abstract_socket(config, server, udp, runtime())
            .map_err(|source| Error::Bind { address, source })
    }
}

fn runtime() -> Arc<dyn Runtime> {
    quinn::default_runtime().expect("called within a tokio runtime")
}
