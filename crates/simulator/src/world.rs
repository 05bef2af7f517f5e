//! Everything that the ports, the control endpoint and the handle share.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use rustls::server::danger::ClientCertVerifier;

use crate::clock::Clock;
use crate::credentials::Credentials;
use crate::fate::BUSY_ANSWERS;
use crate::faults::Faults;
use crate::newest::NewestMap;
use crate::provider::Provider;
use crate::random::{self, Ids};
use crate::settings::{Limits, SimulatorSettings};
use crate::statistics::Tally;

/// The most access tokens that are good at the same time; the oldest goes first.
pub const MAX_ACCESS_TOKENS: usize = 1000;

pub(crate) struct World {
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) ids: Ids,
    pub(crate) credentials: Credentials,
    /// Tells the push certificates that are ours.
    pub(crate) push_certificates: Option<Arc<dyn ClientCertVerifier>>,
    /// This simulator's own token endpoint: the `aud` that an assertion must have.
    pub(crate) token_uri: String,
    pub(crate) access_tokens: AccessTokens,
    providers: [ProviderState; Provider::ALL.len()],
}

pub(crate) struct ProviderState {
    pub(crate) faults: Faults,
    pub(crate) tally: Tally,
    busy: Mutex<NewestMap<u8>>,
}

impl World {
    pub(crate) fn new(
        settings: &SimulatorSettings,
        credentials: Credentials,
        push_certificates: Option<Arc<dyn ClientCertVerifier>>,
        token_uri: String,
    ) -> Self {
        let limits = settings.limits.clone();
        Self {
            providers: Provider::ALL.map(|_| ProviderState {
                faults: Faults::default(),
                tally: Tally::new(limits.device_tokens, limits.recent_requests),
                busy: Mutex::new(NewestMap::new(limits.device_tokens)),
            }),
            limits,
            clock: Clock::default(),
            ids: Ids::new(),
            credentials,
            push_certificates,
            token_uri,
            access_tokens: AccessTokens::new(
                i64::try_from(settings.access_token_lifetime.as_secs()).unwrap_or(i64::MAX),
            ),
        }
    }

    pub(crate) fn of(&self, provider: Provider) -> &ProviderState {
        &self.providers[provider.index()]
    }
}

impl ProviderState {
    /// Whether a busy device token is refused this time: the first times it is.
    pub(crate) fn is_still_busy(&self, device: &str) -> bool {
        let mut busy = self.busy.lock();
        let answered = busy.entry(device);
        let still = *answered < BUSY_ANSWERS;
        *answered = answered.saturating_add(1);
        still
    }

    pub(crate) fn clear(&self) {
        self.faults.clear();
        self.tally.clear();
        self.busy.lock().clear();
    }
}

/// The access tokens that the token endpoint issued and FCM accepts.
#[derive(Debug)]
pub(crate) struct AccessTokens {
    lifetime_s: i64,
    good: RwLock<Issued>,
}

#[derive(Debug, Default)]
struct Issued {
    expiry_s: HashMap<String, i64>,
    order: VecDeque<String>,
}

impl AccessTokens {
    fn new(lifetime_s: i64) -> Self {
        Self { lifetime_s, good: RwLock::default() }
    }

    pub(crate) fn lifetime_s(&self) -> i64 {
        self.lifetime_s
    }

    pub(crate) fn issue(&self, now_s: i64) -> String {
        use base64::Engine;
        let secret = random::bytes::<48>();
        let token =
            format!("ya29.c.{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(secret));
        let mut good = self.good.write();
        if good.order.len() >= MAX_ACCESS_TOKENS
            && let Some(oldest) = good.order.pop_front()
        {
            good.expiry_s.remove(&oldest);
        }
        good.order.push_back(token.clone());
        good.expiry_s.insert(token.clone(), now_s.saturating_add(self.lifetime_s));
        token
    }

    pub(crate) fn is_good(&self, token: &str, now_s: i64) -> bool {
        self.good.read().expiry_s.get(token).is_some_and(|expiry| now_s < *expiry)
    }

    pub(crate) fn expire_all(&self) {
        *self.good.write() = Issued::default();
    }
}
