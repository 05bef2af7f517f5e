//! Making the schema, and refusing what is not the schema.

use pushroll_store_postgres::{
    Migration, OpenError, PostgresSettings, PostgresStore, SchemaError, migrate,
};
use pushroll_testkit_postgres::PostgresServer;
use std::sync::Arc;

use crate::place::{Kind, OffClock, Place, node};

const NEW: Migration = Migration { shards: None, citus: false };

async fn empty() -> (String, PostgresSettings) {
    let server = PostgresServer::shared();
    let database = tokio::task::spawn_blocking(|| server.create_database()).await.unwrap();
    let settings = PostgresSettings::new(server.url(&database).parse().unwrap());
    (database, settings)
}

async fn open(settings: &PostgresSettings) -> Result<PostgresStore, OpenError> {
    PostgresStore::open(settings.clone(), Arc::new(OffClock(0)), node()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_may_migrate_at_once_and_again() {
    let (_, settings) = empty().await;
    let all = tokio::join!(
        migrate(&settings, NEW),
        migrate(&settings, NEW),
        migrate(&settings, NEW),
        migrate(&settings, NEW)
    );
    let all = [all.0.unwrap(), all.1.unwrap(), all.2.unwrap(), all.3.unwrap()];
    assert_eq!(all.iter().filter(|one| !one.applied.is_empty()).count(), 1, "{all:?}");
    assert!(all.iter().all(|one| one.shards == 64));
    assert!(migrate(&settings, NEW).await.unwrap().applied.is_empty());
    assert_eq!(open(&settings).await.unwrap().held_shards().len(), 64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_shards_is_fixed_when_the_database_is_made() {
    let (_, settings) = empty().await;
    let with = |shards| Migration { shards: Some(shards), citus: false };
    for wrong in [0, 3, 63, 8_192] {
        assert!(matches!(migrate(&settings, with(wrong)).await, Err(SchemaError::Shards)));
    }
    assert_eq!(migrate(&settings, with(16)).await.unwrap().shards, 16);
    assert_eq!(migrate(&settings, NEW).await.unwrap().shards, 16);
    let fault = migrate(&settings, with(64)).await.unwrap_err().to_string();
    assert!(fault.contains("16 shards"), "{fault}");
    assert_eq!(open(&settings).await.unwrap().shard_count(), 16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_without_the_schema_says_what_to_run() {
    let (_, settings) = empty().await;
    let fault = open(&settings).await.err().unwrap().to_string();
    assert!(fault.contains("pushroll migrate"), "{fault}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_schema_and_other_functions_are_refused() {
    let place = Place::new(Kind::Plain).await;
    place.sql("update pushroll.installation set functions = 'other'").await;
    let fault = open(&place.settings()).await.err().unwrap().to_string();
    assert!(fault.contains("pushroll migrate"), "{fault}");
    migrate(&place.settings(), NEW).await.unwrap();
    open(&place.settings()).await.unwrap();
    place.sql("insert into pushroll.migration values (9999, 'later', '', '')").await;
    for fault in [
        open(&place.settings()).await.err().unwrap().to_string(),
        migrate(&place.settings(), NEW).await.unwrap_err().to_string(),
    ] {
        assert!(fault.contains("9999") && fault.contains("newer"), "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_citus_nothing_is_distributed() {
    let (_, settings) = empty().await;
    let fault = migrate(&settings, Migration { shards: None, citus: true }).await.unwrap_err();
    assert!(matches!(fault, SchemaError::NoCitus), "{fault}");
    assert!(!migrate(&settings, NEW).await.unwrap().citus);
    open(&settings).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_can_t_be_reached_is_told_without_the_password() {
    let url = "postgres://me:hunter2@127.0.0.1:1/roll".parse().unwrap();
    let settings = PostgresSettings::new(url);
    for fault in [
        open(&settings).await.err().unwrap().to_string(),
        migrate(&settings, NEW).await.unwrap_err().to_string(),
    ] {
        assert!(fault.contains("reached") && !fault.contains("hunter2"), "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_sealing_key_stays() {
    let place = Place::new(Kind::Plain).await;
    let store = place.open().await;
    assert_eq!(store.sealing_fingerprint().await.unwrap(), None);
    let replace = async |old: Option<&[u8]>, new: &[u8]| {
        store.replace_sealing_fingerprint(old, new).await.unwrap().unwrap()
    };
    assert_eq!(replace(None, b"one").await, b"one");
    assert_eq!(replace(None, b"two").await, b"one", "another was first");
    assert_eq!(replace(Some(b"one"), b"two one").await, b"two one");
}
