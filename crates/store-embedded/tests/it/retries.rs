//! Callbacks that are kept for another attempt, and the delivery log, over restarts and formats.

use std::sync::Arc;
use std::time::Duration;

use pushroll_domain::{
    AuditFilter, CallbackReport, CallbackResult, Delivery, DeliveryEnd, DeliveryRoom, PageRequest,
    Store,
};
use pushroll_store_embedded::EmbeddedSettings;
use pushroll_store_suite::{Asked, RETENTION, World};

use crate::place::Place;

const HOUR_MS: i64 = 3_600_000;

async fn begin(world: &World, again_in_ms: i64) -> Vec<Delivery> {
    let room = DeliveryRoom {
        limit: 99,
        retries: 99,
        per_host: 99,
        with_retries: Arc::new([world.app].into()),
        again_at: world.at(again_in_ms),
        under_way: Vec::new(),
    };
    world.store.begin_deliveries(room, world.now).await.unwrap()
}

async fn end(world: &World, delivery: &Delivery, retry_in_ms: Option<i64>) {
    let report = CallbackReport {
        result: CallbackResult::Answered { status: 500 },
        at: world.now,
        took: Duration::from_millis(5),
    };
    let (delivery, retry_at) = (Arc::new(delivery.clone()), retry_in_ms.map(|ms| world.at(ms)));
    world.store.end_deliveries(vec![DeliveryEnd { delivery, report, retry_at }]).await.unwrap();
}

async fn with_callbacks(place: &Place, count: u64) -> World {
    let world = World::new(Arc::new(place.open())).await;
    for n in 0..count {
        let asked = Asked { callback: Some(n), ..world.ios("ann", &format!("a{n}")) };
        world.stored(&asked).await;
    }
    world
}

async fn reopened(place: &Place, world: World) -> World {
    world.store.close().await;
    world.in_store(Arc::new(place.open()))
}

#[tokio::test]
async fn retries_wait_over_restarts_and_so_does_what_was_under_way() {
    let place = Place::new();
    let world = with_callbacks(&place, 4).await;
    let begun = begin(&world, HOUR_MS).await;
    end(&world, &begun[0], Some(-1)).await;
    end(&world, &begun[1], Some(2 * HOUR_MS)).await;
    end(&world, &begun[2], None).await;
    let world = reopened(&place, world).await;
    assert_eq!(world.store.deliveries_waiting().await.unwrap(), 3);
    assert_eq!(world.store.deliveries_retrying(world.app), 3);
    let ids = |begun: &[Delivery]| begun.iter().map(|one| one.id).collect::<Vec<_>>();
    let due = begin(&world, HOUR_MS).await;
    assert_eq!(ids(&due), [begun[0].id]);
    // The process died with this one and the fourth under way.
    let mut world = reopened(&place, world).await;
    world.now = world.at(HOUR_MS);
    let mut lost = ids(&begin(&world, HOUR_MS).await);
    lost.sort();
    let mut expected = [begun[0].id, begun[3].id];
    expected.sort();
    assert_eq!(lost, expected);
    world.now = world.at(HOUR_MS);
    let last = begin(&world, HOUR_MS).await;
    assert!(last.iter().any(|one| one.id == begun[1].id && one.attempt == 2));
    assert_eq!(world.store.deliveries_retrying(world.app), 3);
}

#[tokio::test]
async fn retries_that_are_due_and_were_not_begun_are_counted_after_a_restart() {
    let place = Place::new();
    let world = with_callbacks(&place, 3).await;
    for delivery in begin(&world, HOUR_MS).await {
        end(&world, &delivery, Some(-1)).await;
    }
    // They are let into the queues of their hosts, and none is begun.
    let none = DeliveryRoom { limit: 1, per_host: 0, ..DeliveryRoom::default() };
    assert!(world.store.begin_deliveries(none, world.now).await.unwrap().is_empty());
    let world = reopened(&place, world).await;
    assert_eq!(world.store.deliveries_waiting().await.unwrap(), 3);
    assert_eq!(world.store.deliveries_retrying(world.app), 3);
    let again = begin(&world, HOUR_MS).await;
    assert!(again.iter().all(|one| one.attempt == 2), "{again:?}");
    for delivery in &again {
        end(&world, delivery, None).await;
    }
    assert_eq!(world.store.deliveries_retrying(world.app), 0);
    assert_eq!(world.store.deliveries_waiting().await.unwrap(), 0);
}

