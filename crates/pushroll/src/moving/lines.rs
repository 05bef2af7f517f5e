//! How each line of an export is written: a JSON object with one property, the kind of the line.
//!
//! The structs here are the format, apart from the domain's types on purpose: a change over there must not
//! change what is in a file. The order of fields is part of it, for lines are compared by their digests. Times are in
//! milliseconds since 1970, what is sealed is in base64. A property that is added later needs a new version of the
//! format: an older program refuses what it does not know rather than leaving it out.

mod audit;
mod callback;
mod config;
mod registration;
#[cfg(test)]
mod tests;
mod values;

use pushroll_domain::{AppId, Record, RecordKind};
use serde::{Deserialize, Serialize};

use audit::AuditLine;
use callback::{CallbackLine, DeliveryLine};
use config::{AppLine, OrgLine, TokenLine};
use registration::{DeviceLine, OutcomeLine, PendingLine};

/// A line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Header(Header),
    Checkpoint(Checkpoint),
    Trailer(Trailer),
    Org(OrgLine),
    App(AppLine),
    PurgedApp(PurgedAppLine),
    Token(TokenLine),
    Device(DeviceLine),
    Pending(PendingLine),
    Outcome(OutcomeLine),
    Callback(CallbackLine),
    Delivery(DeliveryLine),
    Audit(AuditLine),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PurgedAppLine {
    id: AppId,
}

/// The first line: what all the others are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The version of the format.
    pub format: u32,
    /// The id of this export.
    pub id: uuid::Uuid,
    /// When it was made.
    pub at_ms: u64,
    /// By which program.
    pub program: String,
    /// Out of which kind of store.
    pub source: String,
    /// The ids of the keys that secrets in it are sealed under, the newest first; empty if nothing was ever sealed.
    pub sealing_keys: Vec<String>,
    /// Outcomes that ended then or before, and attempts of callbacks that were begun then or before, are left out.
    pub outcomes_after_ms: u64,
    /// Of each app's delivery log so many of the newest are in it.
    pub deliveries_per_app: u64,
    /// Of the audit list so many of the newest are in it.
    pub audit_entries: u64,
    /// Tells whether the store is still the same; `None` where that can't be told.
    pub state: Option<u64>,
}

/// Now and then: all that comes before it is as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The records before it.
    pub records: u64,
    /// SHA-256 of all lines before it, in hexadecimal digits.
    pub sha256: String,
    /// The kind that goes on here.
    pub kind: String,
    /// Where it goes on in the store; `None` where it can't.
    pub place: Option<String>,
}

/// The last line: there is nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trailer {
    /// The records before it.
    pub records: u64,
    /// The records of each kind.
    pub kinds: Vec<OfKind>,
    /// The digest of the content, whatever its order.
    pub content: String,
    /// SHA-256 of all lines before it, in hexadecimal digits.
    pub sha256: String,
}

/// The records of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfKind {
    /// The kind.
    pub kind: String,
    /// How many there are.
    pub count: u64,
    /// The sum of the SHA-256 of their lines, modulo 2^256.
    pub content: String,
}

/// What a line holds.
#[derive(Debug)]
pub enum Parsed {
    /// The first line.
    Header(Header),
    /// A checkpoint.
    Checkpoint(Checkpoint),
    /// The last line.
    Trailer(Trailer),
    /// A record.
    Record(Box<Record>),
}

/// The text of a header, without the end of the line.
pub fn header(header: &Header) -> Vec<u8> {
    text(&Line::Header(header.clone()))
}

/// The text of a checkpoint.
pub fn checkpoint(checkpoint: &Checkpoint) -> Vec<u8> {
    text(&Line::Checkpoint(checkpoint.clone()))
}

/// The text of a trailer.
pub fn trailer(trailer: &Trailer) -> Vec<u8> {
    text(&Line::Trailer(trailer.clone()))
}

/// The text of a record: the same for the same record, always.
pub fn record(record: &Record) -> Vec<u8> {
    text(&match record {
        Record::Org(org) => Line::Org(OrgLine::of(org)),
        Record::App(app) => Line::App(AppLine::of(app)),
        Record::PurgedApp(id) => Line::PurgedApp(PurgedAppLine { id: *id }),
        Record::Token(token) => Line::Token(TokenLine::of(token)),
        Record::Device(device) => Line::Device(DeviceLine::of(device)),
        Record::Pending(pending) => Line::Pending(PendingLine::of(pending)),
        Record::Outcome(ended) => Line::Outcome(OutcomeLine::of(ended)),
        Record::Callback(callback) => Line::Callback(CallbackLine::of(callback)),
        Record::Delivery(logged) => Line::Delivery(DeliveryLine::of(logged)),
        Record::Audit(audit) => Line::Audit(AuditLine::of(audit)),
    })
}

fn text(line: &Line) -> Vec<u8> {
    // Lines have string keys only, so writing to memory can't fail.
    serde_json::to_vec(line).expect("a line can be written")
}

/// Reads a line.
///
/// # Errors
/// Says what is wrong, and nothing of what is in the line: there may be tokens in it.
pub fn parse(line: &[u8]) -> Result<Parsed, String> {
    let line: Line = serde_json::from_slice(line).map_err(|fault| words_of(&fault))?;
    let record = match line {
        Line::Header(header) => return Ok(Parsed::Header(header)),
        Line::Checkpoint(checkpoint) => return Ok(Parsed::Checkpoint(checkpoint)),
        Line::Trailer(trailer) => return Ok(Parsed::Trailer(trailer)),
        Line::Org(org) => Record::Org(org.into_org()),
        Line::App(app) => Record::App(Box::new(app.into_app())),
        Line::PurgedApp(app) => Record::PurgedApp(app.id),
        Line::Token(token) => Record::Token(token.into_token()?),
        Line::Device(device) => Record::Device(Box::new(device.into_device()?)),
        Line::Pending(pending) => Record::Pending(Box::new(pending.into_pending()?)),
        Line::Outcome(outcome) => Record::Outcome(Box::new(outcome.into_ended()?)),
        Line::Callback(callback) => Record::Callback(Box::new(callback.into_callback()?)),
        Line::Delivery(delivery) => Record::Delivery(Box::new(delivery.into_logged()?)),
        Line::Audit(audit) => Record::Audit(Box::new(audit.into_audit()?)),
    };
    Ok(Parsed::Record(Box::new(record)))
}

/// The version that a first line names, whatever else is in it.
pub fn format_of(line: &[u8]) -> Option<u64> {
    let line: serde_json::Value = serde_json::from_slice(line).ok()?;
    line["header"]["format"].as_u64()
}

/// The kind with this name.
pub fn kind_of(name: &str) -> Option<RecordKind> {
    RecordKind::ALL.into_iter().find(|kind| kind.name() == name)
}

/// Names of kinds and properties are told, values are not.
fn words_of(fault: &serde_json::Error) -> String {
    let words = fault.to_string();
    let tells = ["unknown variant", "unknown field", "missing field", "duplicate field"];
    if tells.iter().any(|begin| words.starts_with(begin)) {
        let words = words.split(" at line ").next().unwrap_or_default();
        return words.replace("unknown variant", "unknown kind").replace("field", "property");
    }
    match fault.classify() {
        serde_json::error::Category::Eof => "it is cut off".to_owned(),
        _ => format!("it can't be read from column {} on", fault.column()),
    }
}
