//! How each kind of row is written: a byte with the version of its encoding, then its fields in
//! [postcard](https://postcard.jamesmunns.com/wire-format)'s form.
//!
//! The structs here are the format, apart from the domain's types on purpose: a change over there
//! must not change what is on disk. What the key says is not in the value. The tests hold bytes of
//! every version ever written.

use pushroll_domain::StoreError;
use serde::{Deserialize, Serialize};

mod answer;
pub(crate) mod codes;
mod config;
mod delivery;
mod device;
mod mark;
mod outcome;
mod pending;
mod registration;

pub(crate) use config::{
    decode_app, decode_org, decode_token, encode_app, encode_org, encode_token,
};
pub(crate) use delivery::{decode_delivery, encode_delivery};
pub(crate) use device::{decode_device, encode_device, registered_by};
pub(crate) use mark::{decode_mark, encode_mark};
pub(crate) use outcome::{decode_outcome, encode_history, encode_outcome, ended_at, status};
pub(crate) use pending::{PendingRow, decode_pending, encode_pending};
pub(crate) use registration::{decode_registration, encode_registration};

/// The version of each kind of row, where its own file does not say more.
const VERSION: u8 = 1;

fn encode(row: &impl Serialize, capacity: usize) -> Vec<u8> {
    encode_as(VERSION, row, capacity)
}

fn encode_as(version: u8, row: &impl Serialize, capacity: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(capacity);
    bytes.push(version);
    // Rows have no maps and no sequences of unknown length, so writing to memory can't fail.
    postcard::to_extend(row, bytes).expect("a row can be written")
}

fn decode<'a, T: Deserialize<'a>>(kind: &'static str, bytes: &'a [u8]) -> Result<T, StoreError> {
    decode_up_to(VERSION, kind, bytes)
}

/// Reads a row whose later versions, up to this one, only add to what the first can say.
fn decode_up_to<'a, T: Deserialize<'a>>(
    newest: u8,
    kind: &'static str,
    bytes: &'a [u8],
) -> Result<T, StoreError> {
    let (row, rest) = take(newest, kind, bytes)?;
    if rest.is_empty() { Ok(row) } else { Err(corrupt(kind)) }
}

/// Reads the first field or fields of a row.
fn decode_first<'a, T: Deserialize<'a>>(
    kind: &'static str,
    bytes: &'a [u8],
) -> Result<(T, &'a [u8]), StoreError> {
    take(VERSION, kind, bytes)
}

fn take<'a, T: Deserialize<'a>>(
    newest: u8,
    kind: &'static str,
    bytes: &'a [u8],
) -> Result<(T, &'a [u8]), StoreError> {
    match bytes.split_first() {
        Some((&version, row)) if (VERSION..=newest).contains(&version) => {
            postcard::take_from_bytes(row).map_err(|_| corrupt(kind))
        }
        Some((&other, _)) => Err(StoreError::Corrupt(format!(
            "a {kind} row has encoding {other}; this version of pushroll knows {newest}"
        ))),
        None => Err(corrupt(kind)),
    }
}

pub(crate) fn corrupt(kind: &'static str) -> StoreError {
    StoreError::Corrupt(format!("a {kind} row can't be read"))
}

#[cfg(test)]
mod tests;
