//! The database on bad days: gone, back, read-only, out of connections, slow. The store says so and goes on by
//! itself, and nothing that it acknowledged is lost.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use pushroll_domain::{Accept, Platform, Registration, Store, StoreError};
use pushroll_store_postgres::{Migration, PostgresSettings, PostgresStore, migrate};
use pushroll_store_suite::World;
use pushroll_testkit_postgres::{Options, PostgresServer, Stop};

use crate::place::{OffClock, node, until};

/// A server of its own, and a store in it.
struct Scene {
    server: Arc<PostgresServer>,
    database: String,
    store: Arc<PostgresStore>,
    world: World,
}

impl Scene {
    async fn new(options: Options<'static>) -> Self {
        Self::patient(options, Duration::from_millis(1_500)).await
    }

    /// With so long a time for each statement.
    async fn patient(options: Options<'static>, statement_timeout: Duration) -> Self {
        let server = run(move || Arc::new(PostgresServer::start(options))).await;
        let database = {
            let server = Arc::clone(&server);
            run(move || server.create_database()).await
        };
        let settings = PostgresSettings { statement_timeout, ..settings(&server, &database) };
        migrate(&settings, Migration { shards: Some(8), citus: false }).await.unwrap();
        let store = PostgresStore::open(settings, Arc::new(OffClock(0)), node()).await.unwrap();
        let store = Arc::new(store);
        let world = World::new(Arc::clone(&store) as Arc<dyn Store>).await;
        Self { server, database, store, world }
    }

    async fn server<T: Send + 'static>(
        &self,
        what: impl FnOnce(&PostgresServer, &str) -> T + Send + 'static,
    ) -> T {
        let (server, database) = (Arc::clone(&self.server), self.database.clone());
        run(move || what(&server, &database)).await
    }

    fn made(&self, name: &str) -> Arc<Registration> {
        self.world.made(&self.world.ios(name, "a1"))
    }

    async fn accept(&self, one: &Arc<Registration>) -> Result<(), StoreError> {
        self.store.accept(vec![Accept { registration: Arc::clone(one), taken: false }]).await
    }

    /// Waits until a write succeeds again.
    async fn recovered(&self) {
        let patience = async {
            while self.accept(&self.made("back")).await.is_err()
                || self.store.ready().await.is_err()
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), patience).await.expect("it recovers");
    }
}

fn settings(server: &PostgresServer, database: &str) -> PostgresSettings {
    PostgresSettings {
        connections: 4,
        lease: Duration::from_secs(5),
        ..PostgresSettings::new(server.url(database).parse().unwrap())
    }
}

pub async fn run<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(what).await.unwrap()
}

#[track_caller]
pub fn is_told<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Err(StoreError::Unavailable { reason, retry_after }) => {
            assert!(retry_after >= Duration::from_secs(1));
            reason
        }
        other => panic!("it can't be taken now: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_database_crashes_and_it_goes_on_by_itself() {
    let scene = Scene::new(Options { durable: true, settings: &[] }).await;
    let mut acknowledged = HashSet::new();
    for round in 0..3 {
        for n in 0..20 {
            let one = scene.made(&format!("{round} {n}"));
            if scene.accept(&one).await.is_ok() {
                acknowledged.insert(one.id);
            }
            if n == 10 {
                scene.server(|server, _| server.stop(Stop::Immediate)).await;
                is_told(scene.accept(&scene.made("while it is down")).await);
                is_told(scene.store.ready().await);
                is_told(scene.store.directory().await);
                scene.server(|server, _| server.boot()).await;
                scene.recovered().await;
            }
        }
    }
    assert!(acknowledged.len() >= 50, "{}", acknowledged.len());
    let lane = scene.world.lane(Platform::Ios);
    let mut taken = HashSet::new();
    let all = async {
        while !acknowledged.is_subset(&taken) {
            for one in scene.store.take_due(lane, scene.world.now, 1_000).await.unwrap_or_default()
            {
                assert!(taken.insert(one.id), "it is handed out once");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), all).await.expect("all are handed out");
    assert_eq!(scene.store.held_shards().len(), 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_takes_no_writes_is_left_until_it_does() {
    let scene = Scene::new(Options::default()).await;
    let read_only = |on: &'static str| {
        move |server: &PostgresServer, database: &str| {
            server.psql(
                "postgres",
                &format!(
                    "alter database {database} set default_transaction_read_only = {on};
                     select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database}'"
                ),
            );
        }
    };
    scene.server(read_only("on")).await;
    until("it is noticed", || scene.store.held_shards().is_empty()).await;
    is_told(scene.accept(&scene.made("ann")).await);
    is_told(scene.store.ready().await);
    scene.server(read_only("off")).await;
    scene.recovered().await;
    until("it works on everything again", || scene.store.held_shards().len() == 8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_refuses_connections_is_told_and_tried_again() {
    let scene = Scene::new(Options::default()).await;
    let connections = |limit: i32| {
        move |server: &PostgresServer, database: &str| {
            server.psql(
                "postgres",
                &format!(
                    "alter database {database} allow_connections {};
                     select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database}'",
                    limit != 0
                ),
            );
        }
    };
    scene.server(connections(0)).await;
    let refused = async {
        loop {
            if let Err(fault) = scene.accept(&scene.made("ann")).await {
                let reason = is_told::<()>(Err(fault));
                if reason.contains("not currently accepting connections") {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), refused).await.expect("it is told");
    scene.server(connections(-1)).await;
    scene.recovered().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_takes_too_long_is_given_up_and_the_next_succeeds() {
    let scene = Scene::new(Options::default()).await;
    let locked = scene.server(|server, database| {
        server.psql(database, "begin; lock table pushroll.pending; select pg_sleep(4); commit")
    });
    let asked = async {
        // The lock may come a moment later.
        loop {
            if let Err(fault) = scene.accept(&scene.made("ann")).await {
                return is_told::<()>(Err(fault));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let asked = tokio::time::timeout(Duration::from_secs(60), asked);
    let (_, reason) = tokio::join!(locked, asked);
    let reason = reason.expect("it is given up");
    assert!(reason.contains("timeout"), "{reason}");
    scene.recovered().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_is_tried_again_without_a_word() {
    let options = Options { durable: false, settings: &[("deadlock_timeout", "10ms")] };
    let scene = Scene::patient(options, Duration::from_secs(30)).await;
    let (one, two) = (scene.made("ann"), scene.made("bob"));
    scene.accept(&one).await.unwrap();
    scene.accept(&two).await.unwrap();
    // Somebody who takes rows in an order of his own, again and again, and gives up when told.
    let (first, second) = (one.id.to_string(), two.id.to_string());
    let other = scene.server(move |server, database| {
        for _ in 0..3 {
            let sql = format!(
                "begin; set local deadlock_timeout = '10s';
                 select from pushroll.pending where id = '{first}' for update;
                 select pg_sleep(0.05);
                 select from pushroll.pending where id = '{second}' for update; commit"
            );
            // Which of the two is told to give way is not ours to say.
            drop(server.try_psql(database, &sql));
        }
    });
    let postponed = async {
        for round in 0..30 {
            let both = [&two, &one].map(|one| pushroll_domain::Postpone {
                registration: Arc::clone(one),
                due: scene.world.at(round),
                tries: one.tries,
                last_answer: None,
            });
            scene.store.postpone(both.to_vec()).await.unwrap();
        }
    };
    tokio::join!(other, postponed);
}
