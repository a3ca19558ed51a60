//! What an endpoint stands on: the machine's UDP, or a network that a simulator gives.
//!
//! Knows nothing of connections. Time is tokio's in either case, so a paused clock holds for quinn's timers too.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use quinn::udp::UdpSocketState;
use quinn::{AsyncUdpSocket, EndpointConfig, Runtime, ServerConfig};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::Error;

/// Room for what arrives while its task waits for a core. What does not fit is lost, and QUIC takes loss for a path that is too narrow:
/// with the 208 KiB that Linux gives unasked, three nodes on one machine stood still for a second at a time.
/// The kernel gives no more than its setting `net.core.rmem_max`.
pub const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

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
            let udp = UdpSocket::bind(address)?;
            enlarge(&udp)?;
            Self::new(runtime().wrap_udp_socket(udp)?, None)
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

fn enlarge(udp: &UdpSocket) -> io::Result<()> {
    UdpSocketState::new(udp.into())?.set_recv_buffer_size(udp.into(), RECEIVE_BUFFER_BYTES)
}

fn runtime() -> Arc<dyn Runtime> {
    quinn::default_runtime().expect("called within a tokio runtime")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_has_room_for_a_burst_as_far_as_the_kernel_grants_it() {
        let granted = || std::fs::read_to_string("/proc/sys/net/core/rmem_max").ok()?.trim().parse().ok();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        enlarge(&udp).unwrap();
        let room = UdpSocketState::new((&udp).into()).unwrap().recv_buffer_size((&udp).into()).unwrap();
        assert!(room >= RECEIVE_BUFFER_BYTES.min(granted().unwrap_or(usize::MAX)), "{room} bytes");
    }
}
