use std::sync::atomic::{AtomicU64, Ordering};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use pushroll_domain::Secret;

use super::*;

struct ManualClock(AtomicU64);

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

impl ManualClock {
    fn advance(&self, minutes: u64) {
        self.0.fetch_add(minutes * 60_000, Ordering::Relaxed);
    }
}

struct Desk {
    clock: Arc<ManualClock>,
    tokens: ProviderTokens,
    credential: Fingerprint,
    apns_key: ApnsKey,
    key: EcdsaKeyPair,
}

fn desk() -> Desk {
    let clock = Arc::new(ManualClock(AtomicU64::new(1_700_000_000_000)));
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let apns_key = ApnsKey {
        key_id: "ABC123DEFG".into(),
        team_id: "DEF123GHIJ".into(),
        private_key: Secret::new(key.to_pkcs8v1().unwrap().as_ref().to_vec()),
    };
    let tokens = ProviderTokens::new(Arc::clone(&clock) as Arc<dyn Clock>);
    Desk { clock, tokens, credential: Fingerprint([7; 16]), apns_key, key }
}

impl Desk {
    fn current(&self) -> ProviderToken {
        self.tokens.current(self.credential, &self.apns_key).unwrap()
    }

    fn is_current(&self, token: &ProviderToken) -> bool {
        self.current().header == token.header
    }
}

#[test]
fn a_provider_token_is_an_es256_jwt_that_names_key_team_and_time() {
    use aws_lc_rs::signature::KeyPair as _;
    let desk = desk();
    let token = desk.current();
    let text = token.header().to_str().unwrap().strip_prefix("bearer ").unwrap().to_owned();
    let header = decode_header(&text).unwrap();
    assert_eq!((header.alg, header.kid.as_deref()), (Algorithm::ES256, Some("ABC123DEFG")));
    let mut rules = Validation::new(Algorithm::ES256);
    rules.required_spec_claims.clear();
    rules.validate_exp = false;
    let key = DecodingKey::from_ec_der(desk.key.public_key().as_ref());
    let claims = decode::<serde_json::Value>(&text, &key, &rules).unwrap().claims;
    assert_eq!(claims, serde_json::json!({"iss": "DEF123GHIJ", "iat": 1_700_000_000}));
    assert!(token.header().is_sensitive());
}

#[test]
fn a_provider_token_is_renewed_at_50_minutes_and_not_before() {
    let desk = desk();
    let first = desk.current();
    desk.clock.advance(49);
    assert!(desk.is_current(&first));
    desk.clock.advance(1);
    assert!(!desk.is_current(&first));
}

#[test]
fn of_all_who_learn_that_a_token_has_expired_one_has_a_new_one_minted() {
    let desk = desk();
    let first = desk.current();
    desk.tokens.expired(desk.credential, &desk.apns_key, &first);
    let second = desk.current();
    assert_ne!(second.header, first.header);
    desk.tokens.expired(desk.credential, &desk.apns_key, &first);
    assert!(desk.is_current(&second));
}

#[test]
fn a_new_token_that_is_expired_as_well_is_not_renewed_again_at_once() {
    let desk = desk();
    desk.tokens.expired(desk.credential, &desk.apns_key, &desk.current());
    let second = desk.current();
    desk.tokens.expired(desk.credential, &desk.apns_key, &second);
    assert!(desk.is_current(&second));
    desk.clock.advance(1);
    desk.tokens.expired(desk.credential, &desk.apns_key, &second);
    assert!(!desk.is_current(&second));
}

#[test]
fn after_too_many_updates_nothing_is_minted_for_a_while_unless_the_token_gets_too_old() {
    let desk = desk();
    let first = desk.current();
    desk.clock.advance(45);
    desk.tokens.hold(desk.credential);
    desk.tokens.expired(desk.credential, &desk.apns_key, &first);
    desk.clock.advance(12);
    assert!(desk.is_current(&first), "held at 57 minutes of age");
    desk.clock.advance(1);
    assert!(!desk.is_current(&first), "not held at 58 minutes of age");
}

#[test]
fn a_token_from_the_future_is_renewed_because_the_clock_was_set_back() {
    let desk = desk();
    let first = desk.current();
    desk.clock.0.fetch_sub(3_600_000, Ordering::Relaxed);
    assert!(!desk.is_current(&first));
}

#[test]
fn a_clock_that_was_set_back_leaves_neither_a_hold_nor_a_forced_renewal_behind() {
    let desk = desk();
    desk.tokens.expired(desk.credential, &desk.apns_key, &desk.current());
    desk.tokens.hold(desk.credential);
    desk.clock.0.fetch_sub(365 * 24 * 3_600_000, Ordering::Relaxed);
    let renewed = desk.current();
    desk.tokens.expired(desk.credential, &desk.apns_key, &renewed);
    assert!(!desk.is_current(&renewed));
}

#[test]
fn tokens_that_nobody_uses_are_forgotten() {
    let desk = desk();
    let with_print = |n: usize| {
        let mut print = [0; 16];
        print[..8].copy_from_slice(&n.to_be_bytes());
        Fingerprint(print)
    };
    for round in 0..10 {
        for n in 0..LEAST_TO_SWEEP {
            let credential = with_print(round * LEAST_TO_SWEEP + n);
            desk.tokens.current(credential, &desk.apns_key).unwrap();
        }
        desk.clock.advance(121);
    }
    let kept = desk.tokens.entries.lock().by_credential.len();
    assert!(kept <= 2 * LEAST_TO_SWEEP, "{kept}");
}

#[test]
fn a_broken_key_mints_nothing() {
    let desk = desk();
    let broken = ApnsKey { private_key: Secret::new(vec![1, 2, 3]), ..desk.apns_key.clone() };
    assert_eq!(desk.tokens.current(desk.credential, &broken).err(), Some(SigningFault));
}
