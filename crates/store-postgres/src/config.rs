//! Organizations, apps and API tokens. Every change is one transaction that begins with the row which counts
//! changes: so they happen one after the other, and every node hears of each.

use pushroll_domain::{
    App, AppId, AuditEntry, Directory, Org, OrgId, Reseal, StoreError, Timestamp, TokenId,
    TokenRecord,
};
use serde_json::Value;
use tokio_postgres::{Row, Transaction};
use uuid::Uuid;

use crate::audit;
use crate::db::Db;
use crate::faults::Fault;
use crate::keys;
use crate::listen::CONFIGURATION;
use crate::rows::codes;
use crate::rows::config as document;
use crate::shared::Shared;
use crate::upkeep::app_anew;

const COUNT: &str = "update pushroll.installation set configuration = configuration + 1";
const PUT_ORG: &str = "insert into pushroll.org (id, document) values ($1, $2)
    on conflict (id) do update set document = excluded.document";
/// A deleted app stays deleted, and a purged one does not come back.
const PUT_APP: &str = "insert into pushroll.app as a (id, org, deleted_at, document)
    values ($1, $2, $3, $4)
    on conflict (id) do update
    set org = excluded.org, document = excluded.document,
      deleted_at = coalesce(a.deleted_at, excluded.deleted_at)
    where not a.purged";
/// A token that comes too late for its app is revoked from the start.
const PUT_TOKEN: &str = "insert into pushroll.token (id, app, hash, revoked_at, document)
    select $1, $2, $3, coalesce($4, a.deleted_at), $5
    from pushroll.installation i left join pushroll.app a on a.id = $2
    on conflict (id) do update
    set app = excluded.app, hash = excluded.hash, revoked_at = excluded.revoked_at,
      document = excluded.document";
const REVOKE_TOKEN: &str = "update pushroll.token set revoked_at = $3
    where id = $2 and app = $1 and revoked_at is null";
const REVOKE_TOKENS: &str = "update pushroll.token set revoked_at = $3
    where app = $2 and revoked_at is null
      and exists (select from pushroll.app a where a.id = $2 and a.org = $1)";
const DELETE_APP: &str = "update pushroll.app set deleted_at = $3, deleted = now()
    where id = $2 and org = $1 and deleted_at is null";
const PURGED: &str = "update pushroll.app set purged = true, document = '{}'
    where id = $1 and deleted_at is not null";
const ORGS: &str = "select id, document from pushroll.org";
const APPS: &str = "select id, org, deleted_at, document from pushroll.app where not purged";
const TOKENS: &str = "select id, app, hash, revoked_at, document from pushroll.token";
const APP: &str = "select deleted_at is not null, purged,
      coalesce(deleted < now() - $2 * interval '1 second', true)
    from pushroll.app where id = $1";
const APP_TO_SEAL: &str =
    "select id, org, deleted_at, document from pushroll.app where id = $1 and not purged";
const SEALED_APP: &str = "update pushroll.app set document = $2 where id = $1";
const SEALING_KEY: &str = "select sealing_key from pushroll.installation";
const SET_SEALING_KEY: &str = "update pushroll.installation set sealing_key = $2
    where sealing_key is not distinct from $1";

/// A change within a transaction; how many rows it changed is what is told.
type Arguments<'a> = Vec<Box<dyn tokio_postgres::types::ToSql + Sync + Send + 'a>>;

/// What is known of an app that may be deleted.
pub(crate) struct AppState {
    pub(crate) deleted: bool,
    pub(crate) purged: bool,
    /// Every node has had the time to hear of it.
    pub(crate) known_to_all: bool,
}

/// Organizations, apps and tokens, as they were at one moment.
pub(crate) async fn directory(db: &Db) -> Result<Directory, StoreError> {
    let (orgs, apps, tokens) = db
        .with_connection(async |connection| {
            let transaction = connection
                .build_transaction()
                .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
                .read_only(true)
                .start()
                .await?;
            let orgs = transaction.query(ORGS, &[]).await?;
            let apps = transaction.query(APPS, &[]).await?;
            let tokens = transaction.query(TOKENS, &[]).await?;
            transaction.commit().await?;
            Ok((orgs, apps, tokens))
        })
        .await?;
    let orgs: Result<Vec<_>, StoreError> = orgs.iter().map(org).collect();
    let apps: Result<Vec<_>, StoreError> = apps.iter().map(app).collect();
    let tokens: Result<Vec<_>, StoreError> = tokens.iter().map(token).collect();
    Ok(Directory::new(orgs?, apps?, tokens?))
}

