//! What an operator's machinery asks, and which listener answers what.

use std::sync::atomic::Ordering;

use serde_json::json;

use crate::running::{Setup, running};

#[tokio::test]
async fn the_process_says_that_it_is_up() {
    let server = running().await;
    for method in ["GET", "HEAD"] {
        assert_eq!(server.ask(method, "/healthz", &[], "").await.status, 200);
    }
    assert_eq!(server.ask("GET", "/healthz/", &[], "").await.body, b"ok\n");
    let answer = server.ask("POST", "/healthz", &[], "").await;
    answer.problem(405);
    assert_eq!(answer.header("allow"), Some("GET, HEAD"));
}

#[tokio::test]
async fn it_is_ready_while_the_store_is() {
    let server = running().await;
    assert_eq!(server.ask("GET", "/readyz", &[], "").await.status, 200);
    server.store.is_down.store(true, Ordering::Relaxed);
    let answer = server.ask("GET", "/readyz", &[], "").await;
    assert_eq!(answer.status, 503);
    assert!(answer.json()["reasons"][0].as_str().unwrap().contains("it is down"));
}

#[tokio::test]
async fn metrics_are_the_programs_text() {
    let server = running().await;
    let answer = server.ask("GET", "/metrics", &[], "").await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"pushroll_test 1\n"[..]));
    assert!(answer.header("content-type").unwrap().starts_with("text/plain"));
}

#[tokio::test]
async fn a_listener_for_callers_knows_nothing_of_administration() {
    let server = Setup { is_for_operators: false, ..Setup::default() }.run().await;
    server.admin("GET", "/orgs", None).await.problem(404);
    server.ask("GET", "/metrics", &[], "").await.problem(404);
    assert_eq!(server.ask("GET", "/readyz", &[], "").await.status, 200);
    assert_eq!(server.post("devices", &server.registration()).await.status, 202);
    server.store.is_down.store(true, Ordering::Relaxed);
    let answer = server.ask("GET", "/readyz", &[], "").await;
    assert_eq!(answer.status, 503);
    let reason = answer.json()["reasons"][0].as_str().unwrap().to_owned();
    assert!(reason.contains("administration") && !reason.contains("it is down"), "{reason}");
}

#[tokio::test]
async fn a_listener_for_operators_knows_nothing_of_devices() {
    let server = Setup { is_public: false, ..Setup::default() }.run().await;
    server.post("devices", &server.registration()).await.problem(404);
    server.post("devices/status", &json!({})).await.problem(404);
    assert_eq!(server.admin("GET", "/orgs", None).await.status, 200);
}
