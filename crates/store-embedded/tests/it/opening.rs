//! Opening, closing and opening again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pushroll_domain::{Finished, Outcome, PageRequest, Platform, Standing, Store};
use pushroll_store_embedded::{Look, OpenError};
use pushroll_store_suite::{RETENTION, World};

use crate::place::Place;

#[tokio::test]
async fn a_data_directory_is_made_once() {
    let place = Place::new();
    let store = place.open();
    assert!(store.is_new());
    assert_eq!(store.sealing_fingerprint().unwrap(), None);
    store.set_sealing_fingerprint(b"fingerprint").await.unwrap();
    drop(store);
    let store = place.open();
    assert!(!store.is_new());
    assert_eq!(store.sealing_fingerprint().unwrap().as_deref(), Some(&b"fingerprint"[..]));
}

#[tokio::test]
async fn a_second_process_is_told_who_has_the_directory() {
    let place = Place::new();
    let store = place.open();
    let Err(error) = place.try_open(place.settings()) else { panic!("two have it") };
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains(place.dir.path().to_str().unwrap()), "{message}");
    assert!(message.contains("in use by another pushroll"), "{message}");
    store.close().await;
    drop(store);
    place.open();
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_says_why() {
    let place = Place::new();
    let file = place.dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let settings = pushroll_store_embedded::EmbeddedSettings { path: file, ..place.settings() };
    assert!(matches!(place.try_open(settings), Err(OpenError::Io { .. })));
}

#[tokio::test]
async fn a_directory_of_another_user_is_refused_and_left_as_it_is_but_told_to_be_in_use() {
    let place = Place::new();
    let path = place.dir.path();
    if let Err(cause) = std::os::unix::fs::chown(path, Some(65_534), None) {
        // Only root gives a directory away, and only for root could it be another's.
        return eprintln!("NOT RUN: {cause}");
    }
    let Err(error) = place.try_open(place.settings()) else { panic!("it was opened") };
    assert!(matches!(error, OpenError::OfAnotherUser { owner: 65_534, .. }), "{error}");
    assert!(error.to_string().contains("sudo -u '#65534'"), "{error}");
    assert_eq!(std::fs::read_dir(path).unwrap().count(), 0);
    std::os::unix::fs::chown(path, Some(0), None).unwrap();
    let store = place.open();
    std::os::unix::fs::chown(path, Some(65_534), None).unwrap();
    // Whoever has it can be asked.
    assert!(matches!(place.try_open(place.settings()), Err(OpenError::Locked { .. })));
    store.close().await;
}

#[tokio::test]
async fn a_newer_format_is_refused_and_left_alone() {
    let place = Place::new();
    drop(place.open());
    let dir = place.dir.path().join("rocksdb");
    let mut options = rocksdb::Options::default();
    options.create_missing_column_families(true);
    let names = rocksdb::DB::list_cf(&options, &dir).unwrap();
    let newer = |extra: Option<&str>| {
        let names = names.iter().map(String::as_str).chain(extra);
        let db = rocksdb::DB::open_cf(&options, &dir, names).unwrap();
        db.put_cf(db.cf_handle("meta").unwrap(), "format", 7_u32.to_be_bytes()).unwrap();
    };
    for extra in [None, Some("holograms")] {
        newer(extra);
        let Err(OpenError::NewerFormat { found, known, .. }) = place.try_open(place.settings())
        else {
            panic!("it is opened");
        };
        assert_eq!((found, known), (7, 3));
    }
}

#[tokio::test]
async fn what_was_accepted_is_there_after_a_restart_and_in_nobodys_hands() {
    let place = Place::new();
    let world = World::new(Arc::new(place.open())).await;
    let taken = world.accept(&world.ios("ann", "a1")).await;
    let waiting = world.queue(&world.ios("ann", "a2")).await;
    let covered = world.accept(&world.ios("bob", "b1")).await;
    world.clean_up("bob").await;
    let stored = world.stored(&world.ios("carl", "c1")).await;
    world.store.close().await;
    let world = world.in_store(Arc::new(place.open()));
    world.waits_for(3).await;
    let again = world.taken_ids(world.lane(Platform::Ios), 3).await;
    let mut expected = [taken.id, waiting.id, covered.id];
    expected.sort();
    assert_eq!(again, expected);
    for one in [&taken, &waiting, &covered] {
        assert_eq!(world.verify(one).await, Finished::Ended(Outcome::Success));
    }
    assert_eq!(world.tokens("ann").await, ["a1", "a2"]);
    assert!(world.devices("bob").await.is_empty(), "the cleanup still covers it");
    assert_eq!(world.devices("carl").await[0].id, stored.id);
    // Its mark is gone with the last that it covered.
    world.stored(&world.ios("bob", "b1")).await;
    assert_eq!(world.tokens("bob").await, ["b1"]);
}

#[tokio::test]
async fn equal_registrations_keep_their_order_over_a_restart() {
    let place = Place::new();
    let world = World::new(Arc::new(place.open())).await;
    let first = world.accept(&world.ios("ann", "a1")).await;
    let second = world.accept(&world.ios("ann", "A1")).await;
    world.store.close().await;
    let world = world.in_store(Arc::new(place.open()));
    assert_eq!(world.standing(&first).await, Standing::Free);
    let after = Standing::After { id: first.id, due: first.due };
    assert_eq!(world.standing(&second).await, after);
    world.fail(&first).await;
    assert_eq!(world.standing(&second).await, Standing::Free);
}

