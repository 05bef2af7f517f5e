//! Stores to move between, each with its settings, and the commands.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pushroll::machine::{SystemClock, SystemRandom};
use pushroll_domain::{MoveIn as _, Random as _, Record, Store};
use pushroll_store_embedded::{EmbeddedMover, EmbeddedSettings, EmbeddedStore};
use pushroll_store_postgres::{PostgresSettings, PostgresStore};
use pushroll_store_suite::World;
use pushroll_store_suite::moving::{Filled, fill, progress};
use pushroll_testkit_postgres::PostgresServer;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::cli::{Said, arg, program, run};

/// The key of every store here, unless a test takes another.
pub const KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

/// Stores and files of a test.
pub struct Place {
    pub dir: TempDir,
}

/// A store, by its settings file.
#[derive(Clone)]
pub struct Kept {
    pub settings: PathBuf,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Embedded(PathBuf),
    Postgres(String),
}

impl Place {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A data directory that is not there yet.
    pub fn embedded(&self, name: &str) -> Kept {
        let data = self.path(name);
        let store = format!("kind = \"embedded\"\npath = {data:?}\nblock_cache_bytes = 8388608");
        Kept { settings: self.settings(name, &store), kind: Kind::Embedded(data) }
    }

    /// A database with an empty schema of so many shards.
    pub async fn postgres(&self, name: &str, shards: u32) -> Kept {
        let server = tokio::task::spawn_blocking(PostgresServer::shared).await.expect("a server");
        let database = tokio::task::spawn_blocking(|| server.create_database()).await;
        let url = server.url(&database.expect("a database"));
        let store = format!("kind = \"postgres\"\nurl = {url:?}");
        let kept = Kept { settings: self.settings(name, &store), kind: Kind::Postgres(url) };
        let migrate = ["migrate", "--shards", &shards.to_string()].map(str::to_owned);
        kept.run(&migrate).await.ended(0);
        kept
    }

    fn settings(&self, name: &str, store: &str) -> PathBuf {
        let file = self.path(&format!("{name}.toml"));
        let text = format!(
            "listen = \"127.0.0.1:0\"\n[store]\n{store}\n[sealing]\nkey = \"{KEY}\"\n[admin]\ntoken = \"the-admin-token-of-tests\"\n"
        );
        std::fs::write(&file, text).expect("a file");
        file
    }
}

impl Kept {
    /// A command on this store.
    pub fn command<S: AsRef<str>>(&self, arguments: &[S]) -> Command {
        let mut command = program();
        command.args(arguments.iter().map(AsRef::as_ref)).arg("--config").arg(&self.settings);
        command
    }

    pub async fn run<S: AsRef<str>>(&self, arguments: &[S]) -> Said {
        run(&mut self.command(arguments)).await
    }

    /// The report of an export to this file.
    pub async fn export(&self, file: &Path) -> Value {
        self.run(&["export", arg(file), "--json"]).await.json()
    }

    /// The report of an import from this file.
    pub async fn import(&self, file: &Path) -> Value {
        self.run(&["import", arg(file), "--json"]).await.json()
    }

    /// The store, open as a server has it.
    pub async fn open(&self) -> Arc<dyn Store> {
        let clock = Arc::new(SystemClock);
        match &self.kind {
            Kind::Embedded(data) => {
                let settings = EmbeddedSettings::new(data);
                Arc::new(EmbeddedStore::open(settings, clock).expect("a store"))
            }
            Kind::Postgres(url) => {
                let settings = PostgresSettings::new(url.parse().expect("a URL"));
                let mut node = [0; 16];
                SystemRandom.fill(&mut node);
                Arc::new(PostgresStore::open(settings, clock, node).await.expect("a store"))
            }
        }
    }

    /// Puts something of everything into the store.
    pub async fn fill(&self) -> (World, Filled) {
        self.note_key().await;
        let store = self.open().await;
        let world = World::new(Arc::clone(&store)).await;
        let filled = fill(&world).await;
        store.close().await;
        (world, filled)
    }

    /// Puts so many devices into a data directory.
    pub async fn fill_with_devices(&self, count: u64) {
        let Kind::Embedded(data) = &self.kind else { panic!("a data directory") };
        let world = {
            let store = self.open().await;
            let world = World::new(Arc::clone(&store)).await;
            store.close().await;
            world
        };
        let clock: Arc<dyn pushroll_domain::Clock> = Arc::new(SystemClock);
        let mover = EmbeddedMover::open(EmbeddedSettings::new(data), &clock).expect("a store");
        let device = |n: u64| {
            let one = world.made(&world.ios(&format!("user {}", n / 3), &format!("{n:x}")));
            let token = one.claimed.token().expect("a token").clone();
            Record::Device(Box::new(pushroll_domain::Device {
                id: one.id,
                app: one.app,
                user: one.user.clone(),
                token,
                environment: Some(pushroll_domain::Environment::Production),
                registered_at: world.now,
                verified_at: world.now,
                last_seen_at: world.now,
                answer: None,
            }))
        };
        for first in (0..count).step_by(1_000) {
            let part = (first..count.min(first + 1_000)).map(device).collect();
            mover.put(part, progress(&world, 0)).await.expect("put");
        }
        let mut done = progress(&world, 0);
        done.finished_at = Some(world.now);
        mover.put(Vec::new(), done).await.expect("put");
    }

    /// As the first start of a server does, which finds nothing to do yet.
    async fn note_key(&self) {
        let text = std::fs::read_to_string(&self.settings).expect("settings");
        let settings = pushroll::settings::Settings::parse(
            Some((&self.settings, &text)),
            std::iter::empty::<(String, String)>(),
        );
        let server = pushroll::server::Server::start(settings.expect("settings")).await;
        server.expect("a server").stop().await;
    }
}

/// The lines of an export that are records, sorted: what two stores with the same content have in common.
pub fn records(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).expect("an export");
    let is_record = |line: &&str| {
        !["{\"header\"", "{\"checkpoint\"", "{\"trailer\""]
            .iter()
            .any(|begin| line.starts_with(begin))
    };
    let mut lines: Vec<String> = text.lines().filter(is_record).map(str::to_owned).collect();
    lines.sort();
    lines
}
