//! Dry runs with FCM: what is asked, access tokens, and what follows from each answer.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pushroll_domain::FailureReason::DryRunSendingFailed;
use pushroll_simulator::{Action, Provider, RecordedRequest, Reply};
use pushroll_testkit::{
    Device, Fate, Status, TestApp, a_device, a_server, an_app, hours, minutes, seconds,
};
use serde_json::{Value, json};

const FAILED: Status = Status::Failed(DryRunSendingFailed);

fn request_about(app: &TestApp, phone: &Device) -> RecordedRequest {
    let recent = app.simulator().recent_requests(Provider::Fcm, 1000);
    let found = recent.into_iter().find(|request| request.body.contains(&phone.token));
    found.expect("a request about the device")
}

#[tokio::test]
async fn a_dry_run_is_a_message_that_is_only_validated() {
    let app = an_app().await;
    let phone = a_device().on_android().stored(&app).await;
    let request = request_about(&app, &phone);
    let project = app.simulator().service_account()["project_id"].as_str().unwrap().to_owned();
    assert_eq!(request.method, "POST");
    assert_eq!(request.path, format!("/v1/projects/{project}/messages:send"));
    assert!(request.header("authorization").unwrap().starts_with("Bearer "));
    let body: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(body["validate_only"], true);
    assert_eq!(body["message"]["token"], phone.token.as_str());
    assert_eq!(body["message"]["notification"], json!(null));
}

#[tokio::test]
async fn the_access_token_is_asked_for_with_an_rs256_assertion_of_the_service_account() {
    let server = a_server().start().await;
    a_device().on_android().stored(&server).await;
    let request = server.simulator().recent_requests(Provider::Oauth, 10).remove(0);
    let form = |name: &str| {
        let mut pairs = request.body.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(known, _)| *known == name).map(|(_, value)| value.replace("%3A", ":"))
    };
    let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    assert_eq!(form("grant_type").as_deref(), Some(grant));
    let assertion = form("assertion").unwrap();
    let mut parts = assertion.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
    let mut json = || -> Value { serde_json::from_slice(&parts.next().unwrap()).unwrap() };
    let (header, claims) = (json(), json());
    let account = server.simulator().service_account();
    assert_eq!(header["alg"], "RS256");
    assert_eq!(claims["iss"], account["client_email"]);
    assert_eq!(claims["aud"], server.simulator().token_uri());
    assert_eq!(claims["scope"], "https://www.googleapis.com/auth/firebase.messaging");
}

#[tokio::test]
async fn the_access_token_is_fetched_once_for_all_who_wait() {
    let server = a_server().start().await;
    server.simulator().set_latency(Provider::Oauth, seconds(1) / 4).unwrap();
    let phones: Vec<Device> = (0..50).map(|_| a_device().on_android().build()).collect();
    for id in server.register_all(&phones).tracked().await.registration_ids() {
        assert_eq!(server.status_of_id(&id).await, Status::Success);
    }
    assert_eq!(server.simulator().statistics(Provider::Oauth).access_tokens_issued, 1);
}

#[tokio::test]
async fn the_access_token_is_cached_until_shortly_before_it_expires() {
    let server = a_server().on_a_manual_clock().with_access_tokens_for(hours(1)).start().await;
    let issued = || server.simulator().statistics(Provider::Oauth).access_tokens_issued;
    for (advance, expected) in
        [(minutes(0), 1), (minutes(50), 1), (minutes(9), 2), (minutes(50), 2)]
    {
        server.clock().advance(advance);
        let phone = a_device().on_android().stored(&server).await;
        assert_eq!(server.dry_runs_of(&phone), 1);
        assert_eq!(issued(), expected, "after {advance:?} more");
    }
}