#[tokio::test]
async fn the_delivery_log_goes_on_after_a_restart_and_loses_what_is_over() {
    let place = Place::new();
    let mut world = with_callbacks(&place, 3).await;
    let begun = begin(&world, HOUR_MS).await;
    end(&world, &begun[0], None).await;
    world.now = world.now.plus(RETENTION);
    place.clock.set(world.now);
    let world = reopened(&place, world).await;
    end(&world, &begun[1], None).await;
    let world = reopened(&place, world).await;
    end(&world, &begun[2], None).await;
    let page = PageRequest { limit: 9, after: None };
    let log = world.store.deliveries(world.app, page, world.now).await.unwrap().items;
    let ids: Vec<_> = log.iter().map(|record| record.id).collect();
    assert_eq!(ids, [begun[2].id, begun[1].id]);
    world.store.close().await;
    let store = place.open();
    assert_eq!(store.rows("deliveries").unwrap(), 3);
    store.merge_everything().unwrap();
    assert_eq!(store.rows("deliveries").unwrap(), 2);
}

#[tokio::test]
async fn the_delivery_log_has_no_more_rows_than_the_settings_say() {
    let place = Place::new();
    let settings = EmbeddedSettings { deliveries_logged: 5, ..place.settings() };
    let store = Arc::new(place.try_open(settings).unwrap());
    let world = World::new(Arc::clone(&store) as Arc<dyn Store>).await;
    for n in 0..23 {
        let asked = Asked { callback: Some(n), ..world.ios("ann", &format!("a{n}")) };
        world.stored(&asked).await;
        let begun = begin(&world, HOUR_MS).await;
        end(&world, &begun[0], None).await;
    }
    assert_eq!(store.rows("deliveries").unwrap(), 5);
}

/// The callbacks that wait are still made, the app is still there.
#[tokio::test]
async fn a_store_of_format_1_is_brought_up_to_date() {
    let place = Place::new();
    let world = with_callbacks(&place, 2).await;
    let (app, now) = (world.app, world.now);
    world.store.close().await;
    drop(world.store);
    let dir = place.dir.path().join("rocksdb");
    let mut options = rocksdb::Options::default();
    options.create_if_missing(false);
    {
        let names = rocksdb::DB::list_cf(&options, &dir).unwrap();
        let mut db = rocksdb::DB::open_cf(&options, &dir, names).unwrap();
        db.drop_cf("retries").unwrap();
        db.drop_cf("deliveries").unwrap();
        db.drop_cf("audit").unwrap();
        db.put_cf(db.cf_handle("meta").unwrap(), "format", 1_u32.to_be_bytes()).unwrap();
    }
    for _ in 0..2 {
        let store = place.open();
        assert!(!store.is_new());
        assert!(store.directory().await.unwrap().app(app).is_some());
        let page = PageRequest { limit: 9, after: None };
        let audit = store.audit(AuditFilter::default(), page).await.unwrap();
        assert_eq!(audit.items, []);
        assert_eq!(store.deliveries_waiting().await.unwrap(), 2);
        store.close().await;
    }
    let names = rocksdb::DB::list_cf(&options, &dir).unwrap();
    {
        let db = rocksdb::DB::open_cf(&options, &dir, names).unwrap();
        let format = db.get_cf(db.cf_handle("meta").unwrap(), "format").unwrap().unwrap();
        assert_eq!(format, 3_u32.to_be_bytes());
    }
    let store = place.open();
    let room = DeliveryRoom { limit: 9, per_host: 9, ..DeliveryRoom::default() };
    assert_eq!(store.begin_deliveries(room, now).await.unwrap().len(), 2);
}
