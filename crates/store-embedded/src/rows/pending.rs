//! What has to be known of a pending registration besides its queue row.

use pushroll_domain::{Platform, StoreError, Timestamp};
use serde::{Deserialize, Serialize};

use super::{codes, corrupt, decode, encode};

const KIND: &str = "pending registration";

/// A pending registration. App, user, token and id are in the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PendingRow {
    /// Its place in the order of commits.
    pub(crate) commit: u64,
    /// When it is due, as in the key of its queue row.
    pub(crate) due: Timestamp,
    /// The platform, as in the key of its queue row.
    pub(crate) platform: Platform,
}

#[derive(Serialize, Deserialize)]
struct Row {
    commit: u64,
    due: u64,
    platform: u8,
}

pub(crate) fn encode_pending(row: PendingRow) -> Vec<u8> {
    let platform = codes::platform(row.platform);
    encode(&Row { commit: row.commit, due: row.due.as_millis(), platform }, 24)
}

pub(crate) fn decode_pending(bytes: &[u8]) -> Result<PendingRow, StoreError> {
    let row: Row = decode(KIND, bytes)?;
    Ok(PendingRow {
        commit: row.commit,
        due: Timestamp::from_millis(row.due),
        platform: codes::platform_of(row.platform).ok_or_else(|| corrupt(KIND))?,
    })
}
