//! Backups of a store in use, and starting on them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pushroll_domain::{BackUp, BackUpFault, Store};
use pushroll_store_embedded::{EmbeddedSettings, EmbeddedStore};
use pushroll_store_suite::{Asked, World};

use crate::place::Place;

fn opened(place: &Place, directory: &Path) -> EmbeddedStore {
    place.try_open(EmbeddedSettings { path: directory.to_owned(), ..place.settings() }).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_was_answered_before_a_backup_began_is_in_it_whatever_goes_on() {
    let place = Place::new();
    let backups = tempfile::tempdir().unwrap();
    let store = Arc::new(place.open());
    let world = World::new(Arc::clone(&store) as Arc<dyn Store>).await;
    let goes_on = Arc::new(AtomicBool::new(true));
    let load = {
        let (world, goes_on) = (world.clone(), Arc::clone(&goes_on));
        tokio::spawn(async move {
            let mut n = 0_u64;
            while goes_on.load(Ordering::Relaxed) {
                let asked = Asked { callback: Some(n), ..world.ios(&format!("other {n}"), "0a") };
                let one = world.accept(&asked).await;
                if n.is_multiple_of(2) {
                    world.verify(&one).await;
                }
                n += 1;
            }
        })
    };
    for round in 0..4 {
        let mut pending = Vec::new();
        for n in 0..20 {
            world.stored(&world.ios(&format!("user {round}"), &format!("{n:02x}"))).await;
            pending.push(
                world.accept(&world.android(&format!("user {round}"), &format!("a{n}"))).await,
            );
        }
        let directory = backups.path().join(format!("backup {round}"));
        store.back_up(directory.clone()).await.unwrap();
        let restored = world.clone().in_store(Arc::new(opened(&place, &directory)));
        for round in 0..=round {
            assert_eq!(restored.devices(&format!("user {round}")).await.len(), 20);
        }
        for one in &pending {
            assert!(restored.view(one.id).await.is_some());
            restored.verify(one).await;
        }
        assert_eq!(restored.devices(&format!("user {round}")).await.len(), 40);
        restored.store.close().await;
    }
    goes_on.store(false, Ordering::Relaxed);
    load.await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn a_backup_is_only_the_store_is_for_its_owner_and_leaves_no_draft() {
    let place = Place::new();
    fs::write(place.dir.path().join("sealing.key"), "the key").unwrap();
    fs::write(place.dir.path().join("admin-token"), "the token").unwrap();
    let store = place.open();
    let backups = tempfile::tempdir().unwrap();
    let directory = backups.path().join("deep/er");
    store.back_up(directory.clone()).await.unwrap();
    let names = |at: &Path| -> Vec<String> {
        let entries = fs::read_dir(at).unwrap().map(|entry| entry.unwrap().file_name());
        entries.map(|name| name.into_string().unwrap()).collect()
    };
    assert_eq!(names(&directory), ["rocksdb"]);
    assert_eq!(names(&backups.path().join("deep")), ["er"]);
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(EmbeddedStore::is_in(&directory));
}

#[tokio::test]
async fn a_backup_goes_into_an_empty_directory_and_over_nothing_else() {
    let place = Place::new();
    let store = place.open();
    let backups = tempfile::tempdir().unwrap();
    let empty = backups.path().join("empty");
    fs::create_dir(&empty).unwrap();
    store.back_up(empty.clone()).await.unwrap();
    let file = backups.path().join("file");
    fs::write(&file, "mine").unwrap();
    for taken in [&empty, &file, &backups.path().to_owned()] {
        let fault = store.back_up(taken.clone()).await.unwrap_err();
        assert!(matches!(fault, BackUpFault::Taken { .. }), "{fault}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    // What an attempt left that was broken off is in nobody's way.
    let draft = backups.path().join(".next.unfinished/rocksdb");
    fs::create_dir_all(&draft).unwrap();
    fs::write(draft.join("CURRENT"), "half").unwrap();
    store.back_up(backups.path().join("next")).await.unwrap();
    opened(&place, &backups.path().join("next")).close().await;
    store.close().await;
    let closed = store.back_up(backups.path().join("late")).await;
    assert!(matches!(closed, Err(BackUpFault::Store(_))), "{closed:?}");
}
