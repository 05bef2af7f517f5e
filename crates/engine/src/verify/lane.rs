//! A lane: one app on one platform.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use pushroll_domain::{
    App, Breaker, BreakerState, Credentials, Environment, Fingerprint, IosMode, Lane, Permit,
    Platform, ProviderAnswer, Signal, Timestamp,
};
use tokio::sync::Semaphore;

use crate::meters::LaneMeters;
use crate::service::Service;
use crate::symptom::Symptom;

/// At most so often a refused token is asked about in the other environment, for an app.
const HINT_EVERY: Duration = Duration::from_secs(1);

/// What is known of a lane while the process runs.
pub(super) struct LaneState {
    pub(super) lane: Lane,
    pub(super) in_memory: AtomicUsize,
    pub(super) dry_runs: Semaphore,
    pub(super) meters: LaneMeters,
    /// Something of this lane waits in the store and could be taken if there were room.
    backlog: AtomicBool,
    /// The provider is left alone: nothing is taken into memory. Kept beside the breaker so that
    /// acceptance needs no lock.
    held_back: AtomicBool,
    asking: Mutex<Asking>,
}

/// Which credentials of a lane: it grows with every change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Generation(u64);

/// How the lane's provider is asked.
#[derive(Default)]
struct Asking {
    generation: Generation,
    breaker: Breaker,
    opened: Option<Opened>,
    likelier: Option<Environment>,
    hinted_at: Option<Timestamp>,
    last_answer: Option<(Timestamp, ProviderAnswer)>,
    /// What was seen since the start, or since the credentials changed; as many as there are symptoms.
    symptoms: BTreeMap<Symptom, Seen>,
    /// Nothing is taken from the store before this time.
    not_before: Option<Timestamp>,
}

impl Asking {
    fn note(&mut self, symptom: Symptom, now: Timestamp) {
        let seen = self.symptoms.entry(symptom).or_insert(Seen { count: 0, last_at: now });
        *seen = Seen { count: seen.count + 1, last_at: now };
    }
}

/// The credentials, opened once and kept until the app changes.
struct Opened {
    app: Arc<App>,
    fingerprint: Option<(Fingerprint, Option<IosMode>)>,
    credentials: Result<Option<Credentials>, String>,
}

/// How often a symptom was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Since the start, or since the credentials changed.
    pub count: u64,
    /// The last time.
    pub last_at: Timestamp,
}

/// A lane as an operator sees it.
#[derive(Debug, Clone)]
pub struct LaneReport {
    /// The lane.
    pub lane: Lane,
    /// The circuit breaker.
    pub breaker: BreakerState,
    /// The provider's last words, and when.
    pub last_answer: Option<(Timestamp, ProviderAnswer)>,
    /// Registrations in memory.
    pub in_memory: usize,
    /// What was wrong.
    pub symptoms: Vec<(Symptom, Seen)>,
}

impl LaneState {
    pub(super) fn new(lane: Lane, dry_runs: usize) -> Self {
        Self {
            lane,
            in_memory: AtomicUsize::new(0),
            dry_runs: Semaphore::new(dry_runs),
            meters: LaneMeters::new(lane),
            backlog: AtomicBool::new(false),
            held_back: AtomicBool::new(false),
            asking: Mutex::default(),
        }
    }

    pub(super) fn has_backlog(&self) -> bool {
        self.backlog.load(Ordering::Relaxed)
    }

    pub(super) fn set_backlog(&self, backlog: bool) {
        self.backlog.store(backlog, Ordering::Relaxed);
    }

    pub(super) fn is_held_back(&self) -> bool {
        self.held_back.load(Ordering::Relaxed)
    }

    /// Leaves everything of this lane in the store until then.
    pub(super) fn hold_back(&self, until: Timestamp) {
        self.asking.lock().not_before = Some(until);
        self.held_back.store(true, Ordering::Relaxed);
    }

    /// Whether something of this lane may be taken from the store now.
    pub(super) fn may_take(&self, now: Timestamp) -> bool {
        if !self.is_held_back() {
            return true;
        }
        let mut asking = self.asking.lock();
        if asking.not_before.is_some_and(|until| now < until) {
            return false;
        }
        asking.not_before = None;
        self.held_back.store(false, Ordering::Relaxed);
        true
    }

