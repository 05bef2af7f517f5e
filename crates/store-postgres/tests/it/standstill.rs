//! Whether anybody may have written since.

use std::sync::Arc;
use std::time::Duration;

use pushroll_domain::Store;
use pushroll_store_postgres::{
    Migration, PostgresExport, PostgresImport, PostgresSettings, Standstill, Upkeep, migrate,
};
use pushroll_store_suite::World;

use crate::place::{Kind, Place};

async fn standstill(place: &Place) -> Standstill {
    PostgresExport::open(place.settings(), false).await.unwrap().standstill().clone()
}

async fn name(place: &Place) -> u64 {
    match standstill(place).await {
        Standstill::Named(name) => name,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standstill_keeps_its_name_as_long_as_nobody_comes_who_may_write() {
    let place = Place::new(Kind::Plain).await;
    let first = name(&place).await;
    let looking = Upkeep::open_to_look(place.settings()).await.unwrap();
    assert_eq!(name(&place).await, first, "whoever only reads is in nobody's way");
    let refused = looking.replace_sealing_fingerprint(None, b"8 bytes!", None).await;
    assert!(refused.is_err(), "whoever only reads can't write");
    looking.close();
    let live = PostgresExport::open(place.settings(), true).await.unwrap();
    assert_eq!(*live.standstill(), Standstill::Live);
    assert_eq!(name(&place).await, first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_write_ends_a_standstill() {
    let place = Place::new(Kind::Plain).await;
    let mut before = name(&place).await;
    let mut ended_by = async |who: &str| {
        let after = name(&place).await;
        assert_ne!(after, before, "{who}");
        before = after;
    };
    place.open().await.close().await;
    ended_by("a server").await;
    Upkeep::open(place.settings()).await.unwrap().close();
    ended_by("key rotate").await;
    drop(PostgresImport::open(place.settings()).await.unwrap());
    ended_by("an import").await;
    migrate(&place.settings(), Migration { shards: None, citus: false }).await.unwrap();
    ended_by("migrate").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_is_known_by_its_connections() {
    let place = Place::new(Kind::Plain).await;
    let rarely = PostgresSettings { lease: Duration::from_secs(600), ..place.settings() };
    let store = Arc::new(place.open_with(rarely, 0).await);
    // As if it had been silent for a long time.
    place.sql("delete from pushroll.node").await;
    match standstill(&place).await {
        Standstill::Open(holders) => assert!(holders[0].contains("pushroll "), "{holders:?}"),
        other => panic!("{other:?}"),
    }
    // It wakes up and writes.
    World::new(Arc::clone(&store) as Arc<dyn Store>).await;
    store.close().await;
    name(&place).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_several_servers_nobody_knows() {
    let place = Place::new(Kind::ByShard).await;
    assert_eq!(standstill(&place).await, Standstill::Spread);
}
