//! The keys of all rows: big-endian, and prefixed so that what is read together lies together.

use aws_lc_rs::digest;
use pushroll_domain::{
    AppId, DeviceToken, HostKey, Lane, OrgId, Platform, RegistrationId, Timestamp, TokenId, UserKey,
};

use crate::rows::codes;

/// Bytes of the prefix that all rows of a user in an app share.
pub(crate) const USER_PREFIX: usize = 32;
/// Bytes of a registration's id at the end of a key.
const ID: usize = 16;

/// Stands for a device token in keys: SHA-256 over platform and token, cut to 128 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TokenDigest([u8; 16]);

impl TokenDigest {
    /// Of a registration of which only the token's length was kept.
    const NONE: Self = Self([0; 16]);

    pub(crate) fn of(token: Option<&DeviceToken>) -> Self {
        let Some(token) = token else { return Self::NONE };
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(&[codes::platform(token.platform())]);
        hash.update(token.reveal().as_bytes());
        let mut cut = [0; 16];
        cut.copy_from_slice(&hash.finish().as_ref()[..16]);
        Self(cut)
    }

    pub(crate) fn in_pending(key: &PendingKey) -> Self {
        let mut cut = [0; 16];
        cut.copy_from_slice(&key[USER_PREFIX..USER_PREFIX + 16]);
        Self(cut)
    }
}

/// All rows of a user in an app.
pub(crate) fn user(app: AppId, user: &UserKey) -> [u8; USER_PREFIX] {
    joined([app.as_bytes(), user.as_bytes()])
}

/// The user's key in the key of a row of his.
pub(crate) fn user_key_in(key: &[u8]) -> Option<UserKey> {
    Some(UserKey::from_bytes(key.get(16..USER_PREFIX)?.try_into().ok()?))
}

/// All queue rows of a lane.
pub(crate) fn lane(lane: Lane) -> [u8; 17] {
    joined([lane.app.as_bytes(), &[codes::platform(lane.platform)]])
}

pub(crate) type QueueKey = [u8; 41];

pub(crate) fn queue(at: Lane, due: Timestamp, id: RegistrationId) -> QueueKey {
    joined([&lane(at), &due.as_millis().to_be_bytes(), id.as_bytes()])
}

/// The due time and the id in a queue key.
pub(crate) fn queue_parts(key: &[u8]) -> Option<(Timestamp, RegistrationId)> {
    let due = key.get(17..25)?.try_into().ok()?;
    Some((Timestamp::from_millis(u64::from_be_bytes(due)), id_of(key)?))
}

pub(crate) type PendingKey = [u8; 64];

/// Equal registrations (same app, user and device token) lie together, the oldest first.
pub(crate) fn pending(
    user: &[u8; USER_PREFIX],
    token: TokenDigest,
    id: RegistrationId,
) -> PendingKey {
    joined([user, &token.0, id.as_bytes()])
}

/// The user in a pending key, as [`user`] writes it.
pub(crate) fn user_in(key: &PendingKey) -> [u8; USER_PREFIX] {
    let mut user = [0; USER_PREFIX];
    user.copy_from_slice(&key[..USER_PREFIX]);
    user
}

/// All pending registrations that are equal to one with this token.
pub(crate) fn equals(user: &[u8; USER_PREFIX], token: TokenDigest) -> [u8; 48] {
    joined([user, &token.0])
}

/// The range in which a pending registration with this id lies: that of all users of the app who
/// share the 12 bits which the id carries.
pub(crate) fn pending_range(app: AppId, shard_bits: u16) -> ([u8; 18], Option<Vec<u8>>) {
    let from: [u8; 18] = joined([app.as_bytes(), &(shard_bits << 4).to_be_bytes()]);
    let to = match shard_bits {
        0xfff => after_prefix(app.as_bytes()),
        bits => Some([app.as_bytes().as_slice(), &((bits + 1) << 4).to_be_bytes()].concat()),
    };
    (from, to)
}

/// The mark of a cleanup of one token, or of all.
pub(crate) fn mark(user: &[u8; USER_PREFIX], token: Option<TokenDigest>) -> Vec<u8> {
    match token {
        None => [user.as_slice(), &[0]].concat(),
        Some(digest) => [user.as_slice(), &[1], &digest.0].concat(),
    }
}

/// The digest in the key of a mark; `None` for a cleanup of all.
pub(crate) fn marked_token(key: &[u8]) -> Option<TokenDigest> {
    Some(TokenDigest(key.get(USER_PREFIX + 1..)?.try_into().ok()?))
}

pub(crate) type OutcomeKey = [u8; 32];

pub(crate) fn outcome(app: AppId, id: RegistrationId) -> OutcomeKey {
    joined([app.as_bytes(), id.as_bytes()])
}

pub(crate) fn history(user: &[u8; USER_PREFIX], id: RegistrationId) -> [u8; 48] {
    joined([user, id.as_bytes()])
}

pub(crate) fn device(user: &[u8; USER_PREFIX], token: &DeviceToken) -> Vec<u8> {
    let platform = [codes::platform(token.platform())];
    [user.as_slice(), &platform, token.reveal().as_bytes()].concat()
}

