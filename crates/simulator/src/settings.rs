//! What a simulator is started with. Every limit it obeys has its name here.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

/// How to start a [`Simulator`](crate::Simulator).
#[derive(Debug, Clone)]
pub struct SimulatorSettings {
    /// Directory of the certificate authority, the keys and `app.json`; made if it is not there.
    pub dir: PathBuf,
    /// Address that all four ports are opened on.
    pub address: IpAddr,
    /// The ports; 0 takes the one of the last start from the same directory, or a free one.
    pub ports: Ports,
    /// How long an access token is good for (Google: an hour).
    pub access_token_lifetime: Duration,
    /// What bounds memory, connections and streams.
    pub limits: Limits,
}

impl SimulatorSettings {
    /// Settings for `dir` with free ports on 127.0.0.1 and the providers' own limits.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            ports: Ports::default(),
            access_token_lifetime: Duration::from_secs(3600),
            limits: Limits::default(),
        }
    }
}

/// The ports of a simulator; 0 is a free one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ports {
    /// APNs, production environment.
    pub apns_production: u16,
    /// APNs, sandbox environment.
    pub apns_sandbox: u16,
    /// FCM and the OAuth token endpoint.
    pub fcm: u16,
    /// The control endpoint, plain HTTP.
    pub control: u16,
}

/// What a simulator allows and remembers.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Streams on an APNs connection once a provider token was accepted on it.
    pub apns_streams: u32,
    /// Streams on an APNs connection until then.
    pub apns_streams_before_first_token: u32,
    /// Streams on an FCM connection; going over it earns a GOAWAY.
    pub fcm_streams: u32,
    /// Different provider tokens on one APNs connection within 20 minutes: the first and one
    /// renewal, since Apple asks for no more than one renewal in 20 minutes.
    pub provider_tokens_per_window: usize,
    /// How far in the future the `iat` of a token may lie.
    pub clock_skew: Duration,
    /// Open connections of one port; more are reset.
    pub connections: usize,
    /// Device tokens whose requests are counted, and whose fates are remembered, per provider;
    /// the newest are kept.
    pub device_tokens: usize,
    /// Requests kept with headers and body, per provider; the newest are kept, 0 keeps none.
    pub recent_requests: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            apns_streams: 1000,
            apns_streams_before_first_token: 1,
            fcm_streams: 100,
            provider_tokens_per_window: 2,
            clock_skew: Duration::from_secs(300),
            connections: 1024,
            device_tokens: 100_000,
            recent_requests: 1000,
        }
    }
}
