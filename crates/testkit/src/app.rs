//! A mobile app with an API token, and what its back end and its operator do.

use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;

use pushroll_simulator::Reply;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::device::{Device, Registered};
use crate::host::Host;
use crate::request::Request;
use crate::status::Status;
use crate::until::eventually;

/// A mobile app of an organization of its own, with an API token.
#[derive(Clone)]
pub struct TestApp {
    /// The organization's id.
    pub org: String,
    /// The app's id.
    pub id: String,
    /// A good API token.
    pub token: String,
    /// Its id.
    pub token_id: String,
    /// The app's webhook secret.
    pub webhook_secret: String,
    host: Arc<Host>,
}

/// Builds an app: for both platforms, with credentials that the simulator accepts. Awaiting it makes it.
#[must_use = "an app is made when it is awaited"]
pub struct AppBuilder {
    host: Option<Arc<Host>>,
    org: Option<String>,
    changes: Vec<BodyChange>,
}

/// A change of the body that makes an app.
type BodyChange = Box<dyn FnOnce(&Host, &mut Value) + Send>;

/// An app on the server that tests share, in an organization of its own.
pub fn an_app() -> AppBuilder {
    AppBuilder { host: None, org: None, changes: Vec::new() }
}

impl AppBuilder {
    pub(crate) fn on(host: Arc<Host>) -> Self {
        Self { host: Some(host), ..an_app() }
    }

    /// In the organization of this app, on its server.
    pub fn beside(mut self, other: &TestApp) -> Self {
        self.host = Some(Arc::clone(&other.host));
        self.org = Some(other.org.clone());
        self
    }

    /// With this iOS mode.
    pub fn in_mode(self, mode: &'static str) -> Self {
        self.with(move |_, body| body["ios"]["mode"] = json!(mode))
    }

    /// With this bundle id.
    pub fn with_bundle_id(self, bundle_id: &'static str) -> Self {
        self.with(move |_, body| body["ios"]["bundle_id"] = json!(bundle_id))
    }

    /// With an APNs key that APNs does not know.
    pub fn with_an_unknown_apns_key(self) -> Self {
        self.with(|host, body| {
            let key = host.simulator().unknown_apns_key();
            body["ios"]["key"]["key_id"] = json!(key.key_id);
            body["ios"]["key"]["p8"] = json!(key.p8);
        })
    }

    /// With a push certificate in place of the APNs key.
    pub fn with_a_certificate(self) -> Self {
        self.with(|host, body| {
            body["ios"] = host.simulator().app_body_with_certificate("Shop")["ios"].take();
        })
    }

    /// With a service account of this project.
    pub fn of_project(self, project: &'static str) -> Self {
        self.with(move |_, body| body["android"]["service_account"]["project_id"] = json!(project))
    }

    /// Without an iOS side.
    pub fn without_ios(self) -> Self {
        self.with(|_, body| drop(body.as_object_mut().and_then(|body| body.remove("ios"))))
    }

    /// Without an Android side.
    pub fn without_android(self) -> Self {
        self.with(|_, body| drop(body.as_object_mut().and_then(|body| body.remove("android"))))
    }

    fn with(mut self, change: impl FnOnce(&Host, &mut Value) + Send + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    async fn make(self) -> TestApp {
        let host = match self.host {
            Some(host) => host,
            None => Host::shared().await,
        };
        let org = match self.org {
            Some(org) => org,
            None => id_of(&host.admin_post("/orgs", &json!({"name": "Contoso"})).await),
        };
        let mut body = host.simulator().app_body("Shop");
        for change in self.changes {
            change(&host, &mut body);
        }
        let made = host.admin_post(&format!("/orgs/{org}/apps"), &body).await;
        let id = id_of(&made);
        let webhook_secret = made.json()["webhook_secret"].as_str().expect("a secret").to_owned();
        let (token, token_id) = (String::new(), String::new());
        let mut app = TestApp { org, id, token, token_id, webhook_secret, host };
        (app.token, app.token_id) = app.new_token().await;
        app
    }
}

impl IntoFuture for AppBuilder {
    type Output = TestApp;
    type IntoFuture = Pin<Box<dyn Future<Output = TestApp> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.make())
    }
}

