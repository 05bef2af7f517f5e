//! Makes what the cases need, and asks the store in the cases' words.

mod config;

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pushroll_domain::{
    Accept, AppId, CallbackOrder, ClaimedToken, CleanUp, Device, DeviceToken, Ending, Environment,
    FailureReason, Finish, Finished, HostKey, IdSequence, Lane, OrgId, Outcome, PageRequest,
    Platform, Postpone, Provider, ProviderAnswer, Registration, RegistrationId, RegistrationView,
    RunId, Sealed, Standing, Status, Store, Timestamp, TokenId, Tries, UserId,
};

/// The most that a case waits for something that a store may do in the background.
const PATIENCE: Duration = Duration::from_secs(10);

/// A store, an organization and an app in it, and ids that nobody else uses.
#[derive(Clone)]
pub struct World {
    /// The store under test.
    pub store: Arc<dyn Store>,
    /// An organization.
    pub org: OrgId,
    /// An app of it.
    pub app: AppId,
    /// About the present.
    pub now: Timestamp,
    ids: Arc<IdSequence>,
    drawn: Arc<AtomicU64>,
    seed: u64,
}

/// What a registration asks for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The app, if it is not the world's.
    pub app: Option<AppId>,
    /// The user.
    pub user: String,
    /// The platform.
    pub platform: Platform,
    /// The device token.
    pub token: String,
    /// Whether its outcome may be asked for.
    pub tracked: bool,
    /// When it is due, after the present; in the past if negative.
    pub due_in_ms: i64,
    /// The host of its callback, if it has one.
    pub callback: Option<u64>,
}

