//! Backups, asked for by administration.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use serde_json::json;

use crate::running::running;

#[tokio::test]
async fn a_backup_is_made_where_it_is_asked_for_and_says_that_the_key_is_left_out() {
    let server = running().await;
    let body = json!({ "directory": "/backups/1" });
    let made = server.admin("POST", "/backup", Some(body.clone())).await;
    assert_eq!(made.status, 201);
    assert_eq!(made.json()["directory"], "/backups/1");
    assert!(made.json()["sealing_key"].as_str().unwrap().contains("left out"));
    assert_eq!(*server.store.backups.lock(), [PathBuf::from("/backups/1")]);
    let problem = server.admin("POST", "/backup", Some(body)).await.problem(400);
    assert!(problem["detail"].as_str().unwrap().contains("is there already"), "{problem}");
}

#[tokio::test]
async fn a_directory_that_can_not_be_used_is_named() {
    let server = running().await;
    for body in [
        json!({}),
        json!({ "directory": "backups/1" }),
        json!({ "directory": "" }),
        json!({ "directory": 1 }),
    ] {
        let problem = server.admin("POST", "/backup", Some(body)).await.problem(400);
        assert_eq!(problem["field"], "directory", "{problem}");
    }
    let misspelt = json!({ "directory": "/backups/1", "sealing-key": true });
    let problem = server.admin("POST", "/backup", Some(misspelt)).await.problem(400);
    assert_eq!(problem["rule"], "unknown-property", "{problem}");
    server.admin("GET", "/backup", None).await.problem(405);
    server.store.is_down.store(true, Ordering::Relaxed);
    let body = json!({ "directory": "/backups/2" });
    let answer = server.admin("POST", "/backup", Some(body)).await;
    assert_eq!(answer.retry_after(), 3);
    assert!(server.store.backups.lock().is_empty());
}
