//! What the tests ask of the administration: something to register for, and what became of it.

use http::Method;
use pushroll_simulator::Simulator;
use pushroll_testkit::Answer;
use serde_json::{Value, json};
use std::net::SocketAddr;
use url::form_urlencoded;

use super::caller::Caller;
use super::place::ADMIN_TOKEN;

/// An app that is set up, and a good API token.
#[derive(Debug, Clone)]
pub struct App {
    pub org: String,
    pub id: String,
    pub token: String,
}

/// One connection to the administration. What it asks must be answered.
pub struct Admin(Caller);

impl Admin {
    pub const fn of(address: SocketAddr) -> Self {
        Self(Caller::of(address))
    }

    /// An app for both platforms that the simulator knows, of a new organization.
    pub async fn make_app(&mut self, simulator: &Simulator) -> App {
        let org = self.create("/admin/v1/orgs", &json!({"name": "Bad days"})).await;
        let org = text(&org["id"]);
        self.make_app_of(&org, simulator).await
    }

    /// Another app of an organization.
    pub async fn make_app_of(&mut self, org: &str, simulator: &Simulator) -> App {
        let apps = format!("/admin/v1/orgs/{org}/apps");
        let app = self.create(&apps, &simulator.app_body("Bad days")).await;
        let id = text(&app["id"]);
        let token = self.create(&format!("{apps}/{id}/tokens"), &json!({})).await;
        App { org: org.to_owned(), id, token: text(&token["token"]) }
    }

    async fn create(&mut self, path: &str, body: &Value) -> Value {
        self.ask(Method::POST, path, Some(body)).await.expect(201).json()
    }

    /// The registrations of a user that are pending, failed or tracked, newest first.
    pub async fn registrations(&mut self, app: &App, user: &str) -> Vec<Value> {
        self.list(&format!("{}/registrations?{}", base(app), user_query(user))).await
    }

    /// Whether the server answers, and can serve.
    pub async fn is_ready(&mut self) -> bool {
        let answer = self.0.send(Method::GET, "/readyz", &[], None).await;
        answer.is_ok_and(|answer| answer.status == 200)
    }

    /// The ids of these, if the server answers at all.
    pub async fn try_registrations(&mut self, app: &App, user: &str) -> Option<Vec<String>> {
        let path = format!("{}/registrations?limit=1000&{}", base(app), user_query(user));
        let bearer = format!("Bearer {ADMIN_TOKEN}");
        let headers = [("authorization", bearer.as_str())];
        let answer = self.0.send(Method::GET, &path, &headers, None).await.ok()?;
        if answer.status == 503 {
            return None;
        }
        let list = answer.expect(200).json();
        Some(list["items"].as_array()?.iter().map(|item| text(&item["id"])).collect())
    }

    /// The devices of a user.
    pub async fn devices(&mut self, app: &App, user: &str) -> Vec<Value> {
        self.list(&format!("{}/devices?{}", base(app), user_query(user))).await
    }

    /// A registration, if it is known.
    pub async fn registration(&mut self, app: &App, id: &str) -> Option<Value> {
        let path = format!("{}/registrations/{id}", base(app));
        let answer = self.ask(Method::GET, &path, None).await;
        (answer.status != 404).then(|| answer.expect(200).json())
    }

    async fn list(&mut self, path: &str) -> Vec<Value> {
        let answer = self.ask(Method::GET, &format!("{path}&limit=1000"), None).await;
        let list = answer.expect(200).json();
        assert_eq!(list["next"], Value::Null, "more than a test makes");
        list["items"].as_array().expect("items").clone()
    }

    async fn ask(&mut self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let bearer = format!("Bearer {ADMIN_TOKEN}");
        let headers = [("authorization", bearer.as_str())];
        let answer = self.0.send(method, path, &headers, body).await;
        answer.unwrap_or_else(|why| panic!("{path}: {why:?}"))
    }
}

fn base(app: &App) -> String {
    format!("/admin/v1/orgs/{}/apps/{}", app.org, app.id)
}

fn user_query(user: &str) -> String {
    form_urlencoded::Serializer::new(String::new()).append_pair("user_id", user).finish()
}

/// A value that must be a text.
#[track_caller]
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}