#[tokio::test]
async fn the_order_of_commits_goes_on_after_a_restart() {
    let place = Place::new();
    let mut world = World::new(Arc::new(place.open())).await;
    for round in 0..5 {
        let user = format!("user {round}");
        let before = world.accept(&world.ios(&user, "a1")).await;
        world.store.close().await;
        world = world.in_store(Arc::new(place.open()));
        world.clean_up(&user).await;
        world.store.close().await;
        world = world.in_store(Arc::new(place.open()));
        let after = world.accept(&world.ios(&user, "a2")).await;
        world.verify(&before).await;
        world.verify(&after).await;
        assert_eq!(world.tokens(&user).await, ["a2"]);
    }
}

#[tokio::test]
async fn callbacks_wait_over_a_restart_and_attempted_ones_do_not_come_back() {
    let place = Place::new();
    let world = World::new(Arc::new(place.open())).await;
    for n in 0..4 {
        let asked =
            pushroll_store_suite::Asked { callback: Some(n), ..world.ios("ann", &format!("a{n}")) };
        world.stored(&asked).await;
    }
    let room = |limit| pushroll_domain::DeliveryRoom { limit, per_host: 1, ..Default::default() };
    let begun = world.store.begin_deliveries(room(2), world.now).await.unwrap();
    world.store.close().await;
    let world = world.in_store(Arc::new(place.open()));
    assert_eq!(world.store.deliveries_waiting().await.unwrap(), 2);
    let rest = world.store.begin_deliveries(room(9), world.now).await.unwrap();
    assert_eq!(rest.len(), 2);
    assert!(rest.iter().all(|one| begun.iter().all(|other| other.id != one.id)));
}

#[tokio::test]
async fn dropping_a_store_closes_it() {
    let place = Place::new();
    let world = World::new(Arc::new(place.open())).await;
    let one = world.queue(&world.ios("ann", "a1")).await;
    let World { store, now, app, .. } = world;
    drop(store);
    let store = place.open();
    assert!(store.registration(app, one.id, now).await.unwrap().is_some());
}

/// Merged, tables lose what is over, and keep the rest.
#[tokio::test]
async fn what_is_over_goes_when_its_table_is_merged() {
    let place = Place::new();
    let world = World::new(Arc::new(place.open())).await;
    for n in 0..50 {
        world.stored(&world.ios("ann", &format!("{n:02x}"))).await;
    }
    place.clock.set(world.now.plus(RETENTION / 2));
    let later = world.later(RETENTION / 2);
    let kept = later.stored(&later.ios("bob", "b1")).await;
    world.store.close().await;
    drop((world, later.store));
    // The clock of the merging store decides.
    let now = later.now.plus(RETENTION / 2 + Duration::from_millis(1));
    place.clock.set(now);
    let store = place.open();
    store.merge_everything().unwrap();
    assert_eq!(store.rows("outcomes").unwrap(), 1);
    assert_eq!(store.rows("history").unwrap(), 1);
    assert_eq!(store.rows("devices").unwrap(), 51);
    assert!(store.registration(later.app, kept.id, now).await.unwrap().is_some());
    let page = PageRequest { limit: 100, after: None };
    let ann = pushroll_domain::UserId::parse("ann").unwrap();
    assert_eq!(store.devices_of_user(later.app, &ann, page).await.unwrap().items.len(), 50);
}

/// Bounded generously: the figure is for whoever reads the log, the bound for what is quadratic.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_pending_registrations_are_counted_at_opening() {
    const COUNT: u64 = 100_000;
    let place = Place::new();
    let world = World::new(Arc::new(place.open())).await;
    for batch in 0..COUNT / 1_000 {
        let asked = |n: u64| world.ios(&format!("user {batch} {n}"), &format!("{n:064x}"));
        let batch: Vec<_> = (0..1_000).map(|n| world.made(&asked(n))).collect();
        world.accept_all(&batch, false).await;
    }
    world.store.close().await;
    let began = Instant::now();
    let world = world.in_store(Arc::new(place.open()));
    let took = began.elapsed();
    assert_eq!(world.store.waiting(world.app), COUNT);
    println!("opened with {COUNT} pending in {took:?}");
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert_eq!(world.take_exactly(world.lane(Platform::Ios), 5_000).await.len(), 5_000);
}

#[tokio::test]
async fn a_look_finds_what_is_there_and_leaves_it_as_it_is() {
    let place = Place::new();
    let clock: Arc<dyn pushroll_domain::Clock> = place.clock.clone();
    let look = || pushroll_store_embedded::look(&place.settings(), &clock).unwrap();
    assert!(matches!(look(), Look::Nothing));
    assert_eq!(std::fs::read_dir(place.dir.path()).unwrap().count(), 0);

    let store: Arc<dyn Store> = Arc::new(place.open());
    let world = World::new(Arc::clone(&store)).await;
    assert!(matches!(look(), Look::InUse));
    store.close().await;
    drop((world.store, store));
    let files = || {
        let entries = std::fs::read_dir(place.dir.path().join("rocksdb")).unwrap();
        let file = |entry: std::io::Result<std::fs::DirEntry>| {
            let entry = entry.unwrap();
            (entry.file_name(), entry.metadata().unwrap().len())
        };
        let mut files: Vec<_> = entries.map(file).collect();
        files.sort();
        files
    };
    let before = files();
    let Look::Store { directory, sealing_fingerprint } = look() else { panic!("there is one") };
    assert!(directory.org(world.org).is_some() && directory.app(world.app).is_some());
    assert_eq!(sealing_fingerprint, None);
    assert_eq!(files(), before);
    place.open();
}
