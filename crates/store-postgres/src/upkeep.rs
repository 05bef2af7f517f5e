//! Looking into the database, and sealing it anew, without being one of its nodes: no shard is taken.

use std::time::Duration;

use pushroll_domain::{App, AuditEntry, Directory, OrgId, Reseal, StoreError};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::config;
use crate::db::{Access, Db};
use crate::faults::Fault;
use crate::keys;
use crate::rows;
use crate::schema;
use crate::sealing::unopened;
use crate::settings::PostgresSettings;
use crate::shards::Shards;
use crate::statements::{Statement, Statements};
use crate::store::OpenError;

/// The most rows in one step.
const ROWS_AT_ONCE: i64 = 512;
/// Who has been silent for longer is no longer there, whatever he holds.
const SILENT: Duration = Duration::from_secs(60);

/// Somebody who looks after the database.
pub struct Upkeep {
    pub(crate) db: Db,
    pub(crate) statements: Statements,
    pub(crate) shards: Shards,
}

/// A server that has given a sign of life within the last minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveNode {
    /// What it is called in its settings.
    pub name: String,
    /// The ids of the sealing keys that it has, the one first under which alone it writes. Empty if it is of a version
    /// that does not say.
    pub keys: Vec<u8>,
}

impl Upkeep {
    /// Connects, and checks the schema.
    ///
    /// # Errors
    /// When the database can't be reached, or its schema is not the one that is needed.
    pub async fn open(settings: PostgresSettings) -> Result<Self, OpenError> {
        Self::with(settings, Access::Writes).await
    }

    /// Connects for looking alone, and checks the schema. The database refuses what would write.
    ///
    /// # Errors
    /// When the database can't be reached, or its schema is not the one that is needed.
    pub async fn open_to_look(settings: PostgresSettings) -> Result<Self, OpenError> {
        Self::with(settings, Access::Reads).await
    }

    async fn with(settings: PostgresSettings, access: Access) -> Result<Self, OpenError> {
        let db = Db::new(settings, access)?;
        let shards = schema::check(&db).await?;
        Ok(Self { db, statements: Statements::new(), shards })
    }

    /// The servers that are alive.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn live_nodes(&self) -> Result<Vec<LiveNode>, StoreError> {
        let sql = &self.statements.live_nodes.one;
        let rows = self.db.query(sql, &[&SILENT.as_secs_f64()]).await?;
        let node =
            |row: &Row| Ok(LiveNode { name: row.try_get(0)?, keys: row.try_get::<_, Vec<u8>>(1)? });
        let nodes: Result<Vec<_>, tokio_postgres::Error> = rows.iter().map(node).collect();
        Ok(nodes.map_err(Fault::from)?)
    }

    /// Organizations, apps and tokens.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn directory(&self) -> Result<Directory, StoreError> {
        config::directory(&self.db).await
    }

    /// The fingerprints of the keys under which secrets are sealed, if there are any.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn sealing_fingerprint(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(config::sealing_fingerprint(&self.db).await?)
    }

    /// Notes other fingerprints, if they are still these, with the entry in the audit list, and tells all servers;
    /// returns those that are there then.
    ///
    /// # Errors
    /// When the database can't be written.
    pub async fn replace_sealing_fingerprint(
        &self,
        old: Option<&[u8]>,
        new: &[u8],
        entry: Option<&AuditEntry>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        config::replace_sealing_fingerprint(&self.db, old, new, entry).await
    }

    /// Seals anew everything that is not under the newest key; how many rows that were. Servers may be at work: a row
    /// that has changed or gone meanwhile is left to whoever changed it.
    ///
    /// # Errors
    /// When something does not open, or the database can't be read or written. What is done by then stays done, and
    /// doing it again does no harm.
    pub async fn seal_anew(&self, reseal: &dyn Reseal) -> Result<u64, StoreError> {
        let mut sealed = config::seal_apps_anew(&self.db, reseal).await?;
        for shard in self.shards.all() {
            // In this order: what ends meanwhile goes from the one to the other.
            let (read, write) =
                (&self.statements.sealed_pending, &self.statements.seal_pending_anew);
            sealed += self
                .seal_shard_anew(shard, read, write, rows::registration_sealed_anew, reseal)
                .await?;
            let (read, write) =
                (&self.statements.sealed_callbacks, &self.statements.seal_callbacks_anew);
            sealed += self
                .seal_shard_anew(shard, read, write, rows::callback_sealed_anew, reseal)
                .await?;
        }
        Ok(sealed)
    }

    async fn seal_shard_anew(
        &self,
        shard: i16,
        read: &Statement,
        write: &Statement,
        anew: rows::SealedAnew,
        reseal: &dyn Reseal,
    ) -> Result<u64, StoreError> {
        let mut after = Uuid::nil();
        let mut all = 0;
        loop {
            let found = self.db.query(&read.one, &[&shard, &after, &ROWS_AT_ONCE]).await?;
            let (mut ids, mut were, mut documents) = (Vec::new(), Vec::new(), Vec::new());
            for row in &found {
                let id: Uuid = row.try_get(0).map_err(Fault::from)?;
                let app: Uuid = row.try_get(1).map_err(Fault::from)?;
                let document: &[u8] = row.try_get(2).map_err(Fault::from)?;
                let order = |org: OrgId, order: &_| {
                    reseal.order(org, keys::app_id(app), order).map_err(|fault| {
                        let id = keys::registration(id);
                        unopened(format_args!("the callback of registration {id}"), &fault)
                    })
                };
                if let Some(new) = anew(document, &order)? {
                    ids.push(id);
                    were.push(document);
                    documents.push(new);
                }
                after = id;
            }
            if !ids.is_empty() {
                let arguments: [crate::db::Argument<'_>; 4] = [&shard, &ids, &were, &documents];
                let row = self.db.query_one(&write.one, &arguments).await?;
                let sealed: i32 = row.try_get(0).map_err(Fault::from)?;
                all += u64::try_from(sealed).unwrap_or(0);
            }
            if found.len() < usize::try_from(ROWS_AT_ONCE).unwrap_or(usize::MAX) {
                return Ok(all);
            }
        }
    }

    /// Ends the connections.
    pub fn close(&self) {
        self.db.close();
    }
}

/// An app with everything sealed anew, if that is needed.
pub(crate) fn app_anew(reseal: &dyn Reseal, app: &App) -> Result<Option<App>, StoreError> {
    reseal.app(app).map_err(|fault| unopened(format_args!("app {}", app.id), &fault))
}
