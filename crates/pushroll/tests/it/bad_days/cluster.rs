//! Three servers on one PostgreSQL: they are killed, one stands still for longer than its leases, and the database
//! crashes. What any of them answered 202 is carried to its end, once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::Method;
use pushroll_testkit::{Receiver, within};
use pushroll_testkit_postgres::{Options, PostgresServer, Stop};
use serde_json::json;
use time::OffsetDateTime;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::admin::{Admin, App};
use super::callbacks;
use super::caller::Caller;
use super::dice::Dice;
use super::kills::prepare;
use super::load::Load;
use super::now::now;
use super::place::{ADMIN_TOKEN, Place, Server, free_address};
use super::settle;

const NODES: usize = 3;
/// Clients of each server.
const CLIENTS: u64 = 3;
pub const CALLBACKS_AT_ONCE: usize = 8;
/// How long a server's part of the work waits for it.
const LEASE: Duration = Duration::from_secs(5);
const LONG: Duration = Duration::from_secs(120);

/// How many requests each server is asked for, from `PUSHROLL_TEST_CLUSTER_REQUESTS`. A request is 5 registrations on
/// average.
fn requests() -> usize {
    let given = std::env::var("PUSHROLL_TEST_CLUSTER_REQUESTS").ok();
    given.map_or(250, |text| text.parse().expect("PUSHROLL_TEST_CLUSTER_REQUESTS is a number"))
}

/// A database, and the place of the servers that share it.
pub struct Cluster {
    pub place: Place,
    postgres: Arc<PostgresServer>,
    database: String,
    pub addresses: Vec<SocketAddr>,
}

impl Cluster {
    pub async fn new(durable: bool) -> Self {
        let postgres =
            blocking(move || Arc::new(PostgresServer::start(Options { durable, settings: &[] })))
                .await;
        let database = {
            let postgres = Arc::clone(&postgres);
            blocking(move || postgres.create_database()).await
        };
        let mut place = Place::new().await;
        prepare(&mut place);
        place.keep_in_postgres(&postgres.url(&database));
        place.set("store.lease_seconds", LEASE.as_secs().to_string());
        place.set("store.statement_timeout_seconds", "5");
        let addresses = (0..NODES).map(|_| free_address()).collect();
        Self { place, postgres, database, addresses }
    }

    pub fn launch(&self, node: usize) -> Server {
        self.place.launch_node(&format!("node-{node}"), self.addresses[node])
    }

    pub async fn start(&self, node: usize) -> Server {
        let mut server = self.launch(node);
        server.ready().await;
        server
    }

    pub async fn sql(&self, sql: &'static str) -> String {
        let (postgres, database) = (Arc::clone(&self.postgres), self.database.clone());
        blocking(move || postgres.psql(&database, sql)).await
    }

    async fn crash_database(&self) {
        let postgres = Arc::clone(&self.postgres);
        blocking(move || {
            postgres.stop(Stop::Immediate);
            postgres.boot();
        })
        .await;
    }
}

pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("it does not panic")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_on_postgresql_says_what_is_missing_before_it_starts() {
    let cluster = Cluster::new(false).await;
    let mut server = cluster.launch(0);
    assert_eq!(server.end_within(LONG).await.code(), Some(74));
    assert!(server.output().contains("pushroll migrate"), "{}", server.output());
    assert!(cluster.place.run("migrate").await.success());
    assert!(cluster.place.run("migrate").await.success(), "again");
    let _server = cluster.start(0).await;

    let other = "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=";
    std::fs::write(cluster.place.path("key"), other).expect("a file of ours");
    let mut second = cluster.launch(1);
    assert_eq!(second.end_within(LONG).await.code(), Some(78));
    assert!(second.output().contains("is not the sealing key"), "{}", second.output());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_configured_on_one_server_is_in_force_on_all() {
    let cluster = Cluster::new(false).await;
    assert!(cluster.place.run("migrate").await.success());
    let mut servers = Vec::new();
    for node in 0..NODES {
        servers.push(cluster.start(node).await);
    }
    let app = Admin::of(cluster.addresses[0]).make_app(&cluster.place.simulator).await;
    for address in &cluster.addresses {
        // An unknown token is 400 here; one that is known and has no such registration, 200.
        known(*address, &app).await;
    }
    let revoked = format!("/admin/v1/orgs/{}/apps/{}", app.org, app.id);
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let mut caller = Caller::of(cluster.addresses[1]);
    let headers = [("authorization", bearer.as_str())];
    let deleted = caller.send(Method::DELETE, &revoked, &headers, None).await.expect("an answer");
    assert!(deleted.status.is_success(), "{deleted:?}");
    for address in &cluster.addresses {
        let mut caller = Caller::of(*address);
        within(LONG, "the app is gone on every server", async || {
            (status_of(&mut caller, &app).await == Some(400)).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_by_organization_holds_roughly_over_all_servers() {
    const BURST: u64 = 300;
    let mut cluster = Cluster::new(false).await;
    cluster.place.set("limits.by_organization_per_second", "1");
    cluster.place.set("limits.by_organization_burst", BURST.to_string());
    assert!(cluster.place.run("migrate").await.success());
    let mut servers = Vec::new();
    for node in 0..NODES {
        servers.push(cluster.start(node).await);
    }
    let app = Admin::of(cluster.addresses[0]).make_app(&cluster.place.simulator).await;
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let headers = [("authorization", bearer.as_str())];
    for address in &cluster.addresses {
        let mut caller = Caller::of(*address);
        within(LONG, "every server knows of the others", async || {
            let metrics = caller.send(Method::GET, "/metrics", &headers, None).await.ok()?;
            metrics.text().contains("pushroll_store_nodes 3").then_some(())
        })
        .await;
        known(*address, &app).await;
    }
    let begun = Instant::now();
    let mut let_through = 0;
    for address in &cluster.addresses {
        let mut caller = Caller::of(*address);
        // A server alone would let all of them through.
        for _ in 0..BURST {
            match status_of(&mut caller, &app).await {
                Some(200) => let_through += 1,
                Some(429) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    // Each looked whether the app is known, and one a second is let through again.
    let most = BURST + begun.elapsed().as_secs() + NODES as u64;
    assert!((BURST / 2..=most).contains(&let_through), "{let_through} of {most}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_looks_into_the_database_and_says_what_to_do() {
    let cluster = Cluster::new(false).await;
    let examined = async |code: i32| {
        let mut doctor = cluster.place.begin("doctor");
        assert_eq!(doctor.end_within(LONG).await.code(), Some(code), "{}", doctor.output());
        let said = doctor.output();
        let last = said.rfind("✓ settings").expect("it began");
        said[last..].to_owned()
    };
    let said = examined(1).await;
    assert!(
        said.contains("✗ schema: the database has no schema of pushroll's: run `pushroll migrate`"),
        "{said}"
    );
    assert!(cluster.place.run("migrate").await.success());
    let said = examined(1).await;
    for line in [
        "✓ database: postgres://127.0.0.1:",
        "✓ schema: it is up to date: 64 shards, 0 organizations, 0 apps",
        "✓ clock of the database: it agrees",
        "✓ connections: ",
        "✗ stable storage: fsync is off",
        "    → Set fsync = on",
        "✓ vacuum: autovacuum is on",
        "✓ replicas: there is none",
        "! shards: no server works on them",
        "✓ sealing key: key ",
    ] {
        assert!(said.contains(line), "{line} in {said}");
    }
    let _server = cluster.start(0).await;
    let app = Admin::of(cluster.addresses[0]).make_app(&cluster.place.simulator).await;
    let said = examined(1).await;
    for line in [
        "✓ shards: 1 servers work on all 64: node-0",
        "the first start notes it",
        &format!("✓ app Bad days ({})", app.id),
    ] {
        assert_eq!(said.contains(line), line != "the first start notes it", "{line} in {said}");
    }
}

async fn status_of(caller: &mut Caller, app: &App) -> Option<u16> {
    let path = format!("/api/v1.0/orgs/{}/pushdeviceregistration/devices/status/", app.org);
    let ids = ["00000000-0000-0000-0000-000000000000"];
    let body = json!({"RegistrationRequestIds": ids, "MobileAppId": app.id, "ApiToken": app.token});
    Some(caller.post(&path, &body).await.ok()?.status.as_u16())
}

/// Waits until a server knows an app.
pub async fn known(address: SocketAddr, app: &App) {
    let mut caller = Caller::of(address);
    within(LONG, "the app is known on every server", async || {
        (status_of(&mut caller, app).await == Some(200)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_die_and_a_database_that_crashes_lose_nothing_and_do_nothing_twice() {
    let mut dice = Dice::thrown("cluster");
    let cluster = Cluster::new(true).await;
    assert!(cluster.place.run("migrate").await.success());
    let mut servers = Vec::new();
    for node in 0..NODES {
        servers.push(cluster.start(node).await);
    }
    let receiver = Receiver::start().await;
    let url = receiver.url("/status/");
    let (loads, clients) = load(&cluster.addresses, &cluster.place, &url, &mut dice).await;

    let begun = Instant::now();
    let mut died_at: Vec<OffsetDateTime> = Vec::new();
    // Something happens to them all the while, however much is asked.
    let rounds = 6 * (requests() / 250).clamp(1, 10);
    for round in 0..rounds {
        loads.iter().for_each(|load| load.room.add_permits(requests() / rounds));
        sleep(Duration::from_millis(dice.below(1_500))).await;
        match round % 6 {
            2 => cluster.crash_database().await,
            4 => {
                // Others work on its shards meanwhile; then it goes on with what it had in hand.
                servers[round / 6 % NODES].while_frozen(async || sleep(LEASE * 2).await).await;
            }
            _ => {
                let node = dice.below(NODES as u64) as usize;
                servers[node].kill();
                died_at.push(now());
                sleep(Duration::from_millis(dice.below(2_000))).await;
                servers[node] = cluster.start(node).await;
            }
        }
        died_at.push(now());
    }
    let started = now();
    for (load, clients) in loads.iter().zip(clients) {
        // All that they were to ask for, however long it takes.
        while load.room.available_permits() > 0 {
            sleep(Duration::from_millis(50)).await;
        }
        load.room.close();
        clients.join_all().await;
        assert!(load.answered.load(Ordering::Relaxed) > 0);
    }

    // Those that were under way when their server died, or when the database did.
    let most = died_at.len() * CALLBACKS_AT_ONCE * NODES;
    let came_to = all_ended(&loads, &cluster.addresses, &receiver, &url, started, most).await;
    assert_eq!(cluster.sql("select count(*) from pushroll.pending").await, "0");
    assert_eq!(cluster.sql("select count(*) from pushroll.callback").await, "0");
    eprintln!(
        "{} registrations ended, {} callbacks were under way in a death; {:?} in all",
        came_to.0,
        came_to.1,
        begun.elapsed()
    );
}

/// Clients for each server, with apps of their own; who works on what they ask is another matter.
pub async fn load(
    addresses: &[SocketAddr],
    place: &Place,
    url: &str,
    dice: &mut Dice,
) -> (Vec<Arc<Load>>, Vec<JoinSet<()>>) {
    let (mut loads, mut clients) = (Vec::new(), Vec::new());
    for address in addresses {
        let mut admin = Admin::of(addresses[0]);
        let app = admin.make_app(&place.simulator).await;
        let other = admin.make_app_of(&app.org, &place.simulator).await;
        known(*address, &app).await;
        known(*address, &other).await;
        let load = Load::new(*address, vec![app, other], Some(url.to_owned()));
        clients.push(load.clients(CLIENTS, dice));
        loads.push(load);
    }
    (loads, clients)
}

/// Holds every server to what another answered. How many registrations have ended, and how many callbacks were under
/// way in a death, which are to be no more than so many of each load.
pub async fn all_ended(
    loads: &[Arc<Load>],
    addresses: &[SocketAddr],
    receiver: &Receiver,
    url: &str,
    started: OffsetDateTime,
    most: usize,
) -> (usize, usize) {
    let mut came_to = (0, 0);
    for (load, address) in loads.iter().zip(addresses.iter().rev()) {
        let ledger = load.ledger.lock().clone();
        let ended = match settle::hold_to(*address, &load.apps, &ledger).await {
            Ok(ended) => ended,
            Err(faults) => {
                panic!("{} faults: {:#?}", faults.len(), &faults[..faults.len().min(20)])
            }
        };
        let mut admin = Admin::of(*address);
        let came = || callbacks::ids(receiver);
        let missing =
            callbacks::never_made(came, started, &mut admin, &load.apps, &ledger, &ended).await;
        assert!(missing.len() <= most, "{} callbacks are missing", missing.len());
        let mut came = callbacks::by_id(receiver.received()).expect("no callback twice");
        came.retain(|id, _| ended.contains_key(id));
        let faults = callbacks::faults(&came, &ended, &load.apps, &ledger, url);
        assert!(faults.is_empty(), "{faults:#?}");
        came_to = (came_to.0 + ended.len(), came_to.1 + missing.len());
    }
    came_to
}
