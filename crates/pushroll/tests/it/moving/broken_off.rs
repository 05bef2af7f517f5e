//! Moves that are broken off, and go on.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Stdio;

use super::place::{Kept, Place, records};
use crate::cli::arg;

const DEVICES: u64 = 25_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_that_was_broken_off_goes_on_where_it_was() {
    let place = Place::new();
    let store = place.embedded("store");
    store.fill_with_devices(DEVICES).await;
    let whole = place.path("whole.ndjson");
    store.export(&whole).await;
    let bytes = std::fs::read(&whole).unwrap();
    // In the middle of a line, and behind the last checkpoint.
    for (name, cut) in [("a", bytes.len() / 2), ("b", bytes.len() - 10)] {
        let file = place.path(name);
        std::fs::write(place.path(&format!("{name}.part")), &bytes[..cut]).unwrap();
        let report = store.run(&["export", arg(&file), "--resume", "--json"]).await.json();
        assert!(report["resumed_after"].as_u64().unwrap() >= 10_000, "{report}");
        assert_eq!(std::fs::read(&file).unwrap(), bytes, "as if nothing had happened");
    }
    let short = place.path("short");
    std::fs::write(place.path("short.part"), &bytes[..5_000]).unwrap();
    let said = store.run(&["export", arg(&short), "--resume"]).await.ended(65);
    assert!(said.err.contains("begin anew"), "{}", said.err);
    store.open().await.close().await;
    std::fs::write(place.path("short.part"), &bytes[..bytes.len() / 2]).unwrap();
    store.run(&["export", arg(&short), "--resume"]).await.ended(0);

    let changed = store.open().await;
    pushroll_store_suite::World::new(changed.clone()).await;
    changed.close().await;
    std::fs::write(place.path("late.part"), &bytes[..bytes.len() / 2]).unwrap();
    let said = store.run(&["export", arg(&place.path("late")), "--resume"]).await.ended(65);
    assert!(said.err.contains("has changed since"), "{}", said.err);
}

/// A database with so many devices.
async fn database_with(place: &Place, devices: u64) -> Kept {
    let (store, database) = (place.embedded("store"), place.postgres("database", 4).await);
    store.fill_with_devices(devices).await;
    let file = place.path("export");
    store.export(&file).await;
    database.import(&file).await;
    database
}

/// Exports into a pipe that takes so many bytes, and kills the export there: what it had written is in the part.
async fn export_killed_after(store: &Kept, file: &Path, bytes: usize) {
    let part = file.with_extension("part");
    let made = std::process::Command::new("mkfifo").arg(&part).status().unwrap();
    assert!(made.success());
    let mut export = store.command(&["export", arg(file)]).spawn().unwrap();
    let pipe = part.clone();
    let written = tokio::task::spawn_blocking(move || {
        let mut written = vec![0; bytes];
        let mut pipe = std::fs::File::open(pipe).unwrap();
        pipe.read_exact(&mut written).unwrap();
        (written, pipe)
    });
    let (written, pipe) = written.await.unwrap();
    export.kill().await.unwrap();
    drop(pipe);
    std::fs::remove_file(&part).unwrap();
    std::fs::write(&part, written).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_of_a_database_that_was_killed_goes_on_until_somebody_may_have_written() {
    let place = Place::new();
    let database = database_with(&place, DEVICES).await;
    let whole = place.path("whole");
    let exported = database.export(&whole).await;
    let half = usize::try_from(std::fs::metadata(&whole).unwrap().len()).unwrap() / 2;

    let file = place.path("file");
    export_killed_after(&database, &file, half).await;
    let resumed = database.run(&["export", arg(&file), "--resume", "--json"]).await.json();
    assert!(resumed["resumed_after"].as_u64().unwrap() >= 10_000, "{resumed}");
    assert_eq!(resumed["content"], exported["content"]);
    assert_eq!(records(&file), records(&whole));
    place.embedded("other").import(&file).await;

    // A server, which changes nothing, and a command that might.
    let late = place.path("late");
    export_killed_after(&database, &late, half).await;
    database.open().await.close().await;
    let said = database.run(&["export", arg(&late), "--resume"]).await.ended(65);
    assert!(said.err.contains("may have changed"), "{}", said.err);
    let later = place.path("later");
    export_killed_after(&database, &later, half).await;
    database.run(&["export", arg(&later), "--resume", "--live"]).await.ended(65);
    database.run(&["migrate"]).await.ended(0);
    let said = database.run(&["export", arg(&later), "--resume"]).await.ended(65);
    assert!(said.err.contains("may have changed"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_export_of_a_database_does_not_go_on_and_says_why() {
    let place = Place::new();
    let database = database_with(&place, 11_000).await;
    let other = place.path("other");
    let said = database.run(&["export", arg(&other), "--live"]).await.ended(0);
    assert!(said.err.contains("can't be resumed"), "{}", said.err);
    std::fs::rename(&other, place.path("other.part")).unwrap();
    for live in [None, Some("--live")] {
        let how: Vec<&str> = ["export", arg(&other), "--resume"].into_iter().chain(live).collect();
        let said = database.run(&how).await.ended(65);
        assert!(said.err.contains("one moment of the database"), "{}", said.err);
    }
}

/// Imports by a pipe that stops in the middle, and kills the import there.
async fn killed_in_the_middle(target: &Kept, file: &[u8]) {
    let mut import = target.command(&["import", "-"]);
    let mut child = import.stdin(Stdio::piped()).spawn().unwrap();
    let fd = child.stdin.take().unwrap().into_owned_fd().unwrap();
    let half = file[..file.len() / 2].to_vec();
    // Whoever has taken all but what a pipe and a few batches hold has put most of it into the store.
    let pipe = tokio::task::spawn_blocking(move || {
        let mut pipe = std::fs::File::from(fd);
        pipe.write_all(&half).unwrap();
        pipe
    });
    let pipe = pipe.await.unwrap();
    child.kill().await.unwrap();
    drop(pipe);
}

async fn import_goes_on(place: &Place, target: Kept) {
    let source = place.embedded("source");
    source.fill_with_devices(DEVICES).await;
    let file = place.path("export.ndjson");
    let exported = source.export(&file).await;
    killed_in_the_middle(&target, &std::fs::read(&file).unwrap()).await;

    let said = target.run(&["serve"]).await.ended(74);
    assert!(
        said.err.contains("pushroll import") && said.err.contains("not finished"),
        "{}",
        said.err
    );
    let said = target.run(&["export", "--digest-only"]).await.ended(74);
    assert!(said.err.contains("not finished"), "{}", said.err);
    let other = place.path("other.ndjson");
    source.export(&other).await;
    let said = target.run(&["import", arg(&other)]).await.ended(65);
    assert!(said.err.contains("is not the file"), "{}", said.err);

    let imported = target.import(&file).await;
    assert!(imported["resumed_after"].as_u64().unwrap() > 1_000, "{imported}");
    assert_eq!(imported["content"], exported["content"]);
    let again = target.import(&file).await;
    assert!(again["imported_before"].is_string(), "{again}");
    let said = target.run(&["import", arg(&other)]).await.ended(1);
    assert!(said.err.contains("not empty"), "{}", said.err);
    let back = place.path("back.ndjson");
    target.export(&back).await;
    assert_eq!(records(&back), records(&file));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_into_a_data_directory_that_was_killed_goes_on_where_it_was() {
    let place = Place::new();
    let target = place.embedded("target");
    import_goes_on(&place, target).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_into_a_database_that_was_killed_goes_on_where_it_was() {
    let place = Place::new();
    let target = place.postgres("target", 64).await;
    import_goes_on(&place, target).await;
}
