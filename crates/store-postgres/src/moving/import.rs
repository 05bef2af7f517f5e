//! Putting records in: calls of functions like any other, and the progress after them. A row that is there already
//! stays as it is, so what was put before a crash and not counted may come again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures_util::future::try_join_all;
use pushroll_domain::{
    App, AppId, AuditRecord, CallbackRecord, Device, Ended, ImportProgress, LoggedDelivery, MoveIn,
    Org, PendingRecord, Record, RegistrationId, StoreError, TokenRecord,
};
use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{MoveError, PostgresExport, Session, millis, patient, progress, serving};
use crate::audit;
use crate::db::{Access, Argument, Db};
use crate::faults::{Fault, unavailable};
use crate::gather::Target;
use crate::intentions::call;
use crate::keys;
use crate::listen::CONFIGURATION;
use crate::rows::config as document;
use crate::rows::{self, codes};
use crate::schema;
use crate::settings::PostgresSettings;
use crate::shards::Shards;
use crate::statements::{Statement, Statements};
use crate::store::OpenError;

/// Held by whoever imports ("push" and "impo" as numbers).
const IMPORTING: &str = "select pg_try_advisory_lock(1886549864, 1768779887)";
const PUT_ORG: &str =
    "insert into pushroll.org (id, document) values ($1, $2) on conflict do nothing";
const PUT_APP: &str = "insert into pushroll.app (id, org, deleted_at, deleted, document)
    values ($1, $2, $3, case when $3::bigint is not null then now() end, $4) on conflict do nothing";
/// Its organization and when it was deleted are of no use to anybody any more.
const PUT_PURGED_APP: &str = "insert into pushroll.app (id, org, deleted_at, deleted, purged, document)
    values ($1, '00000000-0000-0000-0000-000000000000', 0, now(), true, '{}') on conflict do nothing";
const PUT_TOKEN: &str = "insert into pushroll.token (id, app, hash, revoked_at, document)
    values ($1, $2, $3, $4, $5) on conflict do nothing";
/// Before all that is counted here.
const PUT_AUDIT: &str = "insert into pushroll.audit (number, id, at, org, app, document)
    values (-$6::bigint, $1, $2, $3, $4, $5) on conflict do nothing";
const NOTE: &str =
    "insert into pushroll.import as i (export, records, digest, begun_at, finished_at)
    values ($1, $2, $3, $4, $5)
    on conflict (only_one) do update
    set export = excluded.export, records = excluded.records, digest = excluded.digest,
      begun_at = excluded.begun_at, finished_at = excluded.finished_at";
const COUNT: &str = "update pushroll.installation set configuration = configuration + 1";
const SET_FINGERPRINT: &str = "update pushroll.installation set sealing_key = $1";
/// Entries of a log that are imported are noted a day before they were exported, so that whatever is noted
/// here comes after them, by whatever clock.
const BEFORE_MICROS: u64 = 24 * 3600 * 1_000_000;
/// Calls about different shards that are under way at once.
const AT_ONCE: usize = 8;

/// An empty database that is moved into.
pub struct PostgresImport {
    db: Db,
    shards: Shards,
    statements: Statements,
    was_begun: AtomicBool,
    _session: Session,
}

impl PostgresImport {
    /// Opens the database, half imported or not, and keeps other imports out.
    ///
    /// # Errors
    /// When it can't be reached, has another schema, or somebody else works on it.
    pub async fn open(settings: PostgresSettings) -> Result<Self, MoveError> {
        let db = Db::new(patient(settings), Access::Writes)?;
        let shards = schema::installed(&db).await.map_err(OpenError::from)?;
        let session = Session::open(&db).await?;
        if !session.client.query_one(IMPORTING, &[]).await?.try_get::<_, bool>(0)? {
            return Err(MoveError::Importing);
        }
        let statements = Statements::new();
        let names = serving(&db, &statements).await?;
        if !names.is_empty() {
            return Err(MoveError::Serving { names });
        }
        let was_begun = AtomicBool::new(false);
        Ok(Self { db, shards, statements, was_begun, _session: session })
    }

