//! Every limit of the engine, by name and with its unit.

use std::num::NonZeroU32;
use std::time::Duration;

use pushroll_domain::{Backoff, CallbackRetries, SignatureEncoding};

/// A rate: so many a second, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests a second in the long run.
    pub per_second: NonZeroU32,
    /// Requests at once.
    pub burst: NonZeroU32,
}

/// What callers may ask for.
#[derive(Debug, Clone)]
pub struct RequestLimits {
    /// Requests whose API token is not good, by source address.
    pub bad_tokens_by_source: RateLimit,
    /// Source addresses that are told apart; those beyond share one limit.
    pub sources_told_apart: usize,
    /// All requests of an organization; none by default.
    pub by_organization: Option<RateLimit>,
    /// Registrations of an app that may be pending at once.
    pub waiting_per_app: u64,
    /// Characters of an APNs device token.
    pub apns_token_chars: usize,
    /// Characters of an FCM device token.
    pub fcm_token_chars: usize,
    /// Devices of a user in an app.
    pub devices_per_user: u32,
}

/// How registrations are verified.
#[derive(Debug, Clone)]
pub struct VerificationLimits {
    /// Registrations in memory, of all apps; the rest waits in the store.
    pub in_memory: usize,
    /// Registrations in memory of one app on one platform.
    pub in_memory_per_lane: usize,
    /// With more requests than this waiting for their registrations to be kept, the server is busy for a second.
    pub busy_requests: usize,
    /// Registrations in memory, of all apps, that no other is added to while the server is busy.
    pub in_memory_when_busy: usize,
    /// Dry runs under way for one app on one platform.
    pub dry_runs_per_lane: usize,
    /// When a provider is asked again.
    pub backoff: Backoff,
    /// Whether verification is stopped: everything is accepted and nothing is verified.
    pub paused: bool,
}

/// How callbacks are made.
#[derive(Debug, Clone)]
pub struct CallbackLimits {
    /// Callbacks under way.
    pub under_way: usize,
    /// Callbacks under way to one host and port.
    pub under_way_per_host: usize,
    /// When an attempt counts as lost whose end was never noted: after more than a callback can take.
    pub lost_after: Duration,
    /// How long to wait between attempts, in apps with retries; the window is the app's own.
    pub retry_waits: Backoff,
    /// The most callbacks of an app that wait for another attempt; those beyond are given up.
    pub retrying_per_app: u64,
    /// How the body's `Signature` is written.
    pub signature_encoding: SignatureEncoding,
}

/// The engine's settings.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Whether requests whose organization, app or API token is unknown are answered 400.
    pub strict_tokens: bool,
    /// Requests.
    pub requests: RequestLimits,
    /// Verification.
    pub verification: VerificationLimits,
    /// Callbacks.
    pub callbacks: CallbackLimits,
}

const fn rate(per_second: u32, burst: u32) -> RateLimit {
    let (Some(per_second), Some(burst)) = (NonZeroU32::new(per_second), NonZeroU32::new(burst))
    else {
        panic!("a rate of nothing")
    };
    RateLimit { per_second, burst }
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            strict_tokens: false,
            requests: RequestLimits {
                bad_tokens_by_source: rate(100, 1_000),
                sources_told_apart: 100_000,
                by_organization: None,
                waiting_per_app: 2_000_000,
                apns_token_chars: 64,
                fcm_token_chars: 4_096,
                devices_per_user: 100,
            },
            verification: VerificationLimits {
                in_memory: 16_384,
                in_memory_per_lane: 2_048,
                busy_requests: 256,
                in_memory_when_busy: 256,
                dry_runs_per_lane: 1_000,
                backoff: Backoff::default(),
                paused: false,
            },
            callbacks: CallbackLimits {
                under_way: 256,
                under_way_per_host: 32,
                lost_after: Duration::from_secs(50),
                retry_waits: Backoff {
                    base: Duration::from_secs(10),
                    longest: Duration::from_secs(3 * 3600),
                    window: CallbackRetries::LONGEST_WINDOW,
                },
                retrying_per_app: 100_000,
                signature_encoding: SignatureEncoding::Base64,
            },
        }
    }
}