pub(crate) async fn sealing_fingerprint(db: &Db) -> Result<Option<Vec<u8>>, Fault> {
    Ok(db.query_one(SEALING_KEY, &[]).await?.try_get(0)?)
}

/// Sets the fingerprint if it is still this one, and tells all nodes; returns the one that is there then.
pub(crate) async fn replace_sealing_fingerprint(
    db: &Db,
    old: Option<&[u8]>,
    new: &[u8],
    entry: Option<&AuditEntry>,
) -> Result<Option<Vec<u8>>, StoreError> {
    let arguments: Arguments<'_> = vec![Box::new(old), Box::new(new)];
    change(db, &[(SET_SEALING_KEY, arguments)], entry).await?;
    Ok(sealing_fingerprint(db).await?)
}

/// Seals every app anew that is not under the newest key; how many it were. Each is read again under the lock of the
/// configuration, so that no change of it is lost.
pub(crate) async fn seal_apps_anew(db: &Db, reseal: &dyn Reseal) -> Result<u64, StoreError> {
    let mut sealed = 0;
    for known in db.query(APPS, &[]).await? {
        // Those that are deleted among them: what is pending in them is still called back.
        let known = app(&known)?;
        if app_anew(reseal, &known)?.is_none() {
            continue;
        }
        let id = keys::app(known.id);
        let done = db
            .transaction(async |transaction: &Transaction<'_>| {
                transaction.execute(COUNT, &[]).await?;
                let Some(row) = transaction.query_opt(APP_TO_SEAL, &[&id]).await? else {
                    return Ok(Ok(0));
                };
                let anew = match app(&row).and_then(|app| app_anew(reseal, &app)) {
                    Ok(Some(anew)) => anew,
                    Ok(None) => return Ok(Ok(0)),
                    Err(fault) => return Ok(Err(fault)),
                };
                let document = document::encode_app(&anew);
                Ok(Ok(transaction.execute(SEALED_APP, &[&id, &document]).await?))
            })
            .await?;
        sealed += done?;
    }
    Ok(sealed)
}

