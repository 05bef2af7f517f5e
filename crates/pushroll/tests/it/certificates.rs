//! Apps that show APNs a push certificate in place of a provider token.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pushroll_domain::Clock as _;
use pushroll_domain::FailureReason::DryRunSendingFailed;
use pushroll_simulator::{P12_PASSWORD, Provider, PushCertificateOrder};
use pushroll_testkit::{Fate, Status, TestApp, a_device, a_server, an_app, days, eventually};
use serde_json::{Value, json};

const FAILED: Status = Status::Failed(DryRunSendingFailed);
const PRODUCTION: Provider = Provider::ApnsProduction;
const EXPIRY: &str = "pushroll_apns_certificate_expiry_timestamp_seconds";

/// A push certificate as it is entered.
fn certificate(app: &TestApp, order: &PushCertificateOrder) -> Value {
    let push = app.simulator().issue_push_certificate(order).unwrap();
    json!({"p12_base64": STANDARD.encode(push.p12), "password": P12_PASSWORD})
}

/// An app to be made with a certificate of this order.
fn with(app: &TestApp, order: &PushCertificateOrder, mode: &str) -> Value {
    let mut body = app.simulator().app_body_with_certificate("Shop");
    body["ios"]["certificate"] = certificate(app, order);
    body["ios"]["mode"] = json!(mode);
    body
}

#[tokio::test]
async fn a_device_is_verified_by_certificate_without_a_provider_token() {
    let server = a_server().start().await;
    let app = server.another_app().with_a_certificate().await;
    let phone = a_device().on_ios().stored(&app).await;
    let requests = app.simulator().recent_requests(PRODUCTION, 10);
    let request = requests.iter().find(|r| r.path.ends_with(&phone.token)).unwrap();
    assert_eq!(request.header("authorization"), None);
    assert_eq!(app.simulator().statistics(PRODUCTION).requests_with_certificate, 1);
    let dead = a_device().on_ios().with_fate(Fate::Dead).registered(&app).await;
    assert_eq!(app.status_of(&dead).await, FAILED);
}

#[tokio::test]
async fn an_app_shows_what_its_certificate_is_for_and_none_of_its_secrets() {
    let app = an_app().with_a_certificate().await;
    let shown = app.admin_get(&app.admin_path()).await.expect(200);
    let certificate = &shown.json()["ios"]["certificate"];
    assert_eq!(certificate["name"], "Apple Push Services: com.example.pushroll");
    assert_eq!(certificate["topics"][0], "com.example.pushroll");
    assert_eq!(certificate["environments"], json!(["production", "sandbox"]));
    assert_eq!(certificate["expires_at"], "2125-01-01T00:00:00Z");
    assert_eq!(certificate.as_object().unwrap().len(), 5);
    assert!(!shown.text().contains("PRIVATE"), "{}", shown.text());
}

#[tokio::test]
async fn a_certificate_is_sealed_at_rest_and_opened_by_the_next_start() {
    let server = a_server().start().await;
    let order = PushCertificateOrder::default();
    let push = server.simulator().issue_push_certificate(&order).unwrap();
    let entered = json!({"ios": {"key": null, "certificate": {
        "p12_base64": STANDARD.encode(push.p12), "password": P12_PASSWORD}}});
    let _ = server.change(&entered).await.expect(200);
    server.restart().await;
    let secret = push.key_pem.lines().nth(1).unwrap();
    assert!(!server.is_on_disk(secret.as_bytes()));
    assert!(!server.is_on_disk(&STANDARD.decode(secret).unwrap()));
    assert!(server.is_on_disk(b"Apple Push Services: com.example.pushroll"), "what is no secret");
    let _ = a_device().on_ios().stored(&server).await;
    assert_eq!(server.simulator().statistics(PRODUCTION).requests_with_certificate, 1);
}

#[tokio::test]
async fn from_key_to_certificate_and_back_is_in_force_for_the_next_dry_run() {
    let server = a_server().start().await;
    let with_certificates = || server.simulator().statistics(PRODUCTION).requests_with_certificate;
    let _ = a_device().on_ios().stored(&server).await;
    assert_eq!(with_certificates(), 0);
    let to_certificate = certificate(&server, &PushCertificateOrder::default());
    let change = json!({"ios": {"certificate": to_certificate}});
    assert!(server.change(&change).await.expect(200).json()["ios"].get("key").is_none());
    let _ = a_device().on_ios().stored(&server).await;
    assert_eq!(with_certificates(), 1);
    let key = server.simulator().app_body("x")["ios"]["key"].take();
    let back = server.change(&json!({"ios": {"key": key}})).await.expect(200).json();
    assert!(back["ios"].get("certificate").is_none());
    let _ = a_device().on_ios().stored(&server).await;
    assert_eq!(with_certificates(), 1);
}

