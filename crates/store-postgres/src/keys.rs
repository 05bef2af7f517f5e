//! What rows are found by.

use aws_lc_rs::digest;
use pushroll_domain::{AppId, DeviceToken, HostKey, Platform, RegistrationId, UserKey};
use uuid::Uuid;

pub(crate) fn app(id: AppId) -> Uuid {
    Uuid::from_bytes(*id.as_bytes())
}

pub(crate) fn id(id: RegistrationId) -> Uuid {
    Uuid::from_bytes(*id.as_bytes())
}

pub(crate) fn user(key: &UserKey) -> Uuid {
    Uuid::from_bytes(*key.as_bytes())
}

/// The first 128 bits of SHA-256 over platform and token.
pub(crate) fn token(token: &DeviceToken) -> Uuid {
    let platform = match token.platform() {
        Platform::Ios => 0,
        Platform::Android => 1,
    };
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(&[platform]);
    hash.update(token.reveal().as_bytes());
    let mut key = [0; 16];
    key.copy_from_slice(&hash.finish().as_ref()[..16]);
    Uuid::from_bytes(key)
}

pub(crate) fn host(host: HostKey) -> i64 {
    i64::from_be_bytes(host.0)
}

pub(crate) fn registration(id: Uuid) -> RegistrationId {
    RegistrationId::from_bytes(id.into_bytes())
}

pub(crate) fn app_id(id: Uuid) -> AppId {
    AppId::from_bytes(id.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_s_key_is_fixed_for_ever() {
        // printf '\000abcd' | sha256sum; printf '\001abcd' | sha256sum
        let key =
            |platform| token(&DeviceToken::parse(platform, "abcd").unwrap()).simple().to_string();
        assert_eq!(key(Platform::Ios), "b4768f09ca070169db2f596274553165");
        assert_eq!(key(Platform::Android), "b75eb7b06e69c1c49597fba37398e0f5");
    }
}
