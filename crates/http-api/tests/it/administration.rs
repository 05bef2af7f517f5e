//! Administration, as operators and their scripts see it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use pushroll_domain::{
    AppId, CallbackReport, CallbackResult, Device, DeviceToken, Ended, Environment, FailureReason,
    Outcome, Platform, Provider, ProviderAnswer, RegistrationId, UserId,
};
use serde_json::{Value as Json, json};

use crate::fakes::StoppedClock;
use crate::raw::Answer;
use crate::running::{ADMIN_TOKEN, running};

fn both_sides() -> Json {
    json!({
        "name": "Shop",
        "description": "The shop's app",
        "ios": {
            "mode": "production",
            "bundle_id": "com.example.shop",
            "key": { "key_id": "ABCDE12345", "team_id": "TEAM123456", "p8": "a private key" },
        },
        "android": { "service_account": service_account() },
    })
}

fn service_account() -> Json {
    json!({
        "type": "service_account",
        "project_id": "shop-1",
        "client_email": "push@shop-1.example",
        "private_key": "a private key",
        "token_uri": "https://oauth2.googleapis.com/token",
    })
}

#[track_caller]
fn created(answer: &Answer) -> Json {
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
    let body = answer.json();
    let location = answer.header("location").unwrap();
    assert!(location.ends_with(body["id"].as_str().unwrap()), "{location}");
    body
}

