//! What is not imported, and what is said then.

use super::place::{KEY, Place};
use crate::cli::arg;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_damaged_cut_off_newer_or_none_leaves_nothing_behind() {
    let place = Place::new();
    let source = place.embedded("source");
    source.fill_with_devices(50).await;
    let file = place.path("export.ndjson");
    source.export(&file).await;
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let without_the_last = lines[..lines.len() - 1].join("\n") + "\n";
    let bad = [
        (text.replacen("\"user 7\"", "\"user 8\"", 1), "id was not made for this user"),
        (text.replacen("\"device\"", "\"telegram\"", 1), "unknown kind `telegram`"),
        (text.replacen("Shop", "Shap", 1), "not as it was written"),
        (without_the_last, "it is cut off after line"),
        (text.replacen("\"format\":1", "\"format\":2", 1), "format 2"),
        ("app,user\n".to_owned(), "does not begin as an export"),
    ];
    for (text, words) in bad {
        let damaged = place.path("damaged.ndjson");
        std::fs::write(&damaged, text).unwrap();
        let target = place.embedded("target");
        let said = target.run(&["import", arg(&damaged)]).await.ended(65);
        assert!(said.err.contains(words), "{words}: {}", said.err);
        assert!(said.err.contains("damaged.ndjson"), "{}", said.err);
        assert!(!place.path("target").exists(), "nothing was made: {words}");
    }
    let missing = place.embedded("target").run(&["import", "nowhere.ndjson"]).await.ended(66);
    assert!(missing.err.contains("nowhere.ndjson"), "{}", missing.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sealing_key_of_the_source_is_wanted_and_named() {
    let place = Place::new();
    let source = place.embedded("source");
    source.fill().await;
    let file = place.path("export.ndjson");
    source.export(&file).await;
    let exported = std::fs::read_to_string(&file).unwrap();
    let key = exported.split("\"sealing_keys\":[\"").nth(1).unwrap()[..16].to_owned();
    let target = place.embedded("target");
    let settings = std::fs::read_to_string(&target.settings).unwrap();
    let other = "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=";
    std::fs::write(&target.settings, settings.replace(KEY, other)).unwrap();
    let said = target.run(&["import", arg(&file)]).await.ended(78);
    assert!(said.err.contains(&format!("sealed under key {key}")), "{}", said.err);
    let beside = settings.replace(&format!("[sealing]\nkey = \"{KEY}\"\n"), "");
    std::fs::write(&target.settings, beside).unwrap();
    let said = target.run(&["import", arg(&file)]).await.ended(78);
    let path = place.path("target").join("sealing.key");
    assert!(said.err.contains(arg(&path)), "{}", said.err);
    assert!(!place.path("target").exists(), "nothing was made");

    // With a copy of the key it is imported, and a server starts with that key alone.
    std::fs::create_dir(place.path("target")).unwrap();
    std::fs::write(&path, KEY).unwrap();
    target.run(&["import", arg(&file)]).await.ended(0);
    std::fs::write(&path, other).unwrap();
    target.run(&["serve"]).await.ended(78);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_not_empty_stays_as_it_is() {
    let place = Place::new();
    let source = place.embedded("source");
    source.fill_with_devices(5).await;
    let file = place.path("export.ndjson");
    source.export(&file).await;
    let (embedded, postgres) = (place.embedded("other"), place.postgres("database", 8).await);
    for target in [embedded, postgres] {
        target.fill().await;
        let before = target.run(&["export", "--digest-only", "--json"]).await.json();
        let said = target.run(&["import", arg(&file)]).await.ended(1);
        assert!(said.err.contains("not empty") && said.err.contains("device"), "{}", said.err);
        let after = target.run(&["export", "--digest-only", "--json"]).await.json();
        assert_eq!(before["content"], after["content"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_a_server_has_is_left_to_it_with_a_word_what_to_do() {
    let place = Place::new();
    let (embedded, postgres) = (place.embedded("data"), place.postgres("database", 8).await);
    let nothing = embedded.run(&["export", "--digest-only"]).await.ended(74);
    assert!(nothing.err.contains("there is no store in"), "{}", nothing.err);
    for (kept, advice) in [(embedded, "pushroll backup"), (postgres, "--live")] {
        let store = kept.open().await;
        let said = kept.run(&["export", "--digest-only"]).await.ended(75);
        assert!(said.err.contains(advice), "{}", said.err);
        store.close().await;
        kept.run(&["export", "--digest-only"]).await.ended(0);
    }
}
