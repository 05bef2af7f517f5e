//! Where a list of all devices of an app goes on: by user key, and of one user by registration.

use std::fmt;

use crate::ids::RegistrationId;
use crate::user::UserKey;

/// The place of a device in the list of all devices of its app. The list is in the order of these
/// places, which is that of the shards. Written in 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DevicePlace {
    /// The user's key in the app.
    pub user: UserKey,
    /// The registration that stored the device.
    pub id: RegistrationId,
}

impl DevicePlace {
    const BYTES: usize = UserKey::LEN + 16;

    /// Reads a place; `None` if the text is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 2 * Self::BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut bytes = [0; Self::BYTES];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
        }
        let (mut user, mut id) = ([0; UserKey::LEN], [0; 16]);
        user.copy_from_slice(&bytes[..UserKey::LEN]);
        id.copy_from_slice(&bytes[UserKey::LEN..]);
        Some(Self { user: UserKey::from_bytes(user), id: RegistrationId::from_bytes(id) })
    }
}

impl fmt::Display for DevicePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.user.as_bytes().iter().chain(self.id.as_bytes());
        bytes.into_iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::AppId;
    use crate::user::UserId;

    #[test]
    fn a_place_is_read_as_it_is_written_and_nothing_else_is() {
        let user = UserId::parse("ann").unwrap().key_in(AppId::from_bytes([3; 16]));
        let place = DevicePlace { user, id: RegistrationId::from_bytes([0xa7; 16]) };
        let text = place.to_string();
        assert_eq!(DevicePlace::parse(&text), Some(place));
        for wrong in ["", "x", &text[1..], &format!("{text}0"), &format!("+{}", &text[1..])] {
            assert_eq!(DevicePlace::parse(wrong), None, "{wrong}");
        }
    }
}
