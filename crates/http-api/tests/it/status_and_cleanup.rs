//! Asking for outcomes, and cleaning up.

use std::sync::atomic::Ordering;

use pushroll_domain::{FailureReason, Outcome, RegistrationId};
use serde_json::{Value as Json, json};

use crate::running::{Running, Setup, running};

fn id(n: u8) -> RegistrationId {
    RegistrationId::from_bytes([n; 16])
}

fn query(server: &Running, ids: &[RegistrationId]) -> Json {
    let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
    json!({ "RegistrationRequestIds": ids, "MobileAppId": server.app.to_string(), "ApiToken": server.token })
}

#[tokio::test]
async fn statuses_are_in_the_order_of_the_ids_which_may_be_given_twice() {
    let server = running().await;
    server.store.outcomes.lock().insert(id(1), Outcome::Success);
    let failed = Outcome::Failed(FailureReason::DuplicateExists);
    server.store.outcomes.lock().insert(id(2), failed);
    let answer =
        server.post("devices/status/", &query(&server, &[id(2), id(3), id(1), id(2)])).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let failed = json!({ "Status": "Failed", "FailureReason": "DuplicateExists" });
    let pending = json!({ "Status": "Pending", "FailureReason": null });
    let success = json!({ "Status": "Success", "FailureReason": null });
    assert_eq!(answer.json(), json!([failed, pending, success, failed]));
}

#[tokio::test]
async fn a_status_query_with_a_token_that_is_not_good_is_400() {
    let server = running().await;
    let mut body = query(&server, &[id(1)]);
    body["ApiToken"] = json!("nobody knows me");
    let problem = server.post("devices/status", &body).await.problem(400);
    assert_eq!(
        (&problem["field"], &problem["rule"]),
        (&json!("ApiToken"), &json!("token-not-good"))
    );
}

#[tokio::test]
async fn a_thousand_ids_may_be_asked_for_and_no_more() {
    let server = running().await;
    let answer = server.post("devices/status", &query(&server, &[id(1); 1000])).await;
    assert_eq!(answer.json().as_array().unwrap().len(), 1000);
    let problem = server.post("devices/status", &query(&server, &[id(1); 1001])).await.problem(400);
    assert_eq!(problem["field"], "RegistrationRequestIds");
    let problem = server.post("devices/status", &query(&server, &[])).await.problem(400);
    assert_eq!(problem["field"], "RegistrationRequestIds");
}

fn cleanup(server: &Running) -> Json {
    json!({ "MobileAppId": server.app.to_string(), "ApiToken": server.token, "UserId": "me" })
}

#[tokio::test]
async fn a_cleanup_is_answered_with_an_empty_body_when_it_is_done() {
    let server = running().await;
    let mut one_device = cleanup(&server);
    one_device["deviceToken"] = json!("AB12");
    for body in [cleanup(&server), one_device] {
        let answer = server.post("devices/cleanup", &body).await;
        assert_eq!((answer.status, answer.header("content-length")), (202, Some("0")));
    }
    let cleaned = server.store.cleaned.lock();
    let tokens: Vec<_> = cleaned.iter().map(|one| one.device_token.as_deref()).collect();
    assert_eq!(tokens, [None, Some("AB12")]);
}

#[tokio::test]
async fn a_batch_of_cleanups_is_an_array_or_a_single_object() {
    let server = running().await;
    let one = cleanup(&server);
    assert_eq!(server.post("devices/cleanup/batch", &one).await.status, 202);
    assert_eq!(
        server.post("devices/cleanup/batch/", &json!(vec![one.clone(); 100])).await.status,
        202
    );
    assert_eq!(server.store.cleaned.lock().len(), 101);
    server.post("devices/cleanup/batch", &json!(vec![one.clone(); 101])).await.problem(400);
    server.post("devices/cleanup/batch", &json!([])).await.problem(400);
    server.post("devices/cleanup", &json!([one])).await.problem(400);
    let mut faulty = cleanup(&server);
    faulty["DeviceToken"] = json!(7);
    let problem = server.post("devices/cleanup/batch", &json!([one, faulty])).await.problem(400);
    assert_eq!((&problem["field"], &problem["index"]), (&json!("DeviceToken"), &json!(1)));
}

#[tokio::test]
async fn a_cleanup_with_a_token_that_is_not_good_removes_nothing_and_is_202_all_the_same() {
    let server = running().await;
    let mut body = cleanup(&server);
    body["ApiToken"] = json!("nobody knows me");
    assert_eq!(server.post("devices/cleanup", &body).await.status, 202);
    assert!(server.store.cleaned.lock().is_empty());
    let mut setup = Setup::default();
    setup.engine.strict_tokens = true;
    let strict = setup.run().await;
    let mut body = cleanup(&strict);
    body["ApiToken"] = json!("nobody knows me");
    assert_eq!(strict.post("devices/cleanup", &body).await.problem(400)["field"], "ApiToken");
}

#[tokio::test]
async fn status_and_cleanup_are_503_while_the_store_is_down() {
    let server = running().await;
    server.store.is_down.store(true, Ordering::Relaxed);
    let answer = server.post("devices/cleanup", &cleanup(&server)).await;
    answer.problem(503);
    assert_eq!(answer.retry_after(), 3);
    server.post("devices/status", &query(&server, &[id(1)])).await.problem(503);
}
