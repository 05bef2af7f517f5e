//! The token endpoint.

use http::Method;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

use crate::setup::{a_simulator, now_s};

#[tokio::test]
async fn a_good_assertion_is_exchanged_for_an_access_token_of_an_hour() {
    let world = a_simulator().await;
    let google = world.google().await;
    let answer = world.exchange(&google, &world.assertion(|_| {})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["expires_in"], 3600);
    assert_eq!(answer.body["token_type"], "Bearer");
    assert!(answer.body["access_token"].as_str().expect("a token").starts_with("ya29."));
}

#[tokio::test]
async fn google_s_own_audience_is_accepted_because_its_libraries_always_send_it() {
    let world = a_simulator().await;
    let google = world.google().await;
    let assertion =
        world.assertion(|claims| claims["aud"] = json!("https://oauth2.googleapis.com/token"));
    assert_eq!(world.exchange(&google, &assertion).await.status, 200);
}

#[tokio::test]
async fn every_claim_of_an_assertion_is_checked() {
    let world = a_simulator().await;
    let google = world.google().await;
    let other_audience = "https://127.0.0.1:1/token";
    let cases = [
        ("iss", json!("other@example.com"), "invalid_grant"),
        ("aud", json!(other_audience), "invalid_grant"),
        ("iat", json!(now_s() - 7_200), "invalid_grant"),
        ("exp", json!(now_s() + 3_700), "invalid_grant"),
        ("exp", json!(now_s() - 10), "invalid_grant"),
        ("exp", json!("soon"), "invalid_grant"),
        ("scope", json!("https://www.googleapis.com/auth/drive"), "invalid_scope"),
    ];
    for (claim, value, error) in cases {
        let assertion = world.assertion(|claims| claims[claim] = value.clone());
        let answer = world.exchange(&google, &assertion).await;
        assert_eq!(answer.status, 400, "{claim}: {answer:?}");
        assert_eq!(answer.body["error"], error, "{claim}: {answer:?}");
        assert!(answer.body["error_description"].is_string());
    }
    let long_ago = world.assertion(|claims| {
        claims["iat"] = json!(now_s() - 4_000);
        claims["exp"] = json!(now_s() - 400);
    });
    assert_eq!(world.exchange(&google, &long_ago).await.body["error"], "invalid_grant");
}

#[tokio::test]
async fn an_assertion_that_another_key_signed_is_refused() {
    let world = a_simulator().await;
    let google = world.google().await;
    let good = world.assertion(|_| {});
    let tampered = {
        let (rest, signature) = good.rsplit_once('.').expect("three parts");
        let first = if signature.starts_with('A') { "B" } else { "A" };
        format!("{rest}.{first}{}", &signature[1..])
    };
    // The public key as an HMAC secret is the classic confusion of algorithms.
    let key = EncodingKey::from_secret(b"secret");
    let claims = json!({
        "iss": world.simulator.service_account()["client_email"],
        "aud": world.simulator.token_uri(), "scope": crate::setup::SCOPE,
        "iat": now_s(), "exp": now_s() + 60,
    });
    let hmac = encode(&Header::new(Algorithm::HS256), &claims, &key).expect("signs");
    for assertion in [tampered, hmac] {
        let answer = world.exchange(&google, &assertion).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.body["error_description"], "Invalid JWT Signature.");
    }
    assert_eq!(world.exchange(&google, "no.jwt").await.body["error"], "invalid_grant");
}

#[tokio::test]
async fn only_a_form_with_the_right_grant_type_is_read() {
    let world = a_simulator().await;
    let google = world.google().await;
    let form = "application/x-www-form-urlencoded";
    let assertion = world.assertion(|_| {});
    let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
    for (content_type, body, error) in [
        ("application/json", format!("{grant}&assertion={assertion}"), "invalid_request"),
        (form, format!("assertion={assertion}"), "invalid_request"),
        (form, grant.to_owned(), "invalid_request"),
        (form, format!("{grant}&assertion=a&assertion=b"), "invalid_request"),
        (form, format!("grant_type=password&assertion={assertion}"), "unsupported_grant_type"),
    ] {
        let headers = [("content-type", content_type)];
        let answer = google.request(Method::POST, "/token", &headers, body.as_bytes()).await;
        let answer = answer.expect("answered");
        assert_eq!(answer.status, 400);
        assert_eq!(answer.body["error"], error, "{body}");
    }
    let get = google.request(Method::GET, "/token", &[], b"").await.expect("answered");
    assert_eq!(get.status, 405);
}
