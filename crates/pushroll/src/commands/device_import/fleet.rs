//! What is asked of the server: which apps there are, an API token for each, registrations, and what became of
//! them.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use http::{Method, StatusCode};
use pushroll_domain::{AppId, Clock as _, Platform, Secret};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::journal::{MadeToken, Pending};
use super::row::Row;
use super::screen::Screen;
use super::tally::End;
use crate::client::ClientFault;
use crate::commands::Exit;
use crate::commands::admin::{App, Patience, Session, Stop, text};
use crate::machine::SystemClock;
use crate::times::rfc3339;

/// The most registrations in a request.
const BATCH: usize = 100;
/// The most bytes of a request, well below what a server takes.
const BATCH_BYTES: usize = 512 * 1024;
/// The most ids in a status query.
const IDS: usize = 1_000;
/// What a token is good for if the import never comes to its end.
const TOKEN_LIFE: Duration = Duration::from_secs(30 * 86_400);
/// Failures whose provider's words are asked for; beyond, the reason must do.
const MOST_LOOKED_UP: usize = 20_000;
/// Registrations that are asked for when nothing has happened for long.
const DOUBTED: usize = 20;

struct Known {
    org: String,
    token: Option<Secret>,
}

/// The server with its apps, as the import needs them.
pub struct Fleet {
    session: Session,
    apps: HashMap<AppId, Known>,
    default_app: Option<AppId>,
    token_name: String,
    tokens: Vec<MadeToken>,
    looked_up: usize,
}

/// What came of sending lines.
#[derive(Default)]
pub struct Sent {
    /// Accepted.
    pub pending: Vec<Pending>,
    /// Not accepted, and why.
    pub refused: Vec<(u64, String)>,
}

impl Fleet {
    /// Asks which apps there are.
    pub async fn new(
        mut session: Session,
        input: &Path,
        default_app: Option<&App>,
    ) -> Result<Self, Stop> {
        let mut apps = HashMap::new();
        for org in session.all("/orgs").await? {
            let org = text(&org["id"]);
            for app in session.all(&format!("/orgs/{org}/apps")).await? {
                if let Ok(id) = AppId::parse(&text(&app["id"])) {
                    apps.insert(id, Known { org: org.clone(), token: None });
                }
            }
        }
        let default_app = default_app.and_then(|app| AppId::parse(&app.id).ok());
        let name = input.file_name().unwrap_or_default().to_string_lossy();
        let name: String = name.chars().filter(|c| !c.is_control()).take(100).collect();
        Ok(Self {
            session,
            apps,
            default_app,
            token_name: format!("import of {name}"),
            tokens: Vec::new(),
            looked_up: 0,
        })
    }

    /// The server's address.
    pub fn server(&self) -> &str {
        self.session.client.url().as_str()
    }

    /// API tokens that were made.
    pub fn tokens(&self) -> &[MadeToken] {
        &self.tokens
    }

    /// The row with its app, which is one of the server's.
    pub fn known(&self, mut row: Row) -> Result<Row, String> {
        let app = row.app.or(self.default_app).ok_or("has no app, and none is said with --app")?;
        if !self.apps.contains_key(&app) {
            return Err(format!("app: this server has no app {app}"));
        }
        row.app = Some(app);
        Ok(row)
    }

    /// Registers rows that are [known](Self::known).
    pub async fn register(
        &mut self,
        rows: Vec<(u64, Row)>,
        patience: &mut Patience,
        screen: &Screen,
    ) -> Result<Sent, Stop> {
        let mut by_org: Vec<(String, Vec<Entry>)> = Vec::new();
        for (line, row) in rows {
            let Some(app) = row.app else { continue };
            let token = self.token(app, patience, screen).await?;
            let Some(known) = self.apps.get(&app) else { continue };
            let entry = Entry::new(line, app, &row, &token);
            match by_org.iter_mut().find(|(org, _)| *org == known.org) {
                Some((_, entries)) => entries.push(entry),
                None => by_org.push((known.org.clone(), vec![entry])),
            }
        }
        let mut sent = Sent::default();
        for (org, entries) in by_org {
            let path = format!("/api/v1.0/orgs/{org}/pushdeviceregistration/devices/batch");
            for batch in batches(entries) {
                self.send(&path, batch, &mut sent, patience, screen).await?;
            }
        }
        Ok(sent)
    }

