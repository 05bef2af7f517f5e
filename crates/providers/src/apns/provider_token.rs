//! Provider tokens: one per team and key, made once for all who need it (Apple, "Establishing a
//! token-based connection to APNs").

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use http::HeaderValue;
use parking_lot::Mutex;
use pushroll_domain::{ApnsKey, Clock, Fingerprint, Provider, Timestamp};
use serde::Serialize;

use crate::jwt::{SigningFault, es256};
use crate::meters;

const MINUTE: Duration = Duration::from_secs(60);
/// APNs refuses provider tokens older than an hour, and renewals more often than every 20 minutes.
const RENEW_AT: Duration = Duration::from_secs(50 * 60);
/// After this age a token is renewed even if APNs has asked to mint nothing.
const RENEW_ANYHOW_AT: Duration = Duration::from_secs(58 * 60);
/// How long nothing is minted after `TooManyProviderTokenUpdates`.
const HOLD: Duration = Duration::from_secs(20 * 60);
/// The least time between two tokens that `ExpiredProviderToken` makes us mint: if a new one is
/// expired as well, the clocks differ, and the next would be no better.
const LEAST_BETWEEN_FORCED: Duration = MINUTE;
/// The clock was set back if a token is this far in its future: APNs would not take it.
const CLOCK_SET_BACK: Duration = MINUTE;
/// After this time without use a token is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(2 * 3600);
/// The fewest tokens at which looking for forgotten ones pays.
const LEAST_TO_SWEEP: usize = 64;

/// A provider token as it goes into a request.
#[derive(Clone)]
pub(super) struct ProviderToken {
    header: HeaderValue,
    minted: u64,
}

impl ProviderToken {
    /// The value of `authorization`.
    pub fn header(&self) -> HeaderValue {
        self.header.clone()
    }
}

/// The provider tokens of all credentials in use.
pub(super) struct ProviderTokens {
    clock: Arc<dyn Clock>,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    by_credential: HashMap<Fingerprint, Entry>,
    sweep_at: usize,
}

struct Entry {
    pair: EcdsaKeyPair,
    token: ProviderToken,
    minted_at: Timestamp,
    used_at: Timestamp,
    forced_at: Option<Timestamp>,
    held_until: Option<Timestamp>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    iat: u64,
}

impl ProviderTokens {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, entries: Mutex::default() }
    }

    /// The token to use now.
    pub fn current(
        &self,
        credential: Fingerprint,
        key: &ApnsKey,
    ) -> Result<ProviderToken, SigningFault> {
        let now = self.clock.now();
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.by_credential.get_mut(&credential) {
            entry.used_at = now;
            if entry.is_due(now) {
                entry.renew(key, now)?;
            }
            return Ok(entry.token.clone());
        }
        let entry = Entry::new(key, now)?;
        let token = entry.token.clone();
        entries.sweep(now);
        entries.by_credential.insert(credential, entry);
        Ok(token)
    }

    /// APNs has called this token expired. Of all who are told so, one has a new one minted.
    pub fn expired(&self, credential: Fingerprint, key: &ApnsKey, refused: &ProviderToken) {
        let now = self.clock.now();
        let mut entries = self.entries.lock();
        let Some(entry) = entries.by_credential.get_mut(&credential) else {
            return;
        };
        if entry.token.minted != refused.minted || !entry.may_be_forced(now) {
            return;
        }
        entry.forced_at = Some(now);
        if let Err(fault) = entry.renew(key, now) {
            tracing::warn!(%fault, key_id = key.key_id, "no new provider token");
        }
    }

    /// APNs finds that tokens are renewed too often.
    pub fn hold(&self, credential: Fingerprint) {
        let until = self.clock.now().plus(HOLD);
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.by_credential.get_mut(&credential) {
            entry.held_until = Some(until);
        }
    }
}

impl Entries {
    /// Forgets what has not been used for long, now and then.
    fn sweep(&mut self, now: Timestamp) {
        if self.by_credential.len() < self.sweep_at.max(LEAST_TO_SWEEP) {
            return;
        }
        self.by_credential.retain(|_, entry| now.since(entry.used_at) < FORGET_AFTER);
        self.sweep_at = self.by_credential.len() * 2;
    }
}

impl Entry {
    fn new(key: &ApnsKey, now: Timestamp) -> Result<Self, SigningFault> {
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.private_key.reveal())
                .map_err(|_| SigningFault)?;
        let token = mint(&pair, key, now, 0)?;
        let (minted_at, used_at) = (now, now);
        Ok(Self { pair, token, minted_at, used_at, forced_at: None, held_until: None })
    }

    fn renew(&mut self, key: &ApnsKey, now: Timestamp) -> Result<(), SigningFault> {
        self.token = mint(&self.pair, key, now, self.token.minted + 1)?;
        self.minted_at = now;
        Ok(())
    }

    fn is_held(&self, now: Timestamp) -> bool {
        // One that ends later than it was begun for is from before the clock went back.
        self.held_until.is_some_and(|until| now < until && until <= now.plus(HOLD))
    }

    fn is_due(&self, now: Timestamp) -> bool {
        let age = now.since(self.minted_at);
        self.minted_at > now.plus(CLOCK_SET_BACK)
            || age >= RENEW_ANYHOW_AT
            || (age >= RENEW_AT && !self.is_held(now))
    }

    fn may_be_forced(&self, now: Timestamp) -> bool {
        let is_lately = |at| at <= now && now.since(at) < LEAST_BETWEEN_FORCED;
        let lately = self.forced_at.is_some_and(is_lately);
        !lately && !self.is_held(now)
    }
}

fn mint(
    pair: &EcdsaKeyPair,
    key: &ApnsKey,
    now: Timestamp,
    minted: u64,
) -> Result<ProviderToken, SigningFault> {
    let claims = Claims { iss: &key.team_id, iat: now.as_secs() };
    let token = es256(pair, &key.key_id, &claims)?;
    let mut header = HeaderValue::try_from(format!("bearer {token}")).map_err(|_| SigningFault)?;
    header.set_sensitive(true);
    meters::token_minted(Provider::Apns);
    Ok(ProviderToken { header, minted })
}

#[cfg(test)]
mod tests;
