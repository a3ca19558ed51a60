//! Who is who: certificates made, loaded, proved and named.
//!
//! Knows nothing of what is said over a connection.

mod certs;
mod config;
mod identity;
mod reset;
mod words;

#[cfg(test)]
pub(super) use certs::{Authority, CertFolder, Validity};
pub use certs::{CertReport, init_certs};
pub(super) use config::{ANY_NODE_NAME, client_config, peer_name, server_config, server_name};
pub use identity::{CertificateTerm, Identity, certificate_terms};
pub(super) use reset::ResetKey;
pub(super) use words::{ended, explain, is_untrusted};