#[tokio::test]
async fn without_the_admin_token_everything_is_401() {
    let server = running().await;
    let almost = format!("Bearer {ADMIN_TOKEN}x");
    let basic = format!("Basic {ADMIN_TOKEN}");
    for headers in [
        vec![],
        vec![("authorization", almost.as_str())],
        vec![("authorization", basic.as_str())],
        vec![("authorization", "Bearer")],
    ] {
        for path in ["/admin/v1/orgs", "/admin/v1", "/admin/v1/nothing"] {
            let answer = server.ask("GET", path, &headers, "").await;
            answer.problem(401);
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
    let bearer = format!("bearer {ADMIN_TOKEN}");
    let headers = [("authorization", bearer.as_str())];
    assert_eq!(server.ask("GET", "/admin/v1/orgs/", &headers, "").await.status, 200);
}

#[tokio::test]
async fn an_organization_is_made_shown_and_listed() {
    let server = running().await;
    let org = created(&server.admin("POST", "/orgs", Some(json!({ "name": "Acme" }))).await);
    assert_eq!(org["name"], "Acme");
    assert_eq!(org["created_at"], "2026-01-01T00:00:00Z");
    let path = format!("/orgs/{}", org["id"].as_str().unwrap());
    let shown = server.admin("GET", &path, None).await;
    assert_eq!(shown.json(), org);
    assert_eq!(shown.header("cache-control"), Some("no-store"));
    let list = server.admin("GET", "/orgs", None).await.json();
    assert_eq!((list["items"].as_array().unwrap().len(), &list["next"]), (2, &Json::Null));
    assert!(list["items"].as_array().unwrap().contains(&org));
}

#[tokio::test]
async fn an_app_is_made_shown_changed_and_deleted() {
    let server = running().await;
    let apps = format!("/orgs/{}/apps", server.org);
    let made = server.admin("POST", &apps, Some(both_sides())).await;
    let app = created(&made);
    assert!(app["webhook_secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!(
        app["ios"],
        json!({ "mode": "production", "bundle_id": "com.example.shop",
        "key": { "key_id": "ABCDE12345", "team_id": "TEAM123456" } })
    );
    assert_eq!(
        app["android"],
        json!({ "project_id": "shop-1", "client_email": "push@shop-1.example" })
    );
    let path = format!("{apps}/{}", app["id"].as_str().unwrap());
    let shown = server.admin("GET", &path, None).await;
    assert_eq!(shown.json().get("webhook_secret"), None);
    for answer in [&made, &shown] {
        assert!(!String::from_utf8_lossy(&answer.body).contains("a private key"));
    }

    let change =
        json!({ "name": "Store", "description": null, "ios": { "mode": "auto" }, "android": null });
    let changed = server.admin("PATCH", &path, Some(change)).await;
    assert_eq!(changed.status, 200);
    let changed = changed.json();
    assert_eq!((&changed["name"], &changed["description"]), (&json!("Store"), &json!("")));
    assert_eq!(
        (&changed["ios"]["mode"], &changed["ios"]["bundle_id"]),
        (&json!("auto"), &json!("com.example.shop"))
    );
    assert_eq!(changed["android"], Json::Null);
    assert_eq!(server.admin("PATCH", &path, Some(json!({}))).await.json(), changed);

    let gone = server.admin("DELETE", &path, None).await;
    assert_eq!((gone.status, gone.body.len()), (204, 0));
    for method in ["GET", "DELETE"] {
        server.admin(method, &path, None).await.problem(404);
    }
    let list = server.admin("GET", &apps, None).await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_service_account_may_be_a_string_that_holds_the_file() {
    let server = running().await;
    let body =
        json!({ "name": "x", "android": { "service_account": service_account().to_string() } });
    let app =
        created(&server.admin("POST", &format!("/orgs/{}/apps", server.org), Some(body)).await);
    assert_eq!(app["android"]["project_id"], "shop-1");
}

#[tokio::test]
async fn wrong_credentials_are_told_with_what_to_upload_instead() {
    let server = running().await;
    let apps = format!("/orgs/{}/apps", server.org);
    let mut wrong_key = both_sides();
    wrong_key["ios"]["key"]["p8"] = json!("wrong");
    let problem = server.admin("POST", &apps, Some(wrong_key)).await.problem(400);
    assert_eq!(problem["field"], "ios.key.p8");
    assert!(problem["detail"].as_str().unwrap().contains("upload"), "{problem}");
    let mut wrong_file = both_sides();
    wrong_file["android"]["service_account"] = json!({ "project_info": {} });
    let problem = server.admin("POST", &apps, Some(wrong_file)).await.problem(400);
    assert_eq!(problem["field"], "android.service_account");
}

#[tokio::test]
async fn what_is_missing_not_known_or_not_usable_is_named() {
    let server = running().await;
    let apps = format!("/orgs/{}/apps", server.org);
    let mut with_typo = both_sides();
    with_typo["ios"]["bundel_id"] = json!("x");
    let mut without_key = both_sides();
    without_key["ios"].as_object_mut().unwrap().remove("key");
    let mut other_mode = both_sides();
    other_mode["ios"]["mode"] = json!("development");
    for (body, field) in [
        (with_typo, "ios.bundel_id"),
        (without_key, "ios.key"),
        (other_mode, "ios.mode"),
        (json!({}), "name"),
        (json!({ "name": "x", "android": {} }), "android.service_account"),
        (json!({ "name": "x", "android": { "service_account": 1 } }), "android.service_account"),
        (json!({ "name": "x\u{0}" }), "name"),
    ] {
        let problem = server.admin("POST", &apps, Some(body)).await.problem(400);
        assert_eq!(problem["field"], field, "{problem}");
    }
    for (body, field) in [
        (json!({ "name": null }), "name"),
        (json!({ "ios": { "mode": null } }), "ios.mode"),
        (json!({ "ios": { "mode": "auto" } }), "ios.bundle_id"),
        (json!({ "ios": { "key": { "key_id": "x" } } }), "ios.key.team_id"),
        (json!({ "android": { "service_account": null } }), "android.service_account"),
    ] {
        let problem = server.admin("PATCH", &server.app_path(), Some(body)).await.problem(400);
        assert_eq!(problem["field"], field, "{problem}");
    }
}

#[tokio::test]
async fn a_token_is_shown_once_and_good_until_it_is_revoked() {
    let server = running().await;
    let path = format!("{}/tokens", server.app_path());
    let body = json!({ "name": "backend", "expires_at": "2030-01-01T00:00:00+01:00" });
    let made = created(&server.admin("POST", &path, Some(body)).await);
    assert_eq!(made["expires_at"], "2029-12-31T23:00:00Z");
    let token = made["token"].as_str().unwrap();
    let list = server.admin("GET", &path, None).await;
    assert_eq!(list.json()["items"].as_array().unwrap().len(), 2);
    assert!(!String::from_utf8_lossy(&list.body).contains(token));

    let mut registration = server.registration();
    registration["ApiToken"] = json!(token);
    server.post("devices", &registration).await;
    assert!(server.store.accepted.lock()[0].authorized_by.is_some());
    let one = format!("{path}/{}", made["id"].as_str().unwrap());
    assert_eq!(server.admin("DELETE", &one, None).await.status, 204);
    server.post("devices", &registration).await;
    assert!(server.store.accepted.lock()[1].authorized_by.is_none());
    let list = server.admin("GET", &path, None).await.json();
    assert_eq!(list["items"][1]["revoked_at"], "2026-01-01T00:00:00Z");
}

#[tokio::test]
async fn a_token_needs_no_body_and_an_expiry_to_come() {
    let server = running().await;
    let path = format!("{}/tokens", server.app_path());
    assert!(created(&server.admin("POST", &path, None).await)["token"].is_string());
    for expires_at in ["yesterday", "2025-01-01T00:00:00Z", ""] {
        let body = json!({ "expires_at": expires_at });
        let problem = server.admin("POST", &path, Some(body)).await.problem(400);
        assert_eq!(problem["field"], "expires_at", "{expires_at}");
    }
}

#[tokio::test]
async fn what_is_unknown_is_404() {
    let server = running().await;
    let nobody = "00000000-0000-0000-0000-000000000000";
    let app = server.app_path();
    for (method, path) in [
        ("GET", format!("/orgs/{nobody}")),
        ("GET", "/orgs/x".to_owned()),
        ("POST", format!("/orgs/{nobody}/apps")),
        ("GET", format!("/orgs/{}/apps/{nobody}", server.org)),
        ("GET", format!("/orgs/{nobody}/apps/{}", server.app)),
        ("DELETE", format!("{app}/tokens/{nobody}")),
        ("GET", format!("{app}/registrations/{nobody}")),
        ("GET", format!("/orgs/{}/apps/{nobody}/devices?user_id=me", server.org)),
        ("GET", format!("{app}/nothing")),
    ] {
        server.admin(method, &path, None).await.problem(404);
    }
    let answer = server.admin("PUT", &app, None).await;
    answer.problem(405);
    assert_eq!(answer.header("allow"), Some("GET, PATCH, DELETE"));
}

#[tokio::test]
async fn lists_are_paged() {
    let server = running().await;
    let by = pushroll_domain::Actor::at_the_machine();
    for n in 0..4 {
        server.service.create_org(&by, &format!("Org {n}")).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut path = "/orgs?limit=2".to_owned();
    loop {
        let list = server.admin("GET", &path, None).await.json();
        let items = list["items"].as_array().unwrap();
        assert!((1..=2).contains(&items.len()));
        seen.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        let Some(next) = list["next"].as_str() else { break };
        // Either name does.
        let name = if seen.len() == 2 { "after" } else { "next" };
        path = format!("/orgs?limit=2&{name}={next}");
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted());
    for limit in ["0", "1001", "-1", "many"] {
        let problem = server.admin("GET", &format!("/orgs?limit={limit}"), None).await.problem(400);
        assert_eq!(problem["field"], "limit");
    }
}

#[tokio::test]
async fn the_devices_of_a_user_are_listed() {
    let server = running().await;
    for n in 0..3 {
        server.store.devices.lock().push(Device {
            id: RegistrationId::from_bytes([n; 16]),
            app: server.app,
            user: UserId::parse("me & you").unwrap(),
            token: DeviceToken::parse(Platform::Ios, &format!("AB{n}")).unwrap(),
            environment: Some(Environment::Sandbox),
            registered_at: StoppedClock::NOW,
            verified_at: StoppedClock::NOW,
            last_seen_at: StoppedClock::NOW,
            answer: None,
        });
    }
    let path = format!("{}/devices?user_id=me%20%26+you", server.app_path());
    let list = server.admin("GET", &path, None).await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 3);
    assert_eq!(
        list["items"][0],
        json!({
            "id": "00000000-0000-0000-0000-000000000000",
            "user_id": "me & you",
            "platform": "ios",
            "device_token": "ab0",
            "environment": "sandbox",
            "registered_at": "2026-01-01T00:00:00Z",
            "verified_at": "2026-01-01T00:00:00Z",
            "last_seen_at": "2026-01-01T00:00:00Z",
        })
    );
    let first = server.admin("GET", &format!("{path}&limit=2"), None).await.json();
    let rest = format!("{path}&limit=2&after={}", first["next"].as_str().unwrap());
    assert_eq!(server.admin("GET", &rest, None).await.json()["items"].as_array().unwrap().len(), 1);
    let wrong = format!("{}/devices?user_id=a%0Ab", server.app_path());
    assert_eq!(server.admin("GET", &wrong, None).await.problem(400)["field"], "user_id");
    server.store.is_down.store(true, Ordering::Relaxed);
    assert_eq!(server.admin("GET", &path, None).await.retry_after(), 3);
}

#[tokio::test]
async fn without_a_user_all_devices_of_the_app_are_listed() {
    let server = running().await;
    for (n, app) in [(1, server.app), (2, server.app), (3, AppId::from_bytes([9; 16]))] {
        server.store.devices.lock().push(Device {
            id: RegistrationId::from_bytes([n; 16]),
            app,
            user: UserId::parse(&format!("user {n}")).unwrap(),
            token: DeviceToken::parse(Platform::Android, "token").unwrap(),
            environment: None,
            registered_at: StoppedClock::NOW,
            verified_at: StoppedClock::NOW,
            last_seen_at: StoppedClock::NOW,
            answer: None,
        });
    }
    let path = format!("{}/devices?limit=1", server.app_path());
    let first = server.admin("GET", &path, None).await.json();
    assert_eq!(first["items"][0]["user_id"], "user 1");
    let rest = format!("{path}&after={}", first["next"].as_str().unwrap());
    let second = server.admin("GET", &rest, None).await.json();
    assert_eq!((&second["items"][0]["user_id"], &second["next"]), (&json!("user 2"), &Json::Null));
}

#[tokio::test]
async fn a_developer_is_told_what_he_needs_and_nothing_secret() {
    let server = running().await;
    let apps = format!("/orgs/{}/apps", server.org);
    let app = created(&server.admin("POST", &apps, Some(both_sides())).await);
    let path = format!("{apps}/{}", app["id"].as_str().unwrap());
    let tokens = format!("{path}/tokens");
    let token = created(&server.admin("POST", &tokens, Some(json!({"name": "app"}))).await);
    let revoked = created(&server.admin("POST", &tokens, Some(json!({"name": "old"}))).await);
    let revoked = format!("{tokens}/{}", revoked["id"].as_str().unwrap());
    assert_eq!(server.admin("DELETE", &revoked, None).await.status, 204);

    let answer = server.admin("GET", &format!("{path}/developer-information"), None).await;
    let told = answer.json();
    assert_eq!(told["organization_id"], server.org.to_string());
    assert_eq!(told["mobile_app_id"], app["id"]);
    assert_eq!(told["ios"]["bundle_id"], "com.example.shop");
    assert_eq!(told["android"]["project_id"], "shop-1");
    // The good ones, by name: the token itself is gone.
    assert_eq!(told["api_tokens"].as_array().unwrap().len(), 1);
    assert_eq!(told["api_tokens"][0]["name"], "app");
    let text = String::from_utf8_lossy(&answer.body);
    for secret in [token["token"].as_str().unwrap(), "a private key", "whsec_"] {
        assert!(!text.contains(secret));
    }
    let base = format!("http://test/api/v1.0/orgs/{}/pushdeviceregistration/devices", server.org);
    let urls: Vec<_> = told["calls"].as_array().unwrap().iter().map(|call| &call["url"]).collect();
    assert_eq!(urls[0], &json!(base));
    assert_eq!((told["public_url_is_guess"].clone(), urls.len()), (json!(true), 5));
    let samples = told["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 6);
    for sample in samples {
        let text = sample["text"].as_str().unwrap();
        assert!(text.contains(&base) && text.contains(app["id"].as_str().unwrap()), "{text}");
    }

    let change = json!({"android": null});
    assert_eq!(server.admin("PATCH", &path, Some(change)).await.status, 200);
    let told = server.admin("GET", &format!("{path}/developer-information"), None).await.json();
    assert_eq!((&told["android"], told["samples"].as_array().unwrap().len()), (&Json::Null, 4));
}

#[tokio::test]
async fn an_app_s_health_and_a_check_of_its_credentials_say_what_is_wrong_and_what_to_do() {
    let server = running().await;
    let none = server.admin("POST", &format!("{}/check", server.app_path()), None).await.json();
    assert_eq!(none, json!({"severity": "fine", "findings": []}));
    let apps = format!("/orgs/{}/apps", server.org);
    let app = created(&server.admin("POST", &apps, Some(both_sides())).await);
    let path = format!("{apps}/{}", app["id"].as_str().unwrap());

    // These providers can't be reached.
    let check = server.admin("POST", &format!("{path}/check"), None).await.json();
    assert_eq!(check["severity"], "fault");
    let findings = check["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 2);
    for finding in findings {
        assert_eq!(finding["symptom"], "no-connection");
        assert!(finding["to_do"].as_str().unwrap().contains("firewall"));
        assert_eq!(finding["provider"]["reason"], "not asked");
    }

    let health = server.admin("GET", &format!("{path}/health"), None).await.json();
    assert_eq!(health["condition"], "fine");
    assert_eq!(
        health["sides"][1],
        json!({
            "platform": "android",
            "condition": "fine",
            "credentials": {"kind": "service-account", "expires_at": null, "fault": null},
            "breaker": "closed",
            "last_answer": null,
            "pending": 0,
            "symptoms": [],
        })
    );
    let nobody = format!("{apps}/00000000-0000-0000-0000-000000000000");
    server.admin("GET", &format!("{nobody}/health"), None).await.problem(404);
    server.admin("POST", &format!("{nobody}/check"), None).await.problem(404);
    server.admin("GET", &format!("{nobody}/developer-information"), None).await.problem(404);
}

#[tokio::test]
async fn a_registration_is_shown_with_the_providers_words_and_no_secret() {
    let server = running().await;
    let headers =
        [("x-ms-callback-url", "https://example.com/hunter2"), ("x-ms-track-registration", "true")];
    let answer = server.post_with("devices", &headers, &server.registration()).await.json();
    let id = answer["RegistrationRequestId"].as_str().unwrap();
    server.store.ended.lock().push(Ended {
        id: RegistrationId::from_bytes([9; 16]),
        app: server.app,
        user: UserId::parse("me").unwrap(),
        platform: Platform::Android,
        token_fingerprint: Some("01234567".to_owned()),
        token_chars: 140,
        tracked: false,
        outcome: Outcome::Failed(FailureReason::DryRunSendingFailed),
        answer: Some(ProviderAnswer {
            provider: Provider::Fcm,
            environment: None,
            status: Some(404),
            reason: "UNREGISTERED".to_owned(),
            detail: Some("Requested entity was not found.".to_owned()),
            provider_id: None,
        }),
        hint: Some("a hint".to_owned()),
        callback: Some(CallbackReport {
            result: CallbackResult::Answered { status: 500 },
            at: StoppedClock::NOW,
            took: Duration::from_millis(12),
        }),
        accepted_at: StoppedClock::NOW,
        ended_at: StoppedClock::NOW,
        attempts: 2,
    });
    let app = server.app_path();
    let list = server.admin("GET", &format!("{app}/registrations?user_id=me"), None).await.json();
    let pending = &list["items"][0];
    assert_eq!(pending["id"], id);
    assert_eq!((&pending["status"], &pending["tracked"]), (&json!("Pending"), &json!(true)));
    assert_eq!(
        (&pending["attempts"], &pending["callback"]["result"]),
        (&json!(0), &json!("not_due"))
    );
    assert!(pending["due_at"].is_string() && pending.get("ended_at").is_none());
    assert_eq!(pending["device_token_fingerprint"].as_str().unwrap().len(), 8);
    let ended = &list["items"][1];
    assert_eq!(
        (&ended["status"], &ended["failure_reason"]),
        (&json!("Failed"), &json!("DryRunSendingFailed"))
    );
    assert_eq!(
        ended["provider"],
        json!({ "name": "fcm", "environment": null, "status": 404,
        "reason": "UNREGISTERED", "detail": "Requested entity was not found.", "provider_id": null })
    );
    assert_eq!(
        ended["callback"],
        json!({ "result": "answered", "status": 500, "reason": null,
        "at": "2026-01-01T00:00:00Z", "took_ms": 12 })
    );
    assert_eq!(ended["hint"], "a hint");
    let one = server.admin("GET", &format!("{app}/registrations/{id}"), None).await;
    assert_eq!(&one.json(), pending);
    let all = format!("{list} {}", one.json());
    assert!(!all.contains("hunter2") && !all.contains("ab12") && !all.contains(&server.token));
}

#[tokio::test]
async fn a_change_of_the_configuration_is_503_while_the_store_is_down() {
    let server = running().await;
    server.store.is_down.store(true, Ordering::Relaxed);
    let answer = server.admin("POST", "/orgs", Some(json!({ "name": "Acme" }))).await;
    answer.problem(503);
    assert_eq!(answer.retry_after(), 3);
    let revoked = format!("{}/tokens/{}", server.app_path(), server.token_id);
    assert_eq!(server.admin("DELETE", &revoked, None).await.status, 204);
}
