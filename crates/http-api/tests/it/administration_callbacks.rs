//! What operators say and ask about callbacks.

use std::sync::atomic::Ordering;
use std::time::Duration;

use pushroll_domain::{
    CallbackReport, CallbackResult, DeliveryRecord, FailureReason, Outcome, RegistrationId,
};
use serde_json::{Value as Json, json};

use crate::fakes::StoppedClock;
use crate::running::running;

#[tokio::test]
async fn callbacks_are_tried_again_in_an_app_that_says_so_and_in_no_other() {
    let server = running().await;
    let app = server.app_path();
    let shown = server.admin("GET", &app, None).await.json();
    assert_eq!(shown["callbacks"], json!({ "retries": null }));
    for (change, expected) in [
        (json!({ "callbacks": { "retries": {} } }), json!({ "window_seconds": 259_200 })),
        (json!({ "callbacks": {} }), json!({ "window_seconds": 259_200 })),
        (
            json!({ "callbacks": { "retries": { "window_seconds": 3_600 } } }),
            json!({ "window_seconds": 3_600 }),
        ),
        (json!({ "name": "Store" }), json!({ "window_seconds": 3_600 })),
        (json!({ "callbacks": { "retries": null } }), Json::Null),
        (json!({ "callbacks": { "retries": {} } }), json!({ "window_seconds": 259_200 })),
        (json!({ "callbacks": null }), Json::Null),
    ] {
        let changed = server.admin("PATCH", &app, Some(change.clone())).await;
        assert_eq!(changed.status, 200, "{change}");
        assert_eq!(changed.json()["callbacks"]["retries"], expected, "{change}");
        assert_eq!(server.admin("GET", &app, None).await.json(), changed.json());
    }
    let apps = format!("/orgs/{}/apps", server.org);
    let body = json!({ "name": "x", "callbacks": { "retries": { "window_seconds": 60 } } });
    let made = server.admin("POST", &apps, Some(body)).await;
    assert_eq!(made.json()["callbacks"]["retries"]["window_seconds"], 60);
}

#[tokio::test]
async fn a_window_of_retries_that_can_not_be_used_is_named() {
    let server = running().await;
    let window = |window: Json| json!({ "callbacks": { "retries": { "window_seconds": window } } });
    for (body, field) in [
        (window(json!(59)), "callbacks.retries.window_seconds"),
        (window(json!(259_201)), "callbacks.retries.window_seconds"),
        (window(json!(-60)), "callbacks.retries.window_seconds"),
        (window(json!(60.5)), "callbacks.retries.window_seconds"),
        (window(json!("60")), "callbacks.retries.window_seconds"),
        (json!({ "callbacks": { "retries": true } }), "callbacks.retries"),
        (json!({ "callbacks": { "retry": {} } }), "callbacks.retry"),
        (json!({ "callbacks": [] }), "callbacks"),
    ] {
        let answer = server.admin("PATCH", &server.app_path(), Some(body.clone())).await;
        assert_eq!(answer.problem(400)["field"], field, "{body}");
    }
}

#[tokio::test]
async fn a_rotated_webhook_secret_is_shown_once_and_the_old_one_has_an_end() {
    let server = running().await;
    let app = server.app_path();
    assert_eq!(server.admin("GET", &app, None).await.json()["old_webhook_secret"], Json::Null);
    let rotate = format!("{app}/webhook-secret/rotate");
    let first = server.admin("POST", &rotate, None).await;
    assert_eq!(first.status, 200);
    let first = first.json();
    assert!(first["webhook_secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!(first["old_webhook_secret"], json!({ "ends_at": "2026-01-02T00:00:00Z" }));
    let shown = server.admin("GET", &app, None).await.json();
    assert_eq!(shown["old_webhook_secret"], first["old_webhook_secret"]);
    assert_eq!(shown.get("webhook_secret"), None);

    let body = json!({ "old_ends_in_seconds": 3_600 });
    let second = server.admin("POST", &rotate, Some(body)).await.json();
    assert_ne!(second["webhook_secret"], first["webhook_secret"]);
    assert_eq!(second["old_webhook_secret"], json!({ "ends_at": "2026-01-01T01:00:00Z" }));
    let old = format!("{app}/webhook-secret/old");
    for _ in 0..2 {
        assert_eq!(server.admin("DELETE", &old, None).await.status, 204);
        let shown = server.admin("GET", &app, None).await.json();
        assert_eq!(shown["old_webhook_secret"], Json::Null);
    }
    let at_once = server.admin("POST", &rotate, Some(json!({ "old_ends_in_seconds": 0 }))).await;
    assert_eq!(at_once.json()["old_webhook_secret"], Json::Null);
    for body in [
        json!({ "old_ends_in_seconds": 2_592_001 }),
        json!({ "old_ends_in_seconds": -1 }),
        json!({ "old_ends_in": 1 }),
    ] {
        server.admin("POST", &rotate, Some(body)).await.problem(400);
    }
    server.admin("GET", &rotate, None).await.problem(405);
    let elsewhere = rotate.replace(&server.app.to_string(), "00000000-0000-0000-0000-000000000000");
    server.admin("POST", &elsewhere, None).await.problem(404);
}

#[tokio::test]
async fn what_became_of_callbacks_is_listed_in_parts() {
    let server = running().await;
    let record = |n: u8, attempt, result, retry| DeliveryRecord {
        id: RegistrationId::from_bytes([n; 16]),
        receiver: "hooks.example.com:443".to_owned(),
        outcome: Outcome::Failed(FailureReason::DuplicateExists),
        attempt,
        report: CallbackReport {
            result,
            at: StoppedClock::NOW,
            took: Duration::from_millis(u64::from(n)),
        },
        retry_at: retry,
    };
    let later = StoppedClock::NOW.plus(Duration::from_secs(60));
    server.store.log.lock().extend([
        record(2, 1, CallbackResult::Delivered { status: 204 }, None),
        record(1, 2, CallbackResult::Failed { reason: "timed out".to_owned() }, None),
        record(1, 1, CallbackResult::Answered { status: 503 }, Some(later)),
    ]);
    let path = format!("{}/deliveries", server.app_path());
    let first = server.admin("GET", &format!("{path}?limit=2"), None).await.json();
    let next = first["next"].as_str().unwrap();
    let rest = server.admin("GET", &format!("{path}?limit=2&after={next}"), None).await.json();
    let shown = |n: u8, attempt: u32, result: Json, retry_at: Json| {
        let mut body = json!({
            "registration_id": RegistrationId::from_bytes([n; 16]).to_string(),
            "receiver": "hooks.example.com:443",
            "outcome": "DuplicateExists",
            "attempt": attempt,
            "at": "2026-01-01T00:00:00Z",
            "took_ms": n,
            "retry_at": retry_at,
        });
        body.as_object_mut().unwrap().extend(result.as_object().unwrap().clone());
        body
    };
    let delivered = json!({ "result": "delivered", "status": 204, "reason": null });
    let failed = json!({ "result": "failed", "status": null, "reason": "timed out" });
    let answered = json!({ "result": "answered", "status": 503, "reason": null });
    let expected = json!([shown(2, 1, delivered, json!(null)), shown(1, 2, failed, json!(null))]);
    assert_eq!(first["items"], expected);
    let retry_at = json!("2026-01-01T00:01:00Z");
    assert_eq!(rest, json!({ "items": [shown(1, 1, answered, retry_at)], "next": null }));
    server.store.is_down.store(true, Ordering::Relaxed);
    server.admin("GET", &path, None).await.problem(503);
}
