//! Dry runs with APNs: what is asked, and what follows from each answer.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pushroll_domain::Clock as _;
use pushroll_domain::FailureReason::DryRunSendingFailed;
use pushroll_simulator::{Action, Provider, RecordedRequest, Reply, Silence};
use pushroll_testkit::{
    Device, Fate, Status, TestApp, a_device, a_server, an_app, eventually, minutes, seconds,
};
use serde_json::{Value, json};

const FAILED: Status = Status::Failed(DryRunSendingFailed);
const PRODUCTION: Provider = Provider::ApnsProduction;
const SANDBOX: Provider = Provider::ApnsSandbox;

/// The requests about this device that an environment has seen, oldest first.
fn requests(app: &TestApp, environment: Provider, phone: &Device) -> Vec<RecordedRequest> {
    let path = format!("/3/device/{}", phone.token);
    let mut recent = app.simulator().recent_requests(environment, 1000);
    recent.retain(|request| request.path == path);
    recent
}

/// Scripts what one environment answers about this device.
fn script<const N: usize>(app: &TestApp, at: Provider, phone: &Device, replies: [Reply; N]) {
    app.simulator().script(at, Some(&phone.token), replies).unwrap();
}

/// Header and claims of the provider token in a request.
fn provider_token(request: &RecordedRequest) -> (Value, Value) {
    let token = request.header("authorization").unwrap().strip_prefix("bearer ").unwrap();
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part));
    let mut json = || serde_json::from_slice(&parts.next().unwrap().unwrap()).unwrap();
    (json(), json())
}

#[tokio::test]
async fn a_dry_run_is_a_background_push_that_expires_at_once() {
    let app = an_app().await;
    let phone = a_device().on_ios().stored(&app).await;
    let request = requests(&app, PRODUCTION, &phone).remove(0);
    assert_eq!(request.method, "POST");
    assert_eq!(request.header("apns-push-type"), Some("background"));
    assert_eq!(request.header("apns-priority"), Some("5"));
    assert_eq!(request.header("apns-expiration"), Some("0"));
    assert_eq!(request.header("apns-topic"), Some(app.simulator().bundle_id()));
    assert_eq!(request.header("apns-id"), Some(phone.id.as_str()));
    let body: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(body, json!({"aps": {"content-available": 1}}));
}

#[tokio::test]
async fn the_provider_token_is_an_es256_jwt_of_the_apps_key_and_team() {
    let app = an_app().await;
    let phone = a_device().stored(&app).await;
    let (header, claims) = provider_token(&requests(&app, PRODUCTION, &phone)[0]);
    let key = app.simulator().apns_key();
    assert_eq!((&header["alg"], &header["kid"]), (&json!("ES256"), &json!(key.key_id)));
    assert_eq!(claims["iss"], key.team_id.as_str());
    assert!(claims["iat"].is_u64());
}

#[tokio::test]
async fn there_is_one_provider_token_per_key_and_team() {
    let server = a_server().start().await;
    let other = server.another_app().await;
    let phones: Vec<Device> = (0..50).map(|_| a_device().build()).collect();
    for app in [server.app(), &other] {
        for id in app.register_all(&phones).tracked().await.registration_ids() {
            assert_eq!(app.status_of_id(&id).await, Status::Success);
        }
    }
    assert_eq!(server.simulator().statistics(PRODUCTION).provider_tokens_seen, 1);
}

#[tokio::test]
async fn the_provider_token_is_renewed_between_20_and_60_minutes_of_age() {
    let server = a_server().on_a_manual_clock().start().await;
    let began = server.clock().now().as_secs();
    for (later, issued_at) in [(0, 0), (19, 0), (40, 59), (19, 59)] {
        server.clock().advance(minutes(later));
        let phone = a_device().stored(&server).await;
        let (_, claims) = provider_token(&requests(&server, PRODUCTION, &phone)[0]);
        assert_eq!(claims["iat"].as_u64(), Some(began + issued_at * 60), "{later} minutes later");
        assert_eq!(server.dry_runs_of(&phone), 1);
    }
}