    /// Sends a batch until it is accepted. An item that the server does not take is left out.
    async fn send(
        &mut self,
        path: &str,
        mut batch: Vec<Entry>,
        sent: &mut Sent,
        patience: &mut Patience,
        screen: &Screen,
    ) -> Result<(), Stop> {
        while !batch.is_empty() {
            let items: Vec<&Value> = batch.iter().map(|entry| &entry.body).collect();
            let body = json!(items);
            let headers = [("x-ms-track-registration", "true")];
            let asked = self.session.client.expect(Method::POST, path, &headers, Some(&body)).await;
            match asked {
                Ok(answer) => {
                    patience.reward();
                    let ids = answer.as_array().map(Vec::as_slice).unwrap_or_default();
                    if ids.len() != batch.len() {
                        let message = "the server answered a batch with another number of ids";
                        return Err(Stop::new(Exit::Unavailable, message));
                    }
                    for (entry, id) in batch.drain(..).zip(ids) {
                        sent.pending.push(entry.pending(text(&id["RegistrationRequestId"])));
                    }
                }
                Err(ClientFault::Refused(problem))
                    if problem.status == StatusCode::BAD_REQUEST
                        && problem.index().is_some_and(|index| index < batch.len()) =>
                {
                    let entry = batch.remove(problem.index().unwrap_or_default());
                    sent.refused.push((entry.line, problem.to_string()));
                }
                Err(fault) => wait(fault, patience, screen).await?,
            }
        }
        Ok(())
    }

    /// What has ended of what is pending.
    pub async fn look(
        &mut self,
        pending: &[Pending],
        patience: &mut Patience,
        screen: &Screen,
    ) -> Result<Vec<(Pending, End)>, Stop> {
        let mut by_app: HashMap<&str, Vec<&Pending>> = HashMap::new();
        for one in pending {
            by_app.entry(&one.app).or_default().push(one);
        }
        let mut ended = Vec::new();
        for (app, pending) in by_app {
            let Ok(id) = AppId::parse(app) else { continue };
            let Some(org) = self.apps.get(&id).map(|known| known.org.clone()) else {
                // Deleted with its registrations and their outcomes.
                ended.extend(pending.into_iter().map(|one| (one.clone(), End::Unknown)));
                continue;
            };
            for part in pending.chunks(IDS) {
                let token = self.token(id, patience, screen).await?;
                let ids: Vec<&str> = part.iter().map(|one| one.id.as_str()).collect();
                let body = json!({
                    "RegistrationRequestIds": ids,
                    "MobileAppId": app,
                    "ApiToken": as_text(&token),
                });
                let path = format!("/api/v1.0/orgs/{org}/pushdeviceregistration/devices/status/");
                let answer = self.ask(Method::POST, &path, Some(&body), patience, screen).await?;
                let statuses = answer.as_array().map(Vec::as_slice).unwrap_or_default();
                for (one, status) in part.iter().zip(statuses) {
                    if let Some(end) = self.end_of(&org, one, status, patience, screen).await? {
                        ended.push(((*one).clone(), end));
                    }
                }
            }
        }
        Ok(ended)
    }

