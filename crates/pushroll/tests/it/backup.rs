//! `pushroll backup`, of a running server and of one that stands still, and starting on it.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use pushroll_testkit::{Status, TestServer, a_device, a_server, eventually};

/// The program with the settings of this server, which listens where it does.
fn backup(server: &TestServer, directory: &str) -> Output {
    backup_with(server, "", &[directory])
}

/// As [`backup`], with more settings and other arguments.
fn backup_with(server: &TestServer, settings: &str, arguments: &[&str]) -> Output {
    let text = server.settings_text() + settings;
    let text = match server.address_if_running() {
        Some(address) => text.replace("127.0.0.1:0", &address.to_string()),
        None => text,
    };
    std::fs::write(server.dir().join("pushroll.toml"), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pushroll"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PUSHROLL_") {
            command.env_remove(name);
        }
    }
    command.current_dir(server.dir()).arg("backup").args(arguments).output().expect("the program")
}

#[track_caller]
fn told(output: &Output, code: i32) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}\n{complaint}");
    format!("{text}{complaint}")
}

/// Puts the backup in the place of the data, which is lost.
fn restore(server: &TestServer, from: &Path) {
    let data = server.data_directory();
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(from, &data).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_starts_on_a_backup_with_all_that_was_answered_before_it_began() {
    let server = a_server().start().await;
    let before = a_device().registered(&server).await;
    assert_eq!(server.status_of(&before).await, Status::Success);
    let text = told(&backup(&server, "a-backup"), 0);
    assert!(text.contains("The sealing key is not in it"), "{text}");
    let after = a_device().registered(&server).await;
    assert_eq!(server.status_of(&after).await, Status::Success);
    server.stop().await;
    restore(&server, &server.dir().join("a-backup"));
    server.start_again().await;
    assert_eq!(server.status_now(&before.id).await, Status::Success);
    assert_eq!(server.devices_of(&before.user).await.len(), 1);
    assert_eq!(server.status_now(&after.id).await, Status::Pending, "it came too late");
    // The credentials in it are of use with the key.
    let next = a_device().registered(&server).await;
    assert_eq!(server.status_of(&next).await, Status::Success);
}

/// While back ends go on registering devices.
#[tokio::test(flavor = "multi_thread")]
async fn all_that_was_answered_202_before_a_backup_of_a_busy_server_began_is_carried_to_its_end() {
    let server = a_server().start().await;
    let answered: Arc<Mutex<Vec<String>>> = Arc::default();
    let goes_on = Arc::new(AtomicBool::new(true));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (app, answered) = (server.app().clone(), Arc::clone(&answered));
            let goes_on = Arc::clone(&goes_on);
            tokio::spawn(async move {
                while goes_on.load(Ordering::Relaxed) {
                    let phones: Vec<_> = (0..20).map(|_| a_device().on_android().build()).collect();
                    let ids = app.register_all(&phones).tracked().await.registration_ids();
                    answered.lock().extend(ids);
                }
            })
        })
        .collect();
    let mut before = Vec::new();
    for round in 1..=3 {
        eventually("some hundred registrations", async || {
            (answered.lock().len() >= round * 300).then_some(())
        })
        .await;
        before.clone_from(&answered.lock());
        told(&backup(&server, &format!("backup-{round}")), 0);
    }
    goes_on.store(false, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    server.stop().await;
    restore(&server, &server.dir().join("backup-3"));
    server.start_again().await;
    assert!(before.len() >= 900);
    for ids in before.chunks(500) {
        eventually("the success of all that was answered", async || {
            let all = server.statuses(ids).await;
            all.iter().all(|status| *status == Status::Success).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_administration_is_under_tls_is_asked_for_a_backup_like_any_other() {
    let server = a_server().under_tls().start().await;
    let before = a_device().registered(&server).await;
    assert_eq!(server.status_of(&before).await, Status::Success);
    let [certificate, key] = ["pem", "key"].map(|extension| server.tls_file(extension));
    let tls = format!("[tls]\ncertificate_file = {certificate:?}\nkey_file = {key:?}\n");
    // Here the server's own certificate is known from its settings.
    told(&backup_with(&server, &tls, &["a-backup"]), 0);
    // From elsewhere its authority has to be.
    let address = server.address_if_running().unwrap();
    let url = format!("https://{address}");
    let ca = server.simulator().ca_pem_path().display().to_string();
    let directory = server.dir().join("another").display().to_string();
    let token = ["--admin-token", server.admin_token()];
    let asked = [directory.as_str(), "--url", &url, "--ca-file", &ca, token[0], token[1]];
    let text = told(&backup_with(&server, &tls, &asked), 0);
    assert!(text.contains(&directory), "{text}");
    let unknown = ["none", "--url", &url, token[0], token[1]];
    let text = told(&backup_with(&server, &tls, &unknown), 69);
    assert!(text.contains("TLS"), "{text}");
    let relative = ["none", "--url", &url, "--ca-file", &ca, token[0], token[1]];
    let text = told(&backup_with(&server, &tls, &relative), 65);
    assert!(text.contains("absolute"), "{text}");
    server.stop().await;
    restore(&server, &server.dir().join("another"));
    server.start_again().await;
    assert_eq!(server.status_now(&before.id).await, Status::Success);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_made_of_a_store_that_no_server_has() {
    let server = a_server().start().await;
    let before = a_device().registered(&server).await;
    assert_eq!(server.status_of(&before).await, Status::Success);
    server.stop().await;
    told(&backup(&server, "a-backup"), 0);
    restore(&server, &server.dir().join("a-backup"));
    server.start_again().await;
    assert_eq!(server.status_now(&before.id).await, Status::Success);
}

#[tokio::test(flavor = "multi_thread")]
async fn why_there_is_no_backup_is_told() {
    let server = a_server().start().await;
    std::fs::create_dir(server.dir().join("taken")).unwrap();
    std::fs::write(server.dir().join("taken/file"), "").unwrap();
    // The server refuses what it is given; without it the command fails.
    for code in [65, 1] {
        let text = told(&backup(&server, "taken"), code);
        assert!(text.contains("is there already"), "{text}");
        server.stop().await;
    }
    std::fs::remove_dir_all(server.data_directory()).unwrap();
    let text = told(&backup(&server, "a-backup"), 74);
    assert!(text.contains("there is no store in"), "{text}");
    assert!(!server.data_directory().exists(), "none is made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_holds_no_secret_in_the_clear() {
    let server = a_server().start().await;
    let phone = a_device().registered(&server).await;
    server.status_of(&phone).await;
    told(&backup(&server, "a-backup"), 0);
    let p8 = server.simulator().apns_key().p8.clone();
    let mut files = vec![server.dir().join("a-backup")];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        for secret in [p8.lines().nth(1).unwrap(), server.admin_token(), &server.token] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{} holds a secret", path.display());
        }
    }
}
