//! Several servers of one database: the first takes no writes, says nothing, dies, and its standby takes over. And
//! commits that wait for a replica: none of them is acknowledged before the replica has it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use pushroll_domain::{Accept, Platform, Postpone, Registration, Store};
use pushroll_store_postgres::{Migration, PostgresSettings, PostgresStore, migrate};
use pushroll_store_suite::World;
use pushroll_testkit_postgres::{Options, PostgresServer, Stop};

use crate::bad_days::{is_told, run};
use crate::place::{OffClock, node, until, until_answered};
use crate::valve::Valve;

/// How long an address may take, and a statement.
const PATIENCE: Duration = Duration::from_millis(1_000);

fn settings(ports: &[u16], database: &str) -> PostgresSettings {
    let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let url = format!(
        "postgres://postgres@{}/{database}?target_session_attrs=read-write",
        hosts.join(",")
    );
    PostgresSettings {
        connections: 4,
        connect_timeout: PATIENCE,
        statement_timeout: PATIENCE,
        lease: Duration::from_secs(5),
        ..PostgresSettings::new(url.parse().unwrap())
    }
}

/// A server with a database that has the schema.
async fn primary(options: Options<'static>) -> (Arc<PostgresServer>, String) {
    let (server, database) = run(move || {
        let server = Arc::new(PostgresServer::start(options));
        let database = server.create_database();
        (server, database)
    })
    .await;
    let settings = PostgresSettings {
        statement_timeout: Duration::from_secs(60),
        ..settings(&[server.port()], &database)
    };
    migrate(&settings, Migration { shards: Some(8), citus: false }).await.unwrap();
    (server, database)
}

/// A standby that every commit waits for.
async fn synchronous_standby(primary: &Arc<PostgresServer>) -> PostgresServer {
    let primary = Arc::clone(primary);
    run(move || {
        let standby = PostgresServer::standby_of(&primary);
        primary.set("synchronous_standby_names", "standby");
        primary.reload();
        let state = "select count(*) from pg_stat_replication where sync_state = 'sync'";
        until_answered(&primary, state, |count| count == "1");
        standby
    })
    .await
}

async fn open(settings: PostgresSettings) -> (Arc<PostgresStore>, World) {
    let store = PostgresStore::open(settings, Arc::new(OffClock(0)), node()).await.unwrap();
    let store = Arc::new(store);
    let world = World::new(Arc::clone(&store) as Arc<dyn Store>).await;
    (store, world)
}

async fn accept(
    store: &PostgresStore,
    one: &Arc<Registration>,
) -> Result<(), pushroll_domain::StoreError> {
    store.accept(vec![Accept { registration: Arc::clone(one), taken: false }]).await
}

fn made(world: &World, name: &str) -> Arc<Registration> {
    world.made(&world.ios(name, "a1"))
}

