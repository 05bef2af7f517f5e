//! What only reads: straight from the engine, on the caller's side.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use pushroll_domain::{
    App, AppId, Device, DevicePlace, Directory, Ended, Org, OrgId, Page, PageRequest, Registration,
    RegistrationId, RegistrationView, Standing, Status, StoreError, TokenId, TokenRecord, UserId,
};
use rocksdb::{DB, DBRawIterator, ReadOptions, Snapshot};

use crate::apply::{marks_of, pending_key};
use crate::columns::{Column, Columns};
use crate::health::fault_of;
use crate::keys::{self, USER_PREFIX};
use crate::known::{Known, Look};
use crate::retention::Kept;
use crate::rows;

/// What a status query says of each id.
pub(crate) fn statuses(
    db: &DB,
    columns: Columns<'_>,
    app: AppId,
    ids: &[RegistrationId],
    kept: Kept,
) -> Result<Vec<Status>, StoreError> {
    // An id of another version was never handed out: there is nothing to look for.
    let known: Vec<_> = ids
        .iter()
        .filter(|id| id.shard_bits().is_some())
        .map(|id| keys::outcome(app, *id))
        .collect();
    let mut found =
        db.batched_multi_get_cf(columns.get(Column::Outcomes), &known, false).into_iter();
    let status = |id: &RegistrationId| {
        if id.shard_bits().is_none() {
            return Ok(Status::Pending);
        }
        let Some(row) = found.next().transpose().map_err(|e| fault_of(&e))?.flatten() else {
            return Ok(Status::Pending);
        };
        Ok(match rows::status(&row)? {
            (at, Some(outcome)) if !kept.is_over(at) => Status::Ended(outcome),
            _ => Status::Pending,
        })
    };
    ids.iter().map(status).collect()
}

/// What stands in the way of each registration. Pending rows are looked at first: an older one that ends
/// meanwhile is then seen as a device.
pub(crate) fn standings(
    db: &DB,
    columns: Columns<'_>,
    known: &Known,
    batch: &[Arc<Registration>],
) -> Result<Vec<Standing>, StoreError> {
    // The looks begin before the iterator sees anything.
    let begin = |one: &Arc<Registration>| {
        let key = pending_key(one);
        let is_asked = one.claimed.token().is_some() && known.equals.may_have(&key);
        let older = if is_asked { oldest_equal(db, columns, &key)? } else { None };
        let user = keys::user_in(&key);
        Ok((user, older, known.newcomers.look(&user)))
    };
    let begun = batch.iter().map(begin).collect::<Result<Vec<_>, StoreError>>()?;
    let mut devices = db.raw_iterator_cf_opt(columns.get(Column::Devices), of_one_user());
    let standing = |(one, (user, older, look)): (&Arc<Registration>, _)| {
        let stored = stored(&mut devices, known, one, &user, &look)?;
        Ok(stored.or(older).unwrap_or(Standing::Free))
    };
    batch.iter().zip(begun).map(standing).collect()
}

/// Iterators see what lies under the 32 bytes of app and user that they are set to.
fn of_one_user() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_prefix_same_as_start(true);
    options
}

/// Whether the device of a registration is stored, by another one.
fn stored(
    devices: &mut DBRawIterator<'_>,
    known: &Known,
    registration: &Registration,
    user: &[u8; USER_PREFIX],
    look: &Look,
) -> Result<Option<Standing>, StoreError> {
    let Some(token) = registration.claimed.token() else { return Ok(None) };
    devices.seek(user);
    if !devices.key().is_some_and(|key| key.starts_with(user)) {
        devices.status().map_err(|e| fault_of(&e))?;
        known.newcomers.found_none(look);
        return Ok(None);
    }
    let key = keys::device(user, token);
    if devices.key() != Some(&key) {
        devices.seek(&key);
    }
    let Some((_, row)) = devices.item().filter(|(found, _)| *found == key) else {
        return devices.status().map_err(|e| fault_of(&e)).map(|()| None);
    };
    let id = rows::registered_by(row)?;
    Ok((id != registration.id).then_some(Standing::Stored(id)))
}

