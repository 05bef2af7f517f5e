//! Moving everything out of a database, and into another.

use std::sync::Arc;

use pushroll_domain::{ImportProgress, MoveIn, MoveOut, MovingView, RecordKind, Store};
use pushroll_store_postgres::{
    MoveError, OpenError, PostgresExport, PostgresImport, PostgresStore,
};
use pushroll_store_suite::World;
use pushroll_store_suite::moving::{
    Filled, fill, has_everything, it_goes_on, progress, put_all, records_of, sorted,
};

use crate::place::{Kind, OffClock, Place, node};

async fn filled(kind: Kind) -> (Place, World, Filled) {
    let place = Place::new(kind).await;
    let store = Arc::new(place.open().await);
    let world = World::new(Arc::clone(&store) as Arc<dyn Store>).await;
    let filled = fill(&world).await;
    store.close().await;
    (place, world, filled)
}

async fn export(place: &Place) -> PostgresExport {
    PostgresExport::open(place.settings(), false).await.unwrap()
}

/// Out of one database, and into one with another number of shards.
async fn moved(from: Kind, to: Kind) {
    let (place, world, filled) = filled(from).await;
    let out = export(&place).await;
    let records = records_of(&out, 1_000).await;
    has_everything(&records, &filled);
    for limit in [1, 7] {
        assert_eq!(sorted(&records_of(&out, limit).await), sorted(&records));
    }

    let other = Place::new(to).await;
    let into = PostgresImport::open(other.settings()).await.unwrap();
    assert!(records_of(&into.look().await.unwrap(), 1).await.is_empty());
    put_all(&into, &world, &records).await;
    assert_eq!(sorted(&records_of(&into.look().await.unwrap(), 5).await), sorted(&records));
    drop(into);
    let store = Arc::new(other.open().await);
    it_goes_on(&world.in_store(Arc::clone(&store) as Arc<dyn Store>), &filled).await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_comes_out_goes_in_and_goes_on() {
    moved(Kind::Plain, Kind::ByShard).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_comes_out_of_a_database_that_is_called_by_shard() {
    moved(Kind::ByShard, Kind::Plain).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_on_which_servers_work_is_neither_imported_into_nor_exported_unasked() {
    let (place, world, _) = filled(Kind::Plain).await;
    let store = Arc::new(place.open().await);
    for fault in [
        PostgresExport::open(place.settings(), false).await.err().unwrap(),
        PostgresImport::open(place.settings()).await.err().unwrap(),
    ] {
        assert!(matches!(fault, MoveError::Serving { .. }), "{fault}");
    }
    let live = PostgresExport::open(place.settings(), true).await.unwrap();
    let before = records_of(&live, 100).await;
    let org = pushroll_domain::Org { name: "later".into(), ..world.an_org() };
    world.in_store(Arc::clone(&store) as Arc<dyn Store>).put_org(org).await.unwrap();
    assert_eq!(sorted(&records_of(&live, 100).await), sorted(&before), "it stands still");
    store.close().await;
    assert_ne!(sorted(&records_of(&export(&place).await, 100).await), sorted(&before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_server_starts_on_a_half_imported_database() {
    let (_place, world, _) = filled(Kind::Plain).await;
    let other = Place::new(Kind::Plain).await;
    let into = PostgresImport::open(other.settings()).await.unwrap();
    into.put(Vec::new(), progress(&world, 5)).await.unwrap();
    let busy = PostgresImport::open(other.settings()).await.err().unwrap();
    assert!(matches!(busy, MoveError::Importing), "{busy}");
    let open = async || PostgresStore::open(other.settings(), Arc::new(OffClock(0)), node()).await;
    let fault = open().await.err().unwrap();
    assert!(matches!(fault, OpenError::Schema(_)), "{fault}");
    assert!(fault.to_string().contains("pushroll import"), "{fault}");
    assert!(PostgresExport::open(other.settings(), false).await.is_err());
    let finished = ImportProgress { finished_at: Some(world.now), ..progress(&world, 5) };
    into.put(Vec::new(), finished).await.unwrap();
    open().await.unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_started_just_before_an_import_is_noticed() {
    let (_place, world, _) = filled(Kind::Plain).await;
    let other = Place::new(Kind::Plain).await;
    let into = PostgresImport::open(other.settings()).await.unwrap();
    let store = other.open().await;
    let fault = into.put(Vec::new(), progress(&world, 0)).await.unwrap_err();
    assert!(fault.to_string().contains("servers work on it"), "{fault}");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_over_and_what_is_too_much_of_a_log_is_left_out() {
    let (place, world, _) = filled(Kind::Plain).await;
    let count = async |kind, view| {
        export(&place).await.records(kind, view, None, 10_000).await.unwrap().records.len()
    };
    let view = |ended_after| MovingView { ended_after, ..MovingView::EVERYTHING };
    let all = count(RecordKind::Outcome, MovingView::EVERYTHING).await;
    let some = count(RecordKind::Outcome, view(world.at(-50_000))).await;
    assert!(0 < some && some < all, "{some} of {all}");
    assert_eq!(count(RecordKind::Delivery, view(world.at(-55))).await, 5);
    let newest = MovingView { logged_per_app: 4, ..MovingView::EVERYTHING };
    assert_eq!(count(RecordKind::Delivery, newest).await, 4);
}
