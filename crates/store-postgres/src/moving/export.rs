//! Getting records out: one transaction in which the database stands still, read shard by shard from one key to
//! the next.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use pushroll_domain::{
    AppId, AuditRecord, LoggedDelivery, MoveOut, MovingView, Record, RecordKind, Records,
    StoreError,
};
use tokio::sync::Mutex;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{MoveError, Session, get, patient, serving};
use crate::audit;
use crate::config;
use crate::db::{Access, Argument, Db};
use crate::faults::Fault;
use crate::keys;
use crate::rows::{self, CallbackColumns, DeviceColumns, OutcomeColumns, PendingColumns, codes};
use crate::schema;
use crate::settings::PostgresSettings;
use crate::shards::Shards;
use crate::standstill::{self, Standstill};
use crate::statements::Statements;
use crate::store::OpenError;

/// A moment of the database. On several servers (Citus) it is one only as long as nobody writes.
const BEGIN: &str = "begin isolation level repeatable read read only";
const ORGS: &str = "select id, document from pushroll.org where id > $1 order by id limit $2";
const APPS: &str = "select id, org, deleted_at, document from pushroll.app
    where not purged and id > $1 order by id limit $2";
const PURGED_APPS: &str =
    "select id from pushroll.app where purged and id > $1 order by id limit $2";
const TOKENS: &str = "select id, app, hash, revoked_at, document from pushroll.token
    where id > $1 order by id limit $2";
const AUDIT: &str = "select number, id, at, org, app, document from pushroll.audit
    where number < $1 order by number desc limit $2";
const FINGERPRINT: &str = "select sealing_key from pushroll.installation";
const ESTIMATE: &str = "select case when min(c.reltuples) >= 0 then sum(c.reltuples)::bigint end
    from pg_class c where c.relnamespace = 'pushroll'::regnamespace
      and c.relname in ('device', 'pending', 'outcome', 'callback', 'delivery')";
/// Later than every entry of a log: the year 2286.
const LATEST_MICROS: i64 = 10_000_000_000_000_000;

/// A database that is moved out of, as it was when this was opened.
pub struct PostgresExport {
    session: Session,
    shards: Shards,
    standstill: Standstill,
    statements: Statements,
    prepared: Mutex<HashMap<String, tokio_postgres::Statement>>,
    /// The log of the app that is read just now: it is put together from all shards.
    log: Mutex<Option<(AppId, Arc<Vec<LoggedDelivery>>)>>,
}

/// Where it goes on: in this shard, after these keys.
struct Place {
    shard: i16,
    keys: Vec<Uuid>,
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        let (shard, keys) = text.split_once(':')?;
        let keys: Result<Vec<Uuid>, _> = keys.split(',').map(str::parse).collect();
        Some(Self { shard: shard.parse().ok()?, keys: keys.ok()? })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys: Vec<String> = self.keys.iter().map(Uuid::to_string).collect();
        write!(f, "{}:{}", self.shard, keys.join(","))
    }
}

impl PostgresExport {
    /// Opens the database. `live` means that servers may work on it: what they answer from now on is not in what
    /// comes out.
    ///
    /// # Errors
    /// When it can't be reached, has another schema, is half imported, or servers work on it and must not.
    pub async fn open(settings: PostgresSettings, live: bool) -> Result<Self, MoveError> {
        let db = Db::new(patient(settings), Access::Reads)?;
        let shards = schema::check(&db).await.map_err(OpenError::from)?;
        let statements = Statements::new();
        let nobody_serves = async || match serving(&db, &statements).await? {
            names if names.is_empty() || live => Ok(()),
            names => Err(MoveError::Serving { names }),
        };
        nobody_serves().await?;
        let session = Session::open(&db).await?;
        let standstill = if live {
            Some(Standstill::Live)
        } else if shards.distributed {
            Some(Standstill::Spread)
        } else {
            standstill::begin(&session.client).await?
        };
        let export = Self::at_this_moment(session, shards, standstill).await?;
        // Whoever has come meanwhile may have written before this moment, and goes on after it.
        nobody_serves().await?;
        if live && shards.distributed {
            return Err(MoveError::NoSnapshot);
        }
        db.close();
        Ok(export)
    }

    /// A moment of this database, whatever state it is in.
    pub(super) async fn of(db: &Db, shards: Shards) -> Result<Self, Fault> {
        Self::at_this_moment(Session::open(db).await?, shards, Some(Standstill::Live)).await
    }

