//! What an operator does with an app.

use std::time::Duration;

use pushroll_domain::Clock as _;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::app::TestApp;
use crate::request::Request;
use crate::until::eventually;

impl TestApp {
    /// The app's path in the administration, after `/admin/v1`.
    #[must_use]
    pub fn admin_path(&self) -> String {
        format!("/orgs/{}/apps/{}", self.org, self.id)
    }

    /// Another API token, and its id.
    pub async fn new_token(&self) -> (String, String) {
        self.new_token_with(&json!({})).await
    }

    /// Another API token with a name or an expiry, and its id.
    pub async fn new_token_with(&self, body: &Value) -> (String, String) {
        let made = self.admin_post(&format!("{}/tokens", self.admin_path()), body).await;
        let made = made.expect(201).json();
        let text = |name: &str| made[name].as_str().expect("a text").to_owned();
        (text("token"), text("id"))
    }

    /// Another API token that is good for so long by the server's manual clock.
    pub async fn new_token_for(&self, span: Duration) -> String {
        let end = self.clock().now().plus(span).as_millis();
        let end = OffsetDateTime::from_unix_timestamp_nanos(i128::from(end) * 1_000_000)
            .expect("a time that can be written");
        let expires_at = end.format(&Rfc3339).expect("a time that can be written");
        self.new_token_with(&json!({"expires_at": expires_at})).await.0
    }

    /// Revokes an API token.
    pub async fn revoke(&self, token_id: &str) {
        let path = format!("{}/tokens/{token_id}", self.admin_path());
        let _ = self.admin_delete(&path).await.expect(204);
    }

    /// Deletes the app.
    pub async fn delete(&self) {
        let _ = self.admin_delete(&self.admin_path()).await.expect(204);
    }

    /// Changes the app.
    pub fn change(&self, body: &Value) -> Request {
        self.admin_patch(&self.admin_path(), body)
    }

    /// The devices of a user.
    pub async fn devices_of(&self, user: &str) -> Vec<Value> {
        self.list_of("devices", user).await
    }

    /// The registrations of a user, newest first.
    pub async fn registrations_of(&self, user: &str) -> Vec<Value> {
        self.list_of("registrations", user).await
    }

    /// The app's delivery log, newest first.
    pub async fn deliveries(&self) -> Vec<Value> {
        let path = format!("{}/deliveries?limit=1000", self.admin_path());
        let answer = self.admin_get(&path).await.expect(200).json();
        answer["items"].as_array().expect("items").clone()
    }

    /// What became of the callback of a registration, newest first, once there are so many attempts.
    pub async fn deliveries_of(&self, id: &str, count: usize) -> Vec<Value> {
        eventually(&format!("{count} attempts of the callback of {id}"), async || {
            let mut all = self.deliveries().await;
            all.retain(|one| one["registration_id"] == id);
            (all.len() >= count).then_some(all)
        })
        .await
    }

    /// Has callbacks tried again for so long; `None` for never.
    pub async fn try_callbacks_again(&self, window: Option<Duration>) {
        let retries = window.map(|window| json!({"window_seconds": window.as_secs()}));
        let _ = self.change(&json!({"callbacks": {"retries": retries}})).await.expect(200);
    }

    async fn list_of(&self, what: &str, user: &str) -> Vec<Value> {
        let path = format!("{}/{what}?limit=1000&user_id={}", self.admin_path(), percent(user));
        let answer = self.admin_get(&path).await.expect(200).json();
        answer["items"].as_array().expect("items").clone()
    }

    /// A registration as an operator sees it now; `None` if there is nothing to see.
    pub async fn record_now(&self, id: &str) -> Option<Value> {
        let answer = self.admin_get(&format!("{}/registrations/{id}", self.admin_path())).await;
        (answer.status != 404).then(|| answer.expect(200).json())
    }

    /// A registration as an operator sees it, once `is_so` holds for it.
    pub async fn record_when(&self, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("a change in the record of {id}"), async || {
            self.record_now(id).await.filter(&is_so)
        })
        .await
    }

    /// A registration as an operator sees it, once it has ended.
    pub async fn record_of(&self, id: &str) -> Value {
        self.record_when(id, |record| !record["ended_at"].is_null()).await
    }
}

/// Percent-encodes a query value.
fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
