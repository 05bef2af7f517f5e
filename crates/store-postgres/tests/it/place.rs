//! Databases for tests: each of its own, copied from one that was migrated once.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pushroll_domain::{Clock, Timestamp};
use pushroll_store_postgres::{Migration, PostgresSettings, PostgresStore, migrate};
use pushroll_store_suite::{AUDIT_ENTRIES, DELIVERIES_LOGGED};
use pushroll_testkit_postgres::PostgresServer;

/// How long something that is to come about may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A database.
pub struct Place {
    server: &'static PostgresServer,
    name: String,
}

/// How the database is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As PostgreSQL: a call for rows of all shards.
    Plain,
    /// As Citus: every call of one shard. The tables lie in one database all the same.
    ByShard,
}

/// The machine's clock, and how far it is off.
pub struct OffClock(pub i64);

impl Clock for OffClock {
    fn now(&self) -> Timestamp {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        Timestamp::from_millis(u64::try_from(now).unwrap().saturating_add_signed(self.0))
    }
}

impl Place {
    /// A database with an empty schema.
    pub async fn new(kind: Kind) -> Self {
        let template = tokio::task::spawn_blocking(move || template(kind)).await.unwrap();
        let server = PostgresServer::shared();
        let name =
            tokio::task::spawn_blocking(|| server.create_database_like(template)).await.unwrap();
        Self { server, name }
    }

    /// Runs SQL in it.
    pub async fn sql(&self, sql: &str) -> String {
        let (server, name, sql) = (self.server, self.name.clone(), sql.to_owned());
        tokio::task::spawn_blocking(move || server.psql(&name, &sql)).await.unwrap()
    }

    /// Where it is.
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// How a store in it is set up.
    pub fn settings(&self) -> PostgresSettings {
        settings(self.server, &self.name)
    }

    /// A node.
    pub async fn open(&self) -> PostgresStore {
        self.open_with(self.settings(), 0).await
    }

    /// A node with these settings, whose clock is off by so many milliseconds.
    pub async fn open_with(&self, settings: PostgresSettings, off_ms: i64) -> PostgresStore {
        PostgresStore::open(settings, Arc::new(OffClock(off_ms)), node()).await.unwrap()
    }
}

fn settings(server: &PostgresServer, database: &str) -> PostgresSettings {
    let settings = PostgresSettings::new(server.url(database).parse().unwrap());
    PostgresSettings {
        connections: 8,
        lease: Duration::from_secs(4),
        deliveries_logged: DELIVERIES_LOGGED as u64,
        audit_entries: AUDIT_ENTRIES as u64,
        ..settings
    }
}

/// A name that no other node has.
pub fn node() -> [u8; 16] {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    u128::from(COUNT.fetch_add(1, Ordering::Relaxed)).to_be_bytes()
}

fn template(kind: Kind) -> &'static str {
    static PLAIN: OnceLock<String> = OnceLock::new();
    static BY_SHARD: OnceLock<String> = OnceLock::new();
    let cell = match kind {
        Kind::Plain => &PLAIN,
        Kind::ByShard => &BY_SHARD,
    };
    cell.get_or_init(|| {
        let server = PostgresServer::shared();
        let name = server.create_database();
        let settings = settings(server, &name);
        let shards = match kind {
            Kind::Plain => None,
            Kind::ByShard => Some(8),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(migrate(&settings, Migration { shards, citus: false })).unwrap();
        if kind == Kind::ByShard {
            server.psql(&name, "update pushroll.installation set distributed = true");
        }
        name
    })
}

/// Waits until it is so.
pub async fn until(what: &str, is_so: impl Fn() -> bool) {
    let reached = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let reached = tokio::time::timeout(PATIENCE, reached).await;
    assert!(reached.is_ok(), "never so: {what}");
}

/// Asks the database until its answer is such, on a thread that may wait.
pub fn until_answered(server: &PostgresServer, sql: &str, is_so: impl Fn(&str) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so(&server.psql("postgres", sql)) {
        assert!(Instant::now() < deadline, "never so: {sql}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
