//! A simulator with a client for each provider, and requests that are right unless a test spoils
//! them.

use http::Method;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use pushroll_simulator::{ApnsKey, Controls, Simulator, SimulatorSettings};
use serde_json::{Value, json};
use tempfile::TempDir;
use url::form_urlencoded;

use crate::client::{Answer, Client};

pub const BACKGROUND: &[u8] = br#"{"aps":{"content-available":1}}"#;
pub const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

pub struct World {
    pub simulator: Simulator,
    pub dir: TempDir,
}

pub async fn a_simulator() -> World {
    a_simulator_with(|_| {}).await
}

pub async fn a_simulator_with(change: impl FnOnce(&mut SimulatorSettings)) -> World {
    let dir = tempfile::tempdir().expect("a directory");
    // The keys of one run serve all tests: making an RSA key takes its time.
    let keys = keys().await;
    std::fs::copy(keys, dir.path().join("credentials.json")).expect("copies");
    let mut settings = SimulatorSettings::new(dir.path());
    change(&mut settings);
    let simulator = Simulator::start(settings).await.expect("starts");
    World { simulator, dir }
}

async fn keys() -> &'static std::path::Path {
    static KEYS: tokio::sync::OnceCell<TempDir> = tokio::sync::OnceCell::const_new();
    let dir = KEYS
        .get_or_init(|| async {
            let dir = tempfile::tempdir().expect("a directory");
            let settings = SimulatorSettings::new(dir.path());
            Simulator::start(settings).await.expect("starts").shutdown().await;
            dir
        })
        .await;
    static PATH: std::sync::OnceLock<std::path::PathBuf> = std::sync::OnceLock::new();
    PATH.get_or_init(|| dir.path().join("credentials.json"))
}

pub fn now_s() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map(|since| since.as_secs() as i64)
        .expect("after 1970")
}

impl World {
    pub fn controls(&self) -> &Controls {
        self.simulator.controls()
    }

    pub async fn production(&self) -> Client {
        Client::connect(self.simulator.apns_production_url(), self.simulator.ca_pem()).await
    }

    pub async fn sandbox(&self) -> Client {
        Client::connect(self.simulator.apns_sandbox_url(), self.simulator.ca_pem()).await
    }

    pub async fn google(&self) -> Client {
        Client::connect(self.simulator.fcm_url(), self.simulator.ca_pem()).await
    }

    /// A provider token that is good now.
    pub fn bearer(&self) -> String {
        provider_token(self.simulator.apns_key(), now_s())
    }

    pub fn assertion(&self, change: impl FnOnce(&mut Value)) -> String {
        let account = self.simulator.service_account();
        let mut claims = json!({
            "iss": account["client_email"],
            "scope": SCOPE,
            "aud": account["token_uri"],
            "iat": now_s(),
            "exp": now_s() + 3600,
        });
        change(&mut claims);
        let mut header = Header::new(Algorithm::RS256);
        header.kid = account["private_key_id"].as_str().map(str::to_owned);
        let key = account["private_key"].as_str().expect("a key");
        let key = EncodingKey::from_rsa_pem(key.as_bytes()).expect("an RSA key");
        encode(&header, &claims, &key).expect("signs")
    }

    pub async fn exchange(&self, google: &Client, assertion: &str) -> Answer {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
            .append_pair("assertion", assertion)
            .finish();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        google.request(Method::POST, "/token", &headers, form.as_bytes()).await.expect("an answer")
    }

    pub async fn access_token(&self, google: &Client) -> String {
        let answer = self.exchange(google, &self.assertion(|_| {})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["access_token"].as_str().expect("a token").to_owned()
    }

    pub fn send_path(&self) -> String {
        let account = self.simulator.service_account();
        format!("/v1/projects/{}/messages:send", account["project_id"].as_str().expect("an id"))
    }

    pub async fn send_to(&self, google: &Client, access_token: &str, device: &str) -> Answer {
        let body = json!({"validate_only": true, "message": {"token": device}});
        self.send(google, access_token, &self.send_path(), body.to_string().as_bytes()).await
    }

    pub async fn send(&self, google: &Client, token: &str, path: &str, body: &[u8]) -> Answer {
        let authorization = format!("Bearer {token}");
        let headers =
            [("authorization", authorization.as_str()), ("content-type", "application/json")];
        google.request(Method::POST, path, &headers, body).await.expect("an answer")
    }
}

pub fn provider_token(key: &ApnsKey, issued_at_s: i64) -> String {
    let mut header = Header::new(Algorithm::ES256);
    header.typ = None;
    header.kid = Some(key.key_id.clone());
    let claims = json!({"iss": key.team_id, "iat": issued_at_s});
    let key = EncodingKey::from_ec_pem(key.p8.as_bytes()).expect("a P-256 key");
    format!("bearer {}", encode(&header, &claims, &key).expect("signs"))
}

/// The headers of a dry run.
pub fn dry_run_headers(bearer: &str) -> Vec<(&str, &str)> {
    vec![
        ("authorization", bearer),
        ("apns-topic", "com.example.pushroll"),
        ("apns-push-type", "background"),
        ("apns-priority", "5"),
        ("apns-expiration", "0"),
    ]
}

pub async fn dry_run(client: &Client, bearer: &str, device: &str) -> Answer {
    let path = format!("/3/device/{device}");
    client
        .request(Method::POST, &path, &dry_run_headers(bearer), BACKGROUND)
        .await
        .expect("an answer")
}
