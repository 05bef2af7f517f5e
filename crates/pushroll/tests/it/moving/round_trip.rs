//! From store to store and back.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use pushroll_store_suite::moving::it_goes_on;

use super::place::{Place, records};
use crate::cli::arg;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_goes_to_postgresql_and_back_and_is_byte_for_byte_the_same() {
    let place = Place::new();
    let (first, second) = (place.embedded("first"), place.postgres("second", 16).await);
    let (world, filled) = first.fill().await;
    let there = place.path("there.ndjson");
    let exported = first.export(&there).await;
    assert_eq!(std::fs::metadata(&there).unwrap().permissions().mode() & 0o777, 0o600);
    let imported = second.import(&there).await;
    assert_eq!(imported["content"], exported["content"]);
    assert_eq!(imported["verified"], true);

    let back = place.path("back.ndjson");
    assert_eq!(second.export(&back).await["content"], exported["content"]);
    assert_eq!(records(&back), records(&there));
    let third = place.embedded("third");
    assert_eq!(third.import(&back).await["kinds"], exported["kinds"]);
    let again = place.path("again.ndjson");
    third.export(&again).await;
    assert_eq!(records(&again), records(&there));
    // Another number of shards, by way of a pipe.
    let fourth = place.postgres("fourth", 1).await;
    let file = std::fs::File::open(&again).unwrap();
    let mut import = fourth.command(&["import", "-"]);
    crate::cli::run(import.stdin(Stdio::from(file))).await.ended(0);

    for kept in [third, fourth] {
        let store = kept.open().await;
        it_goes_on(&world.clone().in_store(store.clone()), &filled).await;
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_digest_alone_tells_whether_two_stores_are_alike() {
    let place = Place::new();
    let (first, second) = (place.embedded("first"), place.embedded("second"));
    first.fill_with_devices(2_500).await;
    let file = place.path("export.ndjson");
    first.export(&file).await;
    second.import(&file).await;
    let mut digests = Vec::new();
    for kept in [&first, &second] {
        digests.push(kept.run(&["export", "--digest-only", "--json"]).await.json());
    }
    assert_eq!(digests[0]["content"], digests[1]["content"]);
    assert_eq!(digests[0]["kinds"]["device"], 2_500);
    let said = second.run(&["export", "--digest-only"]).await.ended(0);
    assert!(said.out.contains("2500  device"), "{}", said.out);

    // What goes to standard output is the export and nothing else.
    let piped = first.run(&["export", "-"]).await.ended(0);
    assert!(piped.out.starts_with("{\"header\":") && piped.out.ends_with("}}\n"));
    let kinds = "header, devices, org and app with their entries of the audit list, trailer";
    assert_eq!(piped.out.lines().count(), 1 + 2_500 + 4 + 1, "{kinds}");
    assert!(piped.err.contains("2500  device"), "{}", piped.err);
    let exists = first.run(&["export", arg(&file)]).await.ended(64);
    assert!(exists.err.contains("--force"), "{}", exists.err);
    first.run(&["export", arg(&file), "--force"]).await.ended(0);
}
