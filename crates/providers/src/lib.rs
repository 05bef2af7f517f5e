//! The provider clients: they prove device tokens with APNs and FCM by dry runs, and read the
//! credentials that operators enter. What providers answer comes out as a verdict of the domain; no
//! retry, no queue and no circuit breaker is here, but for one second try with a renewed token.

mod answer;
mod apns;
mod fcm;
mod fingerprint;
mod jwt;
mod key_file;
mod meters;
mod reach;
mod retry_after;
mod settings;
mod transport;

use std::sync::Arc;

use async_trait::async_trait;
use pushroll_domain::{
    ApnsCredentials, Clock, CredentialFault, DeviceToken, DryRun, DryRunReport, Environment,
    FcmCredentials, Providers, RegistrationId, Secret,
};
use tokio_util::task::TaskTracker;
use url::Url;

pub use reach::Reached;
pub use settings::{ProviderSettings, SettingFault, SettingFaults};
pub use transport::Proxy;

use apns::ApnsClient;
use fcm::{FcmClient, TokenEndpoint};
use transport::{ChannelLimits, Dialer, Pool, PoolLimits, WatchLimits};

/// The clients of both providers over one pool of connections.
pub struct ProviderClients {
    pool: Arc<Pool>,
    dialer: Dialer,
    apns: ApnsClient,
    fcm: FcmClient,
    token_uris: Vec<Url>,
    tasks: TaskTracker,
}

/// How much of the connections there is right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolState {
    /// The credentials, by host, that connections are kept for.
    pub credentials: usize,
    /// Connections, those included that are being made or are ending.
    pub connections: usize,
    /// Connections that take requests: not those that are being made or are ending.
    pub in_service: usize,
}

impl ProviderClients {
    /// Sets up the clients. Nothing is connected before the first dry run. Must be called, as
    /// everything else here, within a tokio runtime.
    ///
    /// # Errors
    /// Everything that is wrong with the settings.
    pub fn new(settings: &ProviderSettings, clock: Arc<dyn Clock>) -> Result<Self, SettingFaults> {
        let settings::Checked { endpoints, token_uris, tls } = settings.check()?;
        let tasks = TaskTracker::new();
        let dialer = Dialer::new(tls, settings.proxy.clone(), settings.connect_timeout);
        let limits = PoolLimits {
            connections: settings.max_connections,
            channel: ChannelLimits {
                connections: settings.connections_per_credential,
                waiting: settings.max_waiting_per_credential,
            },
            watch: WatchLimits {
                max_streams: settings.max_streams_per_connection,
                ping_interval: settings.ping_interval,
                ping_timeout: settings.ping_timeout,
                max_age: settings.max_connection_age,
                idle_close: settings.idle_close,
                drain: settings.dry_run_timeout,
            },
        };
        let (timeout, reaching) = (settings.dry_run_timeout, dialer.clone());
        let pool = Arc::new(Pool::new(endpoints, dialer.clone(), limits, tasks.clone()));
        let token_endpoint = TokenEndpoint::new(
            dialer,
            Arc::clone(&clock),
            token_uris.clone(),
            settings.max_token_fetches,
            // Less than a dry run, so that those who wait learn what they waited for.
            timeout * 4 / 5,
        );
        Ok(Self {
            apns: ApnsClient::new(Arc::clone(&pool), Arc::clone(&clock), timeout),
            fcm: FcmClient::new(Arc::clone(&pool), clock, token_endpoint, timeout, tasks.clone()),
            pool,
            dialer: reaching,
            token_uris,
            tasks,
        })
    }

    /// How much of the connections there is right now.
    #[must_use]
    pub fn pool_state(&self) -> PoolState {
        PoolState {
            credentials: self.pool.channels(),
            connections: self.pool.connections(),
            in_service: self.pool.in_service(),
        }
    }

    /// Ends every connection, once what is under way on it has ended or timed out. Dry runs asked for
    /// from now on find nobody.
    pub async fn close(&self) {
        self.pool.close();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

#[async_trait]
impl DryRun for ProviderClients {
    async fn apns(
        &self,
        credentials: &Arc<ApnsCredentials>,
        environment: Environment,
        token: &DeviceToken,
        id: RegistrationId,
    ) -> DryRunReport {
        self.apns.dry_run(credentials, environment, token, id).await
    }

    async fn fcm(&self, credentials: &Arc<FcmCredentials>, token: &DeviceToken) -> DryRunReport {
        self.fcm.dry_run(credentials, token).await
    }
}

impl Providers for ProviderClients {
    fn read_apns_key(
        &self,
        bundle_id: &str,
        key_id: &str,
        team_id: &str,
        p8: &str,
    ) -> Result<ApnsCredentials, CredentialFault> {
        apns::read_key(bundle_id, key_id, team_id, p8)
    }

    fn open_p12(&self, p12_base64: &str, password: &str) -> Result<Secret, CredentialFault> {
        apns::open_p12(p12_base64, password)
    }

    fn read_apns_certificate(
        &self,
        bundle_id: Option<&str>,
        pem: &str,
    ) -> Result<ApnsCredentials, CredentialFault> {
        apns::read_certificate(bundle_id, pem)
    }

    fn read_service_account(&self, json: &str) -> Result<FcmCredentials, CredentialFault> {
        fcm::read_service_account(json, &self.token_uris)
    }
}
