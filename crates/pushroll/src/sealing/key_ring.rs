//! The sealing keys that are known: one to seal under, and while a rotation lasts the one before it.

use pushroll_domain::Secret;
use thiserror::Error;

use super::{KeyId, SealingKey, SealingKeyFault};

/// The most keys of a ring.
const MOST_KEYS: usize = 8;

/// Why a text is no ring of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyRingFault {
    /// One of them is no key.
    #[error("{}: {fault}", place(*.number))]
    NoKey {
        /// Which, from 1.
        number: usize,
        /// What is wrong.
        fault: SealingKeyFault,
    },
    /// There are too many.
    #[error("must be at most {MOST_KEYS} keys, the newest first")]
    TooMany,
}

fn place(number: usize) -> String {
    if number == 1 { "the key".to_owned() } else { format!("key {number}") }
}

/// Keys, the newest first: it seals, and all open.
#[derive(Debug, Clone)]
pub struct KeyRing {
    newest: SealingKey,
    others: Vec<SealingKey>,
}

impl KeyRing {
    /// A ring of these.
    #[must_use]
    pub fn of(newest: SealingKey, mut others: Vec<SealingKey>) -> Self {
        others.retain(|other| other.id() != newest.id());
        Self { newest, others }
    }

    /// Reads the keys of a text, with white space between them.
    ///
    /// # Errors
    /// When there is none, too many, or one is no key.
    pub fn parse(text: &Secret) -> Result<Self, KeyRingFault> {
        let words = text.reveal().split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let mut keys = Vec::new();
        for (index, word) in words.enumerate() {
            if index == MOST_KEYS {
                return Err(KeyRingFault::TooMany);
            }
            let key = SealingKey::parse(&Secret::new(word.to_vec()));
            let at = |fault| KeyRingFault::NoKey { number: index + 1, fault };
            keys.push(key.map_err(at)?);
        }
        let mut keys = keys.into_iter();
        let newest = keys.next();
        let newest = newest.ok_or(KeyRingFault::NoKey { number: 1, fault: SealingKeyFault })?;
        Ok(Self::of(newest, keys.collect()))
    }

    /// The text of a file with these keys, one a line.
    #[must_use]
    pub fn to_text(&self) -> Secret {
        let mut text = Vec::new();
        for key in std::iter::once(&self.newest).chain(&self.others) {
            text.extend_from_slice(key.to_text().reveal());
            text.push(b'\n');
        }
        Secret::new(text)
    }

    /// The key to seal under.
    #[must_use]
    pub const fn newest(&self) -> &SealingKey {
        &self.newest
    }

    /// The keys to open with besides.
    #[must_use]
    pub fn others(&self) -> &[SealingKey] {
        &self.others
    }

    /// Whether one of them has this id.
    #[must_use]
    pub fn has(&self, id: KeyId) -> bool {
        self.newest.id() == id || self.others.iter().any(|other| other.id() == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_may_hold_several_keys_the_newest_first() {
        let (new, old) = (SealingKey::generate(), SealingKey::generate());
        let ring = KeyRing::of(new.clone(), vec![old.clone(), new.clone()]);
        assert_eq!(ring.others().len(), 1);
        let again = KeyRing::parse(&ring.to_text()).unwrap();
        assert_eq!(again.newest().id(), new.id());
        assert!(again.has(old.id()) && again.has(new.id()));
        assert!(!again.has(SealingKey::generate().id()));
        let one_line = [new.to_text().reveal(), b" ", old.to_text().reveal()].concat();
        assert!(KeyRing::parse(&Secret::new(one_line)).unwrap().has(old.id()));
    }

    #[test]
    fn what_is_no_key_is_told_by_its_place_and_not_shown() {
        let parse = |text: &str| KeyRing::parse(&Secret::new(text.as_bytes().to_vec()));
        let key = String::from_utf8(SealingKey::generate().to_text().reveal().to_vec()).unwrap();
        for text in ["", "hunter2", " \n"] {
            let fault = parse(text).unwrap_err().to_string();
            assert!(fault.contains("32 random bytes") && !fault.contains("hunter2"), "{fault}");
        }
        let fault = parse(&format!("{key}\nhunter2")).unwrap_err().to_string();
        assert!(fault.contains("key 2") && !fault.contains("hunter2"), "{fault}");
        assert_eq!(parse(&format!("{key} ").repeat(9)).unwrap_err(), KeyRingFault::TooMany);
    }
}
