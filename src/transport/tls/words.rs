//! What an ended connection means, in words for people.
//!
//! Knows nothing of what is done about it.

use quinn::{ConnectionError, VarInt};

use crate::transport::{CloseCode, Error};

/// The error of an ended connection: a refusal if the peer named one of our codes.
pub(in crate::transport) fn ended(peer: &str, error: &ConnectionError) -> Error {
    if let ConnectionError::ApplicationClosed(close) = error {
        let code = CloseCode::from_wire(close.error_code.into_inner());
        if let Some(code) = code.filter(|code| !matches!(code, CloseCode::Done | CloseCode::Replaced)) {
            let reason = String::from_utf8_lossy(&close.reason).into_owned();
            return Error::Refused { peer: peer.to_owned(), code, reason };
        }
    }
    let (peer, reason) = (peer.to_owned(), explain(error));
    if is_untrusted(error) { Error::Untrusted { peer, reason } } else { Error::Closed { peer, reason } }
}

/// Whether one side did not accept the other's certificate.
pub(in crate::transport) fn is_untrusted(error: &ConnectionError) -> bool {
    let code = match error {
        ConnectionError::TransportError(error) => u64::from(error.code),
        ConnectionError::ConnectionClosed(close) => u64::from(close.error_code),
        _ => return false,
    };
    alert(code).is_some()
}

/// What a connection error means, in words that name the certificate problem if it is one.
pub(in crate::transport) fn explain(error: &ConnectionError) -> String {
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