/// Waits until a write succeeds again, and the store says that it can be used.
async fn recovered(store: &PostgresStore, world: &World) {
    let patience = async {
        while accept(store, &made(world, "back")).await.is_err() || store.ready().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), patience).await.expect("it recovers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_accepts_and_says_nothing_is_not_in_the_way_of_the_next() {
    let (server, database) = primary(Options::default()).await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = (silent.local_addr().unwrap().port(), silent);
    let (store, world) = open(settings(&[silent.0, server.port()], &database)).await;
    accept(&store, &made(&world, "ann")).await.unwrap();

    let alone = settings(&[silent.0], &database);
    let fault = PostgresStore::open(alone, Arc::new(OffClock(0)), node()).await.err().unwrap();
    assert!(fault.to_string().contains("does not answer in time"), "{fault}");
    let two = settings(&[silent.0, 1], &database);
    let fault = PostgresStore::open(two, Arc::new(OffClock(0)), node()).await.err().unwrap();
    let each =
        format!("127.0.0.1:{}: the database does not answer in time; 127.0.0.1:1: ", silent.0);
    assert!(fault.to_string().contains(&each), "each says why: {fault}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_fall_silent_are_given_up_for_the_next_server() {
    let (server, database) = primary(Options::default()).await;
    let valve = Valve::to(server.port()).await;
    let (store, world) = open(settings(&[valve.port(), server.port()], &database)).await;
    accept(&store, &made(&world, "ann")).await.unwrap();
    valve.shut();
    let reason = is_told(accept(&store, &made(&world, "bob")).await);
    assert!(reason.contains("in time"), "{reason}");
    recovered(&store, &world).await;
    until("it works on everything again", || store.held_shards().len() == 8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_is_taken_when_it_is_promoted_and_what_was_acknowledged_is_there() {
    let (primary, database) = primary(Options { durable: true, settings: &[] }).await;
    let standby = Arc::new(synchronous_standby(&primary).await);
    // The standby comes first, and takes no writes.
    let ports = [standby.port(), primary.port()];
    let (store, world) = open(settings(&ports, &database)).await;
    let acknowledged: HashSet<_> = {
        let batch: Vec<_> = (0..50).map(|n| made(&world, &format!("u{n}"))).collect();
        for one in &batch {
            accept(&store, one).await.unwrap();
        }
        batch.iter().map(|one| one.id).collect()
    };
    let old = Arc::clone(&primary);
    run(move || old.kill()).await;
    is_told(accept(&store, &made(&world, "between")).await);
    let reason = is_told(store.ready().await);
    assert!(reason.contains("does not allow writes") && reason.contains("refused"), "{reason}");
    let new = Arc::clone(&standby);
    run(move || new.promote()).await;
    recovered(&store, &world).await;
    let mut taken = HashSet::new();
    let all = async {
        while !acknowledged.is_subset(&taken) {
            let lane = world.lane(Platform::Ios);
            for one in store.take_due(lane, world.now, 1_000).await.unwrap_or_default() {
                assert!(taken.insert(one.id), "it is handed out once");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("all are there");

    // The old one comes back, and takes no writes. Nobody who finds it first stays with it.
    let old = Arc::clone(&primary);
    run(move || {
        old.demote();
        old.boot();
    })
    .await;
    let (another, _) = open(settings(&[primary.port(), standby.port()], &database)).await;
    accept(&another, &made(&world, "by another")).await.unwrap();
    let of_old = settings(&[primary.port()], &database);
    let fault = PostgresStore::open(of_old, Arc::new(OffClock(0)), node()).await.err().unwrap();
    assert!(fault.to_string().contains("does not allow writes"), "{fault}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_acknowledged_while_the_replica_that_commits_wait_for_is_away() {
    let (primary, database) = primary(Options::default()).await;
    let standby = Arc::new(synchronous_standby(&primary).await);
    let (store, world) = open(settings(&[primary.port()], &database)).await;
    accept(&store, &made(&world, "ann")).await.unwrap();
    let away = Arc::clone(&standby);
    run(move || away.stop(Stop::Fast)).await;
    let mut most_waiting = 0;
    for n in 0..8 {
        is_told(accept(&store, &made(&world, &format!("u{n}"))).await);
        let primary = Arc::clone(&primary);
        let waiting = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'";
        let waiting: u32 = run(move || primary.psql("postgres", waiting)).await.parse().unwrap();
        most_waiting = most_waiting.max(waiting);
    }
    // One of each call that was given up would be there, and one of each look at the leases.
    assert!(most_waiting <= 4, "{most_waiting} connections wait over there");
    let not_ready = async {
        loop {
            match store.ready().await {
                Err(fault) => return is_told::<()>(Err(fault)),
                Ok(()) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    let reason = tokio::time::timeout(Duration::from_secs(60), not_ready).await.expect("it tells");
    assert!(reason.contains("nothing could be written") || reason.contains("in time"), "{reason}");
    let back = Arc::clone(&standby);
    run(move || back.boot()).await;
    recovered(&store, &world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_for_a_replica_that_is_broken_off_is_no_success() {
    let (primary, database) = primary(Options::default()).await;
    let standby = Arc::new(synchronous_standby(&primary).await);
    let patient = PostgresSettings {
        statement_timeout: Duration::from_secs(120),
        ..settings(&[primary.port()], &database)
    };
    let (store, world) = open(patient).await;
    let away = Arc::clone(&standby);
    run(move || away.stop(Stop::Fast)).await;
    let accepting = {
        let (store, one) = (Arc::clone(&store), made(&world, "ann"));
        tokio::spawn(async move { accept(&store, &one).await })
    };
    let server = Arc::clone(&primary);
    run(move || {
        // An operator who has lost patience; the server tells the client of a success.
        let cancel = "select count(pg_cancel_backend(pid)) from pg_stat_activity
                      where wait_event = 'SyncRep' and query like '%pushroll.accept%'";
        until_answered(&server, cancel, |count| count != "0");
    })
    .await;
    is_told(accepting.await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_out_of_connections_is_told_and_tried_again() {
    let options = Options { durable: false, settings: &[("max_connections", "12")] };
    let (server, database) = primary(options).await;
    let (store, world) = open(settings(&[server.port()], &database)).await;
    let url = server.url(&database);
    let hogging = tokio::spawn(async move {
        let mut hogs = Vec::new();
        loop {
            match tokio_postgres::connect(&url, tokio_postgres::NoTls).await {
                Ok((client, connection)) => hogs.push((client, tokio::spawn(connection))),
                Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            }
            if let Some((client, _)) = hogs.first() {
                // Whoever else is there loses his place.
                let others = "select pg_terminate_backend(pid) from pg_stat_activity
                              where application_name like 'pushroll %'";
                let _ = client.batch_execute(others).await;
            }
        }
    });
    let told = async {
        loop {
            if let Err(fault) = accept(&store, &made(&world, "ann")).await {
                let reason = is_told::<()>(Err(fault));
                if reason.contains("53300") {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), told).await.expect("it is told");
    is_told(store.ready().await);
    hogging.abort();
    let _ = hogging.await;
    recovered(&store, &world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_serialization_failure_is_tried_again_without_a_word() {
    let (server, database) = primary(Options::default()).await;
    let strict =
        format!("alter database {database} set default_transaction_isolation = 'repeatable read'");
    let of = Arc::clone(&server);
    run(move || of.psql("postgres", &strict)).await;
    let patient = PostgresSettings {
        statement_timeout: Duration::from_secs(60),
        ..settings(&[server.port()], &database)
    };
    let (store, world) = open(patient).await;
    let one = made(&world, "ann");
    accept(&store, &one).await.unwrap();
    let other = {
        let (server, database, id) = (Arc::clone(&server), database.clone(), one.id);
        tokio::spawn(run(move || {
            let sql = format!(
                "begin; update pushroll.pending set covered = covered where id = '{id}';
                 select pg_sleep(1); commit"
            );
            server.psql(&database, &sql)
        }))
    };
    let of = Arc::clone(&server);
    run(move || {
        let holding = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
        until_answered(&of, holding, |count| count != "0");
    })
    .await;
    // What it sees is older than what the other commits.
    let postpone = Postpone {
        registration: Arc::clone(&one),
        due: world.at(7),
        tries: one.tries,
        last_answer: None,
    };
    store.postpone(vec![postpone]).await.unwrap();
    other.await.unwrap();
}
