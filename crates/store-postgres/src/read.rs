//! What callers and operators ask.

use std::cmp::Reverse;
use std::fmt;

use pushroll_domain::{
    AppId, DeliveryRecord, Device, DevicePlace, Page, PageRequest, RegistrationId,
    RegistrationView, Status, StoreError, Timestamp, UserId,
};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::faults::Fault;
use crate::keys;
use crate::rows::{self, DeviceColumns, OutcomeColumns, PendingColumns, codes};
use crate::shared::Shared;
use crate::skew::Skew;

const LAST_ID: Uuid = Uuid::max();

impl Shared {
    /// What ended then or before is over.
    pub(crate) fn over_before(&self, now: Timestamp) -> i64 {
        let retention = i64::try_from(self.db.settings.outcome_retention.as_millis());
        self.skewed.get().to_database(now).saturating_sub(retention.unwrap_or(i64::MAX))
    }

    pub(crate) async fn statuses(
        &self,
        app: AppId,
        ids: &[RegistrationId],
        now: Timestamp,
    ) -> Result<Vec<Status>, StoreError> {
        let over_before = self.over_before(now);
        let known: Vec<(i16, Uuid)> =
            ids.iter().filter_map(|id| Some((self.shards.of_id(*id)?, keys::id(*id)))).collect();
        let rows = self.outcomes(app, &known).await?;
        let mut ended = std::collections::HashMap::with_capacity(rows.len());
        for row in &rows {
            let (id, ended_at, code) = parts(row)?;
            let outcome = codes::outcome_of(code).ok_or_else(|| rows::corrupt("outcome"))?;
            if ended_at > over_before {
                ended.insert(keys::registration(id), outcome);
            }
        }
        let status = |id| ended.get(id).map_or(Status::Pending, |outcome| Status::Ended(*outcome));
        Ok(ids.iter().map(status).collect())
    }

