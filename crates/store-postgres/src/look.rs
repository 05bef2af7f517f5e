//! What there is to see of the database and of its server, for whoever wants to know whether all is well.

use std::time::{Duration, Instant};

use pushroll_domain::{StoreError, Timestamp};
use tokio_postgres::Row;

use crate::faults::Fault;
use crate::rows::codes;
use crate::upkeep::Upkeep;

/// The server, and this database's part of it.
const SERVER: &str = "select current_setting('server_version'),
      current_setting('server_version_num')::integer,
      (extract(epoch from clock_timestamp()) * 1000)::bigint,
      pg_is_in_recovery() or (
        select s.reset_val = 'on' from pg_settings s where s.name = 'default_transaction_read_only'
      ),
      current_setting('max_connections')::integer,
      current_setting('superuser_reserved_connections')::integer,
      (select count(*)::integer from pg_stat_activity where backend_type = 'client backend'),
      (select count(*)::integer from pg_stat_activity where application_name like 'pushroll %'),
      (select extract(epoch from max(now() - xact_start))::float8 from pg_stat_activity
       where backend_type = 'client backend' and pid <> pg_backend_pid()),
      coalesce((select reset_val from pg_settings where name = 'synchronous_standby_names'), '')";
/// As the server has them, and not this connection.
const SETTINGS: &str = "select name, reset_val from pg_settings
    where name in ('fsync', 'full_page_writes', 'synchronous_commit', 'autovacuum', 'track_counts')
    order by name";
const TABLES: &str = "select relname::text, n_live_tup, n_dead_tup,
      extract(epoch from now() - greatest(last_vacuum, last_autovacuum))::float8
    from pg_stat_user_tables where schemaname = 'pushroll' order by relname";
const REPLICAS: &str = "select coalesce(application_name, ''), coalesce(sync_state, ''),
      pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint,
      extract(epoch from replay_lag)::float8
    from pg_stat_replication order by 1";
/// Of slots that nobody reads: how much of the log they keep.
const SLOTS: &str = "select slot_name::text,
      coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint
    from pg_replication_slots where not active order by 1";

/// What is known of the server.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerFacts {
    /// As it says itself.
    pub version: String,
    /// As a number: 150018 is 15.18.
    pub version_number: i32,
    /// Its clock.
    pub time: Timestamp,
    /// How long it took to ask; the clock is off by no more.
    pub took: Duration,
    /// Whether it takes no writes.
    pub is_read_only: bool,
    /// How many connections it takes.
    pub connections_most: u32,
    /// How many of them are for superusers.
    pub connections_reserved: u32,
    /// How many there are.
    pub connections_used: u32,
    /// How many of those are of pushroll's servers.
    pub connections_ours: u32,
    /// How long the oldest transaction has been open, as far as may be seen.
    pub oldest_transaction: Option<Duration>,
    /// Which replicas commits wait for, in the server's words; empty if for none.
    pub commits_wait_for: String,
    /// Settings on which safety and speed rest: name and value.
    pub settings: Vec<(String, String)>,
    /// The tables.
    pub tables: Vec<TableFacts>,
    /// The replicas that are connected.
    pub replicas: Vec<ReplicaFacts>,
    /// Replication slots that nobody reads, and the bytes of the log that they keep.
    pub unread_slots: Vec<(String, u64)>,
}

/// What is known of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableFacts {
    /// Its name.
    pub name: String,
    /// Rows, as the server estimates.
    pub live: u64,
    /// Rows that are gone and take up their place still.
    pub dead: u64,
    /// When it was last vacuumed.
    pub vacuumed_ago: Option<Duration>,
}

/// What is known of a replica.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplicaFacts {
    /// Its name.
    pub name: String,
    /// Whether commits wait for it.
    pub is_synchronous: bool,
    /// How far it is behind, if that may be seen.
    pub behind_bytes: Option<u64>,
    /// How long it takes to show what was committed, if anything was lately.
    pub behind: Option<Duration>,
}

