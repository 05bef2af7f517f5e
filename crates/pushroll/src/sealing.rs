//! Sealing secrets at rest: credentials, webhook secrets, callers' headers.
//!
//! AES-256-GCM, bound to organization, app, field and key. The number of messages under one key and random
//! 96-bit nonces is limited (NIST SP 800-38D, section 8.3: 2^32), and callers' headers are sealed for each
//! registration; so every message has a key of its own, derived from the sealing key and 128 random
//! bits (HKDF-Expand of RFC 5869 with one block).
//!
//! A sealed value: version (1 byte), key id (8), salt (16), nonce (12), ciphertext, tag (16).

pub mod key_file;
mod key_ring;
pub mod rotation;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use pushroll_domain::{
    App, AppId, CallbackOrder, OrgId, Random, Reseal, SealContext, SealFault, Sealed, Sealer,
    SealingKeys, Secret,
};
use pushroll_engine::{app_sealed_anew, order_sealed_anew, sealed_in};
use thiserror::Error;

pub use key_ring::{KeyRing, KeyRingFault};

use crate::machine::SystemRandom;

const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;
const KEY_ID_BYTES: usize = 8;
const SALT_BYTES: usize = 16;
const HEAD_BYTES: usize = 1 + KEY_ID_BYTES + SALT_BYTES + NONCE_LEN;

/// Tells keys apart, and tells nothing about them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyId([u8; KEY_ID_BYTES]);

impl KeyId {
    /// The id that a store kept. Bytes that are no id give one that no key has.
    #[must_use]
    pub fn from_kept(bytes: &[u8]) -> Self {
        Self(bytes.try_into().unwrap_or_default())
    }

    /// The ids of all keys that a store kept, the one under which it seals first.
    #[must_use]
    pub fn all_from_kept(bytes: &[u8]) -> Vec<Self> {
        let (ids, rest) = bytes.as_chunks::<KEY_ID_BYTES>();
        if rest.is_empty() {
            ids.iter().map(|id| Self(*id)).collect()
        } else {
            vec![Self::from_kept(bytes)]
        }
    }

    /// Reads an id as it is written; `None` if the text is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = u64::from_str_radix(text, 16).ok()?;
        let id = Self(number.to_be_bytes());
        (id.to_string() == text).then_some(id)
    }

    /// What a store keeps of these.
    #[must_use]
    pub fn to_keep(ids: &[Self]) -> Vec<u8> {
        ids.iter().flat_map(|id| id.0).collect()
    }

    /// The id's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; KEY_ID_BYTES] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// Why a text is not a sealing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be 32 random bytes in base64 (make one with: openssl rand -base64 32)")]
pub struct SealingKeyFault;

/// The key under which secrets are sealed.
#[derive(Clone)]
pub struct SealingKey {
    key: Secret,
    id: KeyId,
}

impl SealingKey {
    /// Makes a key.
    #[must_use]
    pub fn generate() -> Self {
        let mut key = vec![0; KEY_BYTES];
        SystemRandom.fill(&mut key);
        Self::of(Secret::new(key))
    }

    /// Reads a key from its text.
    ///
    /// # Errors
    /// When it is not 32 bytes in base64.
    pub fn parse(text: &Secret) -> Result<Self, SealingKeyFault> {
        let text = text.reveal().trim_ascii();
        let decoded = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text));
        let key = Secret::new(decoded.map_err(|_| SealingKeyFault)?);
        if key.reveal().len() != KEY_BYTES {
            return Err(SealingKeyFault);
        }
        Ok(Self::of(key))
    }

    /// The key's text, for its file.
    #[must_use]
    pub fn to_text(&self) -> Secret {
        Secret::new(STANDARD.encode(self.key.reveal()).into_bytes())
    }

    /// What the store keeps of the key, to know it again.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    fn of(key: Secret) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"pushroll sealing key 1");
        context.update(key.reveal());
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&context.finish().as_ref()[..KEY_ID_BYTES]);
        Self { key, id: KeyId(id) }
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.id)
    }
}

/// Seals under one key, and opens under that and others.
#[derive(Debug)]
pub struct AesSealer {
    /// The newest first.
    keys: Vec<(KeyId, hmac::Key)>,
    /// The place of the one that seals.
    current: AtomicUsize,
}

fn deriving(key: &SealingKey) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, key.key.reveal())
}

impl AesSealer {
    /// A sealer under this key.
    #[must_use]
    pub fn new(key: &SealingKey) -> Self {
        Self { keys: vec![(key.id, deriving(key))], current: AtomicUsize::new(0) }
    }

    /// A sealer under the newest of these keys that opens under all of them.
    #[must_use]
    pub fn with(keys: &KeyRing) -> Self {
        let all = std::iter::once(keys.newest()).chain(keys.others());
        let keys = all.map(|key| (key.id, deriving(key))).collect();
        Self { keys, current: AtomicUsize::new(0) }
    }

    /// The key that messages under the key with this id are derived from.
    fn deriving(&self, id: &[u8]) -> Option<&hmac::Key> {
        self.keys.iter().find(|(other, _)| id == other.0).map(|(_, key)| key)
    }

