//! `pushroll key rotate`: everything under a new key, and no harm when it is broken off.

use std::path::PathBuf;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pushroll_testkit::{
    Receiver, Response, Status, TestServer, a_device, a_server, days, eventually,
};

fn key(byte: u8) -> String {
    STANDARD.encode([byte; 32])
}

/// The key that every server under test begins with.
fn old_key() -> String {
    key(7)
}

fn rotate(server: &TestServer, sealing: &str) -> Output {
    let given = format!("key = \"{}\"", old_key());
    let text = server.settings_text();
    assert!(text.contains(&given));
    std::fs::write(server.dir().join("pushroll.toml"), text.replace(&given, sealing)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pushroll"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PUSHROLL_") {
            command.env_remove(name);
        }
    }
    command.current_dir(server.dir()).args(["key", "rotate"]).output().expect("the program")
}

#[track_caller]
fn told(output: &Output, code: i32) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}\n{complaint}");
    for secret in [old_key(), key(8)] {
        assert!(!text.contains(&secret) && !complaint.contains(&secret), "a key is shown");
    }
    format!("{text}{complaint}")
}

/// A server that was stopped with a callback, whose headers are sealed, waiting for another attempt, and
/// a registration with such headers waiting for its verification.
async fn stopped_with_sealed_things() -> (TestServer, Receiver, [String; 2]) {
    let server = a_server().on_a_manual_clock().start().await;
    server.try_callbacks_again(Some(days(3))).await;
    let receiver = Receiver::start().await;
    receiver.answers([Response::status(500)]);
    let mut ids = Vec::new();
    for _ in 0..2 {
        let request = server.register(&a_device().build()).tracked().callback(&receiver.url("/"));
        let headers = r#"{"X-Secret": "secret-of-the-caller"}"#;
        let id = request.header("x-ms-callback-url-headers", headers).await.registration_id();
        if ids.is_empty() {
            server.deliveries_of(&id, 1).await;
            server.stop().await;
            server.set("verification.paused", true);
            server.start_again().await;
        }
        ids.push(id);
    }
    server.stop().await;
    server.set("verification.paused", false);
    (server, receiver, ids.try_into().unwrap())
}

/// Everything that was sealed opens: credentials, webhook secret, callers' headers.
async fn all_opens(server: &TestServer, receiver: &Receiver, ids: &[String; 2]) {
    let phone = a_device().registered(server).await;
    assert_eq!(server.status_of(&phone).await, Status::Success);
    server.clock().advance(days(1));
    for id in ids {
        eventually(&format!("the callback of {id}"), async || {
            let log = server.deliveries_of(id, 1).await;
            (log[0]["result"] == "delivered").then_some(())
        })
        .await;
    }
    for callback in receiver.received() {
        assert_eq!(callback.header("x-secret"), Some("secret-of-the-caller"));
        assert!(callback.header("webhook-signature").is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_a_file_is_replaced_and_the_old_one_is_kept_for_old_backups() {
    let (server, receiver, ids) = stopped_with_sealed_things().await;
    let file = server.dir().join("the.key");
    std::fs::write(&file, old_key()).unwrap();
    let sealing = format!("key_file = {file:?}");
    let text = told(&rotate(&server, &sealing), 0);
    assert!(text.contains("Everything is sealed under key"), "{text}");
    let new = std::fs::read_to_string(&file).unwrap();
    assert_eq!(new.lines().count(), 1);
    assert_ne!(new.trim(), old_key());
    let kept: Vec<PathBuf> = std::fs::read_dir(server.dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("the.key.before-"))
        .collect();
    assert_eq!(std::fs::read_to_string(&kept[0]).unwrap().trim(), old_key());
    let refused = server.try_to_start_again().await.unwrap_err().to_string();
    assert!(refused.contains("is sealed under key"), "{refused}");
    server.set("sealing.key", new.trim());
    server.start_again().await;
    all_opens(&server, &receiver, &ids).await;
    assert_eq!(rotations(&server).await, 1);
}

/// How many rotations the audit list tells of.
async fn rotations(server: &TestServer) -> usize {
    let list = server.admin_get("/audit").await.expect(200).json();
    let entries = list["items"].as_array().unwrap().clone();
    let is_rotation = |entry: &&serde_json::Value| entry["action"] == "sealing-key.rotate";
    for entry in entries.iter().filter(is_rotation) {
        assert_eq!(entry["by"], "command line");
        assert!(!entry.to_string().contains(&old_key()));
    }
    entries.iter().filter(is_rotation).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_the_settings_is_replaced_by_one_that_is_put_before_it() {
    let (server, receiver, ids) = stopped_with_sealed_things().await;
    let text = told(&rotate(&server, &format!("key = \"{}\"", old_key())), 64);
    assert!(text.contains("put a new one before it in sealing.key"), "{text}");
    let both = format!("{} {}", key(8), old_key());
    // A server that starts with both seals under the new one, and opens under both.
    server.set("sealing.key", &both);
    server.start_again().await;
    let phone = a_device().registered(&server).await;
    assert_eq!(server.status_of(&phone).await, Status::Success);
    server.stop().await;
    server.set("sealing.key", key(8));
    let refused = server.try_to_start_again().await.unwrap_err().to_string();
    assert!(refused.contains("sealing.key"), "the old one is still needed: {refused}");
    told(&rotate(&server, &format!("key = \"{both}\"")), 0);
    server.start_again().await;
    all_opens(&server, &receiver, &ids).await;
    assert_eq!(rotations(&server).await, 1);
}

/// As a crash between any two steps leaves it.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_was_broken_off_is_finished_by_the_next() {
    let (server, receiver, ids) = stopped_with_sealed_things().await;
    let file = server.dir().join("the.key");
    let both = format!("{}\n{}\n", key(8), old_key());
    let sealing = format!("key_file = {file:?}");
    // The file was written and nothing else was done; or all was done but the file.
    for _ in 0..2 {
        std::fs::write(&file, &both).unwrap();
        let text = told(&rotate(&server, &sealing), 0);
        assert!(text.contains("had been begun is finished"), "{text}");
        assert_eq!(std::fs::read_to_string(&file).unwrap().trim(), key(8));
    }
    server.set("sealing.key", key(8));
    server.start_again().await;
    all_opens(&server, &receiver, &ids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_server_runs_and_without_the_right_key_nothing_is_rotated() {
    let server = a_server().start().await;
    let file = server.dir().join("the.key");
    let sealing = format!("key_file = {file:?}");
    std::fs::write(&file, old_key()).unwrap();
    let text = told(&rotate(&server, &sealing), 75);
    assert!(text.contains("Stop the server first"), "{text}");
    server.stop().await;
    std::fs::write(&file, key(9)).unwrap();
    let text = told(&rotate(&server, &sealing), 78);
    assert!(text.contains("the.key") && text.contains("this is not the sealing key"), "{text}");
    std::fs::remove_file(&file).unwrap();
    let text = told(&rotate(&server, &sealing), 78);
    assert!(text.contains("the sealing key is missing") && text.contains("the.key"), "{text}");
    assert!(!file.exists());
    std::fs::write(&file, old_key()).unwrap();
    server.start_again().await;
    let phone = a_device().registered(&server).await;
    assert_eq!(server.status_of(&phone).await, Status::Success);
}
