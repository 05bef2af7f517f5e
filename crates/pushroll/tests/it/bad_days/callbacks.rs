//! Holding the callbacks that came to the registrations that ended.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pushroll_testkit::{Received, Receiver, hmac_sha256, within};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::admin::{Admin, App};
use super::ledger::{Deed, Fate, Ledger};
use super::now::now;
use super::verdict::Ended;

/// An attempt that is longer under way than this has ended, on this machine.
pub const ATTEMPT_TAKES: Duration = Duration::from_secs(3);
const ALL_MADE_WITHIN: Duration = Duration::from_secs(30);

/// What came, by the id of its registration.
pub fn by_id(received: Vec<Received>) -> Result<BTreeMap<String, Received>, String> {
    let mut by_id = BTreeMap::new();
    for callback in received {
        let id = callback.header("webhook-id").expect("a webhook-id").to_owned();
        if let Some(before) = by_id.insert(id, callback) {
            return Err(format!("a callback came twice: {before:?}"));
        }
    }
    Ok(by_id)
}

/// Waits until every callback has come that is still to come; those that never will, with the times of
/// their attempts: an attempt was under way when the server was killed. `came` tells the ids of those that
/// have come, and `started` when the server was started.
pub async fn never_made(
    came: impl Fn() -> BTreeSet<String>,
    started: OffsetDateTime,
    admin: &mut Admin,
    apps: &[App],
    ledger: &Ledger,
    ended: &BTreeMap<String, Ended>,
) -> BTreeMap<String, OffsetDateTime> {
    let mut known = came();
    let mut missing = BTreeMap::new();
    for (person, deeds) in &ledger.people {
        let app = &apps[person.app];
        for id in deeds.iter().filter_map(Deed::id).filter(|id| ended[*id].callback) {
            if known.contains(id) {
                continue;
            }
            let what = format!("the callback of {id} is attempted");
            let settled = within(ALL_MADE_WITHIN, &what, async || {
                let report = admin.registration(app, id).await?["callback"].clone();
                let result = report["result"].as_str()?;
                // After the report: what it tells of has come before.
                known = came();
                if known.contains(id) {
                    return Some(None);
                }
                let at = time_in(&report["at"]);
                // The server stood still in the midst of it, and found its time to be over when it went on.
                let took = Duration::from_millis(report["took_ms"].as_u64().unwrap_or(0));
                if result == "failed" && took > ATTEMPT_TAKES * 2 {
                    return Some(Some(at));
                }
                assert_eq!(result, "attempted", "{id}: {report}");
                let is_over = at < started || now() - at > ATTEMPT_TAKES * 2;
                is_over.then_some(Some(at))
            });
            missing.extend(settled.await.map(|at| (id.to_owned(), at)));
        }
    }
    missing
}

/// The registrations whose callbacks have come.
pub fn ids(receiver: &Receiver) -> BTreeSet<String> {
    let received = receiver.received();
    received.iter().filter_map(|one| one.header("webhook-id")).map(str::to_owned).collect()
}

/// What should not be: callbacks with the wrong body, signature or headers, or of nothing that ended.
pub fn faults(
    came: &BTreeMap<String, Received>,
    ended: &BTreeMap<String, Ended>,
    apps: &[App],
    ledger: &Ledger,
    url: &str,
) -> Vec<String> {
    let mut faults = Vec::new();
    let mut tokens: BTreeMap<&str, &str> = BTreeMap::new();
    for (person, deeds) in &ledger.people {
        for deed in deeds {
            if let Deed::Registered(registered) = deed
                && let Some(id) = deed.id()
            {
                let authorized = registered.device.fate != Fate::NotAuthorized;
                let app = if authorized { person.app } else { (person.app + 1) % apps.len() };
                tokens.insert(id, &apps[app].token);
            }
        }
    }
    for (id, callback) in came {
        let (Some(ended), Some(token)) = (ended.get(id), tokens.get(id.as_str())) else {
            faults.push(format!("a callback of {id}, which nobody asked for"));
            continue;
        };
        let url = format!("{url}{}", ended.request);
        let (status, reason) = match ended.outcome.as_str() {
            "Success" => ("Success", Value::Null),
            reason => ("Failed", reason.into()),
        };
        let signature = STANDARD.encode(hmac_sha256(token.as_bytes(), url.as_bytes()));
        let body = json!({"Status": status, "Signature": signature, "FailureReason": reason});
        let right = callback.json() == body
            && url.ends_with(&callback.target)
            && callback.header("x-caller") == Some("bad days");
        if !right {
            faults.push(format!("{id} ended as {}: {callback:?}", ended.outcome));
        }
    }
    faults
}

/// A time as the administration writes it.
pub fn time_in(value: &Value) -> OffsetDateTime {
    let text = value.as_str().unwrap_or_else(|| panic!("not a time: {value}"));
    OffsetDateTime::parse(text, &Rfc3339).expect("a time as RFC 3339 has it")
}