impl World {
    /// An empty world in this store.
    ///
    /// # Panics
    /// When the store fails.
    #[allow(
        clippy::disallowed_methods,
        reason = "a world begins now; from then on it has its own time"
    )]
    pub async fn new(store: Arc<dyn Store>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970");
        let now = Timestamp::from_millis(u64::try_from(now.as_millis()).expect("in 64 bits"));
        let seed = RandomState::new().hash_one(now.as_millis());
        let ids = IdSequence::new();
        let (org, app) = (ids.org(now, seed), ids.app(now, seed.rotate_left(17)));
        let world = Self {
            store,
            org,
            app,
            now,
            ids: Arc::new(ids),
            drawn: Arc::new(AtomicU64::new(0)),
            seed,
        };
        world.put_org(world.an_org()).await.expect("put_org");
        world.put_app(world.an_app(app)).await.expect("put_app");
        world
    }

    /// The same world in a store that was opened again.
    #[must_use]
    pub fn in_store(self, store: Arc<dyn Store>) -> Self {
        Self { store, ..self }
    }

    /// The same world, later.
    #[must_use]
    pub fn later(&self, span: Duration) -> Self {
        Self { now: self.now.plus(span), ..self.clone() }
    }

    /// A number that was not drawn before.
    pub fn draw(&self) -> u64 {
        let count = self.drawn.fetch_add(1, Ordering::Relaxed);
        RandomState::new().hash_one((self.seed, count))
    }

    /// The time this many milliseconds from the present on.
    #[must_use]
    pub fn at(&self, millis: i64) -> Timestamp {
        Timestamp::from_millis(self.now.as_millis().saturating_add_signed(millis))
    }

    /// A registration of an iOS token, tracked and due.
    #[must_use]
    pub fn ios(&self, user: &str, token: &str) -> Asked {
        Asked {
            app: None,
            user: user.into(),
            platform: Platform::Ios,
            token: token.into(),
            tracked: true,
            due_in_ms: -1_000,
            callback: None,
        }
    }

    /// A registration of an Android token, tracked and due.
    #[must_use]
    pub fn android(&self, user: &str, token: &str) -> Asked {
        Asked { platform: Platform::Android, ..self.ios(user, token) }
    }

    /// Makes the registration, and does nothing with it.
    ///
    /// # Panics
    /// When user or token are none.
    #[must_use]
    pub fn made(&self, asked: &Asked) -> Arc<Registration> {
        let app = asked.app.unwrap_or(self.app);
        let user = a_user(&asked.user);
        let id = self.ids.registration(self.now, &user.key_in(app), self.draw());
        let token = DeviceToken::parse(asked.platform, &asked.token).expect("a device token");
        Arc::new(Registration {
            id,
            org: self.org,
            app,
            user,
            claimed: ClaimedToken::Present(token),
            authorized_by: Some(TokenId::from_bytes([7; 16])),
            tracked: asked.tracked,
            callback: asked.callback.map(an_order),
            accepted_at: self.now,
            due: self.at(asked.due_in_ms),
            tries: Tries::default(),
            last_answer: None,
        })
    }

    /// Accepts a registration that its caller carries on.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn accept(&self, asked: &Asked) -> Arc<Registration> {
        let registration = self.made(asked);
        self.accept_all(std::slice::from_ref(&registration), true).await;
        registration
    }

    /// Accepts a registration that the store is to hand out.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn queue(&self, asked: &Asked) -> Arc<Registration> {
        let registration = self.made(asked);
        self.accept_all(std::slice::from_ref(&registration), false).await;
        registration
    }

    /// Accepts these in one slice.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn accept_all(&self, registrations: &[Arc<Registration>], taken: bool) {
        let accept = |one: &Arc<Registration>| Accept { registration: Arc::clone(one), taken };
        self.store.accept(registrations.iter().map(accept).collect()).await.expect("accept");
    }

    /// Takes what is due in a lane.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn take(&self, lane: Lane, limit: usize) -> Vec<Registration> {
        self.store.take_due(lane, self.now, limit).await.expect("take_due")
    }

    /// Takes what is due in a lane until there are so many, in the order in which they came.
    ///
    /// # Panics
    /// When they don't come.
    pub async fn take_exactly(&self, lane: Lane, count: usize) -> Vec<Registration> {
        let mut taken = Vec::new();
        let all = async {
            while taken.len() < count {
                taken.extend(self.take(lane, count - taken.len()).await);
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, all).await;
        assert!(waited.is_ok(), "{} of {count} registrations were handed out", taken.len());
        taken
    }

    /// The ids of what is due in a lane.
    pub async fn taken_ids(&self, lane: Lane, count: usize) -> Vec<RegistrationId> {
        self.take_exactly(lane, count).await.into_iter().map(|one| one.id).collect()
    }

    /// The world's lane of a platform.
    #[must_use]
    pub fn lane(&self, platform: Platform) -> Lane {
        Lane { app: self.app, platform }
    }

    /// Ends registrations this way, in one slice.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn end(&self, which: &[Arc<Registration>], ending: &Ending) -> Vec<Finished> {
        let finishes = which.iter().map(|one| self.a_finish(one, ending.clone())).collect();
        self.store.finish(finishes).await.expect("finish")
    }

    /// How a registration is to end, with 100 devices allowed.
    #[must_use]
    pub fn a_finish(&self, registration: &Arc<Registration>, ending: Ending) -> Finish {
        Finish {
            registration: Arc::clone(registration),
            ending,
            at: self.now,
            tries: Tries {
                attempts: 1,
                first_attempt_at: Some(self.now),
                last_run: Some(RunId(1)),
            },
            devices_per_user: 100,
        }
    }

    /// The provider accepted the token.
    pub async fn verify(&self, registration: &Arc<Registration>) -> Finished {
        self.end(std::slice::from_ref(registration), &verified()).await[0]
    }

    /// The provider did not accept the token.
    pub async fn fail(&self, registration: &Arc<Registration>) -> Finished {
        self.end(std::slice::from_ref(registration), &refused()).await[0]
    }

    /// Gives registrations back until then.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn postpone(&self, registration: &Arc<Registration>, due_in_ms: i64) -> Postpone {
        let postpone = Postpone {
            registration: Arc::clone(registration),
            due: self.at(due_in_ms),
            tries: Tries {
                attempts: 2,
                first_attempt_at: Some(self.now),
                last_run: Some(RunId(9)),
            },
            last_answer: Some(an_answer("TooManyRequests")),
        };
        self.store.postpone(vec![postpone.clone()]).await.expect("postpone");
        postpone
    }

    /// A device that is stored.
    ///
    /// # Panics
    /// When it is not.
    pub async fn stored(&self, asked: &Asked) -> Arc<Registration> {
        let registration = self.accept(asked).await;
        assert_eq!(self.verify(&registration).await, Finished::Ended(Outcome::Success));
        registration
    }

    /// Removes all devices of a user.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn clean_up(&self, user: &str) {
        self.store.clean_up(vec![self.a_cleanup(user, None)]).await.expect("clean_up");
    }

    /// Removes one device of a user.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn clean_up_token(&self, user: &str, token: &str) {
        self.store.clean_up(vec![self.a_cleanup(user, Some(token))]).await.expect("clean_up");
    }

    /// A cleanup in the world's app.
    #[must_use]
    pub fn a_cleanup(&self, user: &str, token: Option<&str>) -> CleanUp {
        CleanUp { app: self.app, user: a_user(user), device_token: token.map(str::to_owned) }
    }

    /// All devices of a user.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn devices(&self, user: &str) -> Vec<Device> {
        let page = PageRequest { limit: 1_000, after: None };
        let page = self.store.devices_of_user(self.app, &a_user(user), page).await;
        page.expect("devices_of_user").items
    }

    /// The tokens of a user's devices, sorted.
    pub async fn tokens(&self, user: &str) -> Vec<String> {
        let devices = self.devices(user).await;
        let mut tokens: Vec<_> = devices.iter().map(|one| one.token.reveal().to_owned()).collect();
        tokens.sort();
        tokens
    }

    /// What a status query says.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn status(&self, id: RegistrationId) -> Status {
        self.store.statuses(self.app, &[id], self.now).await.expect("statuses")[0]
    }

    /// What stands in the way of a registration.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn standing(&self, registration: &Arc<Registration>) -> Standing {
        let batch = std::slice::from_ref(registration);
        self.store.standings(batch).await.expect("standings")[0]
    }

    /// A registration as an operator sees it.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn view(&self, id: RegistrationId) -> Option<RegistrationView> {
        self.store.registration(self.app, id, self.now).await.expect("registration")
    }

    /// Waits until the app has so many pending registrations.
    ///
    /// # Panics
    /// When it never has.
    pub async fn waits_for(&self, pending: u64) {
        let reached = async {
            while self.store.waiting(self.app) != pending {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let reached = tokio::time::timeout(PATIENCE, reached).await;
        assert!(reached.is_ok(), "{} pending, not {pending}", self.store.waiting(self.app));
    }
}

/// A user.
///
/// # Panics
/// When the text is no user id.
#[must_use]
pub(crate) fn a_user(text: &str) -> UserId {
    UserId::parse(text).expect("a user id")
}

pub(crate) fn verified() -> Ending {
    Ending::Verified {
        environment: Some(Environment::Production),
        answer: Some(an_answer("accepted")),
    }
}

pub(crate) fn refused() -> Ending {
    Ending::Failed {
        reason: FailureReason::DryRunSendingFailed,
        answer: Some(an_answer("BadDeviceToken")),
    }
}

pub(crate) fn an_answer(reason: &str) -> ProviderAnswer {
    ProviderAnswer {
        provider: Provider::Apns,
        environment: Some(Environment::Production),
        status: Some(400),
        reason: reason.to_owned(),
        detail: Some("in the provider's words".to_owned()),
        provider_id: Some("8d1e".to_owned()),
    }
}

pub(crate) fn an_order(host: u64) -> CallbackOrder {
    CallbackOrder {
        url: format!("https://host{host}.example/done?x=1#y"),
        // Hosts with numbers near each other share their first bytes, those far apart don't.
        host: HostKey(host.to_be_bytes()),
        signature: "c2lnbmF0dXJl".to_owned(),
        headers: Some(Sealed(vec![0, 255, 7])),
    }
}

pub(crate) fn failed(reason: FailureReason) -> Outcome {
    Outcome::Failed(reason)
}

pub(crate) fn set<T: std::hash::Hash + Eq>(items: impl IntoIterator<Item = T>) -> HashSet<T> {
    items.into_iter().collect()
}
