//! The schema: made and brought up to date by `pushroll migrate`, checked at every start.

use pushroll_domain::StoreError;
use refinery::{Runner, embed_migrations};
use thiserror::Error;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, GenericClient};

use crate::db::{Access, Db};
use crate::faults::Fault;
use crate::functions;
use crate::moving;
use crate::settings::PostgresSettings;
use crate::shards::{MOST_SHARDS, Shards};
use crate::standstill::MAY_WRITE;
use crate::statements::Statements;

embed_migrations!("src/migrations");

/// Held by whoever changes the schema ("push" and "roll" as numbers).
const MIGRATING: &str = "select pg_advisory_lock(1886549864, 1919904876)";
/// The tables that are sharded.
pub(crate) const SHARDED: [&str; 6] =
    ["pending", "device", "outcome", "callback", "delivery", "lease"];
/// The tables of which every server has a copy.
const EVERYWHERE: [&str; 7] = ["org", "app", "token", "installation", "node", "audit", "import"];

/// What a migration is to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// The number of shards; `None` for 64 in a new database, and for what it has in an old one.
    pub shards: Option<u32>,
    /// Whether the shards are spread over the servers of a Citus cluster.
    pub citus: bool,
}

/// What a migration did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The migrations that were applied, by name.
    pub applied: Vec<String>,
    /// The number of shards.
    pub shards: u16,
    /// Whether they are spread over the servers of a Citus cluster.
    pub citus: bool,
}

/// Why the schema can't be used or made. Each says what to do.
#[derive(Debug, Error)]
pub enum SchemaError {
    /// The database can't be asked.
    #[error("{0}")]
    Unavailable(String),
    /// There is no schema, or an older one.
    #[error("the database has {0}: run `pushroll migrate` once, then start again")]
    Older(String),
    /// A newer version of the program has been here.
    #[error(
        "the database has schema version {found}, and this version of pushroll knows {known}: use the newer one"
    )]
    Newer {
        /// The version that is there.
        found: i32,
        /// The newest that is known.
        known: i32,
    },
    /// The number of shards can't be that.
    #[error("the number of shards must be a power of two from 1 to {MOST_SHARDS}")]
    Shards,
    /// The number of shards can't be changed.
    #[error(
        "the database was made with {there} shards; the number can't be changed (leave --shards out)"
    )]
    OtherShards {
        /// How many there are.
        there: u16,
    },
    /// Citus is not there.
    #[error(
        "the database has no Citus: install it on all servers, put citus into shared_preload_libraries, and run \
         `create extension citus` here"
    )]
    NoCitus,
    /// Servers work on what is to be distributed.
    #[error(
        "servers work on the database: {}. Stop them while it is distributed; one that was killed counts until its lease is over",
        names.join(", ")
    )]
    Serving {
        /// Their names.
        names: Vec<String>,
    },
    /// An import into it was broken off, or what it brought is not what was exported.
    #[error(
        "the import into this database is not finished: {records} records of it are there. Run the same pushroll import \
         again, and it goes on; or begin anew: drop schema pushroll cascade, and pushroll migrate"
    )]
    HalfImported {
        /// How many records are in it for good.
        records: u64,
    },
    /// A migration failed.
    #[error("the schema can't be brought up to date: {0}")]
    Failed(String),
}

impl From<Fault> for SchemaError {
    fn from(fault: Fault) -> Self {
        Self::Unavailable(fault.reason)
    }
}

impl From<tokio_postgres::Error> for SchemaError {
    fn from(error: tokio_postgres::Error) -> Self {
        Fault::from(error).into()
    }
}

impl From<StoreError> for SchemaError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// Makes the schema, or brings it up to date. Several may do so at once.
///
/// # Errors
/// When it can't be done; nothing is half done then.
pub async fn migrate(
    settings: &PostgresSettings,
    migration: Migration,
) -> Result<Migrated, SchemaError> {
    if migration.shards.is_some_and(|count| !Shards::may_be(count)) {
        return Err(SchemaError::Shards);
    }
    // Waiting for another to migrate may take its time; so may migrating.
    let patient = PostgresSettings {
        statement_timeout: std::time::Duration::from_secs(3600),
        ..settings.clone()
    };
    let db = Db::new(patient, Access::Writes)?;
    let (mut client, connection) = db.listener().await?;
    let driver = tokio::spawn(connection);
    let lease_seconds = db.settings.lease.as_secs_f64();
    let migrated = migrate_on(&mut client, migration, lease_seconds).await;
    // Closes the connection, and with it lets go of the lock.
    drop(client);
    let _ = driver.await;
    db.close();
    migrated
}

