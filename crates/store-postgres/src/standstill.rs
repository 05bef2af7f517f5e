//! Whether the content of the database is still what it was: exactly, without looking at it.
//!
//! Every connection that may write holds a lock of the database, shared, from before its first statement to its end,
//! however long its process stands still meanwhile. An export takes the same lock for itself. If it gets it, nobody
//! can write at this moment, and the time that begins is given a name. Whoever connects later takes the name away
//! before he can write. So whoever finds the same name again finds the same content.
//!
//! It says nothing of what is done by hand, and nothing through a pooler that gives a session's place to others.

use std::fmt;
use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::{Client, Row};

use crate::faults::Fault;

/// What a connection that may write is told first. There may be no schema yet, or an older one. ("stan" as a number.)
pub(crate) const MAY_WRITE: &str = "do $$ begin
      perform pg_advisory_lock_shared(1886549864, 1937006958);
      if exists (select from pushroll.installation where standstill is not null) then
        update pushroll.installation set standstill = null;
      end if;
    exception when invalid_schema_name or undefined_table or undefined_column then null;
    end $$";
/// What a connection that only reads is told first.
pub(crate) const ONLY_READS: &str = "set default_transaction_read_only = on";

const BEGIN: &str = "begin read write";
const ALONE: &str = "select pg_try_advisory_xact_lock(1886549864, 1937006958)";
const NAME_IT: &str = "update pushroll.installation
    set standstill = hashtextextended(gen_random_uuid()::text, 0) & 9223372036854775807
    where standstill is null";
const NAME: &str = "select standstill from pushroll.installation";
const HOLDERS: &str = "select format('%s, process %s of the database', coalesce(nullif(a.application_name, ''), 'unnamed'), l.pid)
    from pg_locks l
    join pg_database d on d.oid = l.database and d.datname = current_database()
    left join pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'advisory' and l.classid = 1886549864 and l.objid = 1937006958
      and l.mode = 'ShareLock' and l.granted
    order by l.pid";

/// How often, and after how long, it is tried again: connections of what has just been stopped end a moment later.
const TRIES: u32 = 100;
const AGAIN: Duration = Duration::from_millis(50);

/// What is known of the time in which an export is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standstill {
    /// Nobody can have written as long as it is called this.
    Named(u64),
    /// Servers were let work on the database.
    Live,
    /// The database is spread over several servers (Citus), any of which may be written to.
    Spread,
    /// These connections may write, though no server says that it is alive.
    Open(Vec<String>),
    /// The name could not be written.
    Unknown(String),
}

impl fmt::Display for Standstill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(_) => write!(f, "nobody has written since"),
            Self::Live => write!(
                f,
                "an export with --live is of one moment of the database, which is over when the export is broken off"
            ),
            Self::Spread => write!(
                f,
                "an export from a database that is spread over several servers (Citus) is of one moment, which is \
                 over when the export is broken off"
            ),
            Self::Open(holders) => write!(
                f,
                "connections are open that may write at any time, of a server that stands still or was cut off, or of \
                 another command ({})",
                holders.join("; ")
            ),
            Self::Unknown(reason) => {
                write!(f, "it can't be noted in the database that nobody writes: {reason}")
            }
        }
    }
}

/// Sees to it that the time from now on has a name, if nobody can write; says who may otherwise. To be read again in
/// the transaction that reads everything.
pub(crate) async fn begin(client: &Client) -> Result<Option<Standstill>, Fault> {
    let mut open = Vec::new();
    for _ in 0..TRIES {
        client.batch_execute(BEGIN).await?;
        let done = begin_in_transaction(client).await;
        client
            .batch_execute(if matches!(done, Ok(Step::Done)) { "commit" } else { "rollback" })
            .await?;
        match done {
            Ok(Step::Done) => return Ok(None),
            Ok(Step::Open(holders)) => {
                open = holders;
                sleep(AGAIN).await;
            }
            Err(fault) => return Ok(Some(Standstill::Unknown(fault.reason))),
        }
    }
    Ok(Some(Standstill::Open(open)))
}

enum Step {
    Done,
    /// By whom. By nobody, if another export is just about to give the name.
    Open(Vec<String>),
}

async fn begin_in_transaction(client: &Client) -> Result<Step, Fault> {
    if client.query_one(ALONE, &[]).await?.try_get(0)? {
        client.execute(NAME_IT, &[]).await?;
        return Ok(Step::Done);
    }
    let rows = client.query(HOLDERS, &[]).await?;
    let holders: Result<Vec<String>, tokio_postgres::Error> =
        rows.iter().map(|row: &Row| row.try_get(0)).collect();
    Ok(Step::Open(holders?))
}

/// The name of the time in which the client's transaction reads.
pub(crate) async fn of_transaction(client: &Client) -> Result<Standstill, Fault> {
    let name: Option<i64> = client.query_one(NAME, &[]).await?.try_get(0)?;
    let somebody = || Standstill::Open(vec!["of somebody who has just come".to_owned()]);
    Ok(name.and_then(|name| u64::try_from(name).ok()).map_or_else(somebody, Standstill::Named))
}