/// The device token in the key of a device.
pub(crate) fn device_token(key: &[u8]) -> Option<DeviceToken> {
    let platform = codes::platform_of(*key.get(USER_PREFIX)?)?;
    let text = std::str::from_utf8(key.get(USER_PREFIX + 1..)?).ok()?;
    DeviceToken::parse(platform, text).ok()
}

pub(crate) type CallbackKey = [u8; 32];

pub(crate) fn callback(host: HostKey, ended_at: Timestamp, id: RegistrationId) -> CallbackKey {
    joined([&host.0, &ended_at.as_millis().to_be_bytes(), id.as_bytes()])
}

/// Set in the time of a callback's key when it was attempted before: of each host these come last.
const ATTEMPTED: u64 = 1 << 63;

/// A callback that was attempted before and is due again.
pub(crate) fn callback_again(host: HostKey, due: Timestamp, id: RegistrationId) -> CallbackKey {
    callback(host, Timestamp::from_millis(due.as_millis() | ATTEMPTED), id)
}

pub(crate) fn is_again(key: &CallbackKey) -> bool {
    key[8] & 0x80 != 0
}

/// When a callback that was attempted before is due again, as its key has it.
pub(crate) fn callback_due(key: &CallbackKey) -> Timestamp {
    let mut due = [0; 8];
    due.copy_from_slice(&key[8..16]);
    Timestamp::from_millis(u64::from_be_bytes(due) & !ATTEMPTED)
}

pub(crate) type RetryKey = [u8; 32];

/// A callback that is kept until it is due again.
pub(crate) fn retry(due: Timestamp, host: HostKey, id: RegistrationId) -> RetryKey {
    joined([&due.as_millis().to_be_bytes(), &host.0, id.as_bytes()])
}

/// The due time and the host in the key of a callback that is kept.
pub(crate) fn retry_parts(key: &[u8]) -> Option<(Timestamp, HostKey, RegistrationId)> {
    let due = key.get(..8)?.try_into().ok()?;
    let host = key.get(8..16)?.try_into().ok()?;
    Some((Timestamp::from_millis(u64::from_be_bytes(due)), HostKey(host), id_of(key)?))
}

pub(crate) type LogKey = [u8; 24];

/// An entry of an app's delivery log, by its number.
pub(crate) fn log_entry(app: AppId, number: u64) -> LogKey {
    joined([app.as_bytes(), &number.to_be_bytes()])
}

/// The number in the key of an entry of this app's log.
pub(crate) fn log_number(app: AppId, key: &[u8]) -> Option<u64> {
    let number = key.strip_prefix(app.as_bytes().as_slice())?;
    Some(u64::from_be_bytes(number.try_into().ok()?))
}

/// An entry of the audit list, by its number.
pub(crate) fn audit_entry(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// The number in the key of an entry of the audit list.
pub(crate) fn audit_number(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.try_into().ok()?))
}

pub(crate) fn callback_host(key: &CallbackKey) -> HostKey {
    let mut host = [0; 8];
    host.copy_from_slice(&key[..8]);
    HostKey(host)
}

pub(crate) fn org(id: OrgId) -> [u8; 17] {
    joined([&[ORG], id.as_bytes()])
}

pub(crate) fn app(id: AppId) -> [u8; 17] {
    joined([&[APP], id.as_bytes()])
}

pub(crate) fn token(id: TokenId) -> [u8; 17] {
    joined([&[TOKEN], id.as_bytes()])
}

/// What stays of a purged app, so that no late writer brings it back.
pub(crate) fn purged(id: AppId) -> [u8; 17] {
    joined([&[PURGED], id.as_bytes()])
}

/// The first byte of the keys of organizations.
pub(crate) const ORG: u8 = b'o';
/// The first byte of the keys of apps.
pub(crate) const APP: u8 = b'a';
/// The first byte of the keys of API tokens.
pub(crate) const TOKEN: u8 = b't';
/// The first byte of the keys of purged apps.
pub(crate) const PURGED: u8 = b'x';

/// The 16 bytes after the first: the id in the key of a configuration row.
pub(crate) fn config_id(key: &[u8]) -> Option<[u8; 16]> {
    key.get(1..)?.try_into().ok()
}

/// The registration's id, with which a key ends.
pub(crate) fn id_of(key: &[u8]) -> Option<RegistrationId> {
    let from = key.len().checked_sub(ID)?;
    Some(RegistrationId::from_bytes(key[from..].try_into().ok()?))
}

/// The app with which a key begins.
pub(crate) fn app_of(key: &[u8]) -> Option<AppId> {
    Some(AppId::from_bytes(key.get(..16)?.try_into().ok()?))
}

/// The lane of a pending row.
pub(crate) fn lane_of(app: AppId, platform: Platform) -> Lane {
    Lane { app, platform }
}

/// The first key after all that begin with this prefix; `None` if there is none.
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// The smallest key after this one.
pub(crate) fn successor<const N: usize>(key: &[u8; N]) -> [u8; N] {
    let mut next = *key;
    for byte in next.iter_mut().rev() {
        let (sum, overflow) = byte.overflowing_add(1);
        *byte = sum;
        if !overflow {
            return next;
        }
    }
    [0xff; N]
}

fn joined<const N: usize, const M: usize>(parts: [&[u8]; M]) -> [u8; N] {
    let mut key = [0; N];
    let mut at = 0;
    for part in parts {
        key[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    debug_assert_eq!(at, N);
    key
}