    async fn end_of(
        &mut self,
        org: &str,
        one: &Pending,
        status: &Value,
        patience: &mut Patience,
        screen: &Screen,
    ) -> Result<Option<End>, Stop> {
        let reason = match (status["Status"].as_str(), status["FailureReason"].as_str()) {
            (Some("Success"), _) => return Ok(Some(End::Registered)),
            (Some("Failed"), Some("DuplicateExists")) => return Ok(Some(End::Already)),
            (Some("Failed"), Some(reason)) => reason.to_owned(),
            _ => return Ok(None),
        };
        let mut words = String::new();
        if self.looked_up < MOST_LOOKED_UP {
            self.looked_up += 1;
            if let Some(record) = self.record(org, one, patience, screen).await? {
                words = words_of(&record);
            }
        }
        Ok(Some(End::Failed { reason, words }))
    }

    /// Those of the oldest pending registrations that the server knows nothing of.
    pub async fn lost(
        &mut self,
        pending: &[Pending],
        patience: &mut Patience,
        screen: &Screen,
    ) -> Result<Vec<(Pending, End)>, Stop> {
        let mut lost = Vec::new();
        for one in pending.iter().take(DOUBTED) {
            let Ok(app) = AppId::parse(&one.app) else { continue };
            let Some(org) = self.apps.get(&app).map(|known| known.org.clone()) else { continue };
            if self.record(&org, one, patience, screen).await?.is_none() {
                lost.push((one.clone(), End::Unknown));
            }
        }
        Ok(lost)
    }

    /// A registration as an operator sees it.
    async fn record(
        &mut self,
        org: &str,
        one: &Pending,
        patience: &mut Patience,
        screen: &Screen,
    ) -> Result<Option<Value>, Stop> {
        let path = format!("/admin/v1/orgs/{org}/apps/{}/registrations/{}", one.app, one.id);
        loop {
            match self.session.client.get(&path).await {
                Ok(record) => {
                    patience.reward();
                    return Ok(Some(record));
                }
                Err(ClientFault::Refused(problem)) if problem.status == StatusCode::NOT_FOUND => {
                    return Ok(None);
                }
                Err(fault) => wait(fault, patience, screen).await?,
            }
        }
    }

    /// An API token of the app; made when it is first wanted.
    async fn token(
        &mut self,
        app: AppId,
        patience: &mut Patience,
        screen: &Screen,
    ) -> Result<Secret, Stop> {
        let known = self.apps.get(&app);
        let known = known.ok_or_else(|| Stop::new(Exit::Failed, format!("no app {app}")))?;
        if let Some(token) = &known.token {
            return Ok(token.clone());
        }
        let org = known.org.clone();
        let path = format!("/admin/v1/orgs/{org}/apps/{app}/tokens");
        let expires_at = rfc3339(SystemClock.now().plus(TOKEN_LIFE));
        let body = json!({"name": self.token_name, "expires_at": expires_at});
        let made = self.ask(Method::POST, &path, Some(&body), patience, screen).await?;
        let token = Secret::new(text(&made["token"]).into_bytes());
        self.tokens.push(MadeToken { org, app: app.to_string(), id: text(&made["id"]) });
        if let Some(known) = self.apps.get_mut(&app) {
            known.token = Some(token.clone());
        }
        Ok(token)
    }

    /// Revokes a token that was made for the import.
    pub async fn revoke(&mut self, token: &MadeToken) -> Result<(), Stop> {
        let MadeToken { org, app, id } = token;
        let path = format!("/admin/v1/orgs/{org}/apps/{app}/tokens/{id}");
        match self.session.client.expect(Method::DELETE, &path, &[], None).await {
            Ok(_) => Ok(()),
            // With its app.
            Err(ClientFault::Refused(problem)) if problem.status == StatusCode::NOT_FOUND => Ok(()),
            Err(fault) => Err(fault.into()),
        }
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        patience: &mut Patience,
        screen: &Screen,
    ) -> Result<Value, Stop> {
        loop {
            match self.session.client.expect(method.clone(), path, &[], body).await {
                Ok(answer) => {
                    patience.reward();
                    return Ok(answer);
                }
                Err(fault) => wait(fault, patience, screen).await?,
            }
        }
    }
}

