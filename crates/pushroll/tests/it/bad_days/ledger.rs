//! What was asked of the server, in order and by user, and what it said: what it is held to afterwards.

use std::collections::BTreeMap;

use pushroll_domain::{DeviceToken, Platform};
use pushroll_simulator::{ApnsFate, FcmFate, tokens};
use serde_json::Value;

use super::dice::Dice;

/// A user of one of the apps. All that concerns him is asked by one client, one thing after the other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Person {
    /// The index of the app.
    pub app: usize,
    pub user: String,
}

/// What becomes of a device token, whatever happens to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The provider accepts it, if not at once.
    Good,
    /// One of as many good tokens as a user may not have.
    GoodInACrowd,
    /// The provider refuses it.
    Refused,
    /// It is too long for a token.
    TooLong,
    /// It comes with the API token of another app.
    NotAuthorized,
}

#[derive(Debug, Clone)]
pub struct Device {
    pub platform: Platform,
    pub token: String,
    pub fate: Fate,
}

/// What is known of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known<T> {
    /// It was sent, and not answered so far.
    Unknown,
    /// It counts: answered 202, or found in the store when there was no answer.
    Counts(T),
    /// It left no trace.
    Never,
}

#[derive(Debug, Clone)]
pub struct Registered {
    /// The number of the request: what came together is kept together.
    pub request: u64,
    pub device: Device,
    pub callback: bool,
    /// Its id.
    pub known: Known<String>,
}

#[derive(Debug, Clone)]
pub enum Deed {
    Registered(Registered),
    /// A cleanup of one device token, or of all.
    CleanedUp {
        token: Option<String>,
        known: Known<()>,
    },
}

/// Everything that was asked.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    pub people: BTreeMap<Person, Vec<Deed>>,
}

/// Where a deed is written.
#[derive(Debug, Clone)]
pub struct Line {
    pub person: Person,
    pub index: usize,
}

impl Ledger {
    pub fn write(&mut self, person: &Person, deed: Deed) -> Line {
        let deeds = self.people.entry(person.clone()).or_default();
        deeds.push(deed);
        Line { person: person.clone(), index: deeds.len() - 1 }
    }

    fn deed(&mut self, line: &Line) -> &mut Deed {
        &mut self.people.get_mut(&line.person).expect("a person in the ledger")[line.index]
    }

    pub fn registration_is(&mut self, line: &Line, what: Known<String>) {
        match self.deed(line) {
            Deed::Registered(registered) => registered.known = what,
            Deed::CleanedUp { .. } => panic!("{line:?} is a cleanup"),
        }
    }

    pub fn cleanup_is(&mut self, line: &Line, what: Known<()>) {
        match self.deed(line) {
            Deed::CleanedUp { known, .. } => *known = what,
            Deed::Registered(_) => panic!("{line:?} is a registration"),
        }
    }

    /// Whether a registration of this person has this id.
    pub fn knows(&self, person: &Person, id: &str) -> bool {
        self.people[person].iter().any(|deed| deed.id() == Some(id))
    }

    /// The ids of all registrations of an app that count, with the person.
    pub fn ids(&self, app: usize) -> impl Iterator<Item = &str> {
        let of_app = self.people.iter().filter(move |(person, _)| person.app == app);
        of_app.flat_map(|(_, deeds)| deeds).filter_map(Deed::id)
    }
}

impl Deed {
    /// The id of a registration that counts.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Registered(Registered { known: Known::Counts(id), .. }) => Some(id),
            Self::Registered(_) | Self::CleanedUp { .. } => None,
        }
    }
}

impl Device {
    /// A device of any fate but [`Fate::GoodInACrowd`]; most are good. In haste, none takes seconds.
    pub fn any(dice: &mut Dice, in_haste: bool) -> Self {
        let ios = dice.percent(50);
        let seed = dice.next();
        let roll = dice.below(100);
        let apns = |fate, what| (tokens::apns(seed, fate), what);
        let fcm = |fate, what| (tokens::fcm(seed, fate), what);
        let (token, fate) = match (ios, roll) {
            (true, 0..5) if in_haste => apns(ApnsFate::Accepted, Fate::Good),
            (false, 0..4) if in_haste => fcm(FcmFate::Accepted, Fate::Good),
            (true, 0..3) => apns(ApnsFate::Busy, Fate::Good),
            (true, 3..5) => apns(ApnsFate::Slow, Fate::Good),
            (true, 5..8) => apns(ApnsFate::Bad, Fate::Refused),
            (true, 8..11) => apns(ApnsFate::Dead, Fate::Refused),
            (true, 11..13) => apns(ApnsFate::SandboxOnly, Fate::Refused),
            (true, 13..16) => (format!("{}{seed:016x}", "a".repeat(60)), Fate::TooLong),
            (true, 16..19) => apns(ApnsFate::Accepted, Fate::NotAuthorized),
            (true, _) => apns(ApnsFate::Accepted, Fate::Good),
            (false, 0..2) => fcm(FcmFate::Busy, Fate::Good),
            (false, 2..4) => fcm(FcmFate::Slow, Fate::Good),
            (false, 4..7) => fcm(FcmFate::Bad, Fate::Refused),
            (false, 7..10) => fcm(FcmFate::Dead, Fate::Refused),
            (false, 10..13) => fcm(FcmFate::OtherSender, Fate::Refused),
            (false, 13..14) => (format!("{}{seed:016x}", "a".repeat(4090)), Fate::TooLong),
            (false, 14..17) => fcm(FcmFate::Accepted, Fate::NotAuthorized),
            (false, _) => fcm(FcmFate::Accepted, Fate::Good),
        };
        let platform = if ios { Platform::Ios } else { Platform::Android };
        Self { platform, token, fate }
    }

    pub fn good(dice: &mut Dice, fate: Fate) -> Self {
        let seed = dice.next();
        if dice.percent(50) {
            let token = tokens::apns(seed, ApnsFate::Accepted);
            return Self { platform: Platform::Ios, token, fate };
        }
        let token = tokens::fcm(seed, FcmFate::Accepted);
        Self { platform: Platform::Android, token, fate }
    }

    /// The property that holds its token.
    pub const fn field(&self) -> &'static str {
        match self.platform {
            Platform::Ios => "ApnsDeviceToken",
            Platform::Android => "FcmDeviceToken",
        }
    }

    /// Whether what the administration shows of a registration fits this device.
    pub fn is_shown_in(&self, registration: &Value) -> bool {
        let fingerprint = match self.fate {
            Fate::TooLong => Value::Null,
            _ => {
                let token = DeviceToken::parse(self.platform, &self.token).expect("a device token");
                token.fingerprint().into()
            }
        };
        registration["platform"] == self.platform.name()
            && registration["device_token_fingerprint"] == fingerprint
            && registration["device_token_chars"] == self.token.len()
    }
}
