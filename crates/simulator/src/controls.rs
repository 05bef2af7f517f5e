//! What a test or an operator may do to a running simulator: the methods that the control endpoint
//! calls.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::MAX_CLOCK_OFFSET_MS;
use crate::faults::{ErrorRate, Silence};
use crate::provider::Provider;
use crate::reply::{InvalidScript, Reply};
use crate::statistics::{ProviderStatistics, RecordedRequest};
use crate::transport::{Goaway, Listener, MAX_DEBUG_DATA_BYTES};
use crate::world::World;

/// The highest stream limit that can be set.
pub const MAX_STREAM_LIMIT: u32 = 100_000;

/// Scripts, faults and statistics of a running simulator; cheap to clone.
///
/// A request goes through the checks of the protocol first: a script never hides that a client
/// sends what the provider would refuse. Then count, in this order: silence, rejected credentials,
/// the replies queued for the device token, those queued for the provider, the error rate, and last
/// the fate that the token's prefix names.
#[derive(Clone)]
pub struct Controls(Arc<Inner>);

struct Inner {
    world: Arc<World>,
    apns_production: Listener,
    apns_sandbox: Listener,
    google: Listener,
}

impl Controls {
    pub(crate) fn new(
        world: Arc<World>,
        apns_production: Listener,
        apns_sandbox: Listener,
        google: Listener,
    ) -> Self {
        Self(Arc::new(Inner { world, apns_production, apns_sandbox, google }))
    }

    /// Queues replies for the next good requests of a provider, or of one device token at it.
    ///
    /// # Errors
    /// A reply can't be sent, the queue would be too long, or the token endpoint is given a
    /// device token.
    pub fn script(
        &self,
        provider: Provider,
        device_token: Option<&str>,
        replies: impl IntoIterator<Item = Reply>,
    ) -> Result<(), InvalidScript> {
        let replies: Vec<_> = replies.into_iter().collect();
        let faults = &self.0.world.of(provider).faults;
        match (provider, device_token) {
            (Provider::Oauth, Some(_)) => {
                Err(InvalidScript::new("device_token: the token endpoint knows no device tokens"))
            }
            (Provider::ApnsProduction | Provider::ApnsSandbox, Some(token)) => {
                faults.enqueue(Some(&token.to_ascii_lowercase()), replies)
            }
            (_, token) => faults.enqueue(token, replies),
        }
    }

    /// Holds every answer to a good request back for so long, up to ten minutes; zero ends it.
    ///
    /// # Errors
    /// The latency is longer than that.
    pub fn set_latency(&self, provider: Provider, latency: Duration) -> Result<(), InvalidScript> {
        let latency_ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        self.0.world.of(provider).faults.set_latency(latency_ms)
    }

    /// Gives a share of the good requests a reply of its own; `None` ends it.
    ///
    /// # Errors
    /// The rate is not between 0 and 1, or the reply can't be sent.
    pub fn set_error_rate(
        &self,
        provider: Provider,
        error_rate: Option<ErrorRate>,
    ) -> Result<(), InvalidScript> {
        self.0.world.of(provider).faults.set_error_rate(error_rate)
    }

    /// Refuses good credentials: 403 InvalidProviderToken, 401 UNAUTHENTICATED, `invalid_grant`.
    pub fn reject_credentials(&self, provider: Provider, reject: bool) {
        self.0.world.of(provider).faults.set_reject_credentials(reject);
    }

    /// Says nothing any more, or speaks again. A request that met silence is never answered; a
    /// silent connection goes on where it stopped.
    ///
    /// # Errors
    /// Connections can't be silent for the token endpoint alone.
    pub fn set_silence(&self, provider: Provider, silence: Silence) -> Result<(), InvalidScript> {
        if silence == Silence::Connections {
            self.listener(provider)?.order(|orders| orders.silent = true);
        } else if let Ok(listener) = self.listener(provider) {
            listener.order(|orders| orders.silent = false);
        }
        self.0.world.of(provider).faults.set_silent(silence == Silence::Requests);
        Ok(())
    }

    /// Announces another limit of concurrent streams on every connection, open or new; `None` goes
    /// back to the usual ones.
    ///
    /// # Errors
    /// The limit is over [`MAX_STREAM_LIMIT`], or the provider has no port of its own.
    pub fn set_stream_limit(
        &self,
        provider: Provider,
        limit: Option<u32>,
    ) -> Result<(), InvalidScript> {
        check_stream_limit(limit)?;
        self.listener(provider)?.order(|orders| orders.stream_limit = limit);
        Ok(())
    }