    async fn at_this_moment(
        session: Session,
        shards: Shards,
        unnamed: Option<Standstill>,
    ) -> Result<Self, Fault> {
        session.client.batch_execute(BEGIN).await?;
        let standstill = match unnamed {
            Some(unnamed) => unnamed,
            None => standstill::of_transaction(&session.client).await?,
        };
        Ok(Self {
            session,
            shards,
            standstill,
            statements: Statements::new(),
            prepared: Mutex::default(),
            log: Mutex::default(),
        })
    }

    /// Whether an export that is broken off can go on later: only while nobody can write.
    #[must_use]
    pub fn standstill(&self) -> &Standstill {
        &self.standstill
    }

    /// The fingerprint of the key under which secrets are sealed, if it was ever set.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn sealing_fingerprint(&self) -> Result<Option<Vec<u8>>, StoreError> {
        match self.query(FINGERPRINT, &[]).await?.first() {
            Some(row) => get(row, 0),
            None => Ok(None),
        }
    }

    /// About how many records there are, if the database has counted its rows.
    pub async fn estimate(&self) -> Option<u64> {
        // On several servers (Citus) only they know.
        if self.shards.distributed {
            return None;
        }
        let rows = self.query(ESTIMATE, &[]).await.ok()?;
        let count: Option<i64> = rows.first()?.try_get(0).ok()?;
        u64::try_from(count?).ok()
    }

    async fn query(&self, sql: &str, arguments: &[Argument<'_>]) -> Result<Vec<Row>, Fault> {
        let known = self.prepared.lock().await.get(sql).cloned();
        let statement = match known {
            Some(statement) => statement,
            None => {
                let statement = self.session.client.prepare(sql).await?;
                self.prepared.lock().await.insert(sql.to_owned(), statement.clone());
                statement
            }
        };
        Ok(self.session.client.query(&statement, arguments).await?)
    }

    /// Rows that are not sharded, after this id.
    async fn unsharded(
        &self,
        sql: &str,
        after: Option<&str>,
        limit: usize,
        record: impl Fn(&Row) -> Result<Record, StoreError>,
    ) -> Result<Records, StoreError> {
        let after: Uuid = match after {
            None => Uuid::nil(),
            Some(after) => after.parse().map_err(|_| no_place())?,
        };
        let rows = self.query(sql, &[&after, &count(limit)]).await?;
        let records: Result<Vec<_>, StoreError> = rows.iter().map(record).collect();
        let last = rows.last().filter(|_| rows.len() == limit);
        let next = last.map(|row| get::<Uuid>(row, 0)).transpose()?.map(|id| id.to_string());
        Ok(Records { records: records?, next })
    }

    /// Rows of all shards in turn, after these keys, which are the first columns; of some there is no record.
    async fn sharded(
        &self,
        sql: &str,
        key_columns: usize,
        after: Option<&str>,
        limit: usize,
        record: impl Fn(&Row) -> Result<Option<Record>, StoreError> + Send,
    ) -> Result<Records, StoreError> {
        let first = || vec![Uuid::nil(); key_columns];
        let mut place = match after {
            None => Place { shard: 0, keys: first() },
            Some(after) => Place::parse(after)
                .filter(|place| place.keys.len() == key_columns)
                .ok_or_else(no_place)?,
        };
        let mut records = Vec::with_capacity(limit);
        while place.shard.cast_unsigned() < self.shards.count {
            let most = limit - records.len();
            let at_most = count(most);
            let mut arguments: Vec<Argument<'_>> = vec![&place.shard];
            arguments.extend(place.keys.iter().map(|key| key as Argument<'_>));
            arguments.push(&at_most);
            let rows = self.query(sql, &arguments).await?;
            for row in &rows {
                records.extend(record(row)?);
            }
            place = match rows.last().filter(|_| rows.len() == most) {
                Some(last) => {
                    let keys: Result<Vec<Uuid>, _> =
                        (0..key_columns).map(|n| get(last, n)).collect();
                    Place { shard: place.shard, keys: keys? }
                }
                None => Place { shard: place.shard + 1, keys: first() },
            };
            if records.len() == limit {
                return Ok(Records { records, next: Some(place.to_string()) });
            }
        }
        Ok(Records { records, next: None })
    }

    /// App by app, the newest entries first.
    async fn deliveries(
        &self,
        view: MovingView,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Records, StoreError> {
        let (mut after_app, mut from) = match after {
            None => (Uuid::nil(), None),
            Some(after) => {
                let (app, listed) = after.split_once(':').ok_or_else(no_place)?;
                let app: Uuid = app.parse().map_err(|_| no_place())?;
                let listed: usize = listed.parse().map_err(|_| no_place())?;
                (app, Some(listed))
            }
        };
        let mut records = Vec::with_capacity(limit);
        loop {
            let (app, listed) = match from.take() {
                Some(listed) => (after_app, listed),
                None => match self.query(APPS, &[&after_app, &1_i64]).await?.first() {
                    Some(row) => (get(row, 0)?, 0),
                    None => return Ok(Records { records, next: None }),
                },
            };
            let log = self.log_of(keys::app_id(app), view).await?;
            let rest = log.get(listed..).unwrap_or_default();
            let now = &rest[..rest.len().min(limit - records.len())];
            records.extend(now.iter().map(|one| Record::Delivery(Box::new(one.clone()))));
            if records.len() == limit {
                let next = Some(format!("{app}:{}", listed + now.len()));
                return Ok(Records { records, next });
            }
            after_app = app;
        }
    }

    /// The newest entries first.
    async fn audit(
        &self,
        view: MovingView,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Records, StoreError> {
        let (before, listed) = match after {
            None => (i64::MAX, 0),
            Some(after) => {
                let (number, listed) = after.split_once(':').ok_or_else(no_place)?;
                let number: i64 = number.parse().map_err(|_| no_place())?;
                (number, listed.parse::<u64>().map_err(|_| no_place())?)
            }
        };
        let left = usize::try_from(view.audited.saturating_sub(listed)).unwrap_or(usize::MAX);
        let rows = self.query(AUDIT, &[&before, &count(limit.min(left))]).await?;
        let record = |(place, row): (u64, &Row)| {
            let entry = audit::entry(row)?;
            Ok(Record::Audit(Box::new(AuditRecord { place, entry })))
        };
        let records: Result<Vec<_>, StoreError> = (listed + 1..).zip(&rows).map(record).collect();
        let records = records?;
        let last = rows.last().filter(|_| rows.len() == limit);
        let number: Option<i64> = last.map(|row| get(row, 0)).transpose()?;
        let next = number.map(|number| format!("{number}:{}", listed + records.len() as u64));
        Ok(Records { records, next })
    }

    /// The log of an app, which is no longer than the settings let it be.
    async fn log_of(
        &self,
        app: AppId,
        view: MovingView,
    ) -> Result<Arc<Vec<LoggedDelivery>>, StoreError> {
        let mut known = self.log.lock().await;
        if let Some((_, log)) = known.as_ref().filter(|(of, _)| *of == app) {
            return Ok(Arc::clone(log));
        }
        let (over_before, most) = (codes::millis(view.ended_after), view.logged_per_app);
        let wanted = i64::try_from(most).unwrap_or(i64::MAX);
        let mut rows = Vec::new();
        for shard in self.shards.all() {
            let of_app = keys::app(app);
            let arguments: [Argument<'_>; 7] =
                [&shard, &of_app, &over_before, &LATEST_MICROS, &Uuid::max(), &i32::MAX, &wanted];
            rows.extend(self.query(&self.statements.deliveries.one, &arguments).await?);
        }
        let places: Result<Vec<(i64, Uuid, i32)>, StoreError> =
            rows.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?, get(row, 2)?))).collect();
        let mut places: Vec<_> = places?.into_iter().zip(&rows).collect();
        places.sort_unstable_by_key(|(place, _)| std::cmp::Reverse(*place));
        places.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        let logged = |(place, ((_, id, attempt), row)): (u64, ((i64, Uuid, i32), &Row))| {
            let document: &[u8] = get(row, 3)?;
            let record = rows::decode_record(keys::registration(id), attempt, document)?;
            Ok(LoggedDelivery { app, place, record })
        };
        let log: Result<Vec<_>, StoreError> = (1..).zip(places).map(logged).collect();
        let log = Arc::new(log?);
        *known = Some((app, Arc::clone(&log)));
        Ok(log)
    }
}

impl std::fmt::Debug for PostgresExport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresExport").field("shards", &self.shards).finish_non_exhaustive()
    }
}

