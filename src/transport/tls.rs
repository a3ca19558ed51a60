//! TLS 1.3 with both sides named: configurations, names, and the words for what went wrong.
//!
//! Knows nothing of hellos. The crypto provider is given, never taken from the process; sessions are not resumed
//! (every connection proves its certificate anew) and carry no early data.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ConnectionError, VarInt};
use rustls::crypto::CryptoProvider;
use rustls::crypto::tls13::{Hkdf, OkmBlock};
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{CloseCode, Error, Identity};
use crate::types::NodeId;
use crate::wire::{CLIENT_ALPN, NODE_ALPN};

/// A name in every node's certificate, for clients, who dial an address and take any node.
pub(super) const ANY_NODE_NAME: &str = "timberline.internal";

/// The name in one node's certificate, for its peers, who mean that node and no other.
pub(super) fn server_name(node: NodeId) -> String {
    format!("node-{node}.{ANY_NODE_NAME}")
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The common name in a certificate.
pub(super) fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let name = parsed.subject().iter_common_name().next()?;
    name.as_str().ok().map(str::to_owned)
}

/// The common name the peer proved in the handshake.
pub(super) fn peer_name(connection: &quinn::Connection) -> Option<String> {
    let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    common_name(chain.first()?)
}

pub(super) fn server_config(identity: &Identity) -> Result<QuicServerConfig, Error> {
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

pub(super) fn client_config(identity: &Identity, alpn: &[u8]) -> Result<QuicClientConfig, Error> {
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

/// Signs stateless resets (RFC 9000, 10.3) with a key derived from the certificate's key: a restarted process
/// can tell its peers at once that their old connections are gone.
pub(super) struct ResetKey {
    hmac: &'static dyn Hkdf,
    key: OkmBlock,
}

impl ResetKey {
    pub(super) fn derive(identity: &Identity) -> Self {
        let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
        let hmac = suite.tls13().expect("a TLS 1.3 suite").hkdf_provider;
        let label = OkmBlock::new(b"timberline stateless reset");
        let key = hmac.hmac_sign(&label, identity.key.secret_der());
        Self { hmac, key: OkmBlock::new(key.as_ref()) }
    }
}

impl quinn::crypto::HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        signature_out.copy_from_slice(self.hmac.hmac_sign(&self.key, data).as_ref());
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), quinn::crypto::CryptoError> {
        let expected = self.hmac.hmac_sign(&self.key, data);
        let expected = expected.as_ref();
        // Every byte is compared, so that the time taken says nothing about where they part.
        let difference = expected.iter().zip(signature).fold(0, |all, (a, b)| all | (a ^ b));
        if signature.len() == expected.len() && difference == 0 {
            Ok(())
        } else {
            Err(quinn::crypto::CryptoError)
        }
    }
}

/// The error of an ended connection: a refusal if the peer named one of our codes.
pub(super) fn ended(peer: &str, error: &ConnectionError) -> Error {
    if let ConnectionError::ApplicationClosed(close) = error {
        let code = CloseCode::from_wire(close.error_code.into_inner());
        if let Some(code) = code.filter(|code| !matches!(code, CloseCode::Done | CloseCode::Replaced)) {
            let reason = String::from_utf8_lossy(&close.reason).into_owned();
            return Error::Refused { peer: peer.to_owned(), code, reason };
        }
    }
    Error::Closed { peer: peer.to_owned(), reason: explain(error) }
}

/// What a connection error means, in words that name the certificate problem if it is one.
pub(super) fn explain(error: &ConnectionError) -> String {
    match error {
        ConnectionError::TransportError(error) => {
            let found = alert(u64::from(error.code)).unwrap_or("the protocol failed");
            format!("we refuse the peer: {found} ({})", error.reason)
        }
        ConnectionError::ConnectionClosed(close) => match alert(u64::from(close.error_code)) {
            Some(found) => format!("the peer refuses us: {found}"),
            None => close.to_string(),
        },
        ConnectionError::ApplicationClosed(close) => {
            let reason = String::from_utf8_lossy(&close.reason);
            if close.error_code == VarInt::from_u32(0) && reason.is_empty() {
                "the peer closed it".to_owned()
            } else {
                format!("the peer closed it: {reason}")
            }
        }
        ConnectionError::Reset => "the peer has restarted".to_owned(),
        ConnectionError::TimedOut => "no answer in time".to_owned(),
        ConnectionError::LocallyClosed => "closed on this side".to_owned(),
        other => other.to_string(),
    }
}

/// The TLS alert (RFC 8446, 6) in a QUIC error code (RFC 9001, 4.8), as words.
fn alert(code: u64) -> Option<&'static str> {
    Some(match code.checked_sub(0x100)? {
        42 | 43 | 46 | 49 => "the certificate is not acceptable",
        45 => {
            "the certificate is expired or not yet valid (check clocks; `timberline cert init` makes new ones)"
        }
        // 51, a wrong signature: another CA of the same name.
        48 | 51 => "the certificate is signed by an unknown CA (do both sides have the same ca.pem?)",
        116 => "a certificate is missing",
        120 => "no common protocol (ALPN) version",
        _ => return None,
    })
}
