//! Provider tokens: ES256 JWTs, checked once for each connection and then known until they expire
//! ("Establishing a token-based connection to APNs").

use aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED;
use http::header::AUTHORIZATION;
use http::request::Parts;
use serde::Deserialize;

use super::answer::Refusal;
use crate::jws::Jws;
use crate::world::World;

/// The age at which APNs calls a provider token expired.
pub const MAX_AGE_S: i64 = 3600;
/// Apple asks for no more than one renewal in so many milliseconds.
pub const UPDATE_WINDOW_MS: i64 = 20 * 60 * 1000;
/// The longest provider token that is read, in bytes.
const MAX_BYTES: usize = 4096;

#[derive(Deserialize)]
struct Claims {
    iss: String,
    iat: i64,
}

/// The provider tokens that one connection has used.
#[derive(Debug, Default)]
pub(crate) struct ProviderTokens {
    known: Vec<Known>,
}

#[derive(Debug)]
struct Known {
    jwt: Box<str>,
    issued_at_s: i64,
    first_seen_ms: i64,
}

/// The JWT of a request: `authorization: bearer <jwt>`, the word in any letter case.
pub(super) fn of_request(head: &Parts) -> Result<&str, Refusal> {
    let value = head.headers.get(AUTHORIZATION).ok_or(Refusal::MISSING_PROVIDER_TOKEN)?;
    let value = value.to_str().map_err(|_| Refusal::INVALID_PROVIDER_TOKEN)?;
    let (scheme, jwt) = value.split_once(' ').ok_or(Refusal::INVALID_PROVIDER_TOKEN)?;
    let jwt = jwt.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || jwt.is_empty() || jwt.len() > MAX_BYTES {
        return Err(Refusal::INVALID_PROVIDER_TOKEN);
    }
    Ok(jwt)
}

impl ProviderTokens {
    /// Whether the token is good; `true` if the connection used it for the first time.
    pub(super) fn accept(
        &mut self,
        jwt: &str,
        world: &World,
        now_ms: i64,
    ) -> Result<bool, Refusal> {
        let now_s = now_ms.div_euclid(1000);
        if let Some(known) = self.known.iter().find(|known| *known.jwt == *jwt) {
            return if is_expired(known.issued_at_s, now_s) {
                Err(Refusal::EXPIRED_PROVIDER_TOKEN)
            } else {
                Ok(false)
            };
        }
        let issued_at_s = check(jwt, world, now_s)?;
        // What has expired is checked anew if it should ever come again; so the list stays short.
        self.known.retain(|known| !is_expired(known.issued_at_s, now_s));
        let lately = self
            .known
            .iter()
            .filter(|known| now_ms.saturating_sub(known.first_seen_ms) < UPDATE_WINDOW_MS)
            .count();
        if lately >= world.limits.provider_tokens_per_window {
            return Err(Refusal::TOO_MANY_PROVIDER_TOKEN_UPDATES);
        }
        self.known.push(Known { jwt: jwt.into(), issued_at_s, first_seen_ms: now_ms });
        Ok(true)
    }
}

fn is_expired(issued_at_s: i64, now_s: i64) -> bool {
    now_s.saturating_sub(issued_at_s) > MAX_AGE_S
}

/// The time of issue of a good token.
fn check(jwt: &str, world: &World, now_s: i64) -> Result<i64, Refusal> {
    let invalid = Refusal::INVALID_PROVIDER_TOKEN;
    let key = world.credentials.apns_key();
    let jws = Jws::parse(jwt).ok_or(invalid)?;
    if jws.header.alg != "ES256" || jws.header.kid.as_deref() != Some(&key.key_id) {
        return Err(invalid);
    }
    if !jws.is_signed_by(&ECDSA_P256_SHA256_FIXED, &world.credentials.apns_public_key) {
        return Err(invalid);
    }
    let claims: Claims = jws.claims().ok_or(invalid)?;
    let skew_s = i64::try_from(world.limits.clock_skew.as_secs()).unwrap_or(i64::MAX);
    if claims.iss != key.team_id || claims.iat.saturating_sub(now_s) > skew_s {
        return Err(invalid);
    }
    if is_expired(claims.iat, now_s) {
        return Err(Refusal::EXPIRED_PROVIDER_TOKEN);
    }
    Ok(claims.iat)
}