pub(crate) fn id_of(made: &Answer) -> String {
    assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
    made.json()["id"].as_str().expect("an id").to_owned()
}

impl Deref for TestApp {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

impl TestApp {
    /// The server.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    pub(crate) fn shared_host(&self) -> Arc<Host> {
        Arc::clone(&self.host)
    }

    /// The same app seen by a back end that has another API token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// The path of a call of the device registration API: `devices/batch`.
    #[must_use]
    pub fn path(&self, call: &str) -> String {
        format!("/api/v1.0/orgs/{}/pushdeviceregistration/{call}", self.org)
    }

    /// A call of the device registration API.
    pub fn post(&self, call: &str, body: &Value) -> Request {
        self.client().post(&self.path(call), body)
    }

    /// A registration; untracked unless it is said.
    pub fn register(&self, device: &Device) -> Request {
        self.post("devices", &device.body(self))
    }

    /// A batch of registrations; untracked unless it is said.
    pub fn register_all<'a>(&self, devices: impl IntoIterator<Item = &'a Device>) -> Request {
        let items: Vec<Value> = devices.into_iter().map(|device| device.body(self)).collect();
        self.post("devices/batch", &json!(items))
    }

    /// Registers with a callback to this URL, tracked, and returns the registration's id.
    pub async fn register_calling(&self, device: &Device, url: &str) -> Registered {
        let id = self.register(device).tracked().callback(url).await.registration_id();
        Registered { device: device.clone(), id }
    }

    /// A status query.
    pub fn ask_status<S: AsRef<str>>(&self, ids: impl IntoIterator<Item = S>) -> Request {
        let ids: Vec<Value> = ids.into_iter().map(|id| json!(id.as_ref())).collect();
        let body = json!({
            "RegistrationRequestIds": ids,
            "MobileAppId": self.id,
            "ApiToken": self.token,
        });
        self.post("devices/status/", &body)
    }

    /// What a status query says now.
    pub async fn statuses<S: AsRef<str>>(&self, ids: impl IntoIterator<Item = S>) -> Vec<Status> {
        let answer = self.ask_status(ids).await.expect(200);
        answer.json().as_array().expect("an array").iter().map(Status::read).collect()
    }

    /// What a status query says of this id now.
    pub async fn status_now(&self, id: &str) -> Status {
        self.statuses([id]).await[0]
    }

    /// How the registration ended; waits for it.
    pub async fn status_of(&self, registered: &Registered) -> Status {
        self.status_of_id(&registered.id).await
    }

    /// How the registration with this id ended; waits for it.
    pub async fn status_of_id(&self, id: &str) -> Status {
        eventually(&format!("the end of registration {id}"), async || {
            Some(self.status_now(id).await).filter(|status| *status != Status::Pending)
        })
        .await
    }

    /// A cleanup of one device, or of all devices of the user.
    pub fn clean_up(&self, user: &str, device_token: Option<&str>) -> Request {
        self.post("devices/cleanup", &self.cleanup_body(user, device_token))
    }

    /// The body of a cleanup.
    #[must_use]
    pub fn cleanup_body(&self, user: &str, device_token: Option<&str>) -> Value {
        let mut body = json!({"MobileAppId": self.id, "ApiToken": self.token, "UserId": user});
        if let Some(token) = device_token {
            body["DeviceToken"] = json!(token);
        }
        body
    }

    /// Scripts what the device's provider answers next about it.
    pub fn answers(&self, device: &Device, replies: impl IntoIterator<Item = Reply>) {
        self.simulator()
            .script(device.provider(), Some(&device.token), replies)
            .expect("replies that can be sent");
    }

    /// How often the device's provider was asked about it.
    #[must_use]
    pub fn dry_runs_of(&self, device: &Device) -> u64 {
        self.simulator().requests_of(device.provider(), &device.token)
    }

    /// Waits until the device's provider was asked so often.
    pub async fn wait_for_dry_runs(&self, device: &Device, count: u64) {
        eventually(&format!("{count} dry runs"), async || {
            (self.dry_runs_of(device) >= count).then_some(())
        })
        .await;
    }
}
