//! Device tokens for tests and trials: made from a seed, always the same for the same seed,
//! different for different seeds, and never beginning with a fate's prefix unless that fate is
//! meant.

use crate::fate::{ApnsFate, FcmFate};

/// Characters of a generated APNs device token: 32 bytes in hexadecimal.
pub const APNS_TOKEN_CHARACTERS: usize = 64;
/// Characters of a generated FCM registration token, as long as Google's usually are.
pub const FCM_TOKEN_CHARACTERS: usize = 163;

const FCM_ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Position of the colon in `<instance id>:APA91b…`.
const FCM_INSTANCE_ID_CHARACTERS: usize = 22;

/// An APNs device token of 64 lower-case hexadecimal characters whose fate is `fate`.
pub fn apns(seed: u64, fate: ApnsFate) -> String {
    let mut random = SplitMix64(seed);
    let mut token = String::with_capacity(APNS_TOKEN_CHARACTERS);
    token.push_str(fate.prefix());
    let mut tail = String::with_capacity(APNS_TOKEN_CHARACTERS);
    loop {
        tail.clear();
        while tail.len() < APNS_TOKEN_CHARACTERS {
            tail.push_str(&format!("{:016x}", random.next()));
        }
        if fate != ApnsFate::Accepted || ApnsFate::of(&tail) == ApnsFate::Accepted {
            break;
        }
    }
    // The whole first number stays in the token: it is different for every seed.
    token.push_str(&tail[..APNS_TOKEN_CHARACTERS - token.len()]);
    token
}

/// An FCM registration token of 163 characters whose fate is `fate`.
pub fn fcm(seed: u64, fate: FcmFate) -> String {
    let mut random = SplitMix64(seed);
    loop {
        let mut token = String::with_capacity(FCM_TOKEN_CHARACTERS);
        token.push_str(fate.prefix());
        append_letters(&mut token, &mut random, FCM_INSTANCE_ID_CHARACTERS);
        token.push_str(":APA91b");
        append_letters(&mut token, &mut random, FCM_TOKEN_CHARACTERS);
        if FcmFate::of(&token) == fate {
            return token;
        }
    }
}

fn append_letters(token: &mut String, random: &mut SplitMix64, length: usize) {
    let mut bits = 0;
    let mut left = 0;
    while token.len() < length {
        if left == 0 {
            bits = random.next();
            left = 10;
        }
        token.push(char::from(FCM_ALPHABET[(bits & 63) as usize]));
        bits >>= 6;
        left -= 1;
    }
}

/// Vigna's SplitMix64: its first number is a bijection of the seed.
#[derive(Debug, Clone)]
pub(crate) struct SplitMix64(pub(crate) u64);

impl SplitMix64 {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn an_apns_token_has_the_fate_it_was_made_for() {
        for fate in ApnsFate::ALL {
            for seed in 0..2_000 {
                let token = apns(seed, fate);
                assert_eq!(token.len(), APNS_TOKEN_CHARACTERS);
                assert!(token.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()));
                assert_eq!(ApnsFate::of(&token), fate, "{token}");
            }
        }
    }

    #[test]
    fn an_fcm_token_has_the_fate_it_was_made_for() {
        for fate in FcmFate::ALL {
            for seed in 0..2_000 {
                let token = fcm(seed, fate);
                assert_eq!(token.len(), FCM_TOKEN_CHARACTERS);
                assert_eq!(FcmFate::of(&token), fate, "{token}");
            }
        }
    }

    #[test]
    fn seeds_make_different_tokens_and_the_same_seed_the_same_one() {
        let tokens: HashSet<_> = (0..10_000).map(|seed| apns(seed, ApnsFate::Dead)).collect();
        assert_eq!(tokens.len(), 10_000);
        assert_eq!(apns(7, ApnsFate::Accepted), apns(7, ApnsFate::Accepted));
        assert_eq!(fcm(7, FcmFate::Slow), fcm(7, FcmFate::Slow));
    }

    #[test]
    fn a_seed_whose_token_would_meet_a_fate_by_chance_is_drawn_again() {
        let met = (0..200_000_u64)
            .filter(|seed| {
                ApnsFate::of(&format!("{:016x}", SplitMix64(*seed).next())) != ApnsFate::Accepted
            })
            .take(3);
        let mut seen = 0;
        for seed in met {
            assert_eq!(ApnsFate::of(&apns(seed, ApnsFate::Accepted)), ApnsFate::Accepted);
            seen += 1;
        }
        assert_eq!(seen, 3);
    }
}