#[tokio::test]
async fn the_host_is_that_of_the_apps_mode() {
    for (mode, asked, spared) in
        [("production", PRODUCTION, SANDBOX), ("sandbox", SANDBOX, PRODUCTION)]
    {
        let app = an_app().in_mode(mode).await;
        let phone = a_device().stored(&app).await;
        assert_eq!(requests(&app, asked, &phone).len(), 1, "{mode}");
        assert_eq!(requests(&app, spared, &phone).len(), 0, "{mode}");
        assert_eq!(app.devices_of(&phone.user).await[0]["environment"], mode);
    }
}

#[tokio::test]
async fn a_token_with_other_than_hexadecimal_characters_fails_without_a_call() {
    let app = an_app().await;
    for token in ["not hexadecimal", "abcdefg", "../../3/device/aa", "0xab", "ab cd", "é"] {
        let phone = a_device().on_ios().with_token(token).registered(&app).await;
        assert_eq!(app.status_of(&phone).await, FAILED, "{token}");
        assert_eq!(app.dry_runs_of(&phone), 0, "{token}");
        let record = app.record_of(&phone.id).await;
        assert!(record["provider"]["detail"].as_str().unwrap().contains("hexadecimal"), "{record}");
    }
}

#[tokio::test]
async fn what_apns_refuses_for_good_ends_as_dry_run_sending_failed_with_its_words() {
    for (status, reason) in [
        (400, "BadDeviceToken"),
        (400, "DeviceTokenNotForTopic"),
        (400, "BadTopic"),
        (400, "TopicDisallowed"),
        (400, "MissingTopic"),
        (410, "Unregistered"),
        (410, "ExpiredToken"),
        (403, "InvalidProviderToken"),
        (403, "MissingProviderToken"),
        (403, "BadCertificate"),
        (403, "BadCertificateEnvironment"),
        (403, "Forbidden"),
        (403, "UnrelatedKeyIdInToken"),
        (403, "BadEnvironmentKeyIdInToken"),
        (400, "BadCollapseId"),
        (400, "PayloadEmpty"),
        (404, "BadPath"),
        (405, "MethodNotAllowed"),
        (413, "PayloadTooLarge"),
        (400, "AReasonOfNextYear"),
        (403, "AReasonOfNextYear"),
        (418, "AReasonOfNextYear"),
    ] {
        // Refused credentials hold up the app that they are of.
        let app = an_app().await;
        let phone = a_device().on_ios().build();
        script(&app, PRODUCTION, &phone, [Reply::refused(status, reason)]);
        let phone = phone.registered(&app).await;
        assert_eq!(app.status_of(&phone).await, FAILED, "{status} {reason}");
        assert_eq!(app.dry_runs_of(&phone), 1, "{status} {reason}");
        let said = &app.record_of(&phone.id).await["provider"];
        assert_eq!(said["name"], "apns");
        assert_eq!(said["environment"], "production");
        assert_eq!((&said["status"], &said["reason"]), (&json!(status), &json!(reason)));
        assert_eq!(said["provider_id"], phone.id.as_str());
        assert!(app.devices_of(&phone.user).await.is_empty());
    }
}

#[tokio::test]
async fn what_apns_can_not_take_now_is_asked_again() {
    let app = an_app().await;
    for (status, reason) in [
        (429, "TooManyRequests"),
        (500, "InternalServerError"),
        (503, "ServiceUnavailable"),
        (503, "Shutdown"),
        (502, "AReasonOfNextYear"),
        (429, "AReasonOfNextYear"),
        (400, "IdleTimeout"),
    ] {
        let phone = a_device().on_ios().build();
        script(&app, PRODUCTION, &phone, [Reply::refused(status, reason)]);
        let phone = phone.registered(&app).await;
        assert_eq!(app.status_of(&phone).await, Status::Success, "{status} {reason}");
        assert_eq!(app.dry_runs_of(&phone), 2, "{status} {reason}");
    }
}

