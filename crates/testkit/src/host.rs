//! A running server with its simulator and its data directory.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use pushroll::server::{Machine, Place, Server, StartError};
use pushroll::settings::{Settings, environment_variable};
use pushroll_simulator::{Simulator, SimulatorSettings};
use serde_json::Value;
use tempfile::TempDir;

use crate::client::Client;
use crate::clock::ManualClock;
use crate::request::Request;
use crate::runtime::{there, there_blocking};

/// The admin token of every server under test.
const ADMIN_TOKEN: &str = "admin-token-of-a-test-server";
/// What work under way may take when a server under test stops.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(2);

/// A running server with its simulator and its data directory, until it is dropped.
pub struct Host {
    plan: Mutex<Plan>,
    running: Mutex<Option<Running>>,
    simulator: Arc<Simulator>,
    dir: TempDir,
}

struct Running {
    /// `None` when it is a process of its own.
    server: Option<Server>,
    client: Client,
    /// Of the administration.
    admin: Client,
}

/// How a server is started, each time.
#[derive(Clone, Default)]
pub(crate) struct Plan {
    pub(crate) overrides: Vec<(String, String)>,
    pub(crate) clock: Option<ManualClock>,
    pub(crate) access_token_lifetime: Option<Duration>,
    pub(crate) tls: bool,
}

impl Host {
    pub(crate) async fn start(plan: Plan) -> Arc<Self> {
        let dir = TempDir::with_prefix("pushroll-test-").expect("a temporary directory");
        let mut settings = SimulatorSettings::new(dir.path().join("simulator"));
        if let Some(lifetime) = plan.access_token_lifetime {
            settings.access_token_lifetime = lifetime;
        }
        let simulator = there(Simulator::start(settings)).await.expect("a simulator");
        if let Some(clock) = &plan.clock {
            clock.takes_along(simulator.controls());
        }
        let simulator = Arc::new(simulator);
        let tls = plan.tls;
        let host = Self { plan: Mutex::new(plan), running: Mutex::new(None), simulator, dir };
        if tls {
            host.renew_certificate();
            host.set("tls.certificate_file", host.tls_file("pem").display().to_string());
            host.set("tls.key_file", host.tls_file("key").display().to_string());
            host.set("tls.check_seconds", "0.05".to_owned());
        }
        host.start_server().await;
        Arc::new(host)
    }

    /// The server that tests share whose settings are the usual ones; it stops when none of them is left.
    pub(crate) async fn shared() -> Arc<Self> {
        static SHARED: tokio::sync::Mutex<Weak<Host>> = tokio::sync::Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(host) = shared.upgrade() {
            return host;
        }
        // Retries come soon: nothing is to be seen in between.
        let overrides = vec![("verification.retry_base_seconds".to_owned(), "0.05".to_owned())];
        let host = Self::start(Plan { overrides, ..Plan::default() }).await;
        *shared = Arc::downgrade(&host);
        host
    }

    /// Starts a server on the data directory.
    pub(crate) async fn start_server(&self) {
        let started = self.try_to_start_server().await;
        started.unwrap_or_else(|fault| panic!("{fault}"));
    }

    /// Starts a server on the data directory, if that can be done.
    pub(crate) async fn try_to_start_server(&self) -> Result<(), StartError> {
        let settings = self.settings();
        let mut machine = Machine::default();
        if let Some(clock) = self.clock_if_manual() {
            machine.clock = Arc::new(clock);
        }
        let server = there(Server::start_on(settings, machine)).await?;
        let client_of = |place: Place| match place.tls {
            false => Client::of(place.address),
            true => Client::over_tls(place.address, self.simulator.ca_pem()),
        };
        let (client, admin) = (client_of(server.place()), client_of(server.admin_place()));
        *self.running.lock() = Some(Running { server: Some(server), client, admin });
        Ok(())
    }

    /// Sends requests to this address from now on.
    pub(crate) fn assume_it_runs_at(&self, address: SocketAddr) {
        let client = Client::of(address);
        *self.running.lock() = Some(Running { server: None, client, admin: client });
    }

    /// Stops the server in good order.
    pub(crate) async fn stop_server(&self) {
        let running = self.running.lock().take();
        if let Some(server) = running.and_then(|running| running.server) {
            there(server.stop()).await;
        }
    }