    /// The tracked outcomes among these: all at once, or those of each shard together.
    async fn outcomes(&self, app: AppId, ids: &[(i16, Uuid)]) -> Result<Vec<Row>, Fault> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let (statement, app) = (&self.statements.statuses, keys::app(app));
        if !self.shards.distributed {
            let (shards, ids): (Vec<i16>, Vec<Uuid>) = ids.iter().copied().unzip();
            return self.db.query(&statement.several, &[&shards, &ids, &app]).await;
        }
        let mut shards: Vec<i16> = ids.iter().map(|(shard, _)| *shard).collect();
        shards.sort_unstable();
        shards.dedup();
        let of = |shard: i16| -> Vec<Uuid> {
            ids.iter().filter(|(of, _)| *of == shard).map(|(_, id)| *id).collect()
        };
        self.shards
            .ask(&self.db, statement, &shards, |places| {
                let ids: Vec<Uuid> = places.iter().flat_map(|place| of(shards[*place])).collect();
                vec![Box::new(ids), Box::new(app)]
            })
            .await
    }

    /// The log of an app's callbacks, newest first: of each shard the newest, put together.
    pub(crate) async fn deliveries(
        &self,
        app: AppId,
        page: &PageRequest,
        now: Timestamp,
    ) -> Result<Page<DeliveryRecord>, StoreError> {
        let from = page.after.as_deref().and_then(LogPlace::parse).unwrap_or(LogPlace::NEWEST);
        let most = self.db.settings.deliveries_logged.saturating_sub(from.listed);
        let limit = u64::try_from(page.limit.max(1)).unwrap_or(u64::MAX).min(most);
        if limit == 0 {
            return Ok(Page { items: Vec::new(), next: None });
        }
        let all: Vec<i16> = self.shards.all().collect();
        let wanted = i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX);
        let (app, over_before) = (keys::app(app), self.over_before(now));
        let rows = self.shards.ask(&self.db, &self.statements.deliveries, &all, |_| {
            vec![
                Box::new(app),
                Box::new(over_before),
                Box::new(from.noted),
                Box::new(from.id),
                Box::new(from.attempt),
                Box::new(wanted),
            ]
        });
        let rows = rows.await?;
        let places: Result<Vec<_>, Fault> = rows
            .iter()
            .map(|row| Ok(((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?), row)))
            .collect();
        let mut places: Vec<((i64, Uuid, i32), &Row)> = places?;
        places.sort_unstable_by_key(|(place, _)| Reverse(*place));
        let count = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = places.len() > count && limit < most;
        places.truncate(count);
        let next = places.last().filter(|_| more).map(|((noted, id, attempt), _)| {
            let (noted, id, attempt) = (*noted, *id, *attempt);
            LogPlace { listed: from.listed + limit, noted, id, attempt }.to_string()
        });
        let record = |((_, id, attempt), row): ((i64, Uuid, i32), &Row)| {
            let document: &[u8] = row.try_get(3).map_err(Fault::from)?;
            rows::decode_record(keys::registration(id), attempt, document)
        };
        let items: Result<Vec<_>, StoreError> = places.into_iter().map(record).collect();
        Ok(Page { items: items?, next })
    }

    pub(crate) async fn devices_of_user(
        &self,
        app: AppId,
        user: &UserId,
        page: &PageRequest,
    ) -> Result<Page<Device>, StoreError> {
        let user = user.key_in(app);
        let after = place(page).map_or(Uuid::nil(), keys::id);
        let rows = self
            .db
            .query(
                &self.statements.devices_of_user.one,
                &[
                    &self.shards.of_user(&user),
                    &keys::app(app),
                    &keys::user(&user),
                    &after,
                    &wanted(page),
                ],
            )
            .await?;
        let devices: Result<Vec<_>, StoreError> = rows.iter().map(|row| device(app, row)).collect();
        Ok(cut(devices?, page.limit, |device| device.id))
    }

    /// Users lie in the order of their keys, and so do the shards, which are the keys' first bits.
    pub(crate) async fn devices_of_app(
        &self,
        app: AppId,
        page: &PageRequest,
    ) -> Result<Page<Device>, StoreError> {
        let after = page.after.as_deref().and_then(DevicePlace::parse);
        let first = after.map_or(0, |place| self.shards.of_user(&place.user));
        let mut after = after.map_or((Uuid::nil(), Uuid::nil()), |place| {
            (keys::user(&place.user), keys::id(place.id))
        });
        let limit = page.limit.max(1);
        let mut found: Vec<Device> = Vec::new();
        for shard in self.shards.all().skip_while(|shard| *shard < first) {
            let wanted = i64::try_from(limit - found.len().min(limit)).unwrap_or(i64::MAX);
            let rows = self
                .db
                .query(
                    &self.statements.devices_of_app.one,
                    &[&shard, &keys::app(app), &after.0, &after.1, &wanted.saturating_add(1)],
                )
                .await?;
            for row in &rows {
                found.push(device(app, row)?);
            }
            if found.len() > limit {
                break;
            }
            after = (Uuid::nil(), Uuid::nil());
        }
        let more = found.len() > limit;
        found.truncate(limit);
        let place = |one: &Device| DevicePlace { user: one.user.key_in(app), id: one.id };
        let next = found.last().filter(|_| more).map(|last| place(last).to_string());
        Ok(Page { items: found, next })
    }

    pub(crate) async fn registrations_of_user(
        &self,
        app: AppId,
        user: &UserId,
        page: &PageRequest,
        now: Timestamp,
    ) -> Result<Page<RegistrationView>, StoreError> {
        let (user, skew) = (user.key_in(app), self.skewed.get());
        let before = place(page).map_or(LAST_ID, keys::id);
        let rows = self
            .db
            .query(
                &self.statements.registrations_of_user.one,
                &[
                    &self.shards.of_user(&user),
                    &keys::user(&user),
                    &before,
                    &self.over_before(now),
                    &wanted(page),
                ],
            )
            .await?;
        let views: Result<Vec<_>, StoreError> = rows.iter().map(|row| view(row, skew)).collect();
        let mut views = views?;
        views.sort_by_key(|view| (Reverse(view_id(view)), is_ended(view)));
        // One that was accepted again is pending, whatever it was before.
        views.dedup_by_key(|view| view_id(view));
        Ok(cut(views, page.limit, view_id))
    }

    pub(crate) async fn registration(
        &self,
        app: AppId,
        id: RegistrationId,
        now: Timestamp,
    ) -> Result<Option<RegistrationView>, StoreError> {
        let Some(shard) = self.shards.of_id(id) else { return Ok(None) };
        let rows = self
            .db
            .query(
                &self.statements.registration.one,
                &[&shard, &keys::id(id), &keys::app(app), &self.over_before(now)],
            )
            .await?;
        rows.first().map(|row| view(row, self.skewed.get())).transpose()
    }
}

