//! How each kind of row is written: a byte with the version of its encoding, then its fields in
//! [postcard](https://postcard.jamesmunns.com/wire-format)'s form.
//!
//! The structs here are the format, apart from the domain's types on purpose: a change over there
//! must not change what is on disk. What the key says is not in the value. The tests hold bytes of
//! every version ever written.

use pushroll_domain::StoreError;
use serde::{Deserialize, Serialize};

mod answer;
mod audit;
pub(crate) mod codes;
mod config;
mod delivery;
mod delivery_record;
mod device;
mod import;
mod mark;
mod outcome;
mod pending;
mod registration;

pub(crate) use audit::{decode_audit, encode_audit};
pub(crate) use config::{
    decode_app, decode_org, decode_token, encode_app, encode_org, encode_token,
};
pub(crate) use delivery::{decode_delivery, encode_delivery};
pub(crate) use delivery_record::{decode_delivery_record, encode_delivery_record};
pub(crate) use device::{decode_device, encode_device, registered_by};
pub(crate) use import::{decode_import, encode_import};
pub(crate) use mark::{decode_mark, encode_mark};
pub(crate) use outcome::{decode_outcome, encode_history, encode_outcome, ended_at, status};
pub(crate) use pending::{PendingRow, decode_pending, encode_pending};
pub(crate) use registration::{decode_registration, encode_registration};

/// The first version of each kind of row.
const VERSION: u8 = 1;
/// The first version and more behind it, for the kinds that have grown. A row that needs nothing of
/// what is new is still written in the first version.
const VERSION_WITH_MORE: u8 = 2;

fn encode(row: &impl Serialize, capacity: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(capacity);
    bytes.push(VERSION);
    // Rows have no maps, and sequences whose length is known, so writing to memory can't fail.
    postcard::to_extend(row, bytes).expect("a row can be written")
}

fn encode_with_more(row: &impl Serialize, more: &impl Serialize, capacity: usize) -> Vec<u8> {
    let mut bytes = encode(row, capacity);
    bytes[0] = VERSION_WITH_MORE;
    postcard::to_extend(more, bytes).expect("a row can be written")
}

/// Reads a row of either version, and what the second has more.
fn decode_with_more<'a, T: Deserialize<'a>, M: Deserialize<'a>>(
    kind: &'static str,
    bytes: &'a [u8],
) -> Result<(T, Option<M>), StoreError> {
    let Some((&VERSION_WITH_MORE, row)) = bytes.split_first() else {
        return decode(kind, bytes).map(|row| (row, None));
    };
    let (row, rest) = postcard::take_from_bytes(row).map_err(|_| corrupt(kind))?;
    let (more, rest) = postcard::take_from_bytes(rest).map_err(|_| corrupt(kind))?;
    if rest.is_empty() { Ok((row, Some(more))) } else { Err(corrupt(kind)) }
}

fn decode<'a, T: Deserialize<'a>>(kind: &'static str, bytes: &'a [u8]) -> Result<T, StoreError> {
    let (row, rest) = decode_first(kind, bytes)?;
    if rest.is_empty() { Ok(row) } else { Err(corrupt(kind)) }
}

/// Reads the first field or fields of a row.
fn decode_first<'a, T: Deserialize<'a>>(
    kind: &'static str,
    bytes: &'a [u8],
) -> Result<(T, &'a [u8]), StoreError> {
    match bytes.split_first() {
        Some((&VERSION, row)) => postcard::take_from_bytes(row).map_err(|_| corrupt(kind)),
        Some((&other, _)) => Err(StoreError::Corrupt(format!(
            "a {kind} row has encoding {other}; this version of pushroll knows {VERSION}"
        ))),
        None => Err(corrupt(kind)),
    }
}

pub(crate) fn corrupt(kind: &'static str) -> StoreError {
    StoreError::Corrupt(format!("a {kind} row can't be read"))
}

#[cfg(test)]
mod tests;
