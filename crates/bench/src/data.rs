//! Who is registered: devices and users by number, always the same for the same number, as a
//! fleet has them. Nothing is kept in memory, so that fifty million of them cost nothing.
//!
//! Of a hundred registrations five repeat an earlier one and three have a device token that its
//! provider calls dead; half are iOS, half Android; five devices belong to four users.

use pushroll_simulator::{ApnsFate, FcmFate};

/// Characters of an APNs device token.
pub const APNS_CHARS: usize = 64;
/// Characters of an FCM registration token.
pub const FCM_CHARS: usize = 163;
/// Characters of a GUID.
pub const GUID_CHARS: usize = 36;
/// Of so many registrations one repeats an earlier one.
const ONE_IN_REPEATS: u64 = 20;
/// How far back the repeated one is: so far that it has ended by then, and not much farther.
const REPEATS_BACK: std::ops::Range<u64> = 8_000..24_000;
/// Of a hundred devices so many have a token that is dead.
const DEAD_IN_HUNDRED: u64 = 3;

/// A platform, as the bodies name its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// iOS.
    Apns,
    /// Android.
    Fcm,
}

/// What becomes of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Its device is stored.
    Stored,
    /// Its device token is dead.
    Dead,
    /// It repeats an earlier registration, and ends as that one did or as its duplicate.
    Repeat,
}

/// A device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceOf {
    number: u64,
    /// Its platform.
    pub kind: Kind,
    /// Whether its provider calls it dead.
    pub dead: bool,
}

/// What mix of registrations is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// With duplicates and dead tokens.
    Fleet,
    /// All new, all good.
    AllNew,
}

/// The device of the registration with this number, and what is to become of it.
pub fn registration(number: u64, mix: Mix) -> (DeviceOf, Fate) {
    if mix == Mix::AllNew {
        return (device(number, Mix::AllNew), Fate::Stored);
    }
    let random = mixed(number ^ 0x5265_7065_6174);
    let back = REPEATS_BACK.start + (random >> 8) % (REPEATS_BACK.end - REPEATS_BACK.start);
    if random.is_multiple_of(ONE_IN_REPEATS) && back <= number {
        return (device(number - back, mix), Fate::Repeat);
    }
    let device = device(number, mix);
    (device, if device.dead { Fate::Dead } else { Fate::Stored })
}

/// The device with this number.
pub fn device(number: u64, mix: Mix) -> DeviceOf {
    let random = mixed(number ^ 0x4465_7669_6365);
    let kind = if random & 1 == 0 { Kind::Apns } else { Kind::Fcm };
    let dead = mix == Mix::Fleet && (random >> 8) % 100 < DEAD_IN_HUNDRED;
    DeviceOf { number, kind, dead }
}

impl DeviceOf {
    /// Appends its user's id, a GUID.
    pub fn append_user(&self, text: &mut Vec<u8>) {
        append_user(self.number / 5 * 4 + (self.number % 5).min(3), text);
    }

    /// Appends its device token.
    pub fn append_token(&self, text: &mut Vec<u8>) {
        let from = text.len();
        let mut random = Random(self.number);
        match self.kind {
            Kind::Apns => {
                (0..APNS_CHARS / 16).for_each(|_| append_hex(random.next(), text));
                keep_fate(&mut text[from..], if self.dead { "dead" } else { "" }, |token| {
                    ApnsFate::of(token) == ApnsFate::Accepted
                });
            }
            Kind::Fcm => {
                append_letters(&mut random, 22, text);
                text.extend_from_slice(b":APA91b");
                append_letters(&mut random, FCM_CHARS - 29, text);
                keep_fate(&mut text[from..], if self.dead { "dead-" } else { "" }, |token| {
                    FcmFate::of(token) == FcmFate::Accepted
                });
            }
        }
    }
}

