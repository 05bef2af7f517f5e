//! The user of an app: a contact, lead or profile id.

use std::fmt;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::guid::parse_guid;
use crate::ids::AppId;

/// The id of a contact, a lead or a profile: 1 to 256 characters, none of them a control character.
/// A GUID is written in its normal form; any other id is kept byte for byte.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UserId(Box<str>);

/// Why a text is not a user id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UserIdFault {
    /// No character at all.
    #[error("must not be empty")]
    Empty,
    /// More characters than [`UserId::MAX_CHARS`].
    #[error("must have at most 256 characters")]
    TooLong,
    /// A character of the Unicode category Cc.
    #[error("must not contain control characters")]
    ControlCharacter,
}

impl UserId {
    /// The most characters (Unicode scalar values) that a user id may have.
    pub const MAX_CHARS: usize = 256;

    /// Reads a user id.
    ///
    /// # Errors
    /// When it is empty, too long or holds a control character.
    pub fn parse(text: &str) -> Result<Self, UserIdFault> {
        if text.is_empty() {
            return Err(UserIdFault::Empty);
        }
        if text.len() > Self::MAX_CHARS && text.chars().count() > Self::MAX_CHARS {
            return Err(UserIdFault::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(UserIdFault::ControlCharacter);
        }
        Ok(match parse_guid(text) {
            Ok(guid) => Self(guid.to_string().into()),
            Err(_) => Self(text.into()),
        })
    }

    /// The id in its normal form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key under which this user's rows in this app lie together.
    #[must_use]
    pub fn key_in(&self, app: AppId) -> UserKey {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(app.as_bytes());
        hash.update(self.0.as_bytes());
        let mut key = [0; UserKey::LEN];
        key.copy_from_slice(&hash.finish().as_ref()[..UserKey::LEN]);
        UserKey(key)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserId({:?})", self.0)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first 128 bits of SHA-256 over the 16 bytes of the app id and the normalized user id in UTF-8.
///
/// Its first 12 bits are also in every registration id, and their top bits are the shard: fixed for
/// ever. Two users of one app could share a key only by some 2^64 tries of somebody who already
/// holds an API token of that app, and so may read and remove all of its users' devices anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UserKey([u8; UserKey::LEN]);

impl UserKey {
    /// Bytes in a key.
    pub const LEN: usize = 16;

    /// The key with these bytes, as a store keeps it.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The key's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The first 12 bits, which a registration id carries in its `rand_a`.
    #[must_use]
    pub const fn shard_bits(&self) -> u16 {
        ((self.0[0] as u16) << 4) | ((self.0[1] as u16) >> 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_has_1_to_256_characters() {
        assert_eq!(UserId::parse(""), Err(UserIdFault::Empty));
        assert!(UserId::parse(&"ü".repeat(256)).is_ok());
        assert_eq!(UserId::parse(&"ü".repeat(257)), Err(UserIdFault::TooLong));
    }

    #[test]
    fn a_user_id_has_no_control_characters() {
        for text in ["a\nb", "\0", "x\u{7f}", "\u{85}y"] {
            assert_eq!(UserId::parse(text), Err(UserIdFault::ControlCharacter), "{text:?}");
        }
    }

    #[test]
    fn a_guid_is_normalized_and_any_other_id_is_kept_byte_for_byte() {
        let guid = UserId::parse("{00AA00AA-BB11-CC22-DD33-44EE44EE44EE}").unwrap();
        assert_eq!(guid.as_str(), "00aa00aa-bb11-cc22-dd33-44ee44ee44ee");
        assert_eq!(UserId::parse(" Profile/ÄÖ ").unwrap().as_str(), " Profile/ÄÖ ");
    }

    #[test]
    fn a_user_key_is_sha_256_over_the_app_id_and_the_normalized_user_id() {
        let vectors = [
            // Computed apart, with Python's hashlib. They never change.
            ("00000000-0000-0000-0000-000000000000", "00aa00aa-bb11-cc22-dd33-44ee44ee44ee", 0x1d4),
            (
                "00000000-0000-0000-0000-000000000000",
                "{00AA00AA-BB11-CC22-DD33-44EE44EE44EE}",
                0x1d4,
            ),
            ("00000000-0000-0000-0000-000000000000", "profile-1", 0x082),
            ("00000000-0000-0000-0000-000000000000", "Jürgen", 0xd4b),
            ("6f9619ff-8b86-d011-b42d-00cf4fc964ff", "profile-1", 0xa2a),
        ];
        for (app, user, first_12_bits) in vectors {
            let key = UserId::parse(user).unwrap().key_in(AppId::parse(app).unwrap());
            assert_eq!(key.shard_bits(), first_12_bits, "{app} {user}");
        }
    }
}
