//! Connections to the database, and asking it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{Object, Pool};
use pushroll_domain::StoreError;
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Transaction};

use crate::connect::{Connector, Listening};
use crate::faults::{Fault, Kind};
use crate::settings::PostgresSettings;
use crate::standstill::{MAY_WRITE, ONLY_READS};
use crate::tls;

/// How much longer than the server we wait for a statement that it ought to have ended.
const GRACE: Duration = Duration::from_secs(2);
/// How long a transaction may do nothing.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(15);

/// An argument of a statement.
pub(crate) type Argument<'a> = &'a (dyn ToSql + Sync);

/// What connections are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// They may write: from the first on the database no longer stands still.
    Writes,
    /// They may not.
    Reads,
}

/// The connections of this process.
pub(crate) struct Db {
    pool: Pool<Connector>,
    pub(crate) settings: PostgresSettings,
    access: Access,
    connector: Connector,
    closed: AtomicBool,
}

impl Db {
    /// Makes no connection yet.
    pub(crate) fn new(settings: PostgresSettings, access: Access) -> Result<Self, StoreError> {
        let connector = Connector::new(&settings, access, tls::connector(&settings.tls)?);
        // How long each address may take is the connector's business.
        let pool = Pool::builder(connector.clone())
            .max_size(usize::try_from(settings.connections).unwrap_or(usize::MAX).max(2))
            .wait_timeout(Some(settings.statement_timeout))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|cause| Fault::new(Kind::NotNow, cause.to_string()))?;
        Ok(Self { pool, settings, access, connector, closed: AtomicBool::new(false) })
    }

    /// Whether the store is open.
    pub(crate) fn check_open(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) { Err(StoreError::Closed) } else { Ok(()) }
    }

    /// From now on everything that is asked for fails.
    pub(crate) fn refuse(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn close(&self) {
        self.pool.close();
    }

    /// Runs a statement that is prepared once for each connection.
    pub(crate) async fn query(
        &self,
        sql: &str,
        arguments: &[Argument<'_>],
    ) -> Result<Vec<Row>, Fault> {
        self.with_connection(async |connection| {
            let statement = connection.prepare_cached(sql).await?;
            Ok(connection.query(&statement, arguments).await?)
        })
        .await
    }

    /// Runs a statement that returns one row.
    pub(crate) async fn query_one(
        &self,
        sql: &str,
        arguments: &[Argument<'_>],
    ) -> Result<Row, Fault> {
        let mut rows = self.query(sql, arguments).await?;
        rows.pop().ok_or_else(|| Fault::new(Kind::NotNow, "the database answered with no row"))
    }

    /// Does something on a connection. One that turns out to be of no use is not used again.
    pub(crate) async fn with_connection<T>(
        &self,
        work: impl AsyncFnOnce(&mut Object<Connector>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut connection = self.pool.get().await?;
        let most = self.settings.statement_timeout + GRACE;
        let Ok(done) = timeout(most, work(&mut connection)).await else {
            self.give_up(connection).await;
            return Err(Fault::timed_out());
        };
        if let Err(Fault { kind: Kind::Connection, .. }) = &done {
            drop(Object::take(connection));
        }
        done
    }

    /// Does something in one transaction.
    pub(crate) async fn transaction<T>(
        &self,
        work: impl AsyncFnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.with_connection(async |connection| {
            let transaction = connection.build_transaction().start().await?;
            let done = work(&transaction).await?;
            transaction.commit().await?;
            Ok(done)
        })
        .await
    }

    /// Leaves a connection whose server does not answer. What it still waits for (a replica that is away) is broken
    /// off, or such connections would pile up over there.
    async fn give_up(&self, connection: Object<Connector>) {
        let token = Object::take(connection).cancel_token();
        // Whether it arrives makes no difference to who waits here.
        let _ = timeout(GRACE, token.cancel_query(self.connector.tls())).await;
    }

    /// What a connection of its own is to be told first, if it does more than listen.
    pub(crate) fn set_up(&self) -> String {
        set_up(&self.settings, self.access)
    }

    /// A connection of its own, for listening.
    pub(crate) async fn listener(&self) -> Result<(Client, Listening), Fault> {
        self.connector.connect("").await
    }
}

/// What each connection is told first. A commit is on stable storage when it is answered, and each statement sees what
/// is committed when it begins, whatever the server's or the database's defaults say.
///
/// Plans are made once for each connection: making them anew for each call was three quarters of what the end of a
/// single registration cost the database, since arrays of known length seem to promise better ones. Not so on Citus,
/// which finds the worker of a shard when it plans, and needs the shard for it.
pub(crate) fn set_up(settings: &PostgresSettings, access: Access) -> String {
    let statement_ms = settings.statement_timeout.as_millis();
    let lock_ms = statement_ms / 2;
    let idle_ms = IDLE_IN_TRANSACTION.as_millis();
    let standstill = match access {
        Access::Writes => MAY_WRITE,
        Access::Reads => ONLY_READS,
    };
    format!(
        "begin isolation level read committed;
         set default_transaction_isolation = 'read committed';
         set statement_timeout = {statement_ms};
         set lock_timeout = {lock_ms};
         set idle_in_transaction_session_timeout = {idle_ms};
         set enable_seqscan = off;
         set enable_hashjoin = off;
         set enable_mergejoin = off;
         set jit = off;
         select set_config('plan_cache_mode', case
           when exists (select from pg_extension where extname = 'citus') then 'auto'
           else 'force_generic_plan' end, false);
         select set_config('synchronous_commit', 'on', false)
           where current_setting('synchronous_commit') = 'off';
         {standstill};
         commit"
    )
}

#[cfg(test)]
mod tests {
    use pushroll_testkit_postgres::{Options, PostgresServer};

    use super::*;

    #[tokio::test]
    async fn transactions_are_what_they_must_be_whatever_the_defaults_are() {
        let server = PostgresServer::start(Options::default());
        let database = server.create_database();
        for setting in [
            "default_transaction_isolation = serializable",
            "synchronous_commit = off",
            "plan_cache_mode = force_custom_plan",
        ] {
            server.psql(&database, &format!("alter database {database} set {setting}"));
        }
        let settings = PostgresSettings::new(server.url(&database).parse().unwrap());
        for access in [Access::Writes, Access::Reads] {
            let db = Db::new(settings.clone(), access).unwrap();
            let sql = "select current_setting('transaction_isolation'), current_setting('synchronous_commit'),
                current_setting('plan_cache_mode'), current_setting('statement_timeout')";
            let check = |row: Row| {
                let expected = ["read committed", "on", "force_generic_plan"];
                assert_eq!([row.get::<_, &str>(0), row.get(1), row.get(2)], expected);
                let most = format!("{}s", settings.statement_timeout.as_secs());
                assert_eq!(row.get::<_, &str>(3), most);
            };
            check(db.query_one(sql, &[]).await.unwrap());
            let asked = db.transaction(async |one| Ok(one.query_one(sql, &[]).await?)).await;
            check(asked.unwrap());
            db.close();
        }
    }

    /// As Citus's coordinator does of a worker.
    #[tokio::test]
    async fn a_connection_is_kept_whose_server_has_lost_another() {
        let server = PostgresServer::shared();
        let database = tokio::task::spawn_blocking(|| server.create_database()).await.unwrap();
        let settings = PostgresSettings::new(server.url(&database).parse().unwrap());
        let db = Db::new(settings, Access::Reads).unwrap();
        let process =
            async || -> i32 { db.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0) };
        let before = process().await;
        let lost = "do $$ begin raise exception 'worker away' using errcode = '08006'; end $$";
        let failed = db.with_connection(async |one| Ok(one.batch_execute(lost).await?)).await;
        let fault = failed.unwrap_err();
        assert!(fault.kind == Kind::NotNow && fault.reason.contains("worker away"), "{fault}");
        assert_eq!(process().await, before);
        let ended = "select pg_terminate_backend(pg_backend_pid())";
        let failed = db.with_connection(async |one| Ok(one.batch_execute(ended).await?)).await;
        assert_eq!(failed.unwrap_err().kind, Kind::Connection);
        assert_ne!(process().await, before);
        db.close();
    }
}