/// Appends the id of the user with this number.
pub fn append_user(number: u64, text: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let (high, low) = (mixed(number ^ 0x5573_6572), mixed(number ^ 0x7265_7355));
    for (index, nibble) in
        (0..32).map(|n| (n, if n < 16 { high } else { low } >> (60 - n % 16 * 4)))
    {
        if matches!(index, 8 | 12 | 16 | 20) {
            text.push(b'-');
        }
        text.push(HEX[(nibble & 15) as usize]);
    }
}

/// Gives the token the prefix of the fate that is meant, and none that is not.
fn keep_fate(token: &mut [u8], prefix: &str, accepted: impl Fn(&str) -> bool) {
    if !prefix.is_empty() {
        token[..prefix.len()].copy_from_slice(prefix.as_bytes());
    } else if !std::str::from_utf8(token).is_ok_and(accepted) {
        // No fate's prefix begins like this.
        token[0] = b'0';
    }
}

fn append_hex(number: u64, text: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [0; 16];
    for (index, digit) in digits.iter_mut().enumerate() {
        *digit = HEX[(number >> (60 - index * 4) & 15) as usize];
    }
    text.extend_from_slice(&digits);
}

fn append_letters(random: &mut Random, count: usize, text: &mut Vec<u8>) {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bits, mut left) = (0, 0);
    for _ in 0..count {
        if left == 0 {
            (bits, left) = (random.next(), 10);
        }
        text.push(LETTERS[(bits & 63) as usize]);
        bits >>= 6;
        left -= 1;
    }
}

/// Vigna's SplitMix64: its first number is a bijection of the seed.
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below this.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

fn mixed(number: u64) -> u64 {
    Random(number).next()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn token(device: DeviceOf) -> String {
        let mut text = Vec::new();
        device.append_token(&mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_token_has_the_fate_that_is_meant() {
        for number in 0..200_000 {
            let device = device(number, Mix::Fleet);
            let token = token(device);
            match device.kind {
                Kind::Apns => {
                    let fate = if device.dead { ApnsFate::Dead } else { ApnsFate::Accepted };
                    assert_eq!(ApnsFate::of(&token), fate, "{token}");
                    assert_eq!(token.len(), APNS_CHARS);
                    assert!(
                        token.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
                    );
                }
                Kind::Fcm => {
                    let fate = if device.dead { FcmFate::Dead } else { FcmFate::Accepted };
                    assert_eq!(FcmFate::of(&token), fate, "{token}");
                    assert_eq!(token.len(), FCM_CHARS);
                }
            }
        }
    }

    #[test]
    fn the_mix_is_what_is_said() {
        let count =
            |fate| (100_000..200_000).filter(|n| registration(*n, Mix::Fleet).1 == fate).count();
        assert!((4_700..5_300).contains(&count(Fate::Repeat)));
        assert!((2_500..3_200).contains(&count(Fate::Dead)));
        let ios = (0..100_000).filter(|n| device(*n, Mix::Fleet).kind == Kind::Apns).count();
        assert!((49_000..51_000).contains(&ios));
        let others = |n: &u64| registration(*n, Mix::AllNew).1 != Fate::Stored;
        assert_eq!((0..100_000).filter(others).count(), 0);
    }

    #[test]
    fn devices_are_different_and_a_repeat_is_an_earlier_one() {
        let tokens: HashSet<_> = (0..50_000).map(|n| token(device(n, Mix::Fleet))).collect();
        assert_eq!(tokens.len(), 50_000);
        for number in 0..50_000 {
            let (device, fate) = registration(number, Mix::Fleet);
            assert_eq!(device.number < number, fate == Fate::Repeat);
        }
    }

    #[test]
    fn five_devices_belong_to_four_users_with_guids() {
        let user = |n| {
            let mut text = Vec::new();
            device(n, Mix::Fleet).append_user(&mut text);
            String::from_utf8(text).unwrap()
        };
        let users: HashSet<_> = (0..5_000).map(user).collect();
        assert_eq!(users.len(), 4_000);
        assert!(users.iter().all(|user| pushroll_domain::parse_guid(user).is_ok()));
    }
}
