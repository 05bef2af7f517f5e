//! A listener on a free port, with an organization, an app and an API token to begin with.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pushroll_domain::{Actor, AppId, OrgId, TokenHash, TokenId, Tracer};
use pushroll_engine::{EngineSettings, NewApp, Parts, Service};
use pushroll_http_api::{
    CallbackRules, HttpSettings, OperatorRoutes, PublicRoutes, PublicUrl, ServerTls, Site, bind,
    serve, serve_tls,
};
use serde_json::{Value as Json, json};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::fakes::{Counting, FakeCallbacks, FakeProviders, FakeSealer, FakeStore, StoppedClock};
use crate::raw::{Answer, PATIENCE, Raw, request};

pub const ADMIN_TOKEN: &str = "the admin token";

/// What runs.
pub struct Running {
    pub address: SocketAddr,
    pub store: Arc<FakeStore>,
    pub service: Service,
    pub org: OrgId,
    pub app: AppId,
    pub token_id: TokenId,
    pub token: String,
    pub stop: CancellationToken,
    pub served: JoinHandle<()>,
}

/// How it runs.
pub struct Setup {
    pub http: HttpSettings,
    pub engine: EngineSettings,
    pub allow_http: bool,
    pub is_public: bool,
    pub is_for_operators: bool,
    pub tls: Option<ServerTls>,
}

impl Default for Setup {
    fn default() -> Self {
        let mut engine = EngineSettings::default();
        engine.verification.paused = true;
        Self {
            http: HttpSettings::default(),
            engine,
            allow_http: false,
            is_public: true,
            is_for_operators: true,
            tls: None,
        }
    }
}

/// Runs with all defaults.
pub async fn running() -> Running {
    Setup::default().run().await
}

/// Runs with other limits.
pub async fn running_with(change: impl FnOnce(&mut HttpSettings)) -> Running {
    let mut setup = Setup::default();
    change(&mut setup.http);
    setup.run().await
}

/// Waits until something is so.
pub async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited for: {what}"));
}

impl Setup {
    pub async fn run(self) -> Running {
        let store = Arc::new(FakeStore::default());
        let parts = Parts {
            store: store.clone(),
            providers: Arc::new(FakeProviders),
            callbacks: Arc::new(FakeCallbacks),
            sealer: Arc::new(FakeSealer),
            clock: Arc::new(StoppedClock),
            random: Arc::new(Counting::default()),
            settings: self.engine,
            tracer: Tracer::default(),
        };
        let service = Service::start(parts).await.unwrap();
        let by = Actor::at_the_machine();
        let org = service.create_org(&by, "Test").await.unwrap().id;
        let app = NewApp {
            name: "Test".to_owned(),
            description: String::new(),
            ios: None,
            android: None,
            callback_retries: None,
        };
        let app = service.create_app(&by, org, app).await.unwrap().0.id;
        let token = service.create_token(&by, org, app, "", None).await.unwrap();
        let callbacks =
            CallbackRules { allow_http: self.allow_http, sender: Arc::new(FakeCallbacks) };
        let operator = OperatorRoutes {
            backup: Some(store.clone()),
            admin_token: TokenHash::of(ADMIN_TOKEN),
            metrics: Arc::new(|| "pushroll_test 1\n".to_owned()),
            public_url: PublicUrl::AsCalled { is_tls: false },
        };
        let site = Arc::new(Site {
            service: service.clone(),
            public: self.is_public.then_some(PublicRoutes { callbacks }),
            operator: self.is_for_operators.then_some(operator),
        });
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let served = match self.tls {
            None => tokio::spawn(serve(listener, site, self.http, stop.clone())),
            Some(tls) => tokio::spawn(serve_tls(listener, tls, site, self.http, stop.clone())),
        };
        let (token_id, token) = (token.record.id, token.token.reveal().to_owned());
        Running { address, store, service, org, app, token_id, token, stop, served }
    }
}

impl Running {
    pub async fn connect(&self) -> Raw {
        Raw::connect(self.address).await
    }

    /// The path of a step, `devices` say.
    pub fn path(&self, step: &str) -> String {
        format!("/api/v1.0/orgs/{}/pushdeviceregistration/{step}", self.org)
    }

    /// The bytes of a registration's request.
    pub fn registering(&self, headers: &[(&str, &str)]) -> String {
        let body = self.registration().to_string();
        request("POST", &self.path("devices"), headers, &body)
    }

    /// A registration's body whose form and token are good.
    pub fn registration(&self) -> Json {
        json!({
            "MobileAppId": self.app.to_string(),
            "UserId": "me",
            "ApiToken": self.token,
            "ApnsDeviceToken": "AB12",
        })
    }

    /// A registration's body with an API token that nobody knows.
    pub fn badly_authorized(&self) -> Json {
        let mut body = self.registration();
        body["ApiToken"] = json!("nobody knows me");
        body
    }

    /// Sends a request on a connection of its own.
    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut connection = self.connect().await;
        connection.send(request(method, path, headers, body)).await;
        connection.answer_to(method).await
    }

    pub async fn post(&self, step: &str, body: &Json) -> Answer {
        self.ask("POST", &self.path(step), &[], &body.to_string()).await
    }

    pub async fn post_with(&self, step: &str, headers: &[(&str, &str)], body: &Json) -> Answer {
        self.ask("POST", &self.path(step), headers, &body.to_string()).await
    }

    /// Asks the administration; `path` is what follows `/admin/v1`.
    pub async fn admin(&self, method: &str, path: &str, body: Option<Json>) -> Answer {
        let bearer = format!("Bearer {ADMIN_TOKEN}");
        let headers = [("authorization", bearer.as_str())];
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        self.ask(method, &format!("/admin/v1{path}"), &headers, &body).await
    }

    /// The path of the app in the administration.
    pub fn app_path(&self) -> String {
        format!("/orgs/{}/apps/{}", self.org, self.app)
    }
}
