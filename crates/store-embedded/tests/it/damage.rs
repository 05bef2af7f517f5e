//! What is damaged is never taken for what was never there.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pushroll_domain::{Store, StoreError};
use pushroll_store_embedded::OpenError;
use pushroll_store_suite::World;

use crate::place::Place;

const ACCEPTED: u64 = 1_000;
const LOG_BLOCK: usize = 32 * 1024;

/// The largest file of this kind.
fn largest(dir: &Path, kind: &str) -> PathBuf {
    let files = fs::read_dir(dir.join("rocksdb")).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|is| is == kind));
    files.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
}

/// A closed store with pending registrations, one commit each.
async fn filled() -> Place {
    let place = Place::new();
    let world = World::new(Arc::new(place.open())).await;
    for n in 0..ACCEPTED {
        let one = world.made(&world.ios(&format!("user {n}"), &format!("{n:064x}")));
        world.accept_all(&[one], false).await;
    }
    world.store.close().await;
    place
}

/// How many registrations are pending after a file of the closed store has been changed.
async fn pending_after(kind: &str, damage: impl FnOnce(&mut Vec<u8>)) -> Result<u64, OpenError> {
    let place = filled().await;
    if kind == "sst" {
        // The second opening has written into tables what the first one left in the log.
        place.open().close().await;
    }
    let file = largest(place.dir.path(), kind);
    let mut bytes = fs::read(&file).unwrap();
    damage(&mut bytes);
    fs::write(&file, bytes).unwrap();
    let store = place.try_open(place.settings())?;
    let lanes = store.lanes().await.unwrap();
    Ok(lanes.iter().map(|load| load.pending).sum())
}

#[track_caller]
fn refuses(opened: Result<u64, OpenError>) {
    let Err(OpenError::Corrupt { path, reason }) = opened else {
        panic!("a damaged store is opened: {opened:?}");
    };
    let message = OpenError::Corrupt { path: path.clone(), reason }.to_string();
    assert!(message.contains(path.to_str().unwrap()), "{message}");
    assert!(message.contains("put a backup in its place"), "{message}");
}

#[tokio::test]
async fn a_changed_bit_in_the_middle_of_the_log_refuses_to_start() {
    refuses(
        pending_after("log", |log| {
            let middle = log.len() / 2;
            log[middle] ^= 1;
        })
        .await,
    );
}

#[tokio::test]
async fn a_lost_block_in_the_middle_of_the_log_refuses_to_start() {
    refuses(
        pending_after("log", |log| {
            let middle = log.len() / 2 / LOG_BLOCK * LOG_BLOCK;
            log[middle..middle + LOG_BLOCK].fill(0);
        })
        .await,
    );
}

/// The engine alone passes over some of these.
#[tokio::test]
async fn records_that_turned_into_zeros_refuse_to_start() {
    refuses(
        pending_after("log", |log| {
            // From the beginning of the first record of the store to the end of its block.
            log[..LOG_BLOCK].fill(0);
        })
        .await,
    );
}

#[tokio::test]
async fn a_torn_end_of_the_log_is_the_end() {
    let pending = pending_after("log", |log| log.truncate(log.len() - 100)).await.unwrap();
    assert_eq!(pending, ACCEPTED - 1);
}

/// When the power goes, a file may be as long as it was to be, and end in zeros.
#[tokio::test]
async fn an_end_of_the_log_that_turned_into_zeros_is_a_torn_end() {
    let pending = pending_after("log", |log| {
        let end = log.len();
        log[(end - 1_000).next_multiple_of(512)..].fill(0);
    });
    let left = pending.await.unwrap();
    assert!((ACCEPTED - 5..ACCEPTED).contains(&left), "{left}");
}

#[tokio::test]
async fn room_that_was_reserved_behind_the_log_is_no_damage() {
    let pending = pending_after("log", |log| log.extend([0; 3 * LOG_BLOCK])).await.unwrap();
    assert_eq!(pending, ACCEPTED);
}

#[tokio::test]
async fn a_changed_bit_in_a_table_is_noticed() {
    let place = filled().await;
    place.open().close().await;
    let mut noticed = 0;
    let tables = fs::read_dir(place.dir.path().join("rocksdb")).unwrap();
    let tables = tables.map(|entry| entry.unwrap().path());
    for table in tables.filter(|path| path.extension().is_some_and(|is| is == "sst")) {
        let good = fs::read(&table).unwrap();
        for at in [10, good.len() / 3, good.len() / 2] {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            fs::write(&table, bytes).unwrap();
            noticed += u32::from(is_noticed(&place).await);
        }
        fs::write(&table, good).unwrap();
    }
    assert!(noticed > 0);
    assert!(!is_noticed(&place).await);
}

/// Whether damage is noticed, at the opening or at reading; nothing is lost in silence.
async fn is_noticed(place: &Place) -> bool {
    let store = match place.try_open(place.settings()) {
        Ok(store) => store,
        Err(OpenError::Corrupt { .. }) => return true,
        Err(other) => panic!("it is damage: {other}"),
    };
    let now = pushroll_domain::Clock::now(&*place.clock).plus(std::time::Duration::from_secs(60));
    let mut found = 0;
    for load in store.lanes().await.unwrap() {
        match store.take_due(load.lane, now, usize::MAX).await {
            Ok(taken) => found += taken.len() as u64,
            Err(StoreError::Corrupt(_)) => return true,
            Err(other) => panic!("it is damage: {other}"),
        }
    }
    assert_eq!(found, ACCEPTED, "registrations are lost in silence");
    false
}