    /// The settings that the server is started with.
    ///
    /// # Panics
    /// When an override is no setting.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let text = self.settings_text();
        let overrides = self.plan.lock().overrides.clone();
        let environment =
            overrides.into_iter().map(|(key, value)| (environment_variable(&key), value));
        Settings::parse(Some((Path::new("test.toml"), &text)), environment)
            .unwrap_or_else(|faults| panic!("{faults}"))
    }

    /// A complete settings file of such a server, without the overrides.
    #[must_use]
    pub fn settings_text(&self) -> String {
        let simulator = &self.simulator;
        format!(
            r#"listen = "127.0.0.1:0"
[store]
kind = "embedded"
path = {data:?}
block_cache_bytes = 8388608
write_buffer_bytes = 4194304
[sealing]
key = "{key}"
[admin]
token = "{ADMIN_TOKEN}"
[providers]
apns_production = "{production}"
apns_sandbox = "{sandbox}"
fcm = "{fcm}"
token_uris = ["{token_uri}"]
ca_file = {ca:?}
[callbacks]
allow_http = true
allow_ranges = ["127.0.0.1/32"]
ca_file = {ca:?}
[shutdown]
deadline_seconds = {deadline}
"#,
            data = self.data_directory(),
            key = STANDARD.encode([7; 32]),
            production = simulator.apns_production_url(),
            sandbox = simulator.apns_sandbox_url(),
            fcm = simulator.fcm_url(),
            token_uri = simulator.token_uri(),
            ca = simulator.ca_pem_path(),
            deadline = SHUTDOWN_DEADLINE.as_secs(),
        )
    }

    /// The file of the server's own certificate (`pem`) or its key (`key`).
    #[must_use]
    pub fn tls_file(&self, extension: &str) -> PathBuf {
        self.dir.path().join("server").with_extension(extension)
    }

    /// Writes another certificate of the simulator's authority, and its key, into the server's files.
    ///
    /// # Panics
    /// When they can't be written.
    pub fn renew_certificate(&self) {
        let made = self.simulator.issue_server_certificate(&["127.0.0.1"]).expect("a certificate");
        std::fs::write(self.tls_file("pem"), made.cert_chain_pem).expect("a file");
        std::fs::write(self.tls_file("key"), made.key_pem).expect("a file");
    }

    /// Where the store is.
    #[must_use]
    pub fn data_directory(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A directory for files of the test's own.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The simulator.
    #[must_use]
    pub fn simulator(&self) -> &Simulator {
        &self.simulator
    }

    /// The manual clock.
    ///
    /// # Panics
    /// When the server goes by the machine's.
    #[must_use]
    pub fn clock(&self) -> ManualClock {
        self.clock_if_manual().expect("a server on a manual clock")
    }

    fn clock_if_manual(&self) -> Option<ManualClock> {
        self.plan.lock().clock.clone()
    }

    /// Changes a setting for the next start.
    pub(crate) fn set(&self, setting: &str, value: String) {
        let overrides = &mut self.plan.lock().overrides;
        overrides.retain(|(key, _)| key != setting);
        overrides.push((setting.to_owned(), value));
    }

    /// A client of the server.
    ///
    /// # Panics
    /// When it is stopped.
    #[must_use]
    pub fn client(&self) -> Client {
        self.running.lock().as_ref().expect("a running server").client
    }

    /// A client of the administration, which may have a listener of its own.
    ///
    /// # Panics
    /// When the server is stopped.
    #[must_use]
    pub fn admin_client(&self) -> Client {
        self.running.lock().as_ref().expect("a running server").admin
    }

    /// Where the server listens; `None` when it is stopped.
    #[must_use]
    pub fn address_if_running(&self) -> Option<SocketAddr> {
        let running = self.running.lock();
        running.as_ref()?.server.as_ref().map(Server::local_addr)
    }

    /// The admin token.
    #[must_use]
    pub const fn admin_token(&self) -> &'static str {
        ADMIN_TOKEN
    }

    /// A `GET` of the administration, after `/admin/v1`.
    pub fn admin_get(&self, path: &str) -> Request {
        self.admin_client().get(&format!("/admin/v1{path}")).bearer(ADMIN_TOKEN)
    }

    /// A `POST` of the administration.
    pub fn admin_post(&self, path: &str, body: &Value) -> Request {
        self.admin_client().post(&format!("/admin/v1{path}"), body).bearer(ADMIN_TOKEN)
    }

    /// A `PATCH` of the administration.
    pub fn admin_patch(&self, path: &str, body: &Value) -> Request {
        let target = format!("/admin/v1{path}");
        self.admin_client().request(http::Method::PATCH, &target).json(body).bearer(ADMIN_TOKEN)
    }

    /// A `DELETE` of the administration.
    pub fn admin_delete(&self, path: &str) -> Request {
        let target = format!("/admin/v1{path}");
        self.admin_client().request(http::Method::DELETE, &target).bearer(ADMIN_TOKEN)
    }

    /// The sum of a metric's series that carry all of these labels (`name="value"`); zero if there is none.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let answer = self.admin_client().get("/metrics").await.expect(200);
        answer.text().lines().filter_map(|line| series(line, name, labels)).sum()
    }
}

/// The value in a line of metrics, if it is a series of this metric with these labels.
fn series(line: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let rest = line.strip_prefix(name)?;
    if !rest.starts_with(['{', ' ']) || !labels.iter().all(|label| rest.contains(label)) {
        return None;
    }
    rest.rsplit(' ').next()?.parse().ok()
}

impl Drop for Host {
    fn drop(&mut self) {
        let running = self.running.get_mut().take();
        if let Some(server) = running.and_then(|running| running.server) {
            there_blocking(server.stop());
        }
    }
}
