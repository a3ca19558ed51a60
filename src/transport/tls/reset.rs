//! The key that lets a restarted node end its peers' old connections at once.
//!
//! Knows nothing of connections.

use rustls::crypto::tls13::{Hkdf, OkmBlock};

use super::Identity;

/// Signs stateless resets (RFC 9000, 10.3) with a key derived from the certificate's key: a restarted process
/// can tell its peers at once that their old connections are gone.
pub(in crate::transport) struct ResetKey {
    hmac: &'static dyn Hkdf,
    key: OkmBlock,
}

impl ResetKey {
    pub(in crate::transport) fn derive(identity: &Identity) -> Self {
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