#[tokio::test]
async fn a_wrong_certificate_is_caught_when_it_is_entered_and_told_what_to_upload_instead() {
    let server = a_server().on_a_manual_clock().start().await;
    let now_s = i64::try_from(server.clock().now().as_secs()).unwrap();
    let order = PushCertificateOrder::default;
    let other_app = PushCertificateOrder { bundle_id: "com.example.other".into(), ..order() };
    let expired = PushCertificateOrder { expires_at_s: Some(now_s - 60), ..order() };
    let development = PushCertificateOrder { production: false, ..order() };
    let production = PushCertificateOrder { sandbox: false, ..order() };
    let file = "ios.certificate.p12_base64";
    for (body, field, words) in [
        (with(&server, &other_app, "auto"), file, "is for com.example.other"),
        (with(&server, &expired, "auto"), file, "expired on"),
        (with(&server, &development, "production"), file, "set ios.mode to sandbox"),
        (with(&server, &development, "auto"), file, "set ios.mode to sandbox"),
        (with(&server, &production, "sandbox"), file, "set ios.mode to production"),
    ] {
        let path = format!("/orgs/{}/apps", server.org);
        let problem = server.admin_post(&path, &body).await.problem(400);
        assert_eq!(problem.field(), Some(field), "{}", problem.document);
        let document = problem.document.to_string();
        assert!(document.contains(words), "{words}: {document}");
    }
    let p12 = certificate(&server, &order())["p12_base64"].take();
    let no_p12 = STANDARD.encode(server.simulator().ca_pem());
    let p8 = server.simulator().apns_key().p8.clone();
    for (certificate, field, words) in [
        (json!({"p12_base64": p12, "password": "guess"}), "ios.certificate.password", "password"),
        (json!({"p12_base64": p12}), "ios.certificate.password", "has a password"),
        (json!({"p12_base64": no_p12, "password": ""}), file, "no .p12 file"),
        (json!({"p12_base64": p8, "password": ""}), file, "entered as ios.key"),
    ] {
        let change = json!({"ios": {"certificate": certificate}});
        let problem = server.change(&change).await.problem(400);
        assert_eq!(problem.field(), Some(field), "{}", problem.document);
        let document = problem.document.to_string();
        assert!(document.contains(words), "{words}: {document}");
        assert!(!document.contains("guess"), "{document}");
    }
    // Nothing of it was kept.
    let ios = server.admin_get(&server.admin_path()).await.json()["ios"].clone();
    assert!(ios.get("key").is_some() && ios.get("certificate").is_none(), "{ios}");
}

#[tokio::test]
async fn without_a_bundle_id_the_certificate_s_own_is_the_topic() {
    let app = an_app().await;
    let mut body = app.simulator().app_body_with_certificate("Shop");
    let _ = body["ios"].as_object_mut().unwrap().remove("bundle_id");
    let made = app.admin_post(&format!("/orgs/{}/apps", app.org), &body).await.expect(201);
    assert_eq!(made.json()["ios"]["bundle_id"], "com.example.pushroll");
}

#[tokio::test]
async fn the_end_of_a_certificate_is_a_metric_and_past_it_registrations_fail_with_its_date() {
    let server = a_server().on_a_manual_clock().start().await;
    let end = i64::try_from(server.clock().now().as_secs()).unwrap() + 20 * 86_400;
    let order = PushCertificateOrder { expires_at_s: Some(end), ..PushCertificateOrder::default() };
    let change = json!({"ios": {"certificate": certificate(&server, &order)}});
    let _ = server.change(&change).await.expect(200);
    let of_app = format!("app=\"{}\"", server.id);
    eventually("the metric", async || {
        let value = server.metric(EXPIRY, &[of_app.as_str()]).await;
        (value as i64 == end).then_some(())
    })
    .await;
    let _ = a_device().on_ios().stored(&server).await;
    server.clock().advance(days(21));
    let phone = a_device().on_ios().registered(&server).await;
    assert_eq!(server.status_of(&phone).await, FAILED);
    let record = server.record_of(&phone.id).await;
    let answer = &record["provider"];
    assert_eq!(answer["reason"], "the certificate has expired", "{record}");
    assert_eq!(server.dry_runs_of(&phone), 0);
    // Another takes its place at once.
    let anew = certificate(&server, &PushCertificateOrder::default());
    let _ = server.change(&json!({"ios": {"certificate": anew}})).await.expect(200);
    let _ = a_device().on_ios().stored(&server).await;
}

#[tokio::test]
async fn a_certificate_for_production_alone_is_never_shown_to_the_sandbox() {
    let server = a_server().start().await;
    let order = PushCertificateOrder { sandbox: false, ..PushCertificateOrder::default() };
    let change = json!({"ios": {"certificate": certificate(&server, &order)}});
    let _ = server.change(&change).await.expect(200);
    // A sandbox token: with a key the other environment is asked, for a hint.
    let phone = a_device().on_ios().with_fate(Fate::Elsewhere).registered(&server).await;
    assert_eq!(server.status_of(&phone).await, FAILED);
    server.stop().await;
    let sandbox = server.simulator().statistics(Provider::ApnsSandbox);
    assert_eq!((sandbox.requests, sandbox.connections_opened), (0, 0));
}
