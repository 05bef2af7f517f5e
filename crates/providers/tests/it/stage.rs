//! What every test here stands on: a simulator, clients that know it, and a clock that only moves
//! when told to.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pushroll_domain::{
    ApnsCredentials, Clock, DeviceToken, DryRun, DryRunReport, Environment, FcmCredentials,
    Fingerprint, Platform, Providers, RegistrationId, Timestamp,
};
use pushroll_providers::{ProviderClients, ProviderSettings};
use pushroll_simulator::{Limits, Provider, Simulator, SimulatorSettings};
use tempfile::TempDir;
use url::Url;

/// How long a condition may take that is sure to come.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct HandClock(AtomicU64);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

pub struct Stage {
    pub simulator: Simulator,
    pub clients: Arc<ProviderClients>,
    pub ios: Arc<ApnsCredentials>,
    pub android: Arc<FcmCredentials>,
    clock: Arc<HandClock>,
    began: Timestamp,
    _dir: TempDir,
}

pub async fn stage() -> Stage {
    stage_with(|_| {}).await
}

/// A stage with other settings of the clients.
pub async fn stage_with(change: impl FnOnce(&mut ProviderSettings)) -> Stage {
    stage_of(Limits::default(), change).await
}

/// A stage with other limits of the simulator.
pub async fn stage_of(limits: Limits, change: impl FnOnce(&mut ProviderSettings)) -> Stage {
    let dir = TempDir::new().unwrap();
    let settings = SimulatorSettings { limits, ..SimulatorSettings::new(dir.path()) };
    let simulator = Simulator::start(settings).await.unwrap();
    let mut settings = settings_for(&simulator);
    change(&mut settings);
    #[allow(clippy::disallowed_methods, reason = "the simulator goes by the machine's clock")]
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = u64::try_from(since_1970.as_millis()).unwrap();
    let clock = Arc::new(HandClock(AtomicU64::new(now)));
    let clients =
        Arc::new(ProviderClients::new(&settings, Arc::clone(&clock) as Arc<dyn Clock>).unwrap());
    let key = simulator.apns_key();
    let ios =
        clients.read_apns_key(simulator.bundle_id(), &key.key_id, &key.team_id, &key.p8).unwrap();
    let account = simulator.service_account().to_string();
    let android = clients.read_service_account(&account).unwrap();
    let (ios, android) = (Arc::new(ios), Arc::new(android));
    let began = clock.now();
    Stage { simulator, clients, ios, android, clock, began, _dir: dir }
}

/// Settings with which clients find this simulator.
pub fn settings_for(simulator: &Simulator) -> ProviderSettings {
    let url = |text: &str| Url::parse(text).unwrap();
    ProviderSettings {
        apns_production_url: url(simulator.apns_production_url()),
        apns_sandbox_url: url(simulator.apns_sandbox_url()),
        fcm_url: url(simulator.fcm_url()),
        extra_ca_file: Some(simulator.ca_pem_path().to_owned()),
        token_uris: vec![simulator.token_uri().to_owned()],
        ..ProviderSettings::default()
    }
}

impl Stage {
    /// The same stage with another service account.
    pub fn with_android(self, android: FcmCredentials) -> Self {
        Self { android: Arc::new(android), ..self }
    }

    /// The same stage with other clients.
    pub fn with_clients(self, settings: &ProviderSettings) -> Self {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Self { clients: Arc::new(ProviderClients::new(settings, clock).unwrap()), ..self }
    }

    /// Moves our clock.
    pub fn advance(&self, span: Duration) {
        self.clock.0.fetch_add(u64::try_from(span.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// Sets our clock back.
    pub fn go_back(&self, span: Duration) {
        self.clock.0.fetch_sub(u64::try_from(span.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// Moves our clock, and sets the simulator's to the same.
    pub fn advance_both(&self, minutes: u64) {
        self.advance(Duration::from_secs(minutes * 60));
        let offset_ms = self.clock.now().since(self.began).as_millis();
        self.simulator.set_clock_offset_ms(i64::try_from(offset_ms).unwrap()).unwrap();
    }

    /// A dry run in production.
    pub async fn ask_apns(&self, token: &str) -> DryRunReport {
        self.ask_apns_in(Environment::Production, token).await
    }

    pub async fn ask_apns_in(&self, environment: Environment, token: &str) -> DryRunReport {
        self.clients.apns(&self.ios, environment, &ios_token(token), some_id()).await
    }

    pub async fn ask_fcm(&self, token: &str) -> DryRunReport {
        let token = DeviceToken::parse(Platform::Android, token).unwrap();
        self.clients.fcm(&self.android, &token).await
    }

    /// So many dry runs at once, each of a device token of its own.
    pub async fn ask_apns_at_once(&self, count: u64) -> Vec<DryRunReport> {
        at_once((0..count).map(|n| {
            let (clients, ios) = (Arc::clone(&self.clients), Arc::clone(&self.ios));
            async move {
                let token = ios_token(&format!("{n:064x}"));
                clients.apns(&ios, Environment::Production, &token, some_id()).await
            }
        }))
        .await
    }

    pub async fn ask_fcm_at_once(&self, count: u64) -> Vec<DryRunReport> {
        at_once((0..count).map(|n| {
            let (clients, android) = (Arc::clone(&self.clients), Arc::clone(&self.android));
            async move {
                let token = format!("{n}:APA91b-{}", "x".repeat(100));
                let token = DeviceToken::parse(Platform::Android, &token).unwrap();
                clients.fcm(&android, &token).await
            }
        }))
        .await
    }

    /// The same key under another fingerprint, as if it were another app's.
    pub fn other_ios(&self, n: u16) -> Arc<ApnsCredentials> {
        let mut print = [1; 16];
        print[..2].copy_from_slice(&n.to_be_bytes());
        Arc::new(ApnsCredentials {
            fingerprint: Fingerprint(print),
            ..ApnsCredentials::clone(&self.ios)
        })
    }

    pub fn connections_opened(&self, provider: Provider) -> u64 {
        self.simulator.statistics(provider).connections_opened
    }

    /// Returns when the clients have given up all connections.
    pub async fn no_connection_is_left(&self) {
        eventually("no connection", || self.clients.pool_state().connections == 0).await;
    }
}

pub async fn at_once<F>(asked: impl IntoIterator<Item = F>) -> Vec<DryRunReport>
where
    F: Future<Output = DryRunReport> + Send + 'static,
{
    let tasks: Vec<_> = asked.into_iter().map(tokio::spawn).collect();
    let mut reports = Vec::with_capacity(tasks.len());
    for task in tasks {
        reports.push(task.await.unwrap());
    }
    reports
}

pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let met = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, met).await.is_ok(), "waited in vain: {what}");
}

pub fn ios_token(text: &str) -> DeviceToken {
    DeviceToken::parse(Platform::Ios, text).unwrap()
}

pub fn some_id() -> RegistrationId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    RegistrationId::parse(&format!("01980000-0000-7000-8000-{n:012x}")).unwrap()
}
