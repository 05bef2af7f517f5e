//! How far an import into the store has come.

use pushroll_domain::{ImportProgress, StoreError, Timestamp};
use serde::{Deserialize, Serialize};

use super::{decode, encode};

#[derive(Serialize, Deserialize)]
struct Row {
    export: [u8; 16],
    records: u64,
    digest: [u8; 32],
    begun_at: u64,
    finished_at: Option<u64>,
}

pub(crate) fn encode_import(progress: &ImportProgress) -> Vec<u8> {
    let row = Row {
        export: progress.export,
        records: progress.records,
        digest: progress.digest,
        begun_at: progress.begun_at.as_millis(),
        finished_at: progress.finished_at.map(Timestamp::as_millis),
    };
    encode(&row, 80)
}

pub(crate) fn decode_import(bytes: &[u8]) -> Result<ImportProgress, StoreError> {
    let row: Row = decode("import", bytes)?;
    Ok(ImportProgress {
        export: row.export,
        records: row.records,
        digest: row.digest,
        begun_at: Timestamp::from_millis(row.begun_at),
        finished_at: row.finished_at.map(Timestamp::from_millis),
    })
}