    /// Forgets every time that the lane waits for.
    pub(super) fn begin_anew(&self) {
        let mut asking = self.asking.lock();
        asking.breaker = Breaker::new();
        asking.hinted_at = None;
        asking.not_before = None;
        self.held_back.store(false, Ordering::Relaxed);
    }

    /// Whether it may be asked with these credentials. With those that were changed a moment ago it may: what comes of
    /// it counts for nothing.
    pub(super) fn permit(&self, with: Generation, now: Timestamp) -> Permit {
        let mut asking = self.asking.lock();
        if asking.generation == with {
            asking.breaker.permit(now)
        } else {
            Permit::Go { probe: false }
        }
    }

    /// Takes note of an answer to what was asked with these credentials, and of what was wrong. One to credentials that
    /// were changed meanwhile says nothing of the new ones.
    pub(super) fn record(
        &self,
        asked_with: Generation,
        now: Timestamp,
        probe: bool,
        signal: Signal,
        answer: &ProviderAnswer,
        symptom: Option<Symptom>,
    ) {
        let mut asking = self.asking.lock();
        if asking.generation != asked_with {
            return;
        }
        asking.breaker.record(now, probe, signal);
        asking.last_answer = Some((now, answer.clone()));
        if let Some(symptom) = symptom {
            asking.note(symptom, now);
        }
    }

    /// Takes note of what was wrong, for the operator.
    pub(super) fn note(&self, symptom: Symptom, now: Timestamp) {
        self.asking.lock().note(symptom, now);
    }

    /// Which environment to ask first with mode `auto`: the one that last accepted a token.
    pub(super) fn likelier(&self) -> Environment {
        self.asking.lock().likelier.unwrap_or(Environment::Production)
    }

    pub(super) fn accepted_by(&self, environment: Environment) {
        self.asking.lock().likelier = Some(environment);
    }

    /// Whether the other environment may be asked now for a hint.
    pub(super) fn may_hint(&self, now: Timestamp) -> bool {
        let mut asking = self.asking.lock();
        let may = asking.hinted_at.is_none_or(|last| now.since(last) >= HINT_EVERY);
        if may {
            asking.hinted_at = Some(now);
        }
        may
    }

    /// The app's credentials, and which they are. When they change, what was known of the provider is forgotten.
    pub(super) fn credentials(
        &self,
        service: &Service,
        app: &Arc<App>,
    ) -> (Generation, Result<Option<Credentials>, String>) {
        let mut asking = self.asking.lock();
        if let Some(opened) = &asking.opened
            && (Arc::ptr_eq(&opened.app, app) || opened.app == *app)
        {
            return (asking.generation, opened.credentials.clone());
        }
        let credentials = service.credentials(app, self.lane.platform);
        let mode = app.ios.as_ref().map(|ios| ios.mode);
        let fingerprint = match &credentials {
            Ok(Some(Credentials::Apns(apns))) => Some((apns.fingerprint, mode)),
            Ok(Some(Credentials::Fcm(fcm))) => Some((fcm.fingerprint, None)),
            Ok(None) | Err(_) => None,
        };
        let topic = |app: &App| app.ios.as_ref().map(|ios| ios.bundle_id.clone());
        let is_new = asking.opened.as_ref().is_none_or(|before| {
            before.fingerprint != fingerprint
                || (self.lane.platform == Platform::Ios && topic(&before.app) != topic(app))
        });
        if is_new {
            asking.generation = Generation(asking.generation.0 + 1);
            asking.breaker = Breaker::new();
            asking.symptoms.clear();
            asking.likelier = None;
            asking.not_before = None;
            self.held_back.store(false, Ordering::Relaxed);
        }
        let app = Arc::clone(app);
        asking.opened = Some(Opened { app, fingerprint, credentials: credentials.clone() });
        (asking.generation, credentials)
    }

    pub(super) fn report(&self) -> LaneReport {
        let asking = self.asking.lock();
        LaneReport {
            lane: self.lane,
            breaker: asking.breaker.state(),
            last_answer: asking.last_answer.clone(),
            in_memory: self.in_memory.load(Ordering::Relaxed),
            symptoms: asking.symptoms.iter().map(|(symptom, seen)| (*symptom, *seen)).collect(),
        }
    }
}