fn oldest_equal(
    db: &DB,
    columns: Columns<'_>,
    own_key: &keys::PendingKey,
) -> Result<Option<Standing>, StoreError> {
    let mut equals = db.raw_iterator_cf_opt(columns.get(Column::Pending), of_one_user());
    let prefix = &own_key[..own_key.len() - 16];
    equals.seek(prefix);
    match equals.key() {
        // The usual case: there is no older one.
        Some(key) if key != own_key.as_slice() && key.starts_with(prefix) => {}
        Some(_) | None => {
            equals.status().map_err(|e| fault_of(&e))?;
            return Ok(None);
        }
    }
    let own = db.get_pinned_cf(columns.get(Column::Pending), own_key).map_err(|e| fault_of(&e))?;
    let Some(own) = own else { return Ok(None) };
    let own = rows::decode_pending(&own)?;
    let mut last_cleanup = 0;
    for key in marks_of(own_key) {
        let mark = db.get_pinned_cf(columns.get(Column::Marks), key).map_err(|e| fault_of(&e))?;
        if let Some(mark) = mark {
            last_cleanup = last_cleanup.max(rows::decode_mark(&mark)?);
        }
    }
    while let Some((key, row)) = equals.item() {
        if !key.starts_with(prefix) || key >= own_key.as_slice() {
            break;
        }
        let row = rows::decode_pending(row)?;
        // No cleanup between them: it covers both or neither.
        if (row.commit < last_cleanup) == (own.commit < last_cleanup) {
            let id = keys::id_of(key).ok_or_else(|| rows::corrupt("pending registration"))?;
            return Ok(Some(Standing::After { id, due: row.due }));
        }
        equals.next();
    }
    equals.status().map_err(|e| fault_of(&e))?;
    Ok(None)
}

/// The devices of a user, in the order of their registrations.
pub(crate) fn devices_of_user(
    db: &DB,
    columns: Columns<'_>,
    app: AppId,
    user: &UserId,
    page: &PageRequest,
) -> Result<Page<Device>, StoreError> {
    let prefix = keys::user(app, &user.key_in(app));
    let mut devices = Vec::new();
    for_each(db, columns, Column::Devices, &prefix, |key, row| {
        let token = keys::device_token(key).ok_or_else(|| rows::corrupt("device"))?;
        devices.push(rows::decode_device(app, token, row)?);
        Ok(())
    })?;
    devices.sort_by_key(|device| device.id);
    if let Some(after) = place(page) {
        devices.retain(|device| device.id > after);
    }
    Ok(cut(devices, page.limit, |device| device.id))
}

/// The devices of an app, user by user, each user's in the order of their registrations.
pub(crate) fn devices_of_app(
    db: &DB,
    columns: Columns<'_>,
    app: AppId,
    page: &PageRequest,
) -> Result<Page<Device>, StoreError> {
    let limit = page.limit.max(1);
    let after = page.after.as_deref().and_then(DevicePlace::parse);
    let from = after.map_or_else(|| app.as_bytes().to_vec(), |at| keys::user(app, &at.user).into());
    let mut options = ReadOptions::default();
    options.set_total_order_seek(true);
    // Whoever reads everything once must not push out what others read often.
    options.fill_cache(false);
    if let Some(end) = keys::after_prefix(app.as_bytes()) {
        options.set_iterate_upper_bound(end);
    }
    let mut cursor = db.raw_iterator_cf_opt(columns.get(Column::Devices), options);
    cursor.seek(from);
    let mut found: Vec<(DevicePlace, Device)> = Vec::with_capacity(limit + 1);
    // Those of the user at hand; they are in the order of their tokens.
    let mut of_user: Vec<(DevicePlace, Device)> = Vec::new();
    while let Some((key, row)) = cursor.item() {
        let user = keys::user_key_in(key).ok_or_else(|| rows::corrupt("device"))?;
        if of_user.first().is_some_and(|(first, _)| first.user != user) {
            of_user.sort_by_key(|(place, _)| *place);
            found.append(&mut of_user);
            if found.len() > limit {
                break;
            }
        }
        let token = keys::device_token(key).ok_or_else(|| rows::corrupt("device"))?;
        let device = rows::decode_device(app, token, row)?;
        let place = DevicePlace { user, id: device.id };
        if after.is_none_or(|after| place > after) {
            of_user.push((place, device));
        }
        cursor.next();
    }
    cursor.status().map_err(|e| fault_of(&e))?;
    of_user.sort_by_key(|(place, _)| *place);
    found.append(&mut of_user);
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|(place, _)| place.to_string());
    Ok(Page { items: found.into_iter().map(|(_, device)| device).collect(), next })
}

