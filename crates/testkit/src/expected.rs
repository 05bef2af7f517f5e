//! What a test computes for itself, without the code under test.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::{digest, hmac};
use uuid::Uuid;

/// HMAC-SHA256.
#[must_use]
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

/// SHA-256.
#[must_use]
pub fn sha256(message: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, message).as_ref().to_vec()
}

/// The first 12 bits of SHA-256 over the 16 bytes of the app's id and the user's id in UTF-8.
#[must_use]
pub fn user_bits(app: &str, user: &str) -> u16 {
    let app = Uuid::parse_str(app).expect("an app id");
    let hash = sha256(&[app.as_bytes(), user.as_bytes()].concat());
    u16::from_be_bytes([hash[0], hash[1]]) >> 4
}

/// The 12 bits after the version of a UUIDv7.
#[must_use]
pub fn first_12_bits_of_rand_a(id: &str) -> u16 {
    let id = Uuid::parse_str(id).expect("a UUID");
    u16::from_be_bytes([id.as_bytes()[6], id.as_bytes()[7]]) & 0x0fff
}

/// A UUIDv7 that the service has never handed out, another one each time.
#[must_use]
pub fn an_unknown_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("01900000-0000-7000-8000-{number:012x}")
}