/// A place in the log of an app, and how many newer entries have been listed.
#[derive(Debug, Clone, Copy)]
struct LogPlace {
    listed: u64,
    noted: i64,
    id: Uuid,
    attempt: i32,
}

impl LogPlace {
    /// Before the first: the year 2286.
    const NEWEST: Self =
        Self { listed: 0, noted: 10_000_000_000_000_000, id: Uuid::max(), attempt: i32::MAX };

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let place = Self {
            listed: parts.next()?.parse().ok()?,
            noted: parts.next()?.parse().ok()?,
            id: parts.next()?.parse().ok()?,
            attempt: parts.next()?.parse().ok()?,
        };
        (0..=Self::NEWEST.noted).contains(&place.noted).then_some(place)
    }
}

impl fmt::Display for LogPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}", self.listed, self.noted, self.id, self.attempt)
    }
}

fn parts(row: &Row) -> Result<(Uuid, i64, i16), Fault> {
    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
}

fn device(app: AppId, row: &Row) -> Result<Device, StoreError> {
    rows::decode_device(&DeviceColumns {
        id: keys::registration(row.try_get(0).map_err(Fault::from)?),
        app,
        last_seen: row.try_get(1).map_err(Fault::from)?,
        document: row.try_get(2).map_err(Fault::from)?,
    })
}

fn view(row: &Row, skew: Skew) -> Result<RegistrationView, StoreError> {
    if row.try_get(1).map_err(Fault::from)? {
        let pending = pending(row)?;
        let mut registration = rows::decode_registration(&pending)?;
        registration.tries = skew.tries_to_ours(&registration.tries);
        Ok(RegistrationView::Pending(Box::new(registration)))
    } else {
        let mut ended = ended(row)?;
        ended.ended_at = codes::millis(skew.to_ours(ended.ended_at));
        rows::decode_outcome(&ended).map(|one| RegistrationView::Ended(Box::new(one)))
    }
}

fn pending(row: &Row) -> Result<PendingColumns<'_>, Fault> {
    Ok(PendingColumns {
        id: keys::registration(row.try_get(0)?),
        app: keys::app_id(row.try_get(2)?),
        platform: row.try_get(3)?,
        given_due: row.try_get(4)?,
        accepted: row.try_get(5)?,
        tried: row.try_get(6)?,
    })
}

fn ended(row: &Row) -> Result<OutcomeColumns<'_>, Fault> {
    Ok(OutcomeColumns {
        id: keys::registration(row.try_get(0)?),
        app: keys::app_id(row.try_get(2)?),
        tracked: row.try_get(7)?,
        code: row.try_get(8)?,
        ended_at: row.try_get(9)?,
        document: row.try_get(10)?,
        hint: row.try_get(11)?,
        callback: row.try_get(12)?,
    })
}

fn view_id(view: &RegistrationView) -> RegistrationId {
    match view {
        RegistrationView::Pending(registration) => registration.id,
        RegistrationView::Ended(ended) => ended.id,
    }
}

fn is_ended(view: &RegistrationView) -> bool {
    match view {
        RegistrationView::Pending(_) => false,
        RegistrationView::Ended(_) => true,
    }
}

/// Where a part of a list begins. What this store did not hand out is taken for the beginning.
fn place(page: &PageRequest) -> Option<RegistrationId> {
    RegistrationId::parse(page.after.as_deref()?).ok()
}

/// One more than asked for tells whether there are more.
fn wanted(page: &PageRequest) -> i64 {
    i64::try_from(page.limit.max(1)).unwrap_or(i64::MAX).saturating_add(1)
}

/// The first `limit` items, and the last one's id if there are more.
fn cut<T>(mut items: Vec<T>, limit: usize, id: impl Fn(&T) -> RegistrationId) -> Page<T> {
    let limit = limit.max(1);
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| id(last).to_string());
    Page { items, next }
}