    /// What is there now, to be looked at.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn look(&self) -> Result<PostgresExport, StoreError> {
        Ok(PostgresExport::of(&self.db, self.shards).await?)
    }

    /// Notes the fingerprint of the key under which secrets are sealed.
    ///
    /// # Errors
    /// When the database can't be written.
    pub async fn set_sealing_fingerprint(&self, fingerprint: &[u8]) -> Result<(), StoreError> {
        self.db.query(SET_FINGERPRINT, &[&fingerprint]).await?;
        Ok(())
    }

    /// Calls a function for rows of any shards, each of which says its own.
    async fn put_rows<R: Sync>(
        &self,
        statement: &Statement,
        rows: &[(i16, R)],
        arrays: impl Fn(&[&R]) -> Arrays + Sync,
    ) -> Result<(), Fault> {
        if rows.is_empty() {
            return Ok(());
        }
        if !self.shards.distributed {
            let shards = rows.iter().map(|(shard, _)| *shard).collect();
            let rows: Vec<&R> = rows.iter().map(|(_, row)| row).collect();
            return self.call(statement, Target::Several, shards, arrays(&rows)).await;
        }
        let mut by_shard: BTreeMap<i16, Vec<&R>> = BTreeMap::new();
        for (shard, row) in rows {
            by_shard.entry(*shard).or_default().push(row);
        }
        let calls: Vec<(i16, Arrays)> =
            by_shard.into_iter().map(|(shard, rows)| (shard, arrays(&rows))).collect();
        let mut calls = calls.into_iter();
        loop {
            let some = calls.by_ref().take(AT_ONCE).map(|(shard, arrays)| {
                self.call(statement, Target::One(shard), Vec::new(), arrays)
            });
            let some: Vec<_> = some.collect();
            if some.is_empty() {
                return Ok(());
            }
            try_join_all(some).await?;
        }
    }

    async fn call(
        &self,
        statement: &Statement,
        target: Target,
        shards: Vec<i16>,
        arrays: Arrays,
    ) -> Result<(), Fault> {
        let arrays: Vec<Argument<'_>> = arrays.iter().map(|one| &**one as Argument<'_>).collect();
        call(&self.db, statement, target, shards, &arrays).await.map(drop)
    }

    async fn put_configuration(&self, some: &Sorted) -> Result<(), Fault> {
        let Sorted { orgs, apps, purged_apps, tokens, audit, .. } = some;
        let is_empty = orgs.is_empty() && apps.is_empty() && purged_apps.is_empty();
        if is_empty && tokens.is_empty() && audit.is_empty() {
            return Ok(());
        }
        self.db
            .transaction(async |transaction: &Transaction<'_>| {
                for org in orgs {
                    let id = Uuid::from_bytes(*org.id.as_bytes());
                    transaction.execute(PUT_ORG, &[&id, &document::encode_org(org)]).await?;
                }
                for app in apps {
                    let (id, org) = (keys::app(app.id), Uuid::from_bytes(*app.org.as_bytes()));
                    let arguments: [Argument<'_>; 4] =
                        [&id, &org, &millis(app.deleted_at), &document::encode_app(app)];
                    transaction.execute(PUT_APP, &arguments).await?;
                }
                for id in purged_apps {
                    transaction.execute(PUT_PURGED_APP, &[&keys::app(*id)]).await?;
                }
                for token in tokens {
                    let (id, app) = (Uuid::from_bytes(*token.id.as_bytes()), keys::app(token.app));
                    let hash = token.hash.as_bytes().as_slice();
                    let arguments: [Argument<'_>; 5] = [
                        &id,
                        &app,
                        &hash,
                        &millis(token.revoked_at),
                        &document::encode_token(token),
                    ];
                    transaction.execute(PUT_TOKEN, &arguments).await?;
                }
                for AuditRecord { place, entry } in audit {
                    let place = i64::try_from(*place).unwrap_or(i64::MAX);
                    let values = audit::arguments(entry);
                    let mut arguments: Vec<Argument<'_>> =
                        values.iter().map(|value| &**value as Argument<'_>).collect();
                    arguments.push(&place);
                    transaction.execute(PUT_AUDIT, &arguments).await?;
                }
                Ok(())
            })
            .await
    }

    async fn put_devices(&self, devices: &[(i16, Box<Device>)]) -> Result<(), Fault> {
        self.put_rows(&self.statements.import_devices, devices, |rows| {
            vec![
                array(rows, |r| keys::app(r.app)),
                array(rows, |r| keys::user(&r.user.key_in(r.app))),
                array(rows, |r| keys::token(&r.token)),
                array(rows, |r| keys::id(r.id)),
                array(rows, |r| codes::millis(r.last_seen_at)),
                array(rows, |r| rows::encode_stored_device(r)),
            ]
        })
        .await
    }

    async fn put_pending(&self, pending: &[(i16, Box<PendingRecord>)]) -> Result<(), Fault> {
        self.put_rows(&self.statements.import_pending, pending, |rows| {
            let of = |r: &'_ PendingRecord| r.registration.user.key_in(r.registration.app);
            vec![
                array(rows, |r| keys::id(r.registration.id)),
                array(rows, |r| keys::app(r.registration.app)),
                array(rows, |r| i16::from(codes::platform(r.registration.claimed.platform()))),
                array(rows, |r| keys::user(&of(r))),
                array(rows, |r| r.registration.claimed.token().map(keys::token)),
                array(rows, |r| codes::millis(r.registration.due)),
                array(rows, |r| r.covered),
                array(rows, |r| rows::encode_registration(&r.registration)),
                array(rows, |r| {
                    let one = &r.registration;
                    rows::encode_tries(&one.tries, one.last_answer.as_ref())
                }),
            ]
        })
        .await
    }

    async fn put_outcomes(&self, outcomes: &[(i16, Box<Ended>)]) -> Result<(), Fault> {
        self.put_rows(&self.statements.import_outcomes, outcomes, |rows| {
            vec![
                array(rows, |r| keys::id(r.id)),
                array(rows, |r| keys::app(r.app)),
                array(rows, |r| keys::user(&r.user.key_in(r.app))),
                array(rows, |r| codes::millis(r.ended_at)),
                array(rows, |r| r.tracked),
                array(rows, |r| codes::outcome(r.outcome)),
                array(rows, |r| rows::encode_ended(r)),
                array(rows, |r| r.hint.clone().map(String::into_bytes)),
                array(rows, |r| r.callback.as_ref().map(rows::encode_report)),
            ]
        })
        .await
    }

    async fn put_callbacks(&self, callbacks: &[(i16, Box<CallbackRecord>)]) -> Result<(), Fault> {
        self.put_rows(&self.statements.import_callbacks, callbacks, |rows| {
            vec![
                array(rows, |r| keys::id(r.delivery.id)),
                array(rows, |r| keys::app(r.delivery.app)),
                array(rows, |r| keys::host(r.delivery.order.host)),
                array(rows, |r| codes::outcome(r.delivery.outcome)),
                array(rows, |r| codes::millis(r.delivery.ended_at)),
                array(rows, |r| i32::try_from(r.delivery.attempt).unwrap_or(i32::MAX)),
                array(rows, |r| millis(r.due.map(|_| r.delivery.first_attempt_at))),
                array(rows, |r| millis(r.due)),
                array(rows, |r| rows::encode_callback(r.delivery.org, &r.delivery.order)),
            ]
        })
        .await
    }

    async fn put_deliveries(
        &self,
        deliveries: &[(i16, Box<LoggedDelivery>)],
        progress: &ImportProgress,
    ) -> Result<(), Fault> {
        let before = progress.begun_at.as_millis().saturating_mul(1_000);
        let before = before.saturating_sub(BEFORE_MICROS);
        let noted = |place: u64| i64::try_from(before.saturating_sub(place)).unwrap_or(i64::MAX);
        self.put_rows(&self.statements.import_deliveries, deliveries, |rows| {
            vec![
                array(rows, |r| keys::app(r.app)),
                array(rows, |r| noted(r.place)),
                array(rows, |r| keys::id(r.record.id)),
                array(rows, |r| i32::try_from(r.record.attempt).unwrap_or(i32::MAX)),
                array(rows, |r| codes::millis(r.record.report.at)),
                array(rows, |r| rows::encode_record(&r.record)),
            ]
        })
        .await
    }

    async fn note(&self, progress: &ImportProgress) -> Result<(), Fault> {
        let export = Uuid::from_bytes(progress.export);
        let records = i64::try_from(progress.records).unwrap_or(i64::MAX);
        let begun_at = codes::millis(progress.begun_at);
        let finished_at = millis(progress.finished_at);
        let digest = progress.digest.as_slice();
        let arguments: [Argument<'_>; 5] = [&export, &records, &digest, &begun_at, &finished_at];
        self.db
            .transaction(async |transaction: &Transaction<'_>| {
                transaction.execute(NOTE, &arguments).await?;
                if finished_at.is_some() {
                    transaction.execute(COUNT, &[]).await?;
                    transaction.execute("select pg_notify($1, '')", &[&CONFIGURATION]).await?;
                }
                Ok(())
            })
            .await
    }
}

