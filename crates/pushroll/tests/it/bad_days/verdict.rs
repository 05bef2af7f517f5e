//! Holding a server that has nothing left to do to what the ledger says of one person: what became of each
//! registration, and which devices are left.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::admin::text;
use super::ledger::{Deed, Device, Fate, Known, Registered};

/// The most devices that a user may have in these tests.
pub const DEVICES_PER_USER: usize = 6;

/// A registration as it ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The number of its request.
    pub request: u64,
    /// `Success`, or the reason of the failure.
    pub outcome: String,
    /// Whether a callback was asked for.
    pub callback: bool,
}

/// What was found of one person.
#[derive(Debug, Default)]
pub struct Findings {
    /// By id.
    pub ended: BTreeMap<String, Ended>,
    /// Requests whose answer is not known, and whether each item was there.
    pub unknown: Vec<(u64, bool)>,
    /// What should not be.
    pub faults: Vec<String>,
}

/// What is to be seen of one device of the person: registrations in their order, parted by cleanups.
struct History {
    device: Device,
    parts: Vec<Vec<String>>,
    /// Whether the last cleanup may have been done, or not.
    maybe_cleaned: bool,
}

/// Compares what was asked with the registrations (newest first) and devices that the administration shows.
pub fn of_person(deeds: &[Deed], registrations: &[Value], devices: &[Value]) -> Findings {
    let mut findings = Findings::default();
    let mut shown: BTreeMap<String, &Value> =
        registrations.iter().map(|shown| (text(&shown["id"]), shown)).collect();
    if shown.len() != registrations.len() {
        findings.faults.push("a registration is listed twice".to_owned());
    }
    let mut histories: BTreeMap<&str, History> = BTreeMap::new();
    let known: BTreeSet<&str> = deeds.iter().filter_map(Deed::id).collect();
    // Found without an answer: in their order, they are the last of the deeds.
    let unasked = shown.keys().filter(|id| !known.contains(id.as_str())).rev();
    let mut unasked: Vec<String> = unasked.cloned().collect();
    for deed in deeds {
        match deed {
            Deed::CleanedUp { token, known } => {
                let of_token = |history: &&mut History| {
                    token.as_ref().is_none_or(|token| *token == history.device.token)
                };
                for history in histories.values_mut().filter(of_token) {
                    match known {
                        Known::Counts(()) => {
                            history.parts.push(Vec::new());
                            history.maybe_cleaned = false;
                        }
                        Known::Unknown => history.maybe_cleaned = true,
                        Known::Never => {}
                    }
                }
            }
            Deed::Registered(registered) => {
                let id = match &registered.known {
                    Known::Counts(id) => id.clone(),
                    Known::Never => continue,
                    Known::Unknown => {
                        let found = unasked.pop();
                        findings.unknown.push((registered.request, found.is_some()));
                        let Some(id) = found else { continue };
                        id
                    }
                };
                match shown.remove(&id) {
                    None => findings.faults.push(format!("{id} is lost")),
                    Some(shown) => {
                        findings.end(&id, registered, shown);
                        histories
                            .entry(registered.device.token.as_str())
                            .or_insert_with(|| History::of(&registered.device))
                            .parts
                            .last_mut()
                            .expect("a history has a part")
                            .push(id);
                    }
                }
            }
        }
    }
    for id in shown.keys() {
        findings.faults.push(format!("{id} was never asked for"));
    }
    let mut stored: BTreeMap<String, String> =
        devices.iter().map(|device| (text(&device["device_token"]), text(&device["id"]))).collect();
    let crowded = findings.judge_crowd(deeds, &stored);
    for history in histories.into_values() {
        let device = stored.remove(&history.device.token);
        if history.device.fate != Fate::GoodInACrowd {
            findings.judge(&history, device);
        }
    }
    if !crowded && !stored.is_empty() {
        findings.faults.push(format!("devices that were never asked for: {stored:?}"));
    }
    findings
}

impl History {
    fn of(device: &Device) -> Self {
        Self { device: device.clone(), parts: vec![Vec::new()], maybe_cleaned: false }
    }
}

impl Findings {
    fn end(&mut self, id: &str, registered: &Registered, shown: &Value) {
        let outcome = match shown["status"].as_str() {
            Some("Success") => "Success".to_owned(),
            Some("Failed") => text(&shown["failure_reason"]),
            _ => return self.faults.push(format!("{id} has not ended: {shown}")),
        };
        if !registered.device.is_shown_in(shown) {
            self.faults.push(format!("{id} is about another device: {shown}"));
        }
        let (request, callback) = (registered.request, registered.callback);
        let ended = Ended { request, outcome, callback };
        self.ended.insert(id.to_owned(), ended);
    }

    /// One device, and what is stored for it.
    fn judge(&mut self, history: &History, device: Option<String>) {
        let fixed = match history.device.fate {
            Fate::Good | Fate::GoodInACrowd => None,
            Fate::Refused => Some("DryRunSendingFailed"),
            Fate::TooLong => Some("DeviceTokenTooLong"),
            Fate::NotAuthorized => Some("ApiTokenNotValid"),
        };
        let (last, earlier) = history.parts.split_last().expect("a history has a part");
        if let Some(fixed) = fixed {
            for id in history.parts.iter().flatten() {
                self.expect(id, &[fixed]);
            }
            if device.is_some() {
                self.faults
                    .push(format!("a device that nobody verified: {}", history.device.token));
            }
            return;
        }
        for id in earlier.iter().flatten() {
            // A later registration may have been stored before the cleanup was met.
            self.expect(id, &["Success", "DuplicateExists"]);
        }
        for (index, id) in last.iter().enumerate() {
            match index {
                0 => self.expect(id, &["Success"]),
                _ if history.maybe_cleaned => self.expect(id, &["Success", "DuplicateExists"]),
                _ => self.expect(id, &["DuplicateExists"]),
            }
        }
        let right = device.as_ref() == last.first() || (history.maybe_cleaned && device.is_none());
        if !right {
            let (token, first) = (&history.device.token, last.first());
            let fault = format!("the device of {token} is of {device:?} and not of {first:?}");
            self.faults.push(fault);
        }
    }

    /// A user with more good devices than he may have: as many as he may are stored. Whether there is
    /// such a crowd.
    fn judge_crowd(&mut self, deeds: &[Deed], stored: &BTreeMap<String, String>) -> bool {
        let in_a_crowd = |deed: &Deed| matches!(deed, Deed::Registered(one) if one.device.fate == Fate::GoodInACrowd);
        if !deeds.iter().any(in_a_crowd) {
            return false;
        }
        let outcomes = self.ended.iter().map(|(id, ended)| (id.clone(), ended.outcome.clone()));
        let outcomes: Vec<(String, String)> = outcomes.collect();
        let successes: BTreeSet<&String> =
            outcomes.iter().filter(|(_, outcome)| outcome == "Success").map(|(id, _)| id).collect();
        let devices: BTreeSet<&String> = stored.values().collect();
        let expected = outcomes.len().min(DEVICES_PER_USER);
        if successes.len() != expected || devices != successes {
            self.faults.push(format!("{expected} of a crowd fit, but: {outcomes:?} {stored:?}"));
        }
        for (id, _) in &outcomes {
            self.expect(id, &["Success", "FailedToStoreDevice"]);
        }
        true
    }

    fn expect(&mut self, id: &str, outcomes: &[&str]) {
        if let Some(ended) = self.ended.get(id)
            && !outcomes.contains(&ended.outcome.as_str())
        {
            let outcome = &ended.outcome;
            self.faults.push(format!("{id} ended as {outcome} and not as one of {outcomes:?}"));
        }
    }
}