/// Changes the configuration, in one step, and puts the entry into the audit list unless the last of the changes
/// changed nothing; how many rows were changed.
async fn change(
    db: &Db,
    changes: &[(&str, Arguments<'_>)],
    entry: Option<&AuditEntry>,
) -> Result<u64, StoreError> {
    db.check_open()?;
    let changed = db
        .transaction(async |transaction: &Transaction<'_>| {
            transaction.execute(COUNT, &[]).await?;
            let (mut changed, mut last) = (0, 0);
            for (sql, arguments) in changes {
                last = execute(transaction, sql, arguments).await?;
                changed += last;
            }
            if let Some(entry) = entry.filter(|_| last > 0) {
                execute(transaction, audit::PUT, &audit::arguments(entry)).await?;
                transaction.execute(audit::BOUND, &[&audit::most(db)]).await?;
            }
            transaction.execute("select pg_notify($1, '')", &[&CONFIGURATION]).await?;
            Ok(changed)
        })
        .await?;
    Ok(changed)
}

impl Shared {
    pub(crate) async fn put_org(&self, org: &Org, entry: &AuditEntry) -> Result<(), StoreError> {
        let id = Uuid::from_bytes(*org.id.as_bytes());
        let arguments: Arguments<'_> = vec![Box::new(id), Box::new(document::encode_org(org))];
        self.change(&[(PUT_ORG, arguments)], Some(entry)).await.map(drop)
    }

    pub(crate) async fn put_app(&self, app: &App, entry: &AuditEntry) -> Result<(), StoreError> {
        let _era = self.sealing.era();
        let anew = self.sealing.app(app);
        let app = anew.as_ref().unwrap_or(app);
        let arguments: Arguments<'_> = vec![
            Box::new(keys::app(app.id)),
            Box::new(Uuid::from_bytes(*app.org.as_bytes())),
            Box::new(app.deleted_at.map(codes::millis)),
            Box::new(document::encode_app(app)),
        ];
        self.change(&[(PUT_APP, arguments)], Some(entry)).await.map(drop)
    }

    pub(crate) async fn put_token(
        &self,
        token: &TokenRecord,
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        let arguments: Arguments<'_> = vec![
            Box::new(Uuid::from_bytes(*token.id.as_bytes())),
            Box::new(keys::app(token.app)),
            Box::new(token.hash.as_bytes().to_vec()),
            Box::new(token.revoked_at.map(codes::millis)),
            Box::new(document::encode_token(token)),
        ];
        self.change(&[(PUT_TOKEN, arguments)], Some(entry)).await.map(drop)
    }

    pub(crate) async fn revoke_token(
        &self,
        app: AppId,
        token: TokenId,
        at: Timestamp,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let arguments: Arguments<'_> = vec![
            Box::new(keys::app(app)),
            Box::new(Uuid::from_bytes(*token.as_bytes())),
            Box::new(codes::millis(at)),
        ];
        Ok(self.change(&[(REVOKE_TOKEN, arguments)], Some(entry)).await? > 0)
    }

    pub(crate) async fn delete_app(
        &self,
        org: OrgId,
        app: AppId,
        at: Timestamp,
        entry: &AuditEntry,
    ) -> Result<(), StoreError> {
        let arguments = || -> Arguments<'_> {
            vec![
                Box::new(Uuid::from_bytes(*org.as_bytes())),
                Box::new(keys::app(app)),
                Box::new(codes::millis(at)),
            ]
        };
        let changes = [(REVOKE_TOKENS, arguments()), (DELETE_APP, arguments())];
        self.change(&changes, Some(entry)).await.map(drop)
    }

    /// Nothing but its tokens' hashes is left of it.
    pub(crate) async fn note_purged(&self, app: AppId) -> Result<(), StoreError> {
        self.change(&[(PURGED, vec![Box::new(keys::app(app))])], None).await.map(drop)
    }

    /// `None` if there is no such app.
    pub(crate) async fn app_state(
        &self,
        app: AppId,
        heard_after_seconds: f64,
    ) -> Result<Option<AppState>, Fault> {
        let rows = self.db.query(APP, &[&keys::app(app), &heard_after_seconds]).await?;
        let state = |row: &Row| {
            Ok(AppState {
                deleted: row.try_get(0)?,
                purged: row.try_get(1)?,
                known_to_all: row.try_get(2)?,
            })
        };
        rows.first().map(state).transpose()
    }

    async fn change(
        &self,
        changes: &[(&str, Arguments<'_>)],
        entry: Option<&AuditEntry>,
    ) -> Result<u64, StoreError> {
        change(&self.db, changes, entry).await
    }
}

async fn execute(
    transaction: &Transaction<'_>,
    sql: &str,
    arguments: &Arguments<'_>,
) -> Result<u64, Fault> {
    let arguments: Vec<_> = arguments.iter().map(|one| &**one as crate::db::Argument<'_>).collect();
    Ok(transaction.execute(sql, &arguments).await?)
}

fn timestamp(millis: Option<i64>) -> Option<Timestamp> {
    millis.map(codes::timestamp_of)
}

pub(crate) fn org(row: &Row) -> Result<Org, StoreError> {
    let (id, text): (Uuid, Value) = (get(row, 0)?, get(row, 1)?);
    document::decode_org(OrgId::from_bytes(id.into_bytes()), text)
}

pub(crate) fn app(row: &Row) -> Result<App, StoreError> {
    let (id, org): (Uuid, Uuid) = (get(row, 0)?, get(row, 1)?);
    let org = OrgId::from_bytes(org.into_bytes());
    document::decode_app(keys::app_id(id), org, timestamp(get(row, 2)?), get(row, 3)?)
}

pub(crate) fn token(row: &Row) -> Result<TokenRecord, StoreError> {
    let (id, app, hash): (Uuid, Uuid, &[u8]) = (get(row, 0)?, get(row, 1)?, get(row, 2)?);
    document::decode_token(
        TokenId::from_bytes(id.into_bytes()),
        keys::app_id(app),
        hash,
        timestamp(get(row, 3)?),
        get(row, 4)?,
    )
}

fn get<'a, T: tokio_postgres::types::FromSql<'a>>(
    row: &'a Row,
    column: usize,
) -> Result<T, StoreError> {
    Ok(row.try_get(column).map_err(Fault::from)?)
}