#[async_trait]
impl MoveIn for PostgresImport {
    async fn progress(&self) -> Result<Option<ImportProgress>, StoreError> {
        progress(&self.db).await
    }

    async fn put(&self, records: Vec<Record>, progress: ImportProgress) -> Result<(), StoreError> {
        let some = Sorted::of(records, self.shards)?;
        self.put_configuration(&some).await?;
        self.put_devices(&some.devices).await?;
        self.put_pending(&some.pending).await?;
        self.put_outcomes(&some.outcomes).await?;
        self.put_callbacks(&some.callbacks).await?;
        self.put_deliveries(&some.deliveries, &progress).await?;
        self.note(&progress).await?;
        if !self.was_begun.swap(true, Ordering::Relaxed) {
            // From now on a server that starts sees what goes on here, and one that has just started is seen.
            let names = serving(&self.db, &self.statements).await?;
            if !names.is_empty() {
                return Err(unavailable(format!("servers work on it now: {}", names.join(", "))));
            }
        }
        Ok(())
    }
}

/// The arguments of a call after the shards.
type Arrays = Vec<Box<dyn ToSql + Sync + Send>>;

/// The values of a column, to be an argument.
fn array<R, T>(rows: &[&R], value: impl Fn(&R) -> T) -> Box<dyn ToSql + Sync + Send>
where
    Vec<T>: ToSql + Sync + Send + 'static,
{
    Box::new(rows.iter().map(|row| value(row)).collect::<Vec<T>>())
}

