//! Prints how many registrations a second the store on PostgreSQL accepts and finishes, beside a bare loop of the
//! same function calls on one connection; several nodes beside one; and how many bytes a row takes:
//! `cluster_commit_rate [SECONDS] [loop | nodes | bytes]`. It starts a PostgreSQL of its own on this machine, with every
//! commit on stable storage, and stops it. `cluster_commit_rate SECONDS nodes CALLERS SLICE` measures just one load.

#![allow(clippy::disallowed_methods, reason = "what runs outside may go by the machine's clock")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pushroll_domain::{
    Accept, AppId, ClaimedToken, Clock, DeviceToken, Ending, Finish, Finished, IdSequence, OrgId,
    Outcome, Platform, Registration, Store, Timestamp, TokenId, Tries, UserId,
};
use pushroll_store_postgres::{Migration, PostgresSettings, PostgresStore, migrate};
use pushroll_testkit_postgres::{Options, PostgresServer};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Statement};
use uuid::Uuid;

/// Of what is measured in turns.
const ROUNDS: u32 = 5;

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Makes registrations of users who are all new.
#[derive(Default)]
struct Maker {
    ids: IdSequence,
    made: AtomicU64,
}

impl Maker {
    fn make(&self) -> Arc<Registration> {
        let count = self.made.fetch_add(1, Ordering::Relaxed);
        let random = count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let app = AppId::from_bytes([0x11; 16]);
        let user = Uuid::from_u128(u128::from(random) << 64 | u128::from(count)).to_string();
        let user = UserId::parse(&user).expect("a user id");
        let now = SystemClock.now();
        let token = format!("{random:016x}{random:016x}{count:032x}");
        Arc::new(Registration {
            id: self.ids.registration(now, &user.key_in(app), random),
            org: OrgId::from_bytes([0x22; 16]),
            app,
            user,
            claimed: ClaimedToken::Present(
                DeviceToken::parse(Platform::Ios, &token).expect("a token"),
            ),
            authorized_by: Some(TokenId::from_bytes([0x33; 16])),
            tracked: true,
            callback: None,
            accepted_at: now,
            due: now,
            tries: Tries::default(),
            last_answer: None,
        })
    }
}

/// Any node accepts; the one that works on it ends it.
async fn carry_through(nodes: &[Arc<PostgresStore>], entry: usize, maker: &Maker, size: usize) {
    let batch: Vec<_> = (0..size).map(|_| maker.make()).collect();
    let accept = |one: &Arc<Registration>| Accept { registration: Arc::clone(one), taken: true };
    nodes[entry].accept(batch.iter().map(accept).collect()).await.expect("accept");
    let mut shares: Vec<Vec<_>> = vec![Vec::new(); nodes.len()];
    for registration in batch {
        let worker = nodes.iter().position(|node| node.works_on(registration.id)).unwrap_or(entry);
        shares[worker].push(registration);
    }
    let ends = nodes.iter().zip(shares).filter(|(_, share)| !share.is_empty());
    futures_util::future::join_all(ends.map(|(node, share)| finish(node, share))).await;
}

async fn finish(store: &PostgresStore, batch: Vec<Arc<Registration>>) {
    let finish = |registration| Finish {
        registration,
        ending: Ending::Verified { environment: None, answer: None },
        at: SystemClock.now(),
        tries: Tries { attempts: 1, ..Tries::default() },
        devices_per_user: 100,
    };
    let ended = store.finish(batch.into_iter().map(finish).collect()).await.expect("finish");
    assert!(ended.iter().all(|end| *end == Finished::Ended(Outcome::Success)));
}

/// The function calls of [`carry_through`] and nothing else.
struct Bare {
    client: Client,
    accept: Statement,
    finish: Statement,
    shift: u32,
    made: u128,
}