async fn migrate_on(
    client: &mut Client,
    migration: Migration,
    lease_seconds: f64,
) -> Result<Migrated, SchemaError> {
    client.batch_execute(MIGRATING).await?;
    client.batch_execute(MAY_WRITE).await?;
    client.batch_execute("create schema if not exists pushroll").await?;
    let newest = newest_known();
    match applied(client).await? {
        Some(found) if found > newest => {
            return Err(SchemaError::Newer { found, known: newest });
        }
        Some(_) | None => {}
    }
    let report =
        runner().run_async(client).await.map_err(|error| SchemaError::Failed(words_of(&error)))?;
    let applied = report.applied_migrations().iter().map(ToString::to_string).collect();

    let shards = install(client, migration).await?;
    let distributed = migration.citus || shards.distributed;
    if distributed {
        if !shards.distributed {
            citus_is_there(client).await?;
            nobody_serves(client, lease_seconds).await?;
            // Nor does anybody begin before it is done.
            client.batch_execute("update pushroll.installation set functions = ''").await?;
        }
        // Of a cluster too: a migration may have made more tables.
        distribute(client).await?;
        if !shards.distributed {
            only_one_shard(client).await?;
        }
    }
    make_functions(client, distributed).await?;
    Ok(Migrated { applied, shards: shards.count, citus: distributed })
}

fn runner() -> Runner {
    let mut runner = migrations::runner();
    runner.set_migration_table_name("pushroll.migration");
    runner
}

fn newest_known() -> i32 {
    migrations::runner()
        .get_migrations()
        .iter()
        .map(refinery::Migration::version)
        .max()
        .unwrap_or(0)
}

/// The newest migration that was applied; `None` if there never was one.
async fn applied(client: &impl GenericClient) -> Result<Option<i32>, tokio_postgres::Error> {
    let there =
        client.query_one("select to_regclass('pushroll.migration') is not null", &[]).await?;
    if !there.try_get::<_, bool>(0)? {
        return Ok(None);
    }
    client.query_one("select max(version)::integer from pushroll.migration", &[]).await?.try_get(0)
}

/// Fixes the number of shards, if nobody has yet.
async fn install(client: &mut Client, migration: Migration) -> Result<Shards, SchemaError> {
    const DEFAULT_SHARDS: u32 = 64;
    let transaction = client.transaction().await?;
    let there =
        transaction.query_opt("select shards, distributed from pushroll.installation", &[]).await?;
    let shards = match there {
        Some(row) => {
            let there: i16 = row.try_get(0)?;
            let there = there.cast_unsigned();
            if migration.shards.is_some_and(|wanted| wanted != u32::from(there)) {
                return Err(SchemaError::OtherShards { there });
            }
            Shards { count: there, distributed: row.try_get(1)? }
        }
        None => {
            let count = migration.shards.unwrap_or(DEFAULT_SHARDS);
            let count = u16::try_from(count).map_err(|_| SchemaError::Shards)?;
            transaction
                .execute(
                    "insert into pushroll.installation (shards) values ($1)",
                    &[&count.cast_signed()],
                )
                .await?;
            transaction
                .execute(
                    "insert into pushroll.lease (shard) select generate_series(0, $1::integer - 1)",
                    &[&i32::from(count)],
                )
                .await?;
            Shards { count, distributed: false }
        }
    };
    transaction.commit().await?;
    Ok(shards)
}

async fn citus_is_there(client: &Client) -> Result<(), SchemaError> {
    let is_there = client
        .query_one("select exists (select from pg_extension where extname = 'citus')", &[])
        .await?;
    if is_there.try_get::<_, bool>(0)? { Ok(()) } else { Err(SchemaError::NoCitus) }
}

/// Servers that go on would call functions that are gone.
async fn nobody_serves(client: &Client, lease_seconds: f64) -> Result<(), SchemaError> {
    let live_nodes = Statements::new().live_nodes.one;
    let rows = client.query(&live_nodes, &[&lease_seconds]).await?;
    let names: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get(0)).collect();
    match names? {
        names if names.is_empty() => Ok(()),
        names => Err(SchemaError::Serving { names }),
    }
}

