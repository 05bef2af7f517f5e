//! The ids that the service hands out: UUIDv7 (RFC 9562, section 5.7) on every store.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::guid::{GuidFault, parse_guid};
use crate::time::Timestamp;
use crate::user::UserKey;

macro_rules! guid_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(Uuid);

        impl $name {
            /// Reads the id from a GUID in any of its forms.
            ///
            /// # Errors
            /// When the text is not a GUID.
            pub fn parse(text: &str) -> Result<Self, GuidFault> {
                parse_guid(text).map(Self)
            }

            /// The id with these 16 bytes, as a store keeps it.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The id's 16 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0.hyphenated())
            }
        }
    };
}

guid_type! {
    /// An organization: it owns mobile apps.
    OrgId
}
guid_type! {
    /// A mobile app of an organization.
    AppId
}
guid_type! {
    /// An API token of a mobile app; not the token itself.
    TokenId
}
guid_type! {
    /// An entry of the audit list.
    AuditId
}
guid_type! {
    /// One request to add a device. Its `rand_a` carries the first 12 bits of the [`UserKey`], from
    /// which a store knows the shard of everything that belongs to the registration.
    RegistrationId
}

impl RegistrationId {
    /// The 12 bits of the user key in this id; `None` for an id that this service can't have handed
    /// out, because it is no UUIDv7.
    #[must_use]
    pub fn shard_bits(&self) -> Option<u16> {
        let bytes = self.0.as_bytes();
        (self.0.get_version_num() == 7 && self.0.get_variant() == uuid::Variant::RFC4122)
            .then(|| (u16::from(bytes[6] & 0x0f) << 8) | u16::from(bytes[7]))
    }

    /// When the id was made, by the clock of the node that made it.
    #[must_use]
    pub fn made_at(&self) -> Timestamp {
        let bytes = self.0.as_bytes();
        let mut millis = [0; 8];
        millis[2..].copy_from_slice(&bytes[..6]);
        Timestamp::from_millis(u64::from_be_bytes(millis))
    }
}

/// One run of the process, to tell tries of this run from those before a restart or take-over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RunId(pub u64);

/// Makes ids. Those made within one millisecond for one user sort in the order in which they were
/// made: a counter leads `rand_b` (RFC 9562, section 6.2, method 1).
#[derive(Debug, Default)]
pub struct IdSequence {
    /// Milliseconds << 18 | counter.
    last: AtomicU64,
}

const COUNTER_BITS: u32 = 18;
const RANDOM_BITS: u32 = 62 - COUNTER_BITS;

impl IdSequence {
    /// A sequence that has made nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { last: AtomicU64::new(0) }
    }

    /// An id for a registration of the user with this key.
    #[must_use]
    pub fn registration(&self, now: Timestamp, user: &UserKey, random: u64) -> RegistrationId {
        RegistrationId(self.next(now, user.shard_bits(), random))
    }

    /// An id for an organization.
    #[must_use]
    pub fn org(&self, now: Timestamp, random: u64) -> OrgId {
        OrgId(self.unsharded(now, random))
    }

    /// An id for a mobile app.
    #[must_use]
    pub fn app(&self, now: Timestamp, random: u64) -> AppId {
        AppId(self.unsharded(now, random))
    }

    /// An id for an API token.
    #[must_use]
    pub fn token(&self, now: Timestamp, random: u64) -> TokenId {
        TokenId(self.unsharded(now, random))
    }

    /// An id for an entry of the audit list.
    #[must_use]
    pub fn audit(&self, now: Timestamp, random: u64) -> AuditId {
        AuditId(self.unsharded(now, random))
    }

    fn unsharded(&self, now: Timestamp, random: u64) -> Uuid {
        // The top bits are beyond those that `next` takes for rand_b.
        self.next(now, (random >> 52) as u16, random)
    }

    fn next(&self, now: Timestamp, rand_a: u16, random: u64) -> Uuid {
        let wanted = now.as_millis() << COUNTER_BITS;
        // A clock that stands or goes back only moves the counter on, into the next millisecond
        // if need be.
        let advance = |last: u64| wanted.max(last + 1);
        let before = self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(advance(last)))
            .unwrap_or_else(|last| last);
        let this = advance(before);
        let millis = this >> COUNTER_BITS;
        let counter = this & ((1 << COUNTER_BITS) - 1);
        let rand_b = (counter << RANDOM_BITS) | (random & ((1 << RANDOM_BITS) - 1));
        let high = (millis << 16) | 0x7000 | u64::from(rand_a & 0x0fff);
        let low = (0b10 << 62) | rand_b;
        Uuid::from_u64_pair(high, low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user::UserId;

    #[test]
    fn a_registration_id_is_a_uuid_v7_with_the_users_bits_in_rand_a() {
        let app = AppId::parse("00000000-0000-0000-0000-000000000000").unwrap();
        let key = UserId::parse("profile-1").unwrap().key_in(app);
        let at = Timestamp::from_millis(0x0192_3456_789a);
        let id = IdSequence::new().registration(at, &key, u64::MAX);
        assert_eq!(id.to_string(), "01923456-789a-7082-8000-0fffffffffff");
        assert_eq!(id.shard_bits(), Some(0x082));
        assert_eq!(id.made_at(), at);
    }

    #[test]
    fn ids_of_one_millisecond_sort_in_the_order_in_which_they_were_made() {
        let ids = IdSequence::new();
        let key = UserId::parse("u").unwrap().key_in(AppId::from_bytes([1; 16]));
        let mut last = ids.registration(Timestamp::from_millis(5), &key, u64::MAX);
        for millis in [5, 5, 4, 1, 5, 6, 6] {
            let next = ids.registration(Timestamp::from_millis(millis), &key, 0);
            assert!(next > last, "{next} after {last}");
            last = next;
        }
    }

    #[test]
    fn an_id_of_another_version_has_no_shard() {
        let v4 = RegistrationId::parse("9b2d4f9e-6f0e-4c1b-8a55-0c6f4d1f0a11").unwrap();
        assert_eq!(v4.shard_bits(), None);
        assert_eq!(RegistrationId::from_bytes([0; 16]).shard_bits(), None);
    }
}
