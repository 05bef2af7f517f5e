//! Registering the fleet: batches and single requests, over several connections at once, each with a callback
//! URL of its own; and asking for what became of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::Method;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;
use url::Url;
use uuid::Uuid;

use super::plan::{Planned, Registered};
use super::receiver::{OWN_HEADER, Receiver};
use super::setup::Account;
use crate::client::{Client, Trust};

const CONNECTIONS: usize = 8;
/// The most registrations in a batch.
const BATCH: usize = 100;
/// The most ids in a status query.
const IDS: usize = 1_000;

/// What a request was, and how long its answer took.
pub struct Answered {
    pub is_batch: bool,
    pub took: Duration,
}

/// What came of registering.
#[derive(Default)]
pub struct Wave {
    pub registered: Vec<Registered>,
    pub answered: Vec<Answered>,
    /// From the first request to the last answer.
    pub took: Duration,
}

/// Who registers, and where.
pub struct Fleet {
    pub server: Url,
    pub account: Account,
    pub receiver: Arc<Receiver>,
    /// Registrations that were answered 202.
    pub accepted: AtomicUsize,
    requests: AtomicUsize,
}

enum Body {
    Batch(Vec<Planned>),
    Single(Planned),
}

impl Fleet {
    pub fn new(server: Url, account: Account, receiver: Arc<Receiver>) -> Arc<Self> {
        let (accepted, requests) = Default::default();
        Arc::new(Self { server, account, receiver, accepted, requests })
    }

    /// Registers these devices: three in four in batches, the others one by one.
    pub async fn register(self: &Arc<Self>, mut planned: Vec<Planned>) -> Result<Wave> {
        let singles = planned.split_off(planned.len() * 3 / 4);
        let mut bodies: VecDeque<Body> = singles.into_iter().map(Body::Single).collect();
        while !planned.is_empty() {
            let rest = planned.split_off(planned.len().min(BATCH));
            bodies.push_front(Body::Batch(std::mem::replace(&mut planned, rest)));
        }
        let bodies = Arc::new(Mutex::new(bodies));
        let began = Instant::now();
        let mut workers = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (fleet, bodies) = (Arc::clone(self), Arc::clone(&bodies));
            workers.spawn(async move {
                let mut client = Client::new(&fleet.server, None, &Trust::System)?;
                let mut wave = Wave::default();
                loop {
                    let next = bodies.lock().pop_front();
                    let Some(body) = next else { return Ok::<_, anyhow::Error>(wave) };
                    fleet.send(&mut client, body, &mut wave).await?;
                }
            });
        }
        let mut all = Wave::default();
        while let Some(wave) = workers.join_next().await {
            let mut wave = wave??;
            all.registered.append(&mut wave.registered);
            all.answered.append(&mut wave.answered);
        }
        all.took = began.elapsed();
        Ok(all)
    }

    async fn send(&self, client: &mut Client, body: Body, wave: &mut Wave) -> Result<()> {
        let account = &self.account;
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let callback = self.receiver.url(&format!("/callbacks/{number}"));
        let own = json!({OWN_HEADER.0: OWN_HEADER.1}).to_string();
        let headers = [
            ("x-ms-track-registration", "true"),
            ("x-ms-callback-url", callback.as_str()),
            ("x-ms-callback-url-headers", own.as_str()),
        ];
        let one = |planned: &Planned| planned.body(&account.app, account.token(planned.with));
        let (path, json, planned, is_batch) = match body {
            Body::Batch(batch) => {
                let json = batch.iter().map(one).collect();
                (account.devices("/batch"), Value::Array(json), batch, true)
            }
            Body::Single(single) => (account.devices(""), one(&single), vec![single], false),
        };
        let began = Instant::now();
        let answer = client.expect(Method::POST, &path, &headers, Some(&json)).await?;
        wave.answered.push(Answered { is_batch, took: began.elapsed() });
        let answers = match answer {
            Value::Array(answers) => answers,
            single => vec![single],
        };
        ensure!(answers.len() == planned.len(), "{} ids for {}", answers.len(), planned.len());
        self.accepted.fetch_add(planned.len(), Ordering::Relaxed);
        for (planned, answer) in planned.into_iter().zip(answers) {
            let id = answer["RegistrationRequestId"].as_str().context("an answer without an id")?;
            let (id, callback) = (Uuid::try_parse(id)?, callback.clone());
            wave.registered.push(Registered { planned, id, callback, sent_at: began });
        }
        Ok(())
    }

    /// Asks what became of these registrations: the answers in the order of the ids.
    pub async fn statuses(&self, client: &mut Client, ids: &[Uuid]) -> Result<Vec<Value>> {
        let mut all = Vec::with_capacity(ids.len());
        for ids in ids.chunks(IDS) {
            let body = json!({
                "RegistrationRequestIds": ids,
                "MobileAppId": self.account.app,
                "ApiToken": self.account.api_token,
            });
            let path = self.account.devices("/status/");
            let answer = client.post(&path, &body).await?;
            let Value::Array(answers) = answer else { anyhow::bail!("no list: {answer}") };
            ensure!(answers.len() == ids.len(), "{} answers for {}", answers.len(), ids.len());
            all.extend(answers);
        }
        Ok(all)
    }

    /// Waits until none of these registrations is pending.
    pub async fn until_ended(
        &self,
        client: &mut Client,
        ids: &[Uuid],
        most: Duration,
    ) -> Result<()> {
        let end = Instant::now() + most;
        loop {
            let statuses = self.statuses(client, ids).await?;
            if statuses.iter().all(|status| status["Status"] != "Pending") {
                return Ok(());
            }
            ensure!(Instant::now() < end, "some registrations are pending for {most:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