#[tokio::test]
async fn a_store_without_the_file_that_names_its_state_is_not_made_anew() {
    let place = filled().await;
    fs::remove_file(place.dir.path().join("rocksdb/CURRENT")).unwrap();
    let Err(OpenError::Corrupt { reason, .. }) = place.try_open(place.settings()) else {
        panic!("it is opened");
    };
    assert!(reason.contains("CURRENT is missing"), "{reason}");
}

#[tokio::test]
async fn a_missing_table_refuses_to_start() {
    let place = filled().await;
    place.open().close().await;
    fs::remove_file(largest(place.dir.path(), "sst")).unwrap();
    assert!(place.try_open(place.settings()).is_err());
}

/// The list of the engine's files, whatever its number.
fn manifest(place: &Place) -> PathBuf {
    let dir = place.dir.path().join("rocksdb");
    let name = fs::read_to_string(dir.join("CURRENT")).unwrap();
    dir.join(name.trim_end())
}

async fn pending(place: &Place) -> u64 {
    let store = place.open();
    let pending = store.lanes().await.unwrap().iter().map(|load| load.pending).sum();
    store.close().await;
    pending
}

/// The power goes while the engine adds a table to its list.
#[tokio::test]
async fn a_torn_end_of_the_manifest_is_the_end() {
    const TABLE_MADE: usize = 1_500;
    for zeros in [0, 1_000, 2 * LOG_BLOCK] {
        let place = filled().await;
        let path = manifest(&place);
        let mut bytes = fs::read(&path).unwrap();
        let whole = bytes.len();
        // A record of which all is lost behind a sector.
        let length = u16::try_from(TABLE_MADE).unwrap().to_le_bytes();
        bytes.extend([&[1, 2, 3, 4][..], &length, &[1]].concat());
        bytes.resize((whole + 100).next_multiple_of(512), 7);
        bytes.resize(bytes.len() + zeros, 0);
        fs::write(&path, bytes).unwrap();
        assert_eq!(pending(&place).await, ACCEPTED, "{zeros} zeros behind a part of a record");
    }
}

/// It was synced, and what it had made needless is gone: the end of the list can't be taken for one that never was.
#[tokio::test]
async fn a_lost_end_of_the_manifest_loses_nothing_in_silence() {
    const SMALL: u64 = 1024 * 1024;
    let running = Place::new();
    let mut settings = running.settings();
    settings.wal_bytes = SMALL;
    settings.write_buffer_bytes = usize::try_from(SMALL).unwrap();
    let world = World::new(Arc::new(running.try_open(settings).unwrap())).await;
    let mut accepted = 0;
    while fs::read(manifest(&running)).unwrap().len() < 4 * 1024 {
        let batch: Vec<_> = (accepted..accepted + 100)
            .map(|n| world.made(&world.ios(&format!("user {n}"), &format!("{n:064x}"))))
            .collect();
        world.accept_all(&batch, false).await;
        accepted += 100;
    }
    let (killed, good) = loop {
        let before = fs::read(manifest(&running)).unwrap();
        let killed = copy_of(&running);
        // The engine still made tables while it was copied.
        if fs::read(manifest(&running)).unwrap() == before {
            break (killed, before);
        }
    };
    assert_eq!(pending(&copy_of(&killed)).await, accepted);
    let mut refused = 0;
    for cut in (512..good.len()).step_by(512) {
        let copy = copy_of(&killed);
        let mut bytes = good.clone();
        bytes[cut..].fill(0);
        fs::write(manifest(&copy), bytes).unwrap();
        match copy.try_open(copy.settings()) {
            Err(OpenError::Corrupt { .. }) => refused += 1,
            Err(other) => panic!("it is damage: {other}"),
            Ok(store) => {
                store.close().await;
                assert_eq!(pending(&copy).await, accepted, "all from byte {cut} on is lost");
            }
        }
    }
    assert!(refused > 0, "{} bytes", good.len());
}

/// It was synced before it was named.
#[tokio::test]
async fn a_manifest_without_its_beginning_refuses_to_start_and_stays_as_it_is() {
    let place = filled().await;
    let path = manifest(&place);
    // A record of 1,535 bytes, of which a sector is there.
    let mut bytes = vec![1, 2, 3, 4, 0xff, 5, 1];
    bytes.resize(500, 7);
    bytes.resize(2_000, 0);
    fs::write(&path, &bytes).unwrap();
    refuses(place.try_open(place.settings()).map(|_| 0));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

/// The same store, in a place of its own.
fn copy_of(place: &Place) -> Place {
    let copy = Place::new();
    let (from, to) = (place.dir.path().join("rocksdb"), copy.dir.path().join("rocksdb"));
    fs::create_dir(&to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        // A log or a table that has just gone is in no list.
        let _ = fs::copy(entry.path(), to.join(entry.file_name()));
    }
    copy
}