/// The registrations of a user, newest first.
pub(crate) fn registrations_of_user(
    db: &DB,
    columns: Columns<'_>,
    app: AppId,
    user: &UserId,
    page: &PageRequest,
    kept: Kept,
) -> Result<Page<RegistrationView>, StoreError> {
    // A registration is in one of the two lists in whatever moment this looks.
    let snapshot = db.snapshot();
    let prefix = keys::user(app, &user.key_in(app));
    let wanted = page.limit.max(1).saturating_add(1);
    let before = place(page);
    // The newest pending ones, however many there are: a heap of the wanted ones, oldest on top.
    let mut newest = BinaryHeap::new();
    let mut options = of_one_user();
    options.set_snapshot(&snapshot);
    let mut pending = db.raw_iterator_cf_opt(columns.get(Column::Pending), options);
    pending.seek(prefix);
    while let Some((key, row)) = pending.item() {
        let id = keys::id_of(key).ok_or_else(|| rows::corrupt("pending registration"))?;
        if before.is_none_or(|before| id < before) {
            let row = rows::decode_pending(row)?;
            let key = keys::queue(keys::lane_of(app, row.platform), row.due, id);
            newest.push(Reverse((id, key)));
            if newest.len() > wanted {
                newest.pop();
            }
        }
        pending.next();
    }
    pending.status().map_err(|e| fault_of(&e))?;
    let mut views = Vec::new();
    for Reverse((_, key)) in newest {
        views.extend(queued(&snapshot, columns, app, &key)?.map(RegistrationView::Pending));
    }
    let ended = ended_of_user(&snapshot, db, columns, &prefix, before, wanted, kept)?;
    views.extend(ended.into_iter().map(|ended| RegistrationView::Ended(Box::new(ended))));
    views.sort_by_key(|view| Reverse(view_id(view)));
    Ok(cut(views, page.limit, view_id))
}

fn ended_of_user(
    snapshot: &Snapshot<'_>,
    db: &DB,
    columns: Columns<'_>,
    prefix: &[u8; USER_PREFIX],
    before: Option<RegistrationId>,
    wanted: usize,
    kept: Kept,
) -> Result<Vec<Ended>, StoreError> {
    let mut options = ReadOptions::default();
    options.set_snapshot(snapshot);
    options.set_total_order_seek(true);
    options.set_iterate_lower_bound(prefix.as_slice());
    let before = before.unwrap_or(RegistrationId::from_bytes([0xff; 16]));
    let mut entries = db.raw_iterator_cf_opt(columns.get(Column::History), options);
    entries.seek_for_prev(keys::history(prefix, before));
    let mut ended = Vec::new();
    while let Some((key, row)) = entries.item() {
        if ended.len() == wanted {
            break;
        }
        let (Some(app), Some(id)) = (keys::app_of(key), keys::id_of(key)) else {
            return Err(rows::corrupt("outcome"));
        };
        if id < before && !kept.is_over(rows::ended_at(row)?) {
            let row = snapshot
                .get_cf(columns.get(Column::Outcomes), keys::outcome(app, id))
                .map_err(|e| fault_of(&e))?;
            ended.extend(row.map(|row| rows::decode_outcome(app, id, &row)).transpose()?);
        }
        entries.prev();
    }
    entries.status().map_err(|e| fault_of(&e))?;
    Ok(ended)
}

/// A registration that is pending, failed or tracked.
pub(crate) fn registration(
    db: &DB,
    columns: Columns<'_>,
    app: AppId,
    id: RegistrationId,
    kept: Kept,
) -> Result<Option<RegistrationView>, StoreError> {
    let Some(shard_bits) = id.shard_bits() else { return Ok(None) };
    let snapshot = db.snapshot();
    let (from, to) = keys::pending_range(app, shard_bits);
    let mut options = ReadOptions::default();
    options.set_snapshot(&snapshot);
    options.set_total_order_seek(true);
    if let Some(to) = to {
        options.set_iterate_upper_bound(to);
    }
    let mut pending = db.raw_iterator_cf_opt(columns.get(Column::Pending), options);
    pending.seek(from);
    while let Some((key, row)) = pending.item() {
        if keys::id_of(key) == Some(id) {
            let row = rows::decode_pending(row)?;
            let key = keys::queue(keys::lane_of(app, row.platform), row.due, id);
            let registration = queued(&snapshot, columns, app, &key)?;
            return Ok(registration.map(RegistrationView::Pending));
        }
        pending.next();
    }
    pending.status().map_err(|e| fault_of(&e))?;
    let row = snapshot
        .get_cf(columns.get(Column::Outcomes), keys::outcome(app, id))
        .map_err(|e| fault_of(&e))?;
    let Some(row) = row else { return Ok(None) };
    let ended = rows::decode_outcome(app, id, &row)?;
    let is_over = kept.is_over(ended.ended_at);
    Ok((!is_over).then(|| RegistrationView::Ended(Box::new(ended))))
}

