//! Access tokens: one per service account, fetched by one task while the others wait, and kept until
//! shortly before it expires.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::rsa;
use http::HeaderValue;
use parking_lot::Mutex;
use pushroll_domain::{
    Clock, DryRunReport, FcmCredentials, Fingerprint, Provider, Timestamp, Verdict,
};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::token_endpoint::{Fetched, TokenEndpoint};
use crate::answer::{no_answer, oauth_said};
use crate::transport::TransportFault;

/// A token is renewed when this much, or a tenth of its life, is left of it, whichever is less.
const RENEW_BEFORE: Duration = Duration::from_secs(5 * 60);
/// For how long a refusal answers those who ask next.
const KEEP_REFUSAL: Duration = Duration::from_secs(5);
/// After this time without use a token is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(2 * 3600);
/// The fewest tokens at which looking for forgotten ones pays.
const LEAST_TO_SWEEP: usize = 64;

/// An access token as it goes into a request.
#[derive(Clone)]
pub(super) struct AccessToken {
    header: HeaderValue,
    serial: u64,
}

impl AccessToken {
    /// The value of `authorization`.
    pub fn header(&self) -> HeaderValue {
        self.header.clone()
    }
}

/// A token, or the report for all who need one.
type Outcome = Result<AccessToken, DryRunReport>;

/// The access tokens of all service accounts in use.
#[derive(Clone)]
pub(super) struct AccessTokens {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    endpoint: TokenEndpoint,
    tasks: TaskTracker,
    serial: AtomicU64,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    by_credential: HashMap<Fingerprint, Entry>,
    sweep_at: usize,
}

struct Entry {
    state: State,
    /// Parsed once.
    key: Option<Arc<rsa::KeyPair>>,
    used_at: Timestamp,
}

enum State {
    /// Nobody fetches a token, and there is none.
    Absent,
    Fetching(watch::Receiver<Option<Outcome>>),
    Ready {
        token: AccessToken,
        renew_at: Timestamp,
    },
    Refused {
        report: DryRunReport,
        until: Timestamp,
    },
}

/// What [`Shared::look`] finds.
enum Found {
    Known(Outcome),
    Wait(watch::Receiver<Option<Outcome>>),
    Fetch(watch::Sender<Option<Outcome>>, Option<Arc<rsa::KeyPair>>),
}

impl AccessTokens {
    pub fn new(clock: Arc<dyn Clock>, endpoint: TokenEndpoint, tasks: TaskTracker) -> Self {
        let (serial, entries) = (AtomicU64::new(0), Mutex::default());
        Self { shared: Arc::new(Shared { clock, endpoint, tasks, serial, entries }) }
    }

    /// The token to use now.
    pub async fn current(&self, credentials: &Arc<FcmCredentials>) -> Outcome {
        let mut waiting = match self.shared.look(credentials.fingerprint) {
            Found::Known(outcome) => return outcome,
            Found::Wait(waiting) => waiting,
            Found::Fetch(sender, key) => {
                let waiting = sender.subscribe();
                let (shared, credentials) = (Arc::clone(&self.shared), Arc::clone(credentials));
                // A task of its own: whoever asked first may give up before the others.
                self.shared
                    .tasks
                    .spawn(async move { shared.fetch(&credentials, key, sender).await });
                waiting
            }
        };
        let outcome = match waiting.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone(),
            Err(_) => None,
        };
        outcome.unwrap_or_else(|| {
            Err(no_answer(Provider::OAuth, None, &TransportFault::Closing).report)
        })
    }

    /// FCM has refused this token. Of all who are told so, one has a new one fetched.
    pub fn refused(&self, credentials: &FcmCredentials, access: &AccessToken) {
        let mut entries = self.shared.entries.lock();
        if let Some(entry) = entries.by_credential.get_mut(&credentials.fingerprint)
            && let State::Ready { token, .. } = &entry.state
            && token.serial == access.serial
        {
            entry.state = State::Absent;
        }
    }
}

impl Shared {
    fn look(&self, credential: Fingerprint) -> Found {
        let now = self.clock.now();
        let mut entries = self.entries.lock();
        if !entries.by_credential.contains_key(&credential) {
            entries.sweep(now);
        }
        let fresh = || Entry { state: State::Absent, key: None, used_at: now };
        let entry = entries.by_credential.entry(credential).or_insert_with(fresh);
        entry.used_at = now;
        match &entry.state {
            State::Ready { token, renew_at } if now < *renew_at => {
                return Found::Known(Ok(token.clone()));
            }
            // One that ends later than it was kept for is from before the clock went back.
            State::Refused { report, until }
                if now < *until && *until <= now.plus(KEEP_REFUSAL) =>
            {
                return Found::Known(Err(report.clone()));
            }
            // A fetch that was aborted has no sender any more, and has told nobody anything.
            State::Fetching(waiting) if waiting.has_changed().is_ok() => {
                return Found::Wait(waiting.clone());
            }
            State::Absent | State::Ready { .. } | State::Refused { .. } | State::Fetching(_) => {}
        }
        let (sender, waiting) = watch::channel(None);
        entry.state = State::Fetching(waiting);
        Found::Fetch(sender, entry.key.clone())
    }

    async fn fetch(
        &self,
        credentials: &FcmCredentials,
        key: Option<Arc<rsa::KeyPair>>,
        sender: watch::Sender<Option<Outcome>>,
    ) {
        let key = match key {
            Some(key) => Ok(key),
            None => rsa::KeyPair::from_pkcs8(credentials.private_key.reveal()).map(Arc::new),
        };
        let now = self.clock.now();
        let fetched = match &key {
            Ok(key) => self.endpoint.fetch(credentials, key, now).await,
            Err(_) => Err(oauth_said(
                Verdict::CredentialsRefused,
                None,
                "the private key can't sign",
                Some("The stored service account can't be used. Enter it again."),
            )),
        };
        let (outcome, state) = self.settle(fetched, now);
        if let Some(entry) = self.entries.lock().by_credential.get_mut(&credentials.fingerprint) {
            entry.state = state;
            entry.key = key.ok();
        }
        sender.send_replace(Some(outcome));
    }

    fn settle(
        &self,
        fetched: Result<Fetched, DryRunReport>,
        asked_at: Timestamp,
    ) -> (Outcome, State) {
        match fetched {
            Ok(Fetched { header, life }) => {
                let serial = self.serial.fetch_add(1, Ordering::Relaxed);
                let token = AccessToken { header, serial };
                let renew_at = asked_at.plus(life.saturating_sub(RENEW_BEFORE.min(life / 10)));
                (Ok(token.clone()), State::Ready { token, renew_at })
            }
            Err(report) if report.verdict == Verdict::CredentialsRefused => {
                let until = self.clock.now().plus(KEEP_REFUSAL);
                (Err(report.clone()), State::Refused { report, until })
            }
            Err(report) => (Err(report), State::Absent),
        }
    }
}

impl Entries {
    /// Forgets what has not been used for long, now and then.
    fn sweep(&mut self, now: Timestamp) {
        if self.by_credential.len() < self.sweep_at.max(LEAST_TO_SWEEP) {
            return;
        }
        self.by_credential.retain(|_, entry| {
            matches!(entry.state, State::Fetching(_)) || now.since(entry.used_at) < FORGET_AFTER
        });
        self.sweep_at = self.by_credential.len() * 2;
    }
}
