//! Starting and stopping: one process to a data directory, a stop that loses nothing, and starts that
//! refuse what is wrong with words that help.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use pushroll_testkit::{Receiver, Status};

use super::admin::{Admin, App};
use super::callbacks;
use super::dice::Dice;
use super::kills::prepare;
use super::ledger::Ledger;
use super::load::Load;
use super::now::now;
use super::place::{Place, free_address, quoted};
use super::settle;

const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// Starts the program, which must refuse; its exit code, and what it said.
async fn refused(place: &Place) -> (Option<i32>, String) {
    let before = fs::read_to_string(place.output()).unwrap_or_default().len();
    let mut process = place.launch();
    let status = process.end_within(ENDS_WITHIN).await;
    (status.code(), process.output()[before..].to_owned())
}

async fn two_apps(place: &Place) -> Vec<App> {
    let mut admin = Admin::of(place.address());
    let app = admin.make_app(&place.simulator).await;
    let other = admin.make_app_of(&app.org, &place.simulator).await;
    vec![app, other]
}

/// Asks for this and that, all of which must be answered; what was asked.
async fn some_load(address: SocketAddr, apps: &[App], test: &str) -> Ledger {
    let load = Load::in_haste(address, apps.to_vec(), None);
    let clients = load.clients(2, &mut Dice::thrown(test));
    load.answers(50).await;
    load.room.close();
    clients.join_all().await;
    assert_eq!(load.unavailable.load(Ordering::Relaxed), 0);
    load.ledger.lock().clone()
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_on_a_data_directory_is_refused_and_the_first_is_unharmed() {
    let mut place = Place::new().await;
    prepare(&mut place);
    let mut first = place.start().await;
    let apps = two_apps(&place).await;
    place.set(".listen", quoted(&free_address().to_string()));
    let (code, said) = refused(&place).await;
    assert_eq!(code, Some(75), "{said}");
    assert!(said.contains(place.path("data").to_str().expect("UTF-8")), "{said}");

    assert_eq!(first.has_ended(), None);
    // The port is the one that the first was started with.
    let ledger = some_load(first.address(), &apps, "second process").await;
    settle::hold_to(first.address(), &apps, &ledger).await.expect("an unharmed server");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_asked_to_stop_under_load_ends_well_and_the_next_carries_everything_on() {
    let mut dice = Dice::thrown("stop under load");
    let mut place = Place::new().await;
    prepare(&mut place);
    place.set("shutdown.deadline_seconds", "10");
    let receiver = Receiver::start().await;
    let url = receiver.url("/status/");
    let mut server = place.start().await;
    let mut admin = Admin::of(place.address());
    let apps = two_apps(&place).await;
    let load = Load::in_haste(place.address(), apps.clone(), Some(url.clone()));
    let clients = load.clients(4, &mut dice);
    let mut started = now();
    for _ in 0..4 {
        load.answers(60 + dice.below(60)).await;
        load.room.add_permits(60);
        server.ask_to_stop();
        let status = server.end_within(Duration::from_secs(30)).await;
        assert_eq!(status.code(), Some(0), "{status}");
        started = now();
        server = place.start().await;
    }
    load.room.close();
    clients.join_all().await;
    let ledger = load.ledger.lock().clone();
    let held = settle::hold_to(place.address(), &apps, &ledger).await;
    let ended = held.unwrap_or_else(|faults| panic!("{faults:#?}"));
    // What was under way was brought to its end: callbacks too.
    let came = || callbacks::ids(&receiver);
    let missing = callbacks::never_made(came, started, &mut admin, &apps, &ledger, &ended).await;
    assert!(missing.is_empty(), "{missing:?}");
    let came = callbacks::by_id(receiver.received()).expect("no callback twice");
    let faults = callbacks::faults(&came, &ended, &apps, &ledger, &url);
    assert!(faults.is_empty(), "{faults:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_the_moment_that_it_says_so_a_server_is_ready() {
    let mut place = Place::new().await;
    prepare(&mut place);
    let mut apps = None;
    for _ in 0..5 {
        let mut server = place.start().await;
        if apps.is_none() {
            apps = Some(two_apps(&place).await);
        }
        // Every answer is a 202: a 503 would be asserted against.
        some_load(server.address(), apps.as_ref().expect("apps"), "ready").await;
        server.kill();
    }
}

/// The longest write-ahead log in the directory or below.
fn longest_log(directory: &Path) -> PathBuf {
    let mut logs = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("a directory").flatten() {
            let (path, metadata) = (entry.path(), entry.metadata().expect("an entry"));
            if metadata.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "log") {
                logs.push((metadata.len(), path));
            }
        }
    }
    logs.sort();
    logs.pop().expect("a write-ahead log").1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_damaged_in_its_middle_is_refused_with_a_word_how_to_restore() {
    let place = Place::new().await;
    let mut server = place.start().await;
    let apps = two_apps(&place).await;
    some_load(server.address(), &apps, "damaged log").await;
    server.kill();
    let log = longest_log(&place.path("data"));
    let mut bytes = fs::read(&log).expect("the log");
    // Behind what was written there are zeros.
    let written = bytes.iter().rposition(|byte| *byte != 0).expect("a log with content");
    bytes[written / 2] ^= 0x55;
    fs::write(&log, bytes).expect("the log");
    let (code, said) = refused(&place).await;
    assert_eq!(code, Some(74), "{said}");
    assert!(said.to_lowercase().contains("restore") && said.contains("backup"), "{said}");
    assert!(said.contains(place.path("data").to_str().expect("UTF-8")), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_sealing_key_or_with_another_a_server_stops_and_names_the_file() {
    let place = Place::new().await;
    let mut server = place.start().await;
    Admin::of(place.address()).make_app(&place.simulator).await;
    server.kill();
    let key = place.path("key");
    let kept = fs::read(&key).expect("the key");
    fs::remove_file(&key).expect("the key");
    let (code, said) = refused(&place).await;
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains(key.to_str().expect("UTF-8")), "{said}");
    assert!(!key.exists(), "no other key is made for a store that has one");

    fs::write(&key, "HxwdHh8AAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRo=").expect("a file");
    let (code, said) = refused(&place).await;
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains(key.to_str().expect("UTF-8")), "{said}");

    fs::write(&key, kept).expect("a file");
    let _server = place.start().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_files_with_secrets_that_a_first_start_makes_are_for_its_owner_alone() {
    let mut place = Place::new().await;
    place.unset("sealing.key_file");
    place.unset("admin.token_file");
    let server = place.start().await;
    let (key, token) = (place.path("data/sealing.key"), place.path("data/admin-token"));
    assert_eq!(mode_of(&key), 0o600);
    assert_eq!(mode_of(&token), 0o600);
    let said = server.output();
    assert!(said.contains(token.to_str().expect("UTF-8")), "{said}");
    for secret in [&key, &token] {
        let secret = fs::read_to_string(secret).expect("a secret");
        assert!(secret.trim().len() > 20 && !said.contains(secret.trim()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_the_settings_is_told_at_once() {
    let mut place = Place::new().await;
    place.set("limits.body_bytes", "\"many\"");
    place.set("verification.retry_windw_seconds", "3");
    place.set("callbacks.allow_ranges", r#"["10.0.0.0/99"]"#);
    place.set("callbacks.under_way_per_host", "1000");
    let (code, said) = refused(&place).await;
    assert_eq!(code, Some(64), "{said}");
    for word in [
        "limits.body_bytes",
        "retry_windw_seconds",
        "retry_window_seconds",
        "10.0.0.0/99",
        "callbacks.under_way_per_host",
    ] {
        assert!(said.contains(word), "{word} in {said}");
    }
    assert!(!place.path("data").exists(), "nothing was begun");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcomes_and_devices_are_the_same_after_a_stop_and_a_start() {
    let mut place = Place::new().await;
    prepare(&mut place);
    let mut server = place.start().await;
    let apps = two_apps(&place).await;
    let ledger = some_load(server.address(), &apps, "stop and start").await;
    let before = settle::settled(place.address(), &apps, &ledger).await;
    assert!(before.values().any(|status| *status == Status::Success));
    server.ask_to_stop();
    assert_eq!(server.end_within(ENDS_WITHIN).await.code(), Some(0));
    let _server = place.start().await;
    assert_eq!(settle::settled(place.address(), &apps, &ledger).await, before);
    settle::hold_to(place.address(), &apps, &ledger).await.expect("the same");
}
