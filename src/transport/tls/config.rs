//! TLS 1.3 with both sides named.
//!
//! Knows nothing of hellos. The crypto provider is given, never taken from the process; sessions are not resumed
//! (every connection proves its certificate anew) and carry no early data.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Identity;
use crate::transport::Error;
use crate::types::NodeId;
use crate::wire::{CLIENT_ALPN, NODE_ALPN};

/// A name in every node's certificate, for clients, who dial an address and take any node.
pub(in crate::transport) const ANY_NODE_NAME: &str = "timberline.internal";

/// The name in one node's certificate, for its peers, who mean that node and no other.
pub(in crate::transport) fn server_name(node: NodeId) -> String {
    format!("node-{node}.{ANY_NODE_NAME}")
}

pub(in crate::transport) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The common name in a certificate.
pub(in crate::transport) fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let name = parsed.subject().iter_common_name().next()?;
    name.as_str().ok().map(str::to_owned)
}

/// The common name the peer proved in the handshake.
pub(in crate::transport) fn peer_name(connection: &quinn::Connection) -> Option<String> {
    let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    common_name(chain.first()?)
}

pub(in crate::transport) fn server_config(identity: &Identity) -> Result<QuicServerConfig, Error> {
    let verifier = WebPkiClientVerifier::builder_with_provider(identity.roots.clone(), provider())
        .build()
        .map_err(|error| Error::Tls(error.to_string()))?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .and_then(|builder| {
            builder
                .with_client_cert_verifier(verifier)
                .with_single_cert(identity.chain.clone(), identity.key.clone_key())
        })
        .map_err(|error| Error::Tls(error.to_string()))?;
    config.alpn_protocols = vec![NODE_ALPN.to_vec(), CLIENT_ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    QuicServerConfig::try_from(config).map_err(|error| Error::Tls(error.to_string()))
}

pub(in crate::transport) fn client_config(
    identity: &Identity,
    alpn: &[u8],
) -> Result<QuicClientConfig, Error> {
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .and_then(|builder| {
            builder
                .with_root_certificates(identity.roots.clone())
                .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
        })
        .map_err(|error| Error::Tls(error.to_string()))?;
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    QuicClientConfig::try_from(config).map_err(|error| Error::Tls(error.to_string()))
}