    /// Sends GOAWAY on every HTTP/2 connection that is open, and closes it.
    ///
    /// # Errors
    /// The debug data is too long, or the provider has no port of its own.
    pub fn send_goaway(&self, provider: Provider, goaway: Goaway) -> Result<(), InvalidScript> {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        if length(&goaway.reason).max(length(&goaway.debug_data)) > MAX_DEBUG_DATA_BYTES {
            return Err(InvalidScript(format!(
                "reason, debug_data: longer than {MAX_DEBUG_DATA_BYTES} bytes"
            )));
        }
        self.listener(provider)?.order(|orders| {
            orders.goaways += 1;
            orders.goaway = goaway;
        });
        Ok(())
    }

    /// Resets every connection that is open (TCP RST).
    ///
    /// # Errors
    /// The provider has no port of its own.
    pub fn reset_connections(&self, provider: Provider) -> Result<(), InvalidScript> {
        self.listener(provider)?.order(|orders| orders.resets += 1);
        Ok(())
    }

    /// Closes the port to new connections, or opens it again; those that are open stay. Returns
    /// when it is done.
    ///
    /// # Errors
    /// The provider has no port of its own.
    pub async fn refuse_connections(
        &self,
        provider: Provider,
        refuse: bool,
    ) -> Result<(), InvalidScript> {
        self.listener(provider)?.refuse_connections(refuse).await;
        Ok(())
    }

    /// Makes every access token issued so far worthless.
    pub fn expire_access_tokens(&self) {
        self.0.world.access_tokens.expire_all();
    }

    /// Moves the simulator's clock away from the machine's: the age of provider tokens and
    /// assertions, the life of access tokens and the timestamps of 410 go by it.
    ///
    /// # Errors
    /// The offset is over ten years.
    pub fn set_clock_offset_ms(&self, offset_ms: i64) -> Result<(), InvalidScript> {
        if offset_ms.unsigned_abs() > MAX_CLOCK_OFFSET_MS.unsigned_abs() {
            return Err(InvalidScript(format!("offset_ms: more than {MAX_CLOCK_OFFSET_MS}")));
        }
        self.0.world.clock.set_offset_ms(offset_ms);
        Ok(())
    }

    /// The counters of a provider.
    pub fn statistics(&self, provider: Provider) -> ProviderStatistics {
        self.0.world.of(provider).tally.snapshot()
    }

    /// How many requests there were about a device token.
    pub fn requests_of(&self, provider: Provider, device_token: &str) -> u64 {
        let tally = &self.0.world.of(provider).tally;
        match provider {
            Provider::ApnsProduction | Provider::ApnsSandbox => {
                tally.requests_of(&device_token.to_ascii_lowercase())
            }
            Provider::Fcm | Provider::Oauth => tally.requests_of(device_token),
        }
    }

    /// The newest requests, oldest first, at most `limit`.
    pub fn recent_requests(&self, provider: Provider, limit: usize) -> Vec<RecordedRequest> {
        self.0.world.of(provider).tally.recent(limit)
    }

    /// Takes back every script and fault, sets the clock right, and forgets what was seen. Keys,
    /// access tokens and open connections stay.
    pub async fn reset(&self) {
        for provider in Provider::ALL {
            self.0.world.of(provider).clear();
        }
        self.0.world.clock.set_offset_ms(0);
        for listener in self.listeners() {
            listener.order(|orders| {
                orders.stream_limit = None;
                orders.silent = false;
            });
            listener.refuse_connections(false).await;
        }
    }

    pub(crate) fn stop(&self) {
        for listener in self.listeners() {
            listener.order(|orders| orders.stop = true);
        }
    }

    fn listeners(&self) -> [&Listener; 3] {
        [&self.0.apns_production, &self.0.apns_sandbox, &self.0.google]
    }

    fn listener(&self, provider: Provider) -> Result<&Listener, InvalidScript> {
        match provider {
            Provider::ApnsProduction => Ok(&self.0.apns_production),
            Provider::ApnsSandbox => Ok(&self.0.apns_sandbox),
            Provider::Fcm => Ok(&self.0.google),
            Provider::Oauth => {
                Err(InvalidScript::new("oauth has no port of its own: name fcm instead"))
            }
        }
    }
}

pub(crate) fn check_stream_limit(limit: Option<u32>) -> Result<(), InvalidScript> {
    if limit.is_some_and(|limit| limit > MAX_STREAM_LIMIT) {
        return Err(InvalidScript(format!("stream_limit: more than {MAX_STREAM_LIMIT}")));
    }
    Ok(())
}