    fn current(&self) -> &(KeyId, hmac::Key) {
        &self.keys[self.current.load(Ordering::Acquire)]
    }

    /// Whether it is under the key that seals now.
    fn is_current(&self, sealed: &Sealed) -> bool {
        sealed.0.get(1..=KEY_ID_BYTES) == Some(&self.current().0.0[..])
    }

    /// The key of one message.
    fn message_key(deriving: &hmac::Key, salt: &[u8]) -> LessSafeKey {
        let mut block = hmac::Context::with_key(deriving);
        block.update(b"pushroll sealed 1");
        block.update(salt);
        block.update(&[1]);
        let key = block.sign();
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_ref()).expect("32 bytes"))
    }
}

/// What a message is bound to. Everything but the field has a fixed length, so no two contexts give the same.
fn bound_to(head: &[u8], context: SealContext<'_>) -> Aad<Vec<u8>> {
    let mut aad = head.to_vec();
    aad.extend_from_slice(context.org.as_bytes());
    aad.extend_from_slice(context.app.as_bytes());
    aad.extend_from_slice(context.field.as_bytes());
    Aad::from(aad)
}

impl Sealer for AesSealer {
    fn seal(&self, context: SealContext<'_>, plain: &[u8]) -> Sealed {
        let mut sealed = Vec::with_capacity(HEAD_BYTES + plain.len() + AES_256_GCM.tag_len());
        let (id, deriving) = self.current();
        sealed.push(VERSION);
        sealed.extend_from_slice(&id.0);
        let mut random = [0; SALT_BYTES + NONCE_LEN];
        SystemRandom.fill(&mut random);
        sealed.extend_from_slice(&random);
        let (salt, nonce) = random.split_at(SALT_BYTES);
        let nonce = Nonce::try_assume_unique_for_key(nonce).expect("the nonce's length");
        let aad = bound_to(&sealed[..1 + KEY_ID_BYTES], context);

        let mut text = Vec::with_capacity(plain.len() + AES_256_GCM.tag_len());
        text.extend_from_slice(plain);
        Self::message_key(deriving, salt)
            .seal_in_place_append_tag(nonce, aad, &mut text)
            .expect("a text that fits into memory fits into GCM");
        sealed.append(&mut text);
        Sealed(sealed)
    }

    fn open(&self, context: SealContext<'_>, sealed: &Sealed) -> Result<Secret, SealFault> {
        let Some((head, text)) = sealed.0.split_at_checked(HEAD_BYTES) else {
            return Err(SealFault::Damaged);
        };
        if head[0] != VERSION {
            return Err(SealFault::Damaged);
        }
        let (bound, random) = head.split_at(1 + KEY_ID_BYTES);
        let Some(deriving) = self.deriving(&bound[1..]) else {
            let mut other = KeyId([0; KEY_ID_BYTES]);
            other.0.copy_from_slice(&bound[1..]);
            return Err(SealFault::OtherKey(other.to_string()));
        };
        let (salt, nonce) = random.split_at(SALT_BYTES);
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealFault::Damaged)?;
        let mut text = text.to_vec();
        let aad = bound_to(bound, context);
        let opened = Self::message_key(deriving, salt).open_in_place(nonce, aad, &mut text);
        let length = opened.map_err(|_| SealFault::Damaged)?.len();
        text.truncate(length);
        Ok(Secret::new(text))
    }
}

impl Reseal for AesSealer {
    fn app(&self, app: &App) -> Result<Option<App>, String> {
        if sealed_in(app).all(|sealed| self.is_current(sealed)) {
            return Ok(None);
        }
        app_sealed_anew(app, self).map(Some).map_err(|fault| fault.to_string())
    }

    fn order(
        &self,
        org: OrgId,
        app: AppId,
        order: &CallbackOrder,
    ) -> Result<Option<CallbackOrder>, String> {
        if order.headers.as_ref().is_none_or(|sealed| self.is_current(sealed)) {
            return Ok(None);
        }
        order_sealed_anew(org, app, order, self).map(Some).map_err(|fault| fault.to_string())
    }
}

impl SealingKeys for AesSealer {
    fn follow(&self, noted: &[u8]) -> bool {
        let noted = KeyId::all_from_kept(noted);
        let place = |id: &KeyId| self.keys.iter().position(|(known, _)| known == id);
        let places: Option<Vec<usize>> = noted.iter().map(place).collect();
        let Some(places) = places else { return false };
        if let Some(first) = places.first() {
            self.current.store(*first, Ordering::Release);
        }
        true
    }

