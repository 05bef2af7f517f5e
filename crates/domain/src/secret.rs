//! Values that must not be printed: API tokens, keys, sealed fields.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

/// An API token as a caller sent it: 1 to 512 characters. Only its hash is ever stored.
#[derive(Clone)]
pub struct ApiToken(Zeroizing<String>);

/// Why a text is not an API token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ApiTokenFault {
    /// No character at all.
    #[error("must not be empty")]
    Empty,
    /// More characters than [`ApiToken::MAX_CHARS`].
    #[error("must have at most 512 characters")]
    TooLong,
}

impl ApiToken {
    /// The most characters that an API token may have.
    pub const MAX_CHARS: usize = 512;

    /// Reads an API token.
    ///
    /// # Errors
    /// When it is empty or too long.
    pub fn parse(text: &str) -> Result<Self, ApiTokenFault> {
        if text.is_empty() {
            return Err(ApiTokenFault::Empty);
        }
        if text.len() > Self::MAX_CHARS && text.chars().count() > Self::MAX_CHARS {
            return Err(ApiTokenFault::TooLong);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// What is stored of the token, and what it is looked up by.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.0)
    }

    /// The token itself: for showing it once to who made it, and as the key of a callback's
    /// signature.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiToken({} characters)", self.0.chars().count())
    }
}

/// SHA-256 of a token of 256 random bits. Equality takes the same time wherever two hashes differ.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of this token.
    #[must_use]
    pub fn of(token: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        Self(hash)
    }

    /// The hash with these bytes, as a store keeps it.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for TokenHash {}

impl std::hash::Hash for TokenHash {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// A secret in the clear (a private key, a service account): wiped when dropped, never printed.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes into keeping.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

/// A secret under the sealing key, as it lies in a store. Only a [`crate::Sealer`] makes or opens one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed(pub Vec<u8>);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_token_has_1_to_512_characters() {
        assert_eq!(ApiToken::parse("").unwrap_err(), ApiTokenFault::Empty);
        assert!(ApiToken::parse(&"é".repeat(512)).is_ok());
        assert_eq!(ApiToken::parse(&"é".repeat(513)).unwrap_err(), ApiTokenFault::TooLong);
    }

    #[test]
    fn secrets_do_not_print() {
        let token = ApiToken::parse("hunter2").unwrap();
        let all = format!("{token:?} {:?} {:?}", token.hash(), Secret::new(b"hunter2".to_vec()));
        assert!(!all.contains("hunter2"), "{all}");
        assert_eq!(all, "ApiToken(7 characters) TokenHash(…) Secret(7 bytes)");
    }
}
