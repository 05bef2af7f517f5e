//! A server of a test's own: for settings, clocks and faults that would disturb others.

use std::net::SocketAddr;
use std::ops::Deref;
use std::time::Duration;

use pushroll::server::StartError;

use crate::app::{AppBuilder, TestApp};
use crate::clock::ManualClock;
use crate::host::{Host, Plan};

/// A server of a test's own, with an organization, an app for both platforms and an API token.
pub struct TestServer {
    app: TestApp,
}

/// Says what is unusual about a server.
#[derive(Default)]
#[must_use]
pub struct TestServerBuilder(Plan);

/// A server of a test's own.
pub fn a_server() -> TestServerBuilder {
    TestServerBuilder::default()
}

impl TestServerBuilder {
    /// With this setting: `with("limits.devices_per_user", 2)`.
    pub fn with(mut self, setting: &str, value: impl ToString) -> Self {
        self.0.overrides.push((setting.to_owned(), value.to_string()));
        self
    }

    /// On a clock that stands until the test moves it.
    pub fn on_a_manual_clock(mut self) -> Self {
        self.0.clock = Some(ManualClock::new());
        self
    }

    /// Under TLS, with a certificate of the simulator's authority.
    pub fn under_tls(mut self) -> Self {
        self.0.tls = true;
        self
    }

    /// With access tokens that are good for so long.
    pub fn with_access_tokens_for(mut self, lifetime: Duration) -> Self {
        self.0.access_token_lifetime = Some(lifetime);
        self
    }

    /// Starts it.
    pub async fn start(self) -> TestServer {
        let host = Host::start(self.0).await;
        TestServer { app: AppBuilder::on(host).await }
    }
}

impl TestServer {
    /// A server with the usual settings.
    pub async fn start() -> Self {
        a_server().start().await
    }

    /// The app.
    #[must_use]
    pub const fn app(&self) -> &TestApp {
        &self.app
    }

    /// Another organization with an app of its own.
    pub fn another_app(&self) -> AppBuilder {
        AppBuilder::on(self.app.shared_host())
    }

    /// Stops the server in good order; its data stays.
    pub async fn stop(&self) {
        self.app.host().stop_server().await;
    }

    /// Starts a server on the data of the one that was stopped.
    pub async fn start_again(&self) {
        self.app.host().start_server().await;
    }

    /// Tries to start a server on the same data.
    ///
    /// # Errors
    /// Why it did not start.
    pub async fn try_to_start_again(&self) -> Result<(), StartError> {
        self.app.host().try_to_start_server().await
    }

    /// Sends requests to this address from now on: somebody else has started a server there.
    pub fn assume_it_runs_at(&self, address: SocketAddr) {
        self.app.host().assume_it_runs_at(address);
    }

    /// Changes a setting for the next start.
    pub fn set(&self, setting: &str, value: impl ToString) {
        self.app.host().set(setting, value.to_string());
    }

    /// Stops the server and starts one on its data.
    pub async fn restart(&self) {
        self.stop().await;
        self.start_again().await;
    }
}

impl Deref for TestServer {
    type Target = TestApp;

    fn deref(&self) -> &TestApp {
        &self.app
    }
}
