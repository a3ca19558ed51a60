//! What a client hands on so that others see at least what it saw.

use std::fmt;
use std::str::FromStr;

use super::Timestamp;

/// A point in the order of everything: whoever bears it has seen nothing stamped later. `Token::default()` binds nobody.
///
/// One timestamp is enough, for the order of timestamps contains what happened before what (docs/CONSISTENCY.md).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub Timestamp);

/// Text that is not a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a token: a token is 16 hexadecimal digits, as `produce` and `consume` print it")]
pub struct InvalidToken {
    pub text: String,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0.0)
    }
}

impl FromStr for Token {
    type Err = InvalidToken;
    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let is_hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let value = is_hex.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        value.map(|ns| Self(Timestamp(ns))).ok_or_else(|| InvalidToken { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_text_and_sorts_as_it() {
        for ns in [0, 1, 1_700_000_000_000_000_001, u64::MAX] {
            let token = Token(Timestamp(ns));
            assert_eq!(token.to_string().parse(), Ok(token));
        }
        assert!(Token(Timestamp(9)).to_string() < Token(Timestamp(10)).to_string());
    }

    #[test]
    fn text_that_is_not_16_hex_digits_is_refused() {
        for bad in ["", "12", "+00000000000000f", "000000000000000g", "00000000000000000"] {
            assert!(bad.parse::<Token>().is_err(), "{bad:?}");
        }
    }
}
