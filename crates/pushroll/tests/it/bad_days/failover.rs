//! Servers on a PostgreSQL that has a standby which every commit waits for. The primary dies under load and the standby
//! is promoted: the servers, who know both, go on by themselves, and nothing that they acknowledged is lost.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Method;
use pushroll_testkit::{Receiver, within};
use pushroll_testkit_postgres::{Options, PostgresServer};

use super::caller::Caller;
use super::cluster::{CALLBACKS_AT_ONCE, all_ended, blocking, load};
use super::dice::Dice;
use super::kills::prepare;
use super::now::now;
use super::place::{Place, free_address};

const NODES: usize = 2;
/// Requests to each server before the primary dies, and after.
const REQUESTS: u64 = 60;
const LONG: Duration = Duration::from_secs(120);

/// A primary, and a standby that every commit waits for; the name of an empty database.
fn pair() -> (PostgresServer, PostgresServer, String) {
    let primary = PostgresServer::start(Options { durable: true, settings: &[] });
    let database = primary.create_database();
    let standby = PostgresServer::standby_of(&primary);
    primary.set("synchronous_standby_names", "standby");
    primary.reload();
    let in_step = "select count(*) from pg_stat_replication where sync_state = 'sync'";
    while primary.psql("postgres", in_step) != "1" {
        std::thread::sleep(Duration::from_millis(10));
    }
    (primary, standby, database)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_dies_and_a_standby_that_takes_over_lose_nothing_and_do_nothing_twice() {
    let mut dice = Dice::thrown("failover");
    let (primary, standby, database) = blocking(pair).await;
    let standby = Arc::new(standby);
    let mut place = Place::new().await;
    prepare(&mut place);
    place.keep_in_postgres(&format!(
        "postgres://postgres@127.0.0.1:{},127.0.0.1:{}/{database}?target_session_attrs=read-write",
        primary.port(),
        standby.port(),
    ));
    place.set("store.lease_seconds", "5");
    place.set("store.statement_timeout_seconds", "5");
    place.set("store.connect_timeout_seconds", "2");
    assert!(place.run("migrate").await.success());
    let addresses: Vec<_> = (0..NODES).map(|_| free_address()).collect();
    let mut servers = Vec::new();
    for (node, address) in addresses.iter().enumerate() {
        let mut server = place.launch_node(&format!("node-{node}"), *address);
        server.ready().await;
        servers.push(server);
    }
    let receiver = Receiver::start().await;
    let url = receiver.url("/status/");
    let (loads, clients) = load(&addresses, &place, &url, &mut dice).await;
    for load in &loads {
        load.answers(REQUESTS).await;
        // For those who ask while it happens.
        load.room.add_permits(200);
    }

    blocking(move || {
        primary.kill();
        primary
    })
    .await;
    for (load, address) in loads.iter().zip(&addresses) {
        load.room.add_permits(20);
        // With a `Retry-After`: the clients look at each.
        within(LONG, "a request is answered 503", async || {
            (load.unavailable.load(Ordering::Relaxed) > 0).then_some(())
        })
        .await;
        let mut caller = Caller::of(*address);
        within(LONG, "a server says that it can't be used", async || {
            let answer = caller.send(Method::GET, "/readyz", &[], None).await.ok()?;
            let says = String::from_utf8_lossy(&answer.body).contains("database");
            (answer.status == 503 && says).then_some(())
        })
        .await;
    }
    let promoted = Arc::clone(&standby);
    blocking(move || promoted.promote()).await;
    for server in &mut servers {
        server.ready().await;
    }
    let started = now();
    for (load, clients) in loads.iter().zip(clients) {
        load.answers(REQUESTS).await;
        load.room.close();
        clients.join_all().await;
    }
    let most = CALLBACKS_AT_ONCE * NODES;
    let came_to = all_ended(&loads, &addresses, &receiver, &url, started, most).await;
    for queue in ["pending", "callback"] {
        let (standby, database) = (Arc::clone(&standby), database.clone());
        let count = format!("select count(*) from pushroll.{queue}");
        assert_eq!(blocking(move || standby.psql(&database, &count)).await, "0", "{queue}");
    }
    eprintln!(
        "{} registrations ended, {} callbacks were under way in the death",
        came_to.0, came_to.1
    );
}