#[tokio::test]
async fn what_fcm_refuses_for_good_ends_as_dry_run_sending_failed_with_its_words() {
    for (status, code) in [
        (404, "UNREGISTERED"),
        (400, "INVALID_ARGUMENT"),
        (403, "SENDER_ID_MISMATCH"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (400, "A_CODE_OF_NEXT_YEAR"),
        (409, "ABORTED"),
        (412, "A_CODE_OF_NEXT_YEAR"),
    ] {
        let app = an_app().await;
        let phone = a_device().on_android().build();
        app.answers(&phone, [Reply::refused(status, code)]);
        let phone = phone.registered(&app).await;
        assert_eq!(app.status_of(&phone).await, FAILED, "{status} {code}");
        assert_eq!(app.dry_runs_of(&phone), 1, "{status} {code}");
        let said = &app.record_of(&phone.id).await["provider"];
        assert_eq!(said["name"], "fcm", "{status} {code}");
        assert_eq!((&said["status"], &said["reason"]), (&json!(status), &json!(code)));
        assert!(app.devices_of(&phone.user).await.is_empty());
    }
}

#[tokio::test]
async fn a_wrong_project_ends_as_dry_run_sending_failed() {
    let app = an_app().of_project("another-project").await;
    let phone = a_device().on_android().registered(&app).await;
    assert_eq!(app.status_of(&phone).await, FAILED);
    let said = app.record_of(&phone.id).await["provider"].clone();
    assert_eq!((&said["status"], &said["reason"]), (&json!(404), &json!("NOT_FOUND")));
}

#[tokio::test]
async fn what_fcm_can_not_take_now_is_asked_again() {
    let app = an_app().await;
    for (status, code) in [
        (500, "INTERNAL"),
        (503, "UNAVAILABLE"),
        (502, "A_CODE_OF_NEXT_YEAR"),
        (504, "DEADLINE_EXCEEDED"),
    ] {
        let phone = a_device().on_android().build();
        app.answers(&phone, [Reply::refused(status, code)]);
        let phone = phone.registered(&app).await;
        assert_eq!(app.status_of(&phone).await, Status::Success, "{status} {code}");
        assert_eq!(app.dry_runs_of(&phone), 2, "{status} {code}");
    }
}

#[tokio::test]
async fn over_its_quota_fcm_is_asked_again_after_retry_after() {
    let server = a_server().on_a_manual_clock().start().await;
    let phone = a_device().on_android().build();
    let quota = Reply::refused(429, "QUOTA_EXCEEDED").with_header("retry-after", "30");
    server.answers(&phone, [quota]);
    let phone = phone.registered(&server).await;
    server.record_when(&phone.id, |record| record["attempts"] == 1).await;
    server.clock().advance(seconds(31));
    assert_eq!(server.status_of(&phone).await, Status::Success);
    assert_eq!(server.dry_runs_of(&phone), 2);
}

#[tokio::test]
async fn a_lost_connection_to_fcm_is_asked_again() {
    let server = a_server().with("verification.retry_base_seconds", 0.05).start().await;
    for action in [Action::ResetStream, Action::ResetConnection, Action::Goaway] {
        let phone = a_device().on_android().build();
        server.answers(&phone, [Reply::doing(action)]);
        let phone = phone.registered(&server).await;
        assert_eq!(server.status_of(&phone).await, Status::Success, "{action:?}");
        assert!(server.dry_runs_of(&phone) >= 2, "{action:?}");
    }
}

#[tokio::test]
async fn after_401_a_new_access_token_is_fetched_and_it_is_tried_once_more() {
    let server = a_server().start().await;
    a_device().on_android().stored(&server).await;
    server.simulator().expire_access_tokens();
    let phone = a_device().on_android().stored(&server).await;
    assert_eq!(server.simulator().statistics(Provider::Oauth).access_tokens_issued, 2);
    // The first request did not come so far that its device was looked at.
    assert_eq!(server.dry_runs_of(&phone), 1);
    assert_eq!(server.simulator().statistics(Provider::Fcm).answers[&401], 1);
}

#[tokio::test]
async fn a_second_401_ends_as_dry_run_sending_failed() {
    let server = a_server().start().await;
    let phone = a_device().on_android().build();
    let unauthenticated = || Reply::refused(401, "UNAUTHENTICATED");
    server.answers(&phone, [unauthenticated(), unauthenticated()]);
    let phone = phone.registered(&server).await;
    assert_eq!(server.status_of(&phone).await, FAILED);
    assert_eq!(server.dry_runs_of(&phone), 2);
    assert_eq!(server.record_of(&phone.id).await["provider"]["status"], 401);
}

#[tokio::test]
async fn what_the_token_endpoint_refuses_for_good_ends_as_dry_run_sending_failed() {
    let server = a_server().on_a_manual_clock().start().await;
    for (status, error) in
        [(400, "invalid_grant"), (401, "invalid_client"), (403, "access_denied"), (404, "x")]
    {
        let app = server.another_app().await;
        server.simulator().script(Provider::Oauth, None, [Reply::refused(status, error)]).unwrap();
        let phone = a_device().on_android().registered(&app).await;
        assert_eq!(app.status_of(&phone).await, FAILED, "{status} {error}");
        assert_eq!(app.dry_runs_of(&phone), 0, "{status} {error}");
        let said = &app.record_of(&phone.id).await["provider"];
        assert_eq!(said["name"], "oauth", "{status} {error}");
        assert_eq!((&said["status"], &said["reason"]), (&json!(status), &json!(error)));
        server.clock().advance(minutes(1));
    }
}

#[tokio::test]
async fn what_the_token_endpoint_can_not_take_now_is_asked_again() {
    let server = a_server().on_a_manual_clock().start().await;
    for reply in [
        Reply::status(429),
        Reply::status(500),
        Reply::status(503),
        Reply::doing(Action::ResetConnection),
    ] {
        let app = server.another_app().await;
        server.simulator().script(Provider::Oauth, None, [reply.clone()]).unwrap();
        let phone = a_device().on_android().registered(&app).await;
        app.record_when(&phone.id, |record| record["attempts"] == 1).await;
        assert_eq!(app.status_now(&phone.id).await, Status::Pending, "{reply:?}");
        server.clock().advance(minutes(2));
        assert_eq!(app.status_of(&phone).await, Status::Success, "{reply:?}");
        // The access token of this round has expired by the next.
        server.clock().advance(hours(2));
    }
}

#[tokio::test]
async fn every_fate_of_an_fcm_token_ends_as_it_should() {
    let app = an_app().await;
    for (fate, end, dry_runs) in [
        (Fate::Accepted, Status::Success, 1),
        (Fate::Bad, FAILED, 1),
        (Fate::Dead, FAILED, 1),
        (Fate::Elsewhere, FAILED, 1),
        (Fate::Busy, Status::Success, 3),
        (Fate::Slow, Status::Success, 1),
    ] {
        let phone = a_device().on_android().with_fate(fate).registered(&app).await;
        assert_eq!(app.status_of(&phone).await, end, "{fate:?}");
        assert_eq!(app.dry_runs_of(&phone), dry_runs, "{fate:?}");
    }
}

#[tokio::test]
async fn a_token_that_fcm_refuses_does_not_hold_up_the_apps_other_devices() {
    let app = an_app().await;
    for fate in [Fate::Bad, Fate::Dead, Fate::Elsewhere] {
        let phone = a_device().on_android().with_fate(fate).registered(&app).await;
        assert_eq!(app.status_of(&phone).await, FAILED, "{fate:?}");
        a_device().on_android().stored(&app).await;
    }
}
