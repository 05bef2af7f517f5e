//! What an operator may set about the provider clients. Every limit has its unit here.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use url::Url;

use crate::transport::{Endpoint, Endpoints, Proxy, Tls};

/// Where the providers are, and how much of them to use at a time.
#[derive(Debug, Clone)]
pub struct ProviderSettings {
    /// APNs for apps from the App Store and TestFlight.
    pub apns_production_url: Url,
    /// APNs for apps run from Xcode.
    pub apns_sandbox_url: Url,
    /// FCM HTTP v1.
    pub fcm_url: Url,
    /// Certificates in PEM to trust besides the system's.
    pub extra_ca_file: Option<PathBuf>,
    /// The way to APNs, FCM and the token endpoint, if it is through a proxy. What the environment
    /// says of proxies counts for nothing.
    pub proxy: Option<Proxy>,
    /// The `token_uri`s that a service account may name.
    pub token_uris: Vec<String>,
    /// The most connections that take requests for one credential at one host.
    pub connections_per_credential: usize,
    /// The most connections in all; over it the one that has been idle for longest makes room.
    pub max_connections: usize,
    /// The most requests under way on a connection, if the peer allows as many.
    pub max_streams_per_connection: usize,
    /// The most requests that wait for a stream of one credential at one host.
    pub max_waiting_per_credential: usize,
    /// The most access tokens that are being fetched at a time.
    pub max_token_fetches: usize,
    /// For the look-up of the name, TCP, TLS and HTTP/2 together.
    pub connect_timeout: Duration,
    /// For a dry run in all: waiting for a stream, fetching an access token, asking twice.
    pub dry_run_timeout: Duration,
    /// How long a connection with requests under way may be silent before it is sent a PING.
    pub ping_interval: Duration,
    /// How long the answer to a PING may take.
    pub ping_timeout: Duration,
    /// After this time a connection takes no new requests.
    pub max_connection_age: Duration,
    /// After this time without a request a connection is closed.
    pub idle_close: Duration,
}

impl Default for ProviderSettings {
    fn default() -> Self {
        let url = |text| Url::parse(text).expect("a constant URL");
        Self {
            apns_production_url: url("https://api.push.apple.com"),
            apns_sandbox_url: url("https://api.sandbox.push.apple.com"),
            fcm_url: url("https://fcm.googleapis.com"),
            extra_ca_file: None,
            proxy: None,
            token_uris: vec![
                "https://oauth2.googleapis.com/token".to_owned(),
                "https://accounts.google.com/o/oauth2/token".to_owned(),
            ],
            connections_per_credential: 4,
            max_connections: 2_000,
            max_streams_per_connection: 1_000,
            max_waiting_per_credential: 4_000,
            max_token_fetches: 32,
            connect_timeout: Duration::from_secs(5),
            dry_run_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(4),
            ping_timeout: Duration::from_secs(3),
            max_connection_age: Duration::from_secs(3600),
            idle_close: Duration::from_secs(300),
        }
    }
}

/// What is wrong with one setting.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field}: {message}")]
pub struct SettingFault {
    /// The field of [`ProviderSettings`].
    pub field: &'static str,
    /// What is wrong, and what is expected.
    pub message: String,
}

/// Everything that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct SettingFaults(pub Vec<SettingFault>);

/// What the settings come to.
pub(crate) struct Checked {
    pub endpoints: Endpoints,
    pub token_uris: Vec<Url>,
    pub tls: Tls,
}

impl ProviderSettings {
    /// Reads everything, and reports all that is wrong together.
    pub(crate) fn check(&self) -> Result<Checked, SettingFaults> {
        let mut faults = self.limit_faults();
        let mut endpoint = |field, url| match Endpoint::of_base_url(url) {
            Ok(endpoint) => Some(endpoint),
            Err(message) => {
                faults.push(SettingFault { field, message });
                None
            }
        };
        let apns_production = endpoint("apns_production_url", &self.apns_production_url);
        let apns_sandbox = endpoint("apns_sandbox_url", &self.apns_sandbox_url);
        let fcm = endpoint("fcm_url", &self.fcm_url);
        let mut token_uris = Vec::new();
        for text in &self.token_uris {
            match token_uri(text) {
                Ok(uri) => token_uris.push(uri),
                Err(message) => faults.push(SettingFault { field: "token_uris", message }),
            }
        }
        let tls = Tls::new(self.extra_ca_file.as_deref()).map_err(|fault| {
            faults.push(SettingFault { field: "extra_ca_file", message: fault.to_string() });
        });
        match (apns_production, apns_sandbox, fcm, tls) {
            (Some(apns_production), Some(apns_sandbox), Some(fcm), Ok(tls))
                if faults.is_empty() =>
            {
                let endpoints = Endpoints { apns_production, apns_sandbox, fcm };
                Ok(Checked { endpoints, token_uris, tls })
            }
            _ => Err(SettingFaults(faults)),
        }
    }

    /// Everything that is wrong with the limits.
    fn limit_faults(&self) -> Vec<SettingFault> {
        let counts = [
            ("connections_per_credential", self.connections_per_credential),
            ("max_connections", self.max_connections),
            ("max_streams_per_connection", self.max_streams_per_connection),
            ("max_waiting_per_credential", self.max_waiting_per_credential),
            ("max_token_fetches", self.max_token_fetches),
        ];
        let spans = [
            ("connect_timeout", self.connect_timeout),
            ("dry_run_timeout", self.dry_run_timeout),
            ("ping_interval", self.ping_interval),
            ("ping_timeout", self.ping_timeout),
            ("max_connection_age", self.max_connection_age),
            ("idle_close", self.idle_close),
        ];
        let zero_counts = counts.iter().filter(|(_, count)| *count == 0).map(|(field, _)| *field);
        let zero_spans = spans.iter().filter(|(_, span)| span.is_zero()).map(|(field, _)| *field);
        zero_counts
            .chain(zero_spans)
            .map(|field| SettingFault { field, message: "must be more than zero".to_owned() })
            .collect()
    }
}

fn token_uri(text: &str) -> Result<Url, String> {
    let uri = Url::parse(text).map_err(|fault| format!("{text} is not a URL: {fault}"))?;
    Endpoint::of_url(&uri)?;
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_real_providers() {
        let settings = ProviderSettings::default();
        assert_eq!(settings.limit_faults(), []);
        assert_eq!(settings.apns_production_url.host_str(), Some("api.push.apple.com"));
    }

    #[test]
    fn everything_that_is_wrong_is_reported_together() {
        let settings = ProviderSettings {
            fcm_url: Url::parse("http://fcm.googleapis.com").unwrap(),
            extra_ca_file: Some("/nowhere/ca.pem".into()),
            token_uris: vec!["https://ok.example/token".into(), "token".into()],
            max_connections: 0,
            ping_timeout: Duration::ZERO,
            ..ProviderSettings::default()
        };
        let faults = settings.check().err().expect("faults").0;
        let fields: Vec<_> = faults.iter().map(|fault| fault.field).collect();
        let expected =
            ["max_connections", "ping_timeout", "fcm_url", "token_uris", "extra_ca_file"];
        assert_eq!(fields, expected, "{faults:?}");
    }
}
