//! How the parts of a row are written that SQL does not look into: a byte with the version of the encoding,
//! then the fields in [postcard](https://postcard.jamesmunns.com/wire-format)'s form. The configuration,
//! which operators may want to read, is JSON.
//!
//! The structs here are the format, apart from the domain's types on purpose: a change over there must
//! not change what is in the database. What a column says is not in the document.

use pushroll_domain::{CallbackOrder, OrgId, StoreError};
use serde::{Deserialize, Serialize};

mod answer;
pub(crate) mod codes;
pub(crate) mod config;
mod delivery;
mod device;
mod outcome;
mod registration;
#[cfg(test)]
mod tests;

pub(crate) use delivery::{
    CallbackColumns, callback_sealed_anew, decode_delivery, decode_record, encode_callback,
    encode_record,
};
pub(crate) use device::{DeviceColumns, decode_device, encode_device, encode_stored_device};
pub(crate) use outcome::{
    OutcomeColumns, decode_outcome, encode_ended, encode_outcome, encode_report,
};
/// Changes the order of an organization's callback, or leaves it.
pub(crate) type ChangeOrder<'a> =
    &'a dyn Fn(OrgId, &CallbackOrder) -> Result<Option<CallbackOrder>, StoreError>;
/// The document with the order changed by somebody, if he changes it.
pub(crate) type SealedAnew = fn(&[u8], ChangeOrder<'_>) -> Result<Option<Vec<u8>>, StoreError>;

pub(crate) use registration::{
    PendingColumns, decode_registration, encode_registration, encode_tries,
    registration_sealed_anew,
};

/// The only version so far of each kind of document.
const VERSION: u8 = 1;

fn encode(document: &impl Serialize, capacity: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(capacity);
    bytes.push(VERSION);
    // Documents have no maps and no sequences of unknown length, so writing to memory can't fail.
    postcard::to_extend(document, bytes).expect("a document can be written")
}

fn decode<'a, T: Deserialize<'a>>(kind: &'static str, bytes: &'a [u8]) -> Result<T, StoreError> {
    match bytes.split_first() {
        Some((&VERSION, document)) => match postcard::take_from_bytes(document) {
            Ok((document, [])) => Ok(document),
            Ok(_) | Err(_) => Err(corrupt(kind)),
        },
        Some((&other, _)) => Err(StoreError::Corrupt(format!(
            "a {kind} has encoding {other}; this version of pushroll knows {VERSION}"
        ))),
        None => Err(corrupt(kind)),
    }
}

pub(crate) fn corrupt(kind: &'static str) -> StoreError {
    StoreError::Corrupt(format!("a {kind} can't be read"))
}