impl Bare {
    async fn connect(url: &str, shards: u32) -> Self {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection");
        tokio::spawn(connection);
        let as_the_store =
            "set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off;
            set jit = off; set plan_cache_mode = force_generic_plan";
        client.batch_execute(as_the_store).await.expect("settings");
        let accept = "select pushroll.accept_all($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        let finish = "select pushroll.finish_all($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";
        let accept = client.prepare(accept).await.expect("a statement");
        let finish = client.prepare(finish).await.expect("a statement");
        let shift = 12 - shards.trailing_zeros();
        Self { client, accept, finish, shift, made: 1 << 100 }
    }

    async fn carry_through(&mut self, size: usize) {
        let ids: Vec<Uuid> = (0..size)
            .map(|_| {
                self.made += 1;
                let spread = self.made.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
                Uuid::from_u128(spread)
            })
            .collect();
        let shards: Vec<i16> =
            ids.iter().map(|id| ((id.as_u128() >> 116) as i16) >> self.shift).collect();
        let apps = vec![Uuid::from_u128(7); size];
        let bytes = |length: usize| vec![vec![7_u8; length]; size];
        let (small, zero) = (vec![0_i16; size], vec![0_i64; size]);
        let (accepted, tried) = (bytes(150), bytes(5));
        let accept: [&(dyn ToSql + Sync); 10] =
            [&shards, &ids, &apps, &small, &ids, &ids, &zero, &zero, &accepted, &tried];
        self.client.query(&self.accept, &accept).await.expect("an answer");
        let (limits, tracked) = (vec![100_i32; size], vec![true; size]);
        let (devices, outcomes) = (bytes(130), bytes(60));
        let (no_host, no_callback) = (vec![None::<i64>; size], vec![None::<Vec<u8>>; size]);
        let (rounds, last_round) = (vec![1_i32; size], 1_i32);
        let locks: Vec<i16> = BTreeSet::from_iter(shards.iter().copied()).into_iter().collect();
        let finish: [&(dyn ToSql + Sync); 17] = [
            &shards,
            &ids,
            &apps,
            &ids,
            &ids,
            &small,
            &zero,
            &limits,
            &devices,
            &zero,
            &tracked,
            &outcomes,
            &no_host,
            &no_callback,
            &rounds,
            &last_round,
            &locks,
        ];
        self.client.query(&self.finish, &finish).await.expect("an answer");
    }
}

async fn bare(bare: &mut Bare, size: usize, span: Duration) -> f64 {
    let (began, mut done) = (Instant::now(), 0_usize);
    while began.elapsed() < span {
        bare.carry_through(size).await;
        done += size;
    }
    done as f64 / began.elapsed().as_secs_f64()
}

async fn stored(
    stores: &[Arc<PostgresStore>],
    maker: &Arc<Maker>,
    tasks: usize,
    size: usize,
    span: Duration,
) -> f64 {
    let began = Instant::now();
    let done = Arc::new(AtomicU64::new(0));
    let workers: Vec<_> = (0..tasks)
        .map(|task| {
            let nodes = stores.to_vec();
            let (maker, done) = (Arc::clone(maker), Arc::clone(&done));
            tokio::spawn(async move {
                while began.elapsed() < span {
                    carry_through(&nodes, task % nodes.len(), &maker, size).await;
                    done.fetch_add(size as u64, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.expect("a worker");
    }
    done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}

async fn nodes(server: &PostgresServer, shards: u32, count: usize) -> Vec<Arc<PostgresStore>> {
    open(server, &server.create_database(), shards, count).await
}

async fn open(
    server: &PostgresServer,
    database: &str,
    shards: u32,
    count: usize,
) -> Vec<Arc<PostgresStore>> {
    let settings = PostgresSettings::new(server.url(database).parse().expect("a URL"));
    let migration = Migration { shards: Some(shards), citus: false };
    migrate(&settings, migration).await.expect("a schema");
    let mut nodes = Vec::new();
    for number in 0..count {
        let node = (number as u128 + 1).to_be_bytes();
        let opened = PostgresStore::open(settings.clone(), Arc::new(SystemClock), node).await;
        nodes.push(Arc::new(opened.expect("the store opens")));
    }
    // Until they share the shards, all of which somebody works on.
    let maker = Maker::default();
    let probes: Vec<_> = (0..500).map(|_| maker.make().id).collect();
    let shared = |node: &Arc<PostgresStore>| {
        let held = probes.iter().filter(|id| node.works_on(**id)).count();
        held * count * 2 > probes.len()
    };
    let worked_on = |id: &_| nodes.iter().any(|node| node.works_on(*id));
    while !(nodes.iter().all(shared) && probes.iter().all(worked_on)) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    nodes
}

/// The store beside the bare loop, one caller each.
async fn beside_a_loop(server: &PostgresServer, span: Duration) {
    println!("{:44} {:>8} {:>8} {:>6}", "registrations a second", "store", "loop", "ratio");
    for size in [10, 100, 1_000] {
        let store = nodes(server, 64, 1).await;
        let database = server.create_database();
        let settings = PostgresSettings::new(server.url(&database).parse().expect("a URL"));
        let migration = Migration { shards: Some(64), citus: false };
        migrate(&settings, migration).await.expect("a schema");
        let mut calls = Bare::connect(&server.url(&database), 64).await;
        let maker = Arc::default();
        let (mut of_loop, mut of_store) = (0.0, 0.0);
        // In turns, since the machine's speed changes from second to second.
        for _ in 0..ROUNDS {
            of_loop += bare(&mut calls, size, span / ROUNDS).await;
            of_store += stored(&store, &maker, 1, size, span / ROUNDS).await;
        }
        let (of_loop, of_store) = (of_loop / f64::from(ROUNDS), of_store / f64::from(ROUNDS));
        let what = format!("one caller, slices of {size}, 64 shards");
        println!("{what:44} {of_store:8.0} {of_loop:8.0} {:6.2}", of_store / of_loop);
        store[0].close().await;
    }
}

/// Several shards and nodes beside one, with as many callers in all: few, several, as many as one server lets in, and
/// some who bring slices; or with those that the command line says.
async fn beside_one(server: &PostgresServer, span: Duration) {
    println!("{:44} {:>8} {:>15}", "registrations a second", "store", "of 1 and 1");
    let number = |place| std::env::args().nth(place).and_then(|text| text.parse::<usize>().ok());
    let loads = match (number(3), number(4)) {
        (Some(callers), Some(size)) => vec![(callers, size)],
        _ => vec![(64, 1), (192, 1), (1_024, 1), (12, 10), (12, 100), (12, 1_000)],
    };
    for (callers, size) in loads {
        let shapes = [(1, 1), (64, 1), (64, 3)];
        let mut rates = [0.0; 3];
        // In turns, since the machine's speed changes; only what is measured is open.
        for _ in 0..ROUNDS {
            for (rate, (shards, count)) in rates.iter_mut().zip(shapes) {
                let stores = nodes(server, shards, count).await;
                let maker = Arc::default();
                *rate += stored(&stores, &maker, callers, size, span / ROUNDS).await;
                for store in stores {
                    store.close().await;
                }
            }
        }
        for (rate, (shards, count)) in rates.iter().zip(shapes) {
            let what =
                format!("{callers} callers, slices of {size}, {shards} shards, {count} nodes");
            println!("{what:44} {:8.0} {:15.2}", rate / f64::from(ROUNDS), rate / rates[0]);
        }
    }
}

/// What rows take in tables and indexes, and a registration in the log.
async fn bytes_of_rows(server: &PostgresServer) {
    const ROWS: usize = 300_000;
    let database = server.create_database();
    let store = open(server, &database, 64, 1).await;
    let maker = Maker::default();
    let number = |sql: &str| server.psql(&database, sql).parse::<f64>().expect("a number");
    let log = || number("select pg_current_wal_lsn() - '0/0'");
    let before = log();
    for _ in 0..ROWS / 1_000 {
        carry_through(&store, 0, &maker, 1_000).await;
    }
    let logged = log() - before;
    server.psql(&database, "vacuum pushroll.pending");
    for _ in 0..ROWS / 1_000 {
        let accept = |_| Accept { registration: maker.make(), taken: true };
        store[0].accept((0..1_000).map(accept).collect()).await.expect("accept");
    }
    println!("{:44} {:>8} {:>8}", "bytes of a row", "table", "indexes");
    for table in ["device", "outcome", "pending"] {
        let size = |what: &str| number(&format!("select {what}('pushroll.{table}')")) / ROWS as f64;
        let (rows, indexes) = (size("pg_table_size"), size("pg_indexes_size"));
        println!("{table:44} {rows:8.0} {indexes:8.0}");
    }
    println!("{:44} {:8.0}", "the log, bytes of a registration", logged / ROWS as f64);
    store[0].close().await;
}

#[tokio::main]
async fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(5);
    let span = Duration::from_secs(seconds);
    let only = std::env::args().nth(2);
    let asked_for = |part: &str| only.as_deref().is_none_or(|only| only == part);
    let settings = &[("shared_buffers", "512MB"), ("max_wal_size", "4GB")];
    let server = PostgresServer::start(Options { durable: true, settings });
    if asked_for("loop") {
        beside_a_loop(&server, span).await;
    }
    if asked_for("nodes") {
        beside_one(&server, span).await;
    }
    if asked_for("bytes") {
        bytes_of_rows(&server).await;
    }
}