#[tokio::test]
async fn a_reset_a_goaway_and_a_lost_connection_are_asked_again() {
    let server = a_server().with("verification.retry_base_seconds", 0.05).start().await;
    for action in [Action::ResetStream, Action::ResetConnection, Action::Goaway] {
        let phone = a_device().on_ios().build();
        script(&server, PRODUCTION, &phone, [Reply::doing(action), Reply::doing(action)]);
        let phone = phone.registered(&server).await;
        assert_eq!(server.status_of(&phone).await, Status::Success, "{action:?}");
        assert!(server.dry_runs_of(&phone) >= 3, "{action:?}");
    }
}

#[tokio::test]
async fn a_provider_that_refuses_connections_is_asked_again() {
    let server = a_server().with("verification.retry_base_seconds", 0.05).start().await;
    server.simulator().refuse_connections(PRODUCTION, true).await.unwrap();
    let phone = a_device().on_ios().registered(&server).await;
    server.record_when(&phone.id, |record| record["attempts"].as_u64() >= Some(2)).await;
    assert_eq!(server.status_now(&phone.id).await, Status::Pending);
    server.simulator().refuse_connections(PRODUCTION, false).await.unwrap();
    assert_eq!(server.status_of(&phone).await, Status::Success);
}

#[tokio::test]
async fn a_dry_run_times_out_after_10_s_and_is_asked_again() {
    let usual = pushroll::settings::Settings::default();
    assert_eq!(usual.providers.dry_run_timeout, seconds(10));
    let server =
        a_server().with("providers.dry_run_timeout_seconds", 1).on_a_manual_clock().start().await;
    for phone in [a_device().on_ios().build(), a_device().on_android().build()] {
        server.answers(&phone, [Reply::silence()]);
        let phone = phone.registered(&server).await;
        let waiting = server.record_when(&phone.id, |record| record["attempts"] == 1).await;
        assert_eq!(waiting["provider"]["status"], json!(null));
        server.clock().advance(seconds(1));
        assert_eq!(server.status_of(&phone).await, Status::Success);
        assert_eq!(server.dry_runs_of(&phone), 2);
    }
}

#[tokio::test]
async fn after_too_many_provider_token_updates_it_is_asked_again_with_the_same_token() {
    let server = a_server().on_a_manual_clock().start().await;
    let phone = a_device().on_ios().build();
    script(&server, PRODUCTION, &phone, [Reply::refused(429, "TooManyProviderTokenUpdates")]);
    let phone = phone.registered(&server).await;
    server.record_when(&phone.id, |record| record["attempts"] == 1).await;
    server.clock().advance(minutes(2));
    assert_eq!(server.status_of(&phone).await, Status::Success);
    let asked = requests(&server, PRODUCTION, &phone);
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].header("authorization"), asked[1].header("authorization"));
}

#[tokio::test]
async fn after_expired_provider_token_the_jwt_is_renewed_and_it_is_tried_once_more() {
    let server = a_server().on_a_manual_clock().start().await;
    a_device().stored(&server).await;
    server.clock().advance(seconds(1));
    let phone = a_device().on_ios().build();
    script(&server, PRODUCTION, &phone, [Reply::refused(403, "ExpiredProviderToken")]);
    let phone = phone.registered(&server).await;
    assert_eq!(server.status_of(&phone).await, Status::Success);
    let asked = requests(&server, PRODUCTION, &phone);
    assert_eq!(asked.len(), 2);
    assert_ne!(asked[0].header("authorization"), asked[1].header("authorization"));
}

#[tokio::test]
async fn expired_provider_token_twice_ends_as_dry_run_sending_failed() {
    let server = a_server().start().await;
    let phone = a_device().on_ios().build();
    let expired = || Reply::refused(403, "ExpiredProviderToken");
    script(&server, PRODUCTION, &phone, [expired(), expired()]);
    let phone = phone.registered(&server).await;
    assert_eq!(server.status_of(&phone).await, FAILED);
    assert_eq!(server.dry_runs_of(&phone), 2);
    let record = server.record_of(&phone.id).await;
    assert_eq!(record["provider"]["reason"], "ExpiredProviderToken");
}