/// Spreads the sharded tables over the servers, and copies the others to each, where that is not done yet: a run that was
/// broken off is gone on with.
async fn distribute(client: &Client) -> Result<(), SchemaError> {
    let everywhere = EVERYWHERE
        .iter()
        .map(|table| (table, format!("create_reference_table('pushroll.{table}')")));
    let sharded = SHARDED.iter().map(|table| {
        let with = if *table == SHARDED[0] { "default" } else { "pushroll.pending" };
        let call = format!(
            "create_distributed_table('pushroll.{table}', 'shard', colocate_with => '{with}')"
        );
        (table, call)
    });
    for (table, call) in everywhere.chain(sharded) {
        let sql = format!(
            "select {call} where not exists (
               select from pg_dist_partition where logicalrelid = 'pushroll.{table}'::regclass)"
        );
        client.batch_execute(&sql).await.map_err(failed)?;
    }
    Ok(())
}

/// Notes that the tables are distributed, and drops the functions about several shards.
async fn only_one_shard(client: &Client) -> Result<(), SchemaError> {
    let all = "select 'drop function ' || p.oid::regprocedure from pg_proc p
               join pg_namespace n on n.oid = p.pronamespace
               where n.nspname = 'pushroll' and p.proname like '%\\_all'";
    for row in client.query(all, &[]).await? {
        client.batch_execute(row.try_get::<_, &str>(0)?).await.map_err(failed)?;
    }
    client
        .batch_execute("update pushroll.installation set distributed = true, functions = ''")
        .await
        .map_err(failed)
}

fn failed(error: tokio_postgres::Error) -> SchemaError {
    SchemaError::Failed(Fault::from(error).reason)
}

/// Makes the functions, or replaces them, if they are not those of this version.
async fn make_functions(client: &mut Client, distributed: bool) -> Result<(), SchemaError> {
    let fingerprint = functions::fingerprint();
    let there = client.query_one("select functions from pushroll.installation", &[]).await?;
    if there.try_get::<_, &str>(0)? == fingerprint {
        return Ok(());
    }
    for function in functions::all(distributed) {
        let signature = format!("pushroll.{}({})", function.name, function.arguments.join(", "));
        let distribute = if distributed {
            format!(
                "select create_distributed_function('{signature}', '$1', colocate_with => 'pushroll.pending')"
            )
        } else {
            String::new()
        };
        // One that is made anew is distributed in the same transaction: servers that go on call it meanwhile.
        let make = |first: &str| format!("{first}{}{distribute}", function.sql);
        match client.batch_execute(&make("")).await {
            Err(error) if error.code() == Some(&SqlState::INVALID_FUNCTION_DEFINITION) => {
                // What it returns has changed, or the name of an argument: then it can't be replaced.
                let anew = make(&format!("drop function {signature}; "));
                client.batch_execute(&anew).await.map_err(failed)?;
            }
            made => made.map_err(failed)?,
        }
    }
    client
        .execute("update pushroll.installation set functions = $1", &[&fingerprint])
        .await
        .map_err(failed)?;
    Ok(())
}

/// Whether this version can work on the database now; how its rows are spread.
pub(crate) async fn check(db: &Db) -> Result<Shards, SchemaError> {
    let shards = installed(db).await?;
    check_import(db).await.map(|()| shards)
}

/// Whether nobody imports into the database, or has broken off.
pub(crate) async fn check_import(db: &Db) -> Result<(), SchemaError> {
    match moving::progress(db).await? {
        Some(progress) if progress.finished_at.is_none() => {
            Err(SchemaError::HalfImported { records: progress.records })
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether the schema is the one that this version works with; how its rows are spread.
pub(crate) async fn installed(db: &Db) -> Result<Shards, SchemaError> {
    let newest = newest_known();
    db.with_connection(async |connection| {
        let client: &Client = connection;
        let found = applied(client).await?;
        let row = match found {
            None => return Ok(Err(SchemaError::Older("no schema of pushroll's".to_owned()))),
            Some(found) if found > newest => {
                return Ok(Err(SchemaError::Newer { found, known: newest }));
            }
            Some(found) if found < newest => {
                let older = format!("schema version {found}, and {newest} is needed");
                return Ok(Err(SchemaError::Older(older)));
            }
            Some(_) => {
                client
                    .query_opt(
                        "select shards, distributed, functions from pushroll.installation",
                        &[],
                    )
                    .await?
            }
        };
        let Some(row) = row else {
            return Ok(Err(SchemaError::Older("an unfinished schema".to_owned())));
        };
        if row.try_get::<_, &str>(2)? != functions::fingerprint() {
            let older = "functions of another version".to_owned();
            return Ok(Err(SchemaError::Older(older)));
        }
        let count: i16 = row.try_get(0)?;
        Ok(Ok(Shards { count: count.cast_unsigned(), distributed: row.try_get(1)? }))
    })
    .await?
}

/// What refinery says, and what the database said to it.
fn words_of(error: &refinery::Error) -> String {
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    words
}