#[async_trait]
impl MoveOut for PostgresExport {
    async fn records(
        &self,
        kind: RecordKind,
        view: MovingView,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Records, StoreError> {
        let limit = limit.max(1);
        let statements = &self.statements;
        match kind {
            RecordKind::Org => {
                self.unsharded(ORGS, after, limit, |row| config::org(row).map(Record::Org)).await
            }
            RecordKind::App => {
                let app = |row: &Row| Ok(Record::App(Box::new(config::app(row)?)));
                self.unsharded(APPS, after, limit, app).await
            }
            RecordKind::PurgedApp => {
                let app = |row: &Row| Ok(Record::PurgedApp(keys::app_id(get(row, 0)?)));
                self.unsharded(PURGED_APPS, after, limit, app).await
            }
            RecordKind::Token => {
                let token = |row: &Row| config::token(row).map(Record::Token);
                self.unsharded(TOKENS, after, limit, token).await
            }
            RecordKind::Device => {
                self.sharded(&statements.devices_after.one, 3, after, limit, device).await
            }
            RecordKind::Pending => {
                self.sharded(&statements.pending_after.one, 1, after, limit, pending).await
            }
            RecordKind::Outcome => {
                let outcome = |row: &Row| outcome(row, view);
                self.sharded(&statements.outcomes_after.one, 1, after, limit, outcome).await
            }
            RecordKind::Callback => {
                self.sharded(&statements.callbacks_after.one, 1, after, limit, callback).await
            }
            RecordKind::Delivery => self.deliveries(view, after, limit).await,
            RecordKind::Audit => self.audit(view, after, limit).await,
        }
    }
}

fn device(row: &Row) -> Result<Option<Record>, StoreError> {
    let device = rows::decode_device(&DeviceColumns {
        app: keys::app_id(get(row, 0)?),
        id: keys::registration(get(row, 3)?),
        last_seen: get(row, 4)?,
        document: get(row, 5)?,
    })?;
    Ok(Some(Record::Device(Box::new(device))))
}

fn pending(row: &Row) -> Result<Option<Record>, StoreError> {
    let (given_due, due): (i64, i64) = (get(row, 3)?, get(row, 7)?);
    let mut registration = rows::decode_registration(&PendingColumns {
        id: keys::registration(get(row, 0)?),
        app: keys::app_id(get(row, 1)?),
        platform: get(row, 2)?,
        given_due,
        accepted: get(row, 4)?,
        tried: get(row, 5)?,
    })?;
    registration.due = codes::timestamp_of(due_of(given_due, due));
    Ok(Some(Record::pending(registration, get(row, 6)?)))
}

/// When something is due that a node put off by its own clock. The database's decides, unless they agree.
fn due_of(given: i64, by_database: i64) -> i64 {
    const AGREE_MS: u64 = 500;
    let latest = codes::millis(Record::LATEST_DUE);
    if given.min(latest).abs_diff(by_database) <= AGREE_MS { given } else { by_database }
}

fn outcome(row: &Row, view: MovingView) -> Result<Option<Record>, StoreError> {
    let ended_at: i64 = get(row, 4)?;
    if codes::timestamp_of(ended_at) <= view.ended_after {
        return Ok(None);
    }
    let ended = rows::decode_outcome(&OutcomeColumns {
        id: keys::registration(get(row, 0)?),
        app: keys::app_id(get(row, 1)?),
        tracked: get(row, 2)?,
        code: get(row, 3)?,
        ended_at,
        document: get(row, 5)?,
        hint: get(row, 6)?,
        callback: get(row, 7)?,
    })?;
    Ok(Some(Record::Outcome(Box::new(ended))))
}

fn callback(row: &Row) -> Result<Option<Record>, StoreError> {
    let ended_at: i64 = get(row, 3)?;
    let first_attempt_at: Option<i64> = get(row, 5)?;
    let delivery = rows::decode_delivery(&CallbackColumns {
        id: keys::registration(get(row, 0)?),
        app: keys::app_id(get(row, 1)?),
        code: get(row, 2)?,
        ended_at,
        attempt: get(row, 4)?,
        first_attempt_at: codes::timestamp_of(first_attempt_at.unwrap_or(ended_at)),
        again_at: None,
        document: get(row, 6)?,
    })?;
    let due: Option<i64> = get(row, 7)?;
    Ok(Some(Record::callback(delivery, codes::timestamp_of(due.unwrap_or(0)))))
}

fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn no_place() -> StoreError {
    StoreError::Corrupt("this is no place to go on from in this store".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_is_due_by_the_database_s_clock_unless_the_node_s_agrees() {
        assert_eq!(due_of(1_000_000, 1_000_400), 1_000_000);
        assert_eq!(due_of(1_060_000, 1_000_000), 1_000_000);
        let latest = codes::millis(Record::LATEST_DUE);
        assert_eq!(due_of(i64::MAX, latest), i64::MAX, "no later than it can be");
    }
}
