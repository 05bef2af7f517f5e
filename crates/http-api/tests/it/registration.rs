//! Registering devices, as callers see it.

use std::sync::atomic::Ordering;

use serde_json::{Value as Json, json};

use crate::raw::request;
use crate::running::{Setup, running};

#[tokio::test]
async fn an_untracked_registration_is_answered_with_a_really_empty_body() {
    let server = running().await;
    for headers in
        [vec![], vec![("x-ms-track-registration", "")], vec![("x-ms-track-registration", "False")]]
    {
        for step in ["devices", "devices/"] {
            let answer = server.post_with(step, &headers, &server.registration()).await;
            assert_eq!(answer.status, 202);
            assert_eq!(answer.header("content-length"), Some("0"));
            assert_eq!(answer.header("content-type"), None);
            assert!(answer.header("date").is_some());
        }
    }
    let accepted = server.store.accepted.lock();
    assert_eq!(accepted.len(), 6);
    assert!(accepted.iter().all(|registration| !registration.tracked));
}

#[tokio::test]
async fn a_tracked_registration_is_answered_with_its_id() {
    let server = running().await;
    let headers = [
        ("X-MS-Track-Registration", "TRUE"),
        ("content-type", "Application/JSON; charset=\"utf-8\""),
    ];
    let answer = server.post_with("devices", &headers, &server.registration()).await;
    assert_eq!((answer.status, answer.header("content-type")), (202, Some("application/json")));
    let accepted = server.store.accepted.lock();
    assert_eq!(answer.json(), json!({ "RegistrationRequestId": accepted[0].id.to_string() }));
    assert!(accepted[0].tracked);
}

#[tokio::test]
async fn a_batch_is_answered_in_the_order_of_the_request() {
    let server = running().await;
    let items: Vec<Json> = (0..100)
        .map(|n| {
            let mut item = server.registration();
            item["UserId"] = json!(format!("user {n}"));
            item
        })
        .collect();
    let tracked = [("x-ms-track-registration", "true")];
    let answer = server.post_with("devices/batch", &tracked, &json!(items)).await;
    assert_eq!(answer.status, 202);
    let accepted = server.store.accepted.lock();
    let expected: Vec<Json> = (0..100)
        .map(|n| {
            let user = format!("user {n}");
            let registration = accepted.iter().find(|r| r.user.as_str() == user).unwrap();
            json!({ "RegistrationRequestId": registration.id.to_string() })
        })
        .collect();
    assert_eq!(answer.json(), json!(expected));
}

#[tokio::test]
async fn an_untracked_batch_is_answered_with_an_empty_body() {
    let server = running().await;
    let answer = server.post("devices/batch/", &json!([server.registration()])).await;
    assert_eq!((answer.status, answer.header("content-length")), (202, Some("0")));
}

#[tokio::test]
async fn a_batch_is_refused_as_a_whole() {
    let server = running().await;
    let mut bad = server.registration();
    bad["UserId"] = json!("");
    let answer = server.post("devices/batch", &json!([server.registration(), bad])).await;
    let problem = answer.problem(400);
    assert_eq!((&problem["field"], &problem["index"]), (&json!("UserId"), &json!(1)));
    assert_eq!(problem["rule"], "required");
    assert!(problem["expected"].as_str().unwrap().contains("1 to 256"));
    assert!(server.store.accepted.lock().is_empty());
}

#[tokio::test]
async fn a_single_registration_is_an_object_and_a_batch_an_array() {
    let server = running().await;
    let one = server.registration();
    assert_eq!(server.post("devices", &json!([one])).await.problem(400)["rule"], "object-expected");
    assert_eq!(server.post("devices/batch", &one).await.problem(400)["rule"], "array-expected");
    assert_eq!(server.post("devices/batch", &json!([])).await.problem(400)["rule"], "item-count");
    let many = json!(vec![one; 101]);
    assert_eq!(server.post("devices/batch", &many).await.problem(400)["rule"], "item-count");
}

#[tokio::test]
async fn all_that_is_wrong_with_path_headers_and_body_is_told_at_once() {
    let server = running().await;
    let path = "/api/v1.0/orgs/not-a-guid/pushdeviceregistration/devices";
    let headers =
        [("x-ms-track-registration", "maybe"), ("x-ms-callback-url", "http://example.com")];
    let answer = server.ask("POST", path, &headers, "{}").await;
    let problem = answer.problem(400);
    let fields: Vec<_> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["field"].as_str().unwrap())
        .collect();
    let expected = [
        "orgId",
        "x-ms-track-registration",
        "x-ms-callback-url",
        "MobileAppId",
        "UserId",
        "ApiToken",
        "ApnsDeviceToken",
    ];
    assert_eq!(fields, expected);
    assert_eq!(problem["field"], "orgId");
}

#[tokio::test]
async fn an_organization_id_may_have_braces_percent_encoded() {
    let server = running().await;
    let org = server.org.to_string().to_uppercase();
    let path = format!("/api/v1.0/orgs/%7b{org}%7D/pushdeviceregistration/devices");
    let answer = server.ask("POST", &path, &[], &server.registration().to_string()).await;
    assert_eq!(answer.status, 202);
    assert_eq!(server.store.accepted.lock().len(), 1);
}

