//! Push certificates, as operators and their scripts see them.

use serde_json::{Value as Json, json};

use crate::running::{Running, running};

const TOPIC: &str = "com.example.shop";

fn with_certificate(certificate: Json) -> Json {
    json!({ "name": "Shop", "ios": { "mode": "production", "certificate": certificate } })
}

fn certificate_for(topic: &str) -> Json {
    json!({ "p12_base64": topic, "password": "a secret" })
}

fn key() -> Json {
    json!({ "key_id": "ABCDE12345", "team_id": "TEAM123456", "p8": "a private key" })
}

async fn app_with_certificate(server: &Running) -> (String, Json) {
    let apps = format!("/orgs/{}/apps", server.org);
    let body = with_certificate(certificate_for(TOPIC));
    let made = server.admin("POST", &apps, Some(body)).await;
    assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
    let app = made.json();
    (format!("{apps}/{}", app["id"].as_str().unwrap()), app)
}

#[tokio::test]
async fn an_app_with_a_certificate_shows_what_it_is_for_and_when_it_ends() {
    let server = running().await;
    let (path, made) = app_with_certificate(&server).await;
    let expected = json!({
        "mode": "production",
        "bundle_id": TOPIC,
        "certificate": {
            "name": "Apple Push Services: com.example.shop",
            "topics": [TOPIC],
            "environments": ["production", "sandbox"],
            "begins_at": "1970-01-01T00:00:00Z",
            "expires_at": "2027-01-15T08:00:00Z",
        },
    });
    assert_eq!(made["ios"], expected);
    let shown = server.admin("GET", &path, None).await;
    assert_eq!(shown.json()["ios"], expected);
    for secret in ["a secret", "a private key"] {
        assert!(!String::from_utf8_lossy(&shown.body).contains(secret));
    }
}

#[tokio::test]
async fn a_patch_goes_from_key_to_certificate_and_back() {
    let server = running().await;
    let (path, _) = app_with_certificate(&server).await;
    let patched = |ios: Json| {
        let (server, path) = (&server, &path);
        async move { server.admin("PATCH", path, Some(json!({ "ios": ios }))).await }
    };
    let to_key = patched(json!({ "key": key() })).await;
    assert_eq!(to_key.status, 200);
    let ios = to_key.json()["ios"].clone();
    assert_eq!((&ios["key"]["key_id"], &ios["certificate"]), (&json!("ABCDE12345"), &Json::Null));
    let back = patched(json!({ "key": null, "certificate": certificate_for(TOPIC) })).await;
    assert_eq!(back.status, 200);
    let ios = back.json()["ios"].clone();
    assert_eq!((&ios["certificate"]["topics"][0], &ios["key"]), (&json!(TOPIC), &Json::Null));

    // What is kept is checked anew with what is changed.
    let problem = patched(json!({ "bundle_id": "com.example.other" })).await.problem(400);
    assert_eq!(problem["field"], "ios.certificate.p12_base64");
    assert_eq!(patched(json!({ "mode": "auto" })).await.json()["ios"]["mode"], "auto");
    let other = certificate_for("com.example.sandbox");
    let problem = patched(json!({ "certificate": other })).await.problem(400);
    assert_eq!(problem["field"], "ios.certificate.p12_base64");
    let moved =
        json!({ "certificate": other, "bundle_id": "com.example.sandbox", "mode": "sandbox" });
    assert_eq!(patched(moved).await.json()["ios"]["bundle_id"], "com.example.sandbox");
    let problem = patched(json!({ "mode": "production" })).await.problem(400);
    assert!(problem["detail"].as_str().unwrap().contains("set ios.mode to sandbox"), "{problem}");
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_told_by_its_field() {
    let server = running().await;
    let apps = format!("/orgs/{}/apps", server.org);
    let both = json!({ "name": "x", "ios": {
        "mode": "auto", "bundle_id": TOPIC, "key": key(), "certificate": certificate_for(TOPIC) } });
    let neither = json!({ "name": "x", "ios": { "mode": "auto", "bundle_id": TOPIC } });
    let key_without_bundle_id = json!({ "name": "x", "ios": { "mode": "auto", "key": key() } });
    for (body, field) in [
        (with_certificate(json!({})), "ios.certificate.p12_base64"),
        (with_certificate(json!("x")), "ios.certificate"),
        (with_certificate(json!({ "p12": "x" })), "ios.certificate.p12"),
        (with_certificate(json!({ "p12_base64": "x", "password": 1 })), "ios.certificate.password"),
        (
            with_certificate(json!({ "p12_base64": "x", "password": "wrong" })),
            "ios.certificate.password",
        ),
        (both, "ios.certificate"),
        (neither, "ios.key"),
        (key_without_bundle_id, "ios.bundle_id"),
    ] {
        let problem = server.admin("POST", &apps, Some(body)).await.problem(400);
        assert_eq!(problem["field"], field, "{problem}");
    }
    let path = app_with_certificate(&server).await.0;
    for ios in [json!({ "key": null }), json!({ "certificate": null })] {
        let problem = server.admin("PATCH", &path, Some(json!({ "ios": ios }))).await.problem(400);
        assert_eq!(problem["field"], "ios.key", "{problem}");
    }
}
