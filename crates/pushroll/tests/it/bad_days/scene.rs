//! A place with an app, for the tests that follow single registrations.

use std::time::Duration;

use http::Method;
use pushroll_simulator::{ApnsFate, tokens};
use pushroll_testkit::{Status, within};
use serde_json::{Value, json};

use super::admin::{Admin, App};
use super::caller::Caller;
use super::place::Place;
use super::settle::statuses;

/// Longer than anything here takes.
pub const LONG: Duration = Duration::from_secs(60);

/// A place with an app, and a caller.
pub struct Scene {
    pub place: Place,
    pub admin: Admin,
    pub app: App,
    caller: Caller,
}

impl Scene {
    /// An app at a place whose server is ready.
    pub async fn of(place: Place) -> Self {
        let mut admin = Admin::of(place.address());
        let app = admin.make_app(&place.simulator).await;
        Self { caller: Caller::of(place.address()), place, admin, app }
    }

    /// Registers a device token with tracking; the id.
    pub async fn register(&mut self, app: &App, field: &str, token: &str) -> String {
        self.register_with(app, field, token, &[]).await
    }

    /// As [`Scene::register`], with more headers.
    pub async fn register_with(
        &mut self,
        app: &App,
        field: &str,
        token: &str,
        headers: &[(&str, &str)],
    ) -> String {
        let path = format!("/api/v1.0/orgs/{}/pushdeviceregistration/devices", app.org);
        let body = json!({
            "MobileAppId": app.id, "ApiToken": app.token, "UserId": &token[..20], field: token,
        });
        let headers = [&[("x-ms-track-registration", "true")], headers].concat();
        let answer = self.caller.send(Method::POST, &path, &headers, Some(&body)).await;
        answer.expect("an answer").registration_id()
    }

    /// Registers a good iPhone; the id and its device token.
    pub async fn register_ios(&mut self, seed: u64) -> (String, String) {
        let token = tokens::apns(seed, ApnsFate::Accepted);
        let app = self.app.clone();
        (self.register(&app, "ApnsDeviceToken", &token).await, token)
    }

    /// What a status query says.
    pub async fn status(&mut self, app: &App, id: &str) -> Status {
        statuses(&mut self.caller, app, &[id]).await.expect("an answer")[0]
    }

    /// How it ends.
    pub async fn end_of(&mut self, app: &App, id: &str) -> Status {
        within(LONG, "the registration ends", async || {
            let status = self.status(app, id).await;
            (status != Status::Pending).then_some(status)
        })
        .await
    }

    /// What operators see of a registration once its dry run was tried so often, and that is on record.
    pub async fn tried(&mut self, id: &str, attempts: u64) -> Value {
        within(LONG, "the dry run is tried", async || {
            let shown = self.admin.registration(&self.app, id).await.expect("a registration");
            (shown["attempts"].as_u64().expect("attempts") >= attempts).then_some(shown)
        })
        .await
    }
}