#[tokio::test]
async fn a_callback_is_kept_with_its_url_as_given_and_its_headers_sealed() {
    let server = running().await;
    let headers = [
        ("x-ms-status-callback-url", "https://Example.com/A?b=ü"),
        ("x-ms-callback-url-headers", r#"{"Authorization": "hunter2"}"#),
    ];
    assert_eq!(server.post_with("devices", &headers, &server.registration()).await.status, 202);
    let accepted = server.store.accepted.lock();
    let order = accepted[0].callback.as_ref().unwrap();
    assert_eq!(order.url, "https://Example.com/A?b=ü");
    assert!(!format!("{order:?}").contains("hunter2"));
    assert!(order.headers.is_some());
}

#[tokio::test]
async fn a_callback_to_a_refused_address_is_400() {
    let server = Setup { allow_http: true, ..Setup::default() }.run().await;
    let headers = [("x-ms-callback-url", "http://2130706433/")];
    let problem = server.post_with("devices", &headers, &server.registration()).await.problem(400);
    assert_eq!(problem["field"], "x-ms-callback-url");
    assert_eq!(problem["rule"], "callback-address");
}

#[tokio::test]
async fn a_content_type_that_is_not_json_is_400() {
    let server = running().await;
    for content_type in ["text/plain", "application/xml", "application/json; charset=latin1"] {
        let headers = [("content-type", content_type)];
        let problem =
            server.post_with("devices", &headers, &server.registration()).await.problem(400);
        assert_eq!(problem["field"], "Content-Type", "{content_type}");
    }
}

#[tokio::test]
async fn an_unknown_token_is_answered_like_a_good_one_and_keeps_nothing() {
    let server = running().await;
    let tracked = [("x-ms-track-registration", "true")];
    let answer = server.post_with("devices", &tracked, &server.badly_authorized()).await;
    assert_eq!(answer.status, 202);
    assert!(answer.json()["RegistrationRequestId"].is_string());
    assert!(server.store.accepted.lock().is_empty());
}

#[tokio::test]
async fn with_strict_tokens_what_is_not_known_is_named() {
    let mut setup = Setup::default();
    setup.engine.strict_tokens = true;
    let server = setup.run().await;
    let problem = server.post("devices", &server.badly_authorized()).await.problem(400);
    assert_eq!(
        (&problem["field"], &problem["rule"]),
        (&json!("ApiToken"), &json!("unknown-token"))
    );
    assert_eq!(problem["index"], Json::Null);
    let mut other_app = server.registration();
    other_app["MobileAppId"] = json!("00000000-0000-0000-0000-000000000000");
    let batch = json!([server.registration(), other_app]);
    let problem = server.post("devices/batch", &batch).await.problem(400);
    assert_eq!((&problem["field"], &problem["index"]), (&json!("MobileAppId"), &json!(1)));
    let path = "/api/v1.0/orgs/00000000-0000-0000-0000-000000000000/pushdeviceregistration/devices";
    let answer = server.ask("POST", path, &[], &server.registration().to_string()).await;
    assert_eq!(answer.problem(400)["field"], "orgId");
    assert!(server.store.accepted.lock().is_empty());
}

#[tokio::test]
async fn a_store_that_is_down_is_503_and_never_202() {
    let server = running().await;
    server.store.is_down.store(true, Ordering::Relaxed);
    let answer = server.post("devices", &server.registration()).await;
    assert_eq!(answer.problem(503)["rule"], "unavailable");
    assert_eq!(answer.retry_after(), 3);
    server.store.is_down.store(false, Ordering::Relaxed);
    assert_eq!(server.post("devices", &server.registration()).await.status, 202);
}

#[tokio::test]
async fn too_many_waiting_registrations_are_429() {
    let server = running().await;
    server.store.waiting.store(2_000_000, Ordering::Relaxed);
    let answer = server.post("devices", &server.registration()).await;
    answer.problem(429);
    answer.retry_after();
}

#[tokio::test]
async fn another_method_is_405_and_another_path_404_with_a_problem_document() {
    let server = running().await;
    for step in
        ["devices", "devices/batch", "devices/status", "devices/cleanup", "devices/cleanup/batch/"]
    {
        for method in ["GET", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"] {
            let answer = server.ask(method, &server.path(step), &[], "").await;
            answer.problem(405);
            assert_eq!(answer.header("allow"), Some("POST"));
        }
        assert_eq!(server.ask("HEAD", &server.path(step), &[], "").await.status, 405);
    }
    for path in
        ["/", "/api", "/api/v1.0/orgs", "/x?y", "/API/v1.0/orgs/x/pushdeviceregistration/devices"]
    {
        server.ask("POST", path, &[], "{}").await.problem(404);
    }
    server.post("Devices", &server.registration()).await.problem(404);
}

#[tokio::test]
async fn requests_sent_at_once_are_answered_in_order() {
    let server = running().await;
    let mut connection = server.connect().await;
    let not_found = request("POST", "/nothing", &[], "");
    let tracked = server.registering(&[("x-ms-track-registration", "true")]);
    connection.send([tracked.as_str(), &not_found, &server.registering(&[])].concat()).await;
    assert!(connection.answer().await.json()["RegistrationRequestId"].is_string());
    connection.answer().await.problem(404);
    assert_eq!(connection.answer().await.status, 202);
}

#[tokio::test]
async fn an_answer_does_not_wait_for_the_rest_of_the_next_request() {
    let server = running().await;
    let mut connection = server.connect().await;
    let (one, next) = (server.registering(&[]), server.registering(&[]));
    let (beginning, rest) = next.split_at(40);
    connection.send(one + beginning).await;
    assert_eq!(connection.answer().await.status, 202);
    connection.send(rest).await;
    assert_eq!(connection.answer().await.status, 202);
}

#[tokio::test]
async fn a_panic_is_answered_500_and_the_next_request_is_served() {
    let server = running().await;
    server.store.panics.store(true, Ordering::Relaxed);
    server.post("devices", &server.registration()).await.problem(500);
    assert_eq!(server.post("devices", &server.registration()).await.status, 202);
}
