//! The mark of a cleanup: its place in the order of commits.

use pushroll_domain::StoreError;

use super::{decode, encode};

pub(crate) fn encode_mark(commit: u64) -> Vec<u8> {
    encode(&commit, 12)
}

pub(crate) fn decode_mark(bytes: &[u8]) -> Result<u64, StoreError> {
    decode("cleanup", bytes)
}
