//! The blocks of the log that are written before they are needed.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pushroll_domain::{Clock, Registration, Store};
use pushroll_store_embedded::{EmbeddedSettings, Look, look};
use pushroll_store_suite::World;
use tempfile::TempDir;

use crate::place::Place;

const AHEAD: usize = 256 * 1024;

fn settings(place: &Place) -> EmbeddedSettings {
    EmbeddedSettings { wal_ahead_bytes: AHEAD, ..place.settings() }
}

fn logs(data: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(data.join("rocksdb")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|kind| kind == "log")).collect()
}

/// How many zeros each log ends in.
fn zeros(data: &Path) -> Vec<usize> {
    let zeros = |log| fs::read(log).unwrap().iter().rev().take_while(|byte| **byte == 0).count();
    logs(data).into_iter().map(zeros).collect()
}

/// What a crash at this moment would leave.
fn crashed(place: &Place) -> Place {
    let copy = Place { dir: TempDir::new().unwrap(), clock: Arc::clone(&place.clock) };
    fs::create_dir(copy.dir.path().join("rocksdb")).unwrap();
    // What the engine names last comes first: a table that it names is there.
    let mut files: Vec<_> = fs::read_dir(place.dir.path().join("rocksdb")).unwrap().collect();
    files.sort_by_key(|file| {
        let name = file.as_ref().unwrap().file_name().into_string().unwrap();
        (!name.starts_with("CURRENT"), !name.starts_with("MANIFEST"))
    });
    for file in files {
        let file = file.unwrap();
        match fs::copy(file.path(), copy.dir.path().join("rocksdb").join(file.file_name())) {
            // What is no longer of use may be removed at any time.
            Err(gone) if gone.kind() == ErrorKind::NotFound => {}
            copied => drop(copied.unwrap()),
        }
    }
    copy
}

async fn accept(world: &World, count: u64) -> Vec<Arc<Registration>> {
    let mut accepted = Vec::new();
    for n in 0..count {
        let from = world.store.waiting(world.app);
        let user = format!("user {from} {n}");
        accepted.push(world.accept(&world.ios(&user, &format!("{n:064x}"))).await);
    }
    accepted
}

#[tokio::test]
async fn the_log_ends_in_zeros_while_the_store_is_open_and_in_none_when_it_is_closed() {
    let place = Place::new();
    let world = World::new(Arc::new(place.try_open(settings(&place)).unwrap())).await;
    let data = place.dir.path();
    accept(&world, 2_000).await;
    let ahead = zeros(data);
    assert!(ahead.iter().any(|zeros| (AHEAD / 8..=AHEAD * 5 / 4).contains(zeros)), "{ahead:?}");
    world.store.close().await;
    assert!(zeros(data).iter().all(|zeros| *zeros < 16), "{:?}", zeros(data));
    let none = EmbeddedSettings { wal_ahead_bytes: 0, ..place.settings() };
    let world = World::new(Arc::new(place.try_open(none).unwrap())).await;
    accept(&world, 200).await;
    assert!(zeros(data).iter().all(|zeros| *zeros < 16), "{:?}", zeros(data));
    world.store.close().await;
}

#[tokio::test]
async fn after_a_crash_all_is_there_that_was_written_over_the_zeros() {
    let place = Place::new();
    let world = World::new(Arc::new(place.try_open(settings(&place)).unwrap())).await;
    let mut accepted = Vec::new();
    for _ in 0..5 {
        accepted.extend(accept(&world, 400).await);
        let copy = crashed(&place);
        assert!(zeros(copy.dir.path()).iter().any(|zeros| *zeros > 1_000));
        let store = copy.try_open(settings(&copy)).unwrap();
        let restored = world.clone().in_store(Arc::new(store));
        assert_eq!(restored.store.waiting(world.app), accepted.len() as u64);
        for one in &accepted {
            assert!(restored.view(one.id).await.is_some());
        }
        restored.store.close().await;
    }
    world.store.close().await;
}

/// Every log has its zeros, also those that a flush begins.
#[tokio::test]
async fn each_new_log_is_written_ahead() {
    let place = Place::new();
    let store = Arc::new(place.try_open(settings(&place)).unwrap());
    let world = World::new(Arc::clone(&store) as Arc<dyn Store>).await;
    let mut accepted = Vec::new();
    for _ in 0..3 {
        store.merge_everything().unwrap();
        accepted.extend(accept(&world, 100).await);
        let copy = crashed(&place);
        let newest = logs(copy.dir.path()).into_iter().max().unwrap();
        let log = fs::read(newest).unwrap();
        assert!(log.ends_with(&[0; 10_000]), "{} bytes", log.len());
        let restored = world.clone().in_store(Arc::new(copy.try_open(settings(&copy)).unwrap()));
        assert_eq!(restored.store.waiting(world.app), accepted.len() as u64);
        restored.store.close().await;
    }
    world.store.close().await;
}

/// A commit of many sectors, one of which had not reached the disk when the power went.
#[tokio::test]
async fn a_commit_that_was_cut_off_between_its_sectors_is_as_if_it_had_not_been() {
    let place = Place::new();
    let world = World::new(Arc::new(place.try_open(settings(&place)).unwrap())).await;
    let synced = accept(&world, 300).await;
    let before = crashed(&place);
    let batch =
        (0..200).map(|n| world.made(&world.ios(&format!("more {n}"), &format!("{n:064x}"))));
    world.accept_all(&batch.collect::<Vec<_>>(), false).await;
    let after = crashed(&place);
    world.store.close().await;
    let newest = |place: &Place| logs(place.dir.path()).into_iter().max().unwrap();
    let (old, new) = (fs::read(newest(&before)).unwrap(), fs::read(newest(&after)).unwrap());
    let begin = (0..new.len()).find(|at| old.get(*at) != Some(&new[*at])).unwrap();
    let end = new.iter().rposition(|byte| *byte != 0).unwrap();
    assert!(end - begin > 20_000, "{begin} to {end}");
    let sectors: Vec<usize> = (begin / 512..=end / 512).collect();
    for lost in [&sectors[..1], &sectors[1..2], &sectors[30..], &sectors[sectors.len() - 1..]] {
        let mut log = new.clone();
        for sector in lost {
            let bytes = sector * 512..(sector + 1) * 512;
            log[bytes.clone()].copy_from_slice(old.get(bytes).unwrap_or(&[0; 512]));
        }
        fs::write(newest(&after), log).unwrap();
        let copy = crashed(&after);
        let clock: Arc<dyn Clock> = copy.clock.clone();
        let looked = look(&settings(&copy), &clock).unwrap();
        assert!(matches!(looked, Look::BrokenOff), "{looked:?}");
        let restored = world.clone().in_store(Arc::new(copy.try_open(settings(&copy)).unwrap()));
        assert_eq!(restored.store.waiting(world.app), synced.len() as u64, "without {lost:?}");
        for one in &synced {
            assert!(restored.view(one.id).await.is_some());
        }
        restored.store.close().await;
    }
}
