//! Removing devices, and marking that what is pending leaves none behind.
//!
//! A mark says: everything of this user (and token) that was accepted before this place in the order
//! of commits is covered. It is set only while something is pending that it may cover, however much
//! that is, and removed when the last of it has ended.

use std::ops::ControlFlow;

use pushroll_domain::{CleanUp, DeviceToken, StoreError};

use crate::columns::Column;
use crate::group::{Effect, Group};
use crate::keys::{self, PendingKey, TokenDigest, USER_PREFIX};
use crate::rows;

/// A mark is kept while one of so many pending rows of its user is older; with more rows than
/// that, it is kept. So the end of a registration reads a bounded number of rows.
const ROWS_PER_LOOK: usize = 256;

/// A cleanup, with all that can be prepared on the caller's thread.
pub(crate) struct CleanUpItem {
    user: [u8; USER_PREFIX],
    /// `None` for all tokens.
    tokens: Option<[DeviceToken; 2]>,
}

impl CleanUpItem {
    pub(crate) fn prepare(clean_up: &CleanUp) -> Self {
        let user = keys::user(clean_up.app, &clean_up.user.key_in(clean_up.app));
        Self { user, tokens: clean_up.names() }
    }
}

pub(crate) fn clean_up(group: &mut Group<'_>, items: Vec<CleanUpItem>) -> Result<(), StoreError> {
    for CleanUpItem { user, tokens } in items {
        match tokens {
            None => clean_up_all(group, &user)?,
            Some(tokens) => {
                for token in tokens {
                    clean_up_one(group, &user, &token)?;
                }
            }
        }
    }
    Ok(())
}

fn clean_up_all(group: &mut Group<'_>, user: &[u8; USER_PREFIX]) -> Result<(), StoreError> {
    if group.any(Column::Pending, user)? {
        mark(group, keys::mark(user, None))?;
    }
    let mut devices = Vec::new();
    group.visit(Column::Devices, user, |key, _| {
        devices.push(key.to_vec());
        Ok(ControlFlow::Continue(()))
    })?;
    for key in devices {
        group.delete(Column::Devices, key);
    }
    Ok(())
}

fn clean_up_one(
    group: &mut Group<'_>,
    user: &[u8; USER_PREFIX],
    token: &DeviceToken,
) -> Result<(), StoreError> {
    let digest = TokenDigest::of(Some(token));
    if group.any(Column::Pending, &keys::equals(user, digest))? {
        mark(group, keys::mark(user, Some(digest)))?;
    }
    let key = keys::device(user, token);
    if group.has(Column::Devices, &key)? {
        group.delete(Column::Devices, key);
    }
    Ok(())
}

fn mark(group: &mut Group<'_>, key: Vec<u8>) -> Result<(), StoreError> {
    if !group.has(Column::Marks, &key)? {
        group.effect(Effect::Marked);
    }
    let commit = group.next_commit();
    group.put(Column::Marks, key, rows::encode_mark(commit));
    Ok(())
}

/// Whether a cleanup covers the registration with this key and place in the order of commits.
pub(super) fn covers(
    group: &mut Group<'_>,
    pending: &PendingKey,
    commit: u64,
) -> Result<bool, StoreError> {
    if !group.may_have_marks() {
        return Ok(false);
    }
    for key in marks_of(pending) {
        let mark = group.find(Column::Marks, &key, rows::decode_mark)?;
        if mark.is_some_and(|mark| mark > commit) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The keys of the marks that may cover a pending registration.
pub(crate) fn marks_of(pending: &PendingKey) -> [Vec<u8>; 2] {
    let user = keys::user_in(pending);
    let digest = TokenDigest::in_pending(pending);
    [keys::mark(&user, None), keys::mark(&user, Some(digest))]
}

/// Removes the marks of a user that cover nothing any more.
pub(super) fn forget_marks(
    group: &mut Group<'_>,
    user: &[u8; USER_PREFIX],
) -> Result<(), StoreError> {
    if !group.may_have_marks() {
        return Ok(());
    }
    let mut marks = Vec::new();
    group.visit(Column::Marks, user, |key, row| {
        marks.push((key.to_vec(), rows::decode_mark(row)?));
        Ok(if marks.len() < ROWS_PER_LOOK {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        })
    })?;
    for (key, commit) in marks {
        let range = match keys::marked_token(&key) {
            None => user.to_vec(),
            Some(token) => keys::equals(user, token).to_vec(),
        };
        let mut looked = 0;
        let mut needed = false;
        group.visit(Column::Pending, &range, |_, row| {
            looked += 1;
            needed = looked > ROWS_PER_LOOK || rows::decode_pending(row)?.commit < commit;
            Ok(if needed { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        if !needed {
            group.delete(Column::Marks, key);
            group.effect(Effect::Unmarked);
        }
    }
    Ok(())
}
