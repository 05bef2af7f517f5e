//! The audit list: an entry is put in the transaction of its change, and so are removed those that are too many.

use std::net::IpAddr;

use pushroll_domain::{
    Actor, AppId, AuditAction, AuditEntry, AuditFilter, AuditId, OrgId, Page, PageRequest,
    StoreError, TokenId,
};
use serde_json::{Value, json};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::db::Db;
use crate::faults::Fault;
use crate::keys;
use crate::rows::{self, codes};
use crate::shared::Shared;

/// A transaction that changes something begins with counting it, and holds the row: the count is its number.
pub(crate) const PUT: &str = "insert into pushroll.audit (number, id, at, org, app, document)
    select i.configuration, $1, $2, $3, $4, $5 from pushroll.installation i";
pub(crate) const BOUND: &str = "delete from pushroll.audit where number <= (
    select a.number from pushroll.audit a order by a.number desc offset $1 limit 1)";
const LIST: &str = "select number, id, at, org, app, document from pushroll.audit
    where ($1::bigint is null or number < $1) and ($2::uuid is null or org = $2)
      and ($3::uuid is null or app = $3)
    order by number desc limit $4";

fn uuid_of(bytes: &[u8; 16]) -> Uuid {
    Uuid::from_bytes(*bytes)
}

/// What [`PUT`] wants.
pub(crate) fn arguments(
    entry: &AuditEntry,
) -> Vec<Box<dyn tokio_postgres::types::ToSql + Sync + Send>> {
    let document = json!({
        "by": entry.actor.by,
        "source": entry.actor.source,
        "action": entry.action.name(),
        "token": entry.token.map(|token| token.to_string()),
        "name": entry.name,
        "fields": entry.fields,
    });
    vec![
        Box::new(uuid_of(entry.id.as_bytes())),
        Box::new(codes::millis(entry.at)),
        Box::new(entry.org.map(|org| uuid_of(org.as_bytes()))),
        Box::new(entry.app.map(keys::app)),
        Box::new(document),
    ]
}

/// How many entries are kept.
pub(crate) fn most(db: &Db) -> i64 {
    i64::try_from(db.settings.audit_entries.max(1)).unwrap_or(i64::MAX)
}

impl Shared {
    pub(crate) async fn audit(
        &self,
        filter: AuditFilter,
        page: &PageRequest,
    ) -> Result<Page<AuditEntry>, StoreError> {
        // What this store did not hand out is taken for the beginning.
        let before = page.after.as_deref().and_then(|after| after.parse::<i64>().ok());
        let org = filter.org.map(|org| uuid_of(org.as_bytes()));
        let app = filter.app.map(keys::app);
        let limit = page.limit.max(1);
        let asked = i64::try_from(limit + 1).unwrap_or(i64::MAX);
        let rows = self.db.query(LIST, &[&before, &org, &app, &asked]).await?;
        let shown = &rows[..rows.len().min(limit)];
        let items: Result<Vec<AuditEntry>, StoreError> = shown.iter().map(entry).collect();
        let last = shown.last().filter(|_| rows.len() > limit);
        let next = last.map(|row| row.try_get::<_, i64>(0)).transpose().map_err(Fault::from)?;
        Ok(Page { items: items?, next: next.map(|number| number.to_string()) })
    }
}

pub(crate) fn entry(row: &Row) -> Result<AuditEntry, StoreError> {
    read(row)?.ok_or_else(|| rows::corrupt("audit"))
}

fn read(row: &Row) -> Result<Option<AuditEntry>, Fault> {
    let (id, at): (Uuid, i64) = (row.try_get(1)?, row.try_get(2)?);
    let (org, app): (Option<Uuid>, Option<Uuid>) = (row.try_get(3)?, row.try_get(4)?);
    let document: Value = row.try_get(5)?;
    let text = |name: &str| document[name].as_str();
    let (Some(by), Some(name)) = (text("by"), text("name")) else { return Ok(None) };
    let Some(action) = text("action").and_then(AuditAction::of_name) else { return Ok(None) };
    let fields = document["fields"].as_array().into_iter().flatten();
    Ok(Some(AuditEntry {
        id: AuditId::from_bytes(id.into_bytes()),
        at: codes::timestamp_of(at),
        actor: Actor {
            by: by.to_owned(),
            source: text("source").and_then(|source| source.parse::<IpAddr>().ok()),
        },
        action,
        org: org.map(|id| OrgId::from_bytes(id.into_bytes())),
        app: app.map(|id| AppId::from_bytes(id.into_bytes())),
        token: text("token").and_then(|token| TokenId::parse(token).ok()),
        name: name.to_owned(),
        fields: fields.filter_map(|field| field.as_str().map(str::to_owned)).collect(),
    }))
}
