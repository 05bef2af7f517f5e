//! Moving everything out of a data directory, and into another.

use std::sync::Arc;

use pushroll_domain::{
    Clock, ImportProgress, MoveIn, MoveOut, MovingView, Record, RecordKind, Store,
};
use pushroll_store_embedded::{EmbeddedMover, EmbeddedSettings, Look, OpenError, look};
use pushroll_store_suite::World;
use pushroll_store_suite::moving::{
    Filled, fill, has_everything, it_goes_on, progress, put_all, records_of, sorted,
};

use crate::place::Place;

fn mover(place: &Place) -> EmbeddedMover {
    let clock: Arc<dyn Clock> = place.clock.clone();
    EmbeddedMover::open(place.settings(), &clock).unwrap()
}

async fn filled() -> (Place, World, Filled) {
    let place = Place::new();
    let store = Arc::new(place.open());
    let world = World::new(Arc::clone(&store) as Arc<dyn Store>).await;
    let filled = fill(&world).await;
    store.close().await;
    (place, world, filled)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_comes_out_goes_in_and_goes_on() {
    let (place, world, filled) = filled().await;
    let out = mover(&place);
    let records = records_of(&out, 1_000).await;
    has_everything(&records, &filled);
    for limit in [1, 7] {
        assert_eq!(sorted(&records_of(&out, limit).await), sorted(&records));
    }

    let other = Place::new();
    let into = mover(&other);
    put_all(&into, &world, &records).await;
    assert_eq!(sorted(&records_of(&into, 5).await), sorted(&records));
    drop(into);
    let store = Arc::new(other.open());
    it_goes_on(&world.in_store(Arc::clone(&store) as Arc<dyn Store>), &filled).await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_imported_store_is_opened_by_nobody_but_the_import() {
    let (_place, world, _) = filled().await;
    let other = Place::new();
    let into = mover(&other);
    let org = Record::Org(world.an_org());
    into.put(vec![org.clone()], progress(&world, 1)).await.unwrap();
    drop(into);
    let fault = other.try_open(other.settings()).err().unwrap();
    assert!(matches!(fault, OpenError::HalfImported { records: 1, .. }), "{fault}");
    assert!(fault.to_string().contains("pushroll import"), "{fault}");
    let clock: Arc<dyn Clock> = other.clock.clone();
    assert!(matches!(look(&other.settings(), &clock), Err(OpenError::HalfImported { .. })));

    let into = mover(&other);
    assert_eq!(into.progress().await.unwrap(), Some(progress(&world, 1)));
    let finished = ImportProgress { finished_at: Some(world.now), ..progress(&world, 1) };
    into.put(Vec::new(), finished).await.unwrap();
    drop(into);
    assert!(matches!(look(&other.settings(), &clock), Ok(Look::Store { .. })));
    other.open().close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_over_and_what_is_too_much_of_a_log_is_left_out() {
    let (place, world, _) = filled().await;
    let out = mover(&place);
    let count =
        async |kind, view| out.records(kind, view, None, 10_000).await.unwrap().records.len();
    let view = |ended_after| MovingView { ended_after, ..MovingView::EVERYTHING };
    let all = count(RecordKind::Outcome, MovingView::EVERYTHING).await;
    let some = count(RecordKind::Outcome, view(world.at(-50_000))).await;
    assert!(0 < some && some < all, "{some} of {all}");
    assert_eq!(count(RecordKind::Outcome, view(world.at(1))).await, 0);
    // Those that were begun 50 to 58 milliseconds ago.
    assert_eq!(count(RecordKind::Delivery, view(world.at(-55))).await, 5);
    let newest = MovingView { logged_per_app: 4, ..MovingView::EVERYTHING };
    assert_eq!(count(RecordKind::Delivery, newest).await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_dropped_while_it_is_moved_however_late_it_is() {
    let (place, world, _) = filled().await;
    let records = records_of(&mover(&place), 1_000).await;
    place.clock.set(world.at(1_000 * 24 * 3_600_000));
    let other = Place::new();
    other.clock.set(world.at(1_000 * 24 * 3_600_000));
    let settings = EmbeddedSettings { write_buffer_bytes: 64 * 1024, ..other.settings() };
    let clock: Arc<dyn Clock> = other.clock.clone();
    let into = EmbeddedMover::open(settings, &clock).unwrap();
    put_all(&into, &world, &records).await;
    drop(into);
    assert_eq!(sorted(&records_of(&mover(&other), 1_000).await), sorted(&records));
    assert_eq!(sorted(&records_of(&mover(&place), 1_000).await), sorted(&records));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_s_state_is_the_same_until_it_is_written() {
    let (place, world, _) = filled().await;
    let before = mover(&place).state();
    assert_eq!(mover(&place).state(), before, "opening changes nothing");
    let store = Arc::new(place.open());
    let world = world.in_store(Arc::clone(&store) as Arc<dyn Store>);
    world.put_org(world.an_org()).await.unwrap();
    store.close().await;
    drop(store);
    assert!(mover(&place).state() > before);
}