/// Records by kind, those that are sharded with their shards.
#[derive(Default)]
struct Sorted {
    orgs: Vec<Org>,
    apps: Vec<App>,
    purged_apps: Vec<AppId>,
    tokens: Vec<TokenRecord>,
    audit: Vec<AuditRecord>,
    devices: Vec<(i16, Box<Device>)>,
    pending: Vec<(i16, Box<PendingRecord>)>,
    outcomes: Vec<(i16, Box<Ended>)>,
    callbacks: Vec<(i16, Box<CallbackRecord>)>,
    deliveries: Vec<(i16, Box<LoggedDelivery>)>,
}

impl Sorted {
    fn of(records: Vec<Record>, shards: Shards) -> Result<Self, StoreError> {
        let of_id =
            |id: RegistrationId| shards.of_id(id).ok_or_else(|| rows::corrupt("registration's id"));
        let mut some = Self::default();
        for record in records {
            match record {
                Record::Org(org) => some.orgs.push(org),
                Record::App(app) => some.apps.push(*app),
                Record::PurgedApp(id) => some.purged_apps.push(id),
                Record::Token(token) => some.tokens.push(token),
                Record::Audit(audit) => some.audit.push(*audit),
                Record::Device(device) => {
                    let shard = shards.of_user(&device.user.key_in(device.app));
                    some.devices.push((shard, device));
                }
                Record::Pending(pending) => {
                    let one = &pending.registration;
                    some.pending.push((shards.of_user(&one.user.key_in(one.app)), pending));
                }
                Record::Outcome(ended) => {
                    let shard = shards.of_user(&ended.user.key_in(ended.app));
                    some.outcomes.push((shard, ended));
                }
                Record::Callback(callback) => {
                    some.callbacks.push((of_id(callback.delivery.id)?, callback));
                }
                Record::Delivery(logged) => {
                    some.deliveries.push((of_id(logged.record.id)?, logged));
                }
            }
        }
        Ok(some)
    }
}