/// What is known of the shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardFacts {
    /// How many there are.
    pub all: u16,
    /// How many nobody works on.
    pub unheld: u16,
    /// Whether they are spread over the servers of a Citus cluster.
    pub distributed: bool,
}

impl Upkeep {
    /// Looks at the server.
    ///
    /// # Errors
    /// When it can't be asked.
    pub async fn server_facts(&self) -> Result<ServerFacts, StoreError> {
        Ok(self.ask_server().await?)
    }

    /// Looks at the shards.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn shard_facts(&self) -> Result<ShardFacts, StoreError> {
        let rows = self.db.query(&self.statements.leases.one, &[]).await?;
        let is_held = |row: &Row| -> Result<bool, tokio_postgres::Error> {
            let holder: Option<uuid::Uuid> = row.try_get(1)?;
            Ok(holder.is_some() && !row.try_get::<_, bool>(2)?)
        };
        let held: Result<Vec<bool>, _> = rows.iter().map(is_held).collect();
        let unheld = held.map_err(Fault::from)?.iter().filter(|is_held| !**is_held).count();
        Ok(ShardFacts {
            all: self.shards.count,
            unheld: u16::try_from(unheld).unwrap_or(u16::MAX),
            distributed: self.shards.distributed,
        })
    }

    async fn ask_server(&self) -> Result<ServerFacts, Fault> {
        // The first connection takes its time.
        self.db.query(SETTINGS, &[]).await?;
        let began = Instant::now();
        let row = self.db.query_one(SERVER, &[]).await?;
        let took = began.elapsed();
        let is_read_only: bool = row.try_get(3)?;
        let settings = self.db.query(SETTINGS, &[]).await?;
        let settings: Result<Vec<(String, String)>, tokio_postgres::Error> =
            settings.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect();
        // Of a cluster they are elsewhere.
        let tables =
            if self.shards.distributed { Vec::new() } else { self.db.query(TABLES, &[]).await? };
        let tables: Result<Vec<_>, Fault> = tables.iter().map(table).collect();
        // A standby has no log of its own to compare with.
        let (replicas, slots) = if is_read_only {
            (Vec::new(), Vec::new())
        } else {
            (self.db.query(REPLICAS, &[]).await?, self.db.query(SLOTS, &[]).await?)
        };
        let replicas: Result<Vec<_>, Fault> = replicas.iter().map(replica).collect();
        let slots: Result<Vec<(String, u64)>, Fault> =
            slots.iter().map(|row| Ok((row.try_get(0)?, count(row.try_get(1)?)))).collect();
        let number = |place: usize| -> Result<u32, tokio_postgres::Error> {
            Ok(u32::try_from(row.try_get::<_, i32>(place)?).unwrap_or(0))
        };
        Ok(ServerFacts {
            version: row.try_get(0)?,
            version_number: row.try_get(1)?,
            time: codes::timestamp_of(row.try_get(2)?),
            took,
            is_read_only,
            connections_most: number(4)?,
            connections_reserved: number(5)?,
            connections_used: number(6)?,
            connections_ours: number(7)?,
            oldest_transaction: span(row.try_get(8)?),
            commits_wait_for: row.try_get(9)?,
            settings: settings?,
            tables: tables?,
            replicas: replicas?,
            unread_slots: slots?,
        })
    }
}

fn table(row: &Row) -> Result<TableFacts, Fault> {
    Ok(TableFacts {
        name: row.try_get(0)?,
        live: count(row.try_get(1)?),
        dead: count(row.try_get(2)?),
        vacuumed_ago: span(row.try_get(3)?),
    })
}

fn replica(row: &Row) -> Result<ReplicaFacts, Fault> {
    let state: String = row.try_get(1)?;
    Ok(ReplicaFacts {
        name: row.try_get(0)?,
        is_synchronous: matches!(state.as_str(), "sync" | "quorum"),
        behind_bytes: row.try_get::<_, Option<i64>>(2)?.map(count),
        behind: span(row.try_get(3)?),
    })
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn span(seconds: Option<f64>) -> Option<Duration> {
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}