#[tokio::test]
async fn every_fate_of_an_apns_token_ends_as_it_should() {
    let app = an_app().await;
    for (fate, end, dry_runs) in [
        (Fate::Accepted, Status::Success, 1),
        (Fate::Bad, FAILED, 1),
        (Fate::Dead, FAILED, 1),
        (Fate::Elsewhere, FAILED, 1),
        (Fate::Busy, Status::Success, 3),
        (Fate::Slow, Status::Success, 1),
    ] {
        let phone = a_device().on_ios().with_fate(fate).registered(&app).await;
        assert_eq!(app.status_of(&phone).await, end, "{fate:?}");
        assert_eq!(app.dry_runs_of(&phone), dry_runs, "{fate:?}");
    }
}

#[tokio::test]
async fn with_auto_the_environment_that_accepts_is_stored_with_the_device() {
    let app = an_app().in_mode("auto").await;
    for (fate, environment) in [(Fate::Accepted, "production"), (Fate::Elsewhere, "sandbox")] {
        let phone = a_device().on_ios().with_fate(fate).stored(&app).await;
        let device = app.devices_of(&phone.user).await.remove(0);
        assert_eq!(device["environment"], environment, "{fate:?}");
    }
}

#[tokio::test]
async fn with_auto_the_likelier_environment_is_asked_first() {
    let app = an_app().in_mode("auto").await;
    let good = a_device().stored(&app).await;
    assert_eq!(
        (requests(&app, PRODUCTION, &good).len(), requests(&app, SANDBOX, &good).len()),
        (1, 0)
    );
    let first = a_device().with_fate(Fate::Elsewhere).stored(&app).await;
    assert_eq!(
        (requests(&app, PRODUCTION, &first).len(), requests(&app, SANDBOX, &first).len()),
        (1, 1)
    );
    let second = a_device().with_fate(Fate::Elsewhere).stored(&app).await;
    assert_eq!(
        (requests(&app, PRODUCTION, &second).len(), requests(&app, SANDBOX, &second).len()),
        (0, 1)
    );
}

#[tokio::test]
async fn with_auto_the_other_is_asked_after_bad_device_token_and_bad_environment_key_id_in_token() {
    for (status, reason) in [(400, "BadDeviceToken"), (403, "BadEnvironmentKeyIdInToken")] {
        let app = an_app().in_mode("auto").await;
        let phone = a_device().on_ios().build();
        script(&app, PRODUCTION, &phone, [Reply::refused(status, reason)]);
        phone.stored(&app).await;
        assert_eq!(requests(&app, SANDBOX, &phone).len(), 1, "{reason}");
    }
}

#[tokio::test]
async fn with_auto_the_other_is_asked_after_nothing_else() {
    for (status, reason) in [
        (410, "Unregistered"),
        (400, "DeviceTokenNotForTopic"),
        (403, "InvalidProviderToken"),
        (400, "AReasonOfNextYear"),
    ] {
        let app = an_app().in_mode("auto").await;
        let phone = a_device().on_ios().build();
        script(&app, PRODUCTION, &phone, [Reply::refused(status, reason)]);
        let phone = phone.registered(&app).await;
        assert_eq!(app.status_of(&phone).await, FAILED, "{reason}");
        assert_eq!(requests(&app, SANDBOX, &phone).len(), 0, "{reason}");
    }
}

#[tokio::test]
async fn with_auto_a_token_that_both_environments_refuse_fails() {
    let app = an_app().in_mode("auto").await;
    let phone = a_device().with_fate(Fate::Bad).registered(&app).await;
    assert_eq!(app.status_of(&phone).await, FAILED);
    assert_eq!(requests(&app, PRODUCTION, &phone).len(), 1);
    assert_eq!(requests(&app, SANDBOX, &phone).len(), 1);
}

