//! Ports, TLS and HTTP: everything that has to do with connections and streams, and with the ways
//! in which they fail.

mod client_auth;
mod http1;
mod http2;
mod listener;
mod orders;
mod socket;
mod wire;

pub(crate) use client_auth::AnyCertificate;
pub(crate) use listener::{Listener, bind};
pub use orders::{Goaway, MAX_DEBUG_DATA_BYTES};

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::HeaderValue;
use http::header::DATE;
use http::request::Parts;
use parking_lot::Mutex;

use crate::apns::{Apns, ClientCertificate, Party, ProviderTokens};
use crate::google::{Fcm, Oauth, TOKEN_PATH};
use crate::judge::{Act, Body, Outcome};
use crate::provider::Provider;
use crate::settings::Limits;
use crate::world::{ProviderState, World};

/// Who answers on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Site {
    Apns(Provider),
    /// FCM and the token endpoint.
    Google,
}

/// What happens to a connection that opens more streams than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OverLimit {
    /// RST_STREAM with REFUSED_STREAM.
    Refuse,
    /// GOAWAY, after the streams under way have been answered.
    Goaway,
}

impl Site {
    /// The provider that the connections of this port are counted for.
    pub(crate) const fn provider(self) -> Provider {
        match self {
            Self::Apns(provider) => provider,
            Self::Google => Provider::Fcm,
        }
    }

    /// The protocols offered by ALPN, the best first.
    pub(crate) const fn protocols(self) -> &'static [&'static [u8]] {
        match self {
            Self::Apns(_) => &[b"h2"],
            Self::Google => &[b"h2", b"http/1.1"],
        }
    }

    /// Whether clients may show a certificate.
    pub(crate) const fn asks_for_certificates(self) -> bool {
        match self {
            Self::Apns(_) => true,
            Self::Google => false,
        }
    }

    /// Streams allowed before and after the first good credentials.
    const fn stream_limits(self, limits: &Limits) -> (u32, u32) {
        match self {
            Self::Apns(_) => (limits.apns_streams_before_first_token, limits.apns_streams),
            Self::Google => (limits.fcm_streams, limits.fcm_streams),
        }
    }

    const fn over_limit(self) -> OverLimit {
        match self {
            Self::Apns(_) => OverLimit::Refuse,
            Self::Google => OverLimit::Goaway,
        }
    }
}

/// What a connection knows of itself.
struct Connection {
    site: Site,
    world: Arc<World>,
    /// Counted from 1 at the port.
    number: u64,
    /// A request had good credentials.
    authenticated: AtomicBool,
    provider_tokens: Mutex<ProviderTokens>,
    certificate: Option<ClientCertificate>,
}

impl Connection {
    fn judge(&self, head: Parts, body: Body) -> Outcome {
        let world = &*self.world;
        match self.site {
            Site::Apns(provider) => {
                let party = Party {
                    connection: self.number,
                    tokens: &self.provider_tokens,
                    certificate: self.certificate.as_ref(),
                };
                Apns { world, provider }.judge(&party, head, body)
            }
            Site::Google if head.uri.path() == TOKEN_PATH => {
                dated(world, Oauth { world }.judge(self.number, head, body))
            }
            Site::Google => dated(world, Fcm { world }.judge(self.number, head, body)),
        }
    }

    fn state(&self) -> &ProviderState {
        self.world.of(self.site.provider())
    }
}

/// With the time of day, which Google's servers tell in every answer, by the simulator's clock.
fn dated(world: &World, mut outcome: Outcome) -> Outcome {
    let seconds = u64::try_from(world.clock.now_seconds()).unwrap_or_default();
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
    if let (Act::Answer(response), Ok(date)) = (&mut outcome.act, HeaderValue::try_from(date)) {
        response.headers_mut().entry(DATE).or_insert(date);
    }
    outcome
}

/// `{"reason": …}`, the debug data of a GOAWAY.
fn debug_data(reason: Option<&str>) -> Bytes {
    reason.map_or_else(Bytes::new, |reason| {
        Bytes::from(serde_json::json!({ "reason": reason }).to_string())
    })
}