    fn known(&self) -> Vec<u8> {
        let current = self.current().0;
        let others = self.keys.iter().map(|(id, _)| *id).filter(|id| *id != current);
        KeyId::to_keep(&std::iter::once(current).chain(others).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(org: u8, app: u8, field: &str) -> SealContext<'_> {
        let (org, app) = (OrgId::from_bytes([org; 16]), AppId::from_bytes([app; 16]));
        SealContext { org, app, field }
    }

    fn key(byte: u8) -> SealingKey {
        SealingKey::of(Secret::new(vec![byte; KEY_BYTES]))
    }

    #[test]
    fn what_is_sealed_opens_for_the_same_organization_app_and_field_only() {
        let sealer = AesSealer::new(&key(1));
        let sealed = sealer.seal(context(1, 2, "ios.key.p8"), b"hunter2");
        assert!(!sealed.0.windows(7).any(|window| window == b"hunter2"));
        let opened = sealer.open(context(1, 2, "ios.key.p8"), &sealed).unwrap();
        assert_eq!(opened.reveal(), b"hunter2");
        for other in
            [context(2, 2, "ios.key.p8"), context(1, 1, "ios.key.p8"), context(1, 2, "ios")]
        {
            assert_eq!(sealer.open(other, &sealed).unwrap_err(), SealFault::Damaged);
        }
    }

    #[test]
    fn a_change_of_any_byte_is_noticed() {
        let sealer = AesSealer::new(&key(1));
        let sealed = sealer.seal(context(1, 2, "field"), b"x");
        for index in 0..sealed.0.len() {
            let mut changed = sealed.clone();
            changed.0[index] ^= 1;
            assert!(sealer.open(context(1, 2, "field"), &changed).is_err(), "byte {index}");
            let cut = Sealed(sealed.0[..index].to_vec());
            assert!(sealer.open(context(1, 2, "field"), &cut).is_err(), "cut at {index}");
        }
    }

    #[test]
    fn a_value_under_another_key_names_that_key() {
        let sealed = AesSealer::new(&key(1)).seal(context(1, 2, "field"), b"x");
        let fault = AesSealer::new(&key(2)).open(context(1, 2, "field"), &sealed).unwrap_err();
        assert_eq!(fault, SealFault::OtherKey(key(1).id().to_string()));
    }

    #[test]
    fn a_ring_seals_under_its_newest_key_and_opens_under_all() {
        let sealed_before = AesSealer::new(&key(1)).seal(context(1, 2, "field"), b"x");
        let ring = KeyRing::of(key(2), vec![key(3), key(1)]);
        let sealer = AesSealer::with(&ring);
        assert_eq!(sealer.open(context(1, 2, "field"), &sealed_before).unwrap().reveal(), b"x");
        let sealed = sealer.seal(context(1, 2, "field"), b"x");
        assert!(AesSealer::new(&key(2)).open(context(1, 2, "field"), &sealed).is_ok());
        let foreign = AesSealer::new(&key(4)).seal(context(1, 2, "field"), b"x");
        let fault = sealer.open(context(1, 2, "field"), &foreign).unwrap_err();
        assert_eq!(fault, SealFault::OtherKey(key(4).id().to_string()));
    }

    #[test]
    fn the_key_that_the_store_has_noted_seals() {
        let sealer = AesSealer::with(&KeyRing::of(key(2), vec![key(1)]));
        let sealed_by = |number| {
            let sealed = sealer.seal(context(1, 2, "field"), b"x");
            assert!(sealer.is_current(&sealed));
            AesSealer::new(&key(number)).open(context(1, 2, "field"), &sealed).is_ok()
        };
        let noted = |numbers: &[u8]| {
            KeyId::to_keep(&numbers.iter().map(|number| key(*number).id()).collect::<Vec<_>>())
        };
        assert!(sealed_by(2));
        assert!(sealer.follow(&noted(&[1])));
        assert!(sealed_by(1));
        assert_eq!(sealer.known(), noted(&[1, 2]));
        let before = sealer.seal(context(1, 2, "field"), b"x");
        assert!(sealer.follow(&noted(&[2, 1])));
        assert!(sealed_by(2) && !sealer.is_current(&before));
        assert_eq!(sealer.known(), noted(&[2, 1]));
        assert!(!sealer.follow(&noted(&[3, 2])), "one that is not known");
        assert!(sealed_by(2), "nothing has changed");
    }

    #[test]
    fn the_same_text_is_never_sealed_the_same_and_an_empty_one_is_one_too() {
        let sealer = AesSealer::new(&key(1));
        let seal = || sealer.seal(context(1, 2, "field"), b"");
        assert_ne!(seal(), seal());
        assert_eq!(sealer.open(context(1, 2, "field"), &seal()).unwrap().reveal(), b"");
    }

    #[test]
    fn a_key_s_text_is_32_bytes_in_base64() {
        let key = SealingKey::generate();
        assert_eq!(SealingKey::parse(&key.to_text()).unwrap().id(), key.id());
        let with_newline = [key.to_text().reveal(), b"\n"].concat();
        assert!(SealingKey::parse(&Secret::new(with_newline)).is_ok());
        for wrong in ["", "short", "AAAA", &STANDARD.encode([0; 31]), &STANDARD.encode([0; 33])] {
            let fault = SealingKey::parse(&Secret::new(wrong.as_bytes().to_vec())).unwrap_err();
            assert_eq!(fault, SealingKeyFault, "{wrong}");
        }
        assert!(
            !format!("{key:?}").contains(&String::from_utf8_lossy(key.to_text().reveal())[..8])
        );
    }
}