/// Waits as long as it makes sense.
async fn wait(fault: ClientFault, patience: &mut Patience, screen: &Screen) -> Result<(), Stop> {
    let words = fault.to_string();
    let span = patience.after(fault, Instant::now())?;
    screen.say(&format!("{words} (again in {} s)", span.as_secs()));
    tokio::time::sleep(span).await;
    Ok(())
}

/// A line on its way.
struct Entry {
    line: u64,
    app: AppId,
    user: String,
    platform: Platform,
    body: Value,
    bytes: usize,
}

impl Entry {
    fn new(line: u64, app: AppId, row: &Row, token: &Secret) -> Self {
        let platform = row.token.platform();
        let field = match platform {
            Platform::Ios => "ApnsDeviceToken",
            Platform::Android => "FcmDeviceToken",
        };
        let user = row.user.as_str().to_owned();
        let body = json!({
            "MobileAppId": app.to_string(),
            "UserId": user,
            "ApiToken": as_text(token),
            field: row.token.reveal(),
        });
        // Escapes may make a text six times as long.
        let bytes = 256 + 6 * (row.token.reveal().len() + user.len());
        Self { line, app, user, platform, body, bytes }
    }

    fn pending(self, id: String) -> Pending {
        let (app, platform) = (self.app.to_string(), self.platform.name().to_owned());
        Pending { line: self.line, app, user: self.user, platform, id }
    }
}

/// Batches that a server takes.
fn batches(entries: Vec<Entry>) -> Vec<Vec<Entry>> {
    let mut batches: Vec<Vec<Entry>> = Vec::new();
    let mut bytes = 0;
    for entry in entries {
        match batches.last_mut() {
            Some(batch) if batch.len() < BATCH && bytes + entry.bytes <= BATCH_BYTES => {
                bytes += entry.bytes;
                batch.push(entry);
            }
            Some(_) | None => {
                bytes = entry.bytes;
                batches.push(vec![entry]);
            }
        }
    }
    batches
}

/// An API token is ASCII.
fn as_text(token: &Secret) -> &str {
    str::from_utf8(token.reveal()).unwrap_or_default()
}

/// The provider's words without what differs from device to device.
fn words_of(record: &Value) -> String {
    let provider = &record["provider"];
    let mut words: Vec<String> = ["name", "environment", "status", "reason"]
        .into_iter()
        .filter(|name| !provider[name].is_null())
        .map(|name| text(&provider[name]))
        .collect();
    if let Some(hint) = record["hint"].as_str() {
        words.push(format!("({hint})"));
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use pushroll_domain::{DeviceToken, UserId};

    fn entry(token: &str) -> Entry {
        let row = Row {
            app: None,
            user: UserId::parse("ann").unwrap(),
            token: DeviceToken::parse(Platform::Android, token).unwrap(),
        };
        Entry::new(7, AppId::from_bytes([1; 16]), &row, &Secret::new(b"prt_x".to_vec()))
    }

    #[test]
    fn batches_are_no_larger_than_a_server_takes() {
        let sizes = |entries: Vec<Entry>| batches(entries).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes((0..250).map(|_| entry("t")).collect()), [100, 100, 50]);
        let long = "t".repeat(60_000);
        assert_eq!(sizes((0..3).map(|_| entry(&long)).collect()), [1, 1, 1]);
        assert!(sizes(Vec::new()).is_empty());
    }

    #[test]
    fn words_leave_out_what_is_different_for_each_device() {
        let record = json!({
            "provider": {"name": "apns", "environment": "production", "status": 400,
                         "reason": "BadDeviceToken", "detail": null, "provider_id": "0192"},
            "hint": "this is a sandbox token, the app is set to production",
        });
        assert_eq!(
            words_of(&record),
            "apns production 400 BadDeviceToken (this is a sandbox token, the app is set to production)"
        );
        assert_eq!(words_of(&json!({"provider": null, "hint": null})), "");
    }
}
