//! An entry of the audit list.

use std::net::IpAddr;

use pushroll_domain::{
    Actor, AppId, AuditAction, AuditEntry, AuditId, OrgId, StoreError, Timestamp, TokenId,
};
use serde::{Deserialize, Serialize};

use super::{corrupt, decode, encode};

const KIND: &str = "audit";

/// Its number is in the key. The action is its name, and the source as an address is written.
#[derive(Serialize, Deserialize)]
struct Row<'a> {
    id: [u8; 16],
    at: u64,
    by: &'a str,
    source: Option<&'a str>,
    action: &'a str,
    org: Option<[u8; 16]>,
    app: Option<[u8; 16]>,
    token: Option<[u8; 16]>,
    name: &'a str,
    #[serde(borrow)]
    fields: Vec<&'a str>,
}

pub(crate) fn encode_audit(entry: &AuditEntry) -> Vec<u8> {
    let source = entry.actor.source.map(|source| source.to_string());
    let row = Row {
        id: *entry.id.as_bytes(),
        at: entry.at.as_millis(),
        by: &entry.actor.by,
        source: source.as_deref(),
        action: entry.action.name(),
        org: entry.org.map(|id| *id.as_bytes()),
        app: entry.app.map(|id| *id.as_bytes()),
        token: entry.token.map(|id| *id.as_bytes()),
        name: &entry.name,
        fields: entry.fields.iter().map(String::as_str).collect(),
    };
    encode(&row, 160)
}

pub(crate) fn decode_audit(bytes: &[u8]) -> Result<AuditEntry, StoreError> {
    let row: Row<'_> = decode(KIND, bytes)?;
    let source = row.source.map(str::parse::<IpAddr>).transpose().map_err(|_| corrupt(KIND))?;
    Ok(AuditEntry {
        id: AuditId::from_bytes(row.id),
        at: Timestamp::from_millis(row.at),
        actor: Actor { by: row.by.to_owned(), source },
        action: AuditAction::of_name(row.action).ok_or_else(|| corrupt(KIND))?,
        org: row.org.map(OrgId::from_bytes),
        app: row.app.map(AppId::from_bytes),
        token: row.token.map(TokenId::from_bytes),
        name: row.name.to_owned(),
        fields: row.fields.into_iter().map(str::to_owned).collect(),
    })
}