#[tokio::test]
async fn with_auto_a_retryable_answer_retries_the_whole() {
    let app = an_app().in_mode("auto").await;
    let phone = a_device().with_fate(Fate::Elsewhere).build();
    script(&app, SANDBOX, &phone, [Reply::status(503)]);
    phone.stored(&app).await;
    assert_eq!(requests(&app, PRODUCTION, &phone).len(), 2);
    assert_eq!(requests(&app, SANDBOX, &phone).len(), 2);
}

#[tokio::test]
async fn fixed_mode_tells_the_operator_of_a_token_of_the_other_environment() {
    for (mode, other) in [("production", "sandbox"), ("sandbox", "production")] {
        let app = an_app().in_mode(mode).await;
        let phone = a_device().on_ios().build();
        let asked = if mode == "production" { PRODUCTION } else { SANDBOX };
        script(&app, asked, &phone, [Reply::refused(400, "BadDeviceToken")]);
        let phone = phone.registered(&app).await;
        assert_eq!(app.status_of(&phone).await, FAILED, "{mode}");
        let record = app.record_when(&phone.id, |record| !record["hint"].is_null()).await;
        let hint = format!("this is a {other} token, the app is set to {mode}");
        assert_eq!(record["hint"], hint.as_str());
        assert_eq!(record["status"], "Failed");
        assert!(app.devices_of(&phone.user).await.is_empty());
    }
}

#[tokio::test]
async fn the_other_environment_is_asked_at_most_once_a_second_for_an_app() {
    let server = a_server().on_a_manual_clock().start().await;
    let wrong = || a_device().on_ios().with_fate(Fate::Elsewhere);
    let has_hint = |record: &Value| !record["hint"].is_null();
    let first = wrong().registered(&server).await;
    server.record_when(&first.id, has_hint).await;
    let second = wrong().registered(&server).await;
    assert_eq!(server.status_of(&second).await, FAILED);
    server.clock().advance(seconds(1));
    let third = wrong().registered(&server).await;
    server.record_when(&third.id, has_hint).await;
    let asked = [&first, &second, &third].map(|phone| requests(&server, SANDBOX, phone).len());
    assert_eq!(asked, [1, 0, 1]);
}

#[tokio::test]
async fn asking_the_other_environment_never_delays_the_outcome() {
    let server = a_server().start().await;
    server.simulator().set_silence(SANDBOX, Silence::Requests).unwrap();
    let phone = a_device().with_fate(Fate::Elsewhere).registered(&server).await;
    assert_eq!(server.status_of(&phone).await, FAILED);
    // Asked for the hint, and not answered for a long time to come.
    eventually("a question to the sandbox", async || {
        (requests(&server, SANDBOX, &phone).len() == 1).then_some(())
    })
    .await;
    assert_eq!(server.record_of(&phone.id).await["hint"], json!(null));
}

#[tokio::test]
async fn a_refusal_that_is_not_bad_device_token_is_not_asked_about_again() {
    let app = an_app().await;
    let dead = a_device().with_fate(Fate::Dead).registered(&app).await;
    assert_eq!(app.status_of(&dead).await, FAILED);
    // A hint for another token comes later than one for this could have.
    let wrong = a_device().with_fate(Fate::Elsewhere).registered(&app).await;
    app.record_when(&wrong.id, |record| !record["hint"].is_null()).await;
    assert_eq!(requests(&app, SANDBOX, &dead).len(), 0);
}

#[tokio::test]
async fn the_device_keeps_the_time_at_which_the_provider_accepted_it() {
    let server = a_server().on_a_manual_clock().start().await;
    let phone = a_device().build();
    server.answers(&phone, [Reply::busy()]);
    let phone = phone.registered(&server).await;
    server.record_when(&phone.id, |record| record["attempts"] == 1).await;
    server.clock().advance(minutes(10));
    assert_eq!(server.status_of(&phone).await, Status::Success);
    let device = server.devices_of(&phone.user).await.remove(0);
    let text = |name: &str| device[name].as_str().unwrap().to_owned();
    assert!(text("verified_at") > text("registered_at"), "{device}");
}