fn queued(
    snapshot: &Snapshot<'_>,
    columns: Columns<'_>,
    app: AppId,
    key: &keys::QueueKey,
) -> Result<Option<Box<Registration>>, StoreError> {
    let row = snapshot.get_cf(columns.get(Column::Queue), key).map_err(|e| fault_of(&e))?;
    row.map(|row| decode_queued(app, key, &row).map(Box::new)).transpose()
}

/// The registration of a queue row.
pub(crate) fn decode_queued(
    app: AppId,
    key: &keys::QueueKey,
    row: &[u8],
) -> Result<Registration, StoreError> {
    let platform = rows::codes::platform_of(key[16]);
    let (Some(platform), Some((due, id))) = (platform, keys::queue_parts(key)) else {
        return Err(rows::corrupt("registration"));
    };
    rows::decode_registration(keys::lane_of(app, platform), due, id, row)
}

/// All of the configuration.
pub(crate) fn directory(db: &DB, columns: Columns<'_>) -> Result<Directory, StoreError> {
    let snapshot = db.snapshot();
    let mut options = ReadOptions::default();
    options.set_snapshot(&snapshot);
    let (mut orgs, mut apps, mut tokens): (Vec<Org>, Vec<App>, Vec<TokenRecord>) =
        Default::default();
    let mut cursor = db.raw_iterator_cf_opt(columns.get(Column::Config), options);
    cursor.seek_to_first();
    while let Some((key, row)) = cursor.item() {
        let id = keys::config_id(key).ok_or_else(|| rows::corrupt("configuration"))?;
        match key[0] {
            keys::ORG => orgs.push(rows::decode_org(OrgId::from_bytes(id), row)?),
            keys::APP => apps.push(rows::decode_app(AppId::from_bytes(id), row)?),
            keys::TOKEN => tokens.push(rows::decode_token(TokenId::from_bytes(id), row)?),
            keys::PURGED => {}
            _ => return Err(rows::corrupt("configuration")),
        }
        cursor.next();
    }
    cursor.status().map_err(|e| fault_of(&e))?;
    Ok(Directory::new(orgs, apps, tokens))
}

fn for_each(
    db: &DB,
    columns: Columns<'_>,
    column: Column,
    prefix: &[u8; USER_PREFIX],
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut cursor = db.raw_iterator_cf_opt(columns.get(column), of_one_user());
    cursor.seek(prefix);
    while let Some((key, row)) = cursor.item() {
        visit(key, row)?;
        cursor.next();
    }
    cursor.status().map_err(|e| fault_of(&e))
}

/// The number of rows of a kind.
pub(crate) fn count(db: &DB, columns: Columns<'_>, column: Column) -> Result<u64, StoreError> {
    let mut options = ReadOptions::default();
    options.set_total_order_seek(true);
    options.fill_cache(false);
    let mut cursor = db.raw_iterator_cf_opt(columns.get(column), options);
    cursor.seek_to_first();
    let mut count = 0;
    while cursor.valid() {
        count += 1;
        cursor.next();
    }
    cursor.status().map_err(|e| fault_of(&e))?;
    Ok(count)
}

fn view_id(view: &RegistrationView) -> RegistrationId {
    match view {
        RegistrationView::Pending(registration) => registration.id,
        RegistrationView::Ended(ended) => ended.id,
    }
}

/// Where a part of a list begins. What this store did not hand out is taken for the beginning.
fn place(page: &PageRequest) -> Option<RegistrationId> {
    RegistrationId::parse(page.after.as_deref()?).ok()
}

/// The first `limit` items, and the last one's id if there are more.
fn cut<T>(mut items: Vec<T>, limit: usize, id: impl Fn(&T) -> RegistrationId) -> Page<T> {
    let limit = limit.max(1);
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| id(last).to_string());
    Page { items, next }
}
