//! FCM HTTP v1: fates, and errors in Google's form.

use std::time::{Duration, Instant};

use http::Method;
use pushroll_simulator::tokens;
use pushroll_simulator::{FcmFate, Provider};
use serde_json::{Value, json};

use crate::client::Answer;
use crate::setup::{a_simulator, a_simulator_with};

const FCM_ERROR: &str = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";

/// Status, `error.status` and the FCM error code.
fn error_of(answer: &Answer) -> (u16, &str, Option<&str>) {
    let error = &answer.body["error"];
    assert_eq!(error["code"], answer.status, "{answer:?}");
    assert!(error["message"].is_string(), "{answer:?}");
    let code = detail_of(answer, FCM_ERROR).and_then(|detail| detail["errorCode"].as_str());
    (answer.status, error["status"].as_str().expect("a status"), code)
}

fn detail_of<'a>(answer: &'a Answer, kind: &str) -> Option<&'a Value> {
    answer.body["error"]["details"].as_array()?.iter().find(|detail| detail["@type"] == kind)
}

#[tokio::test]
async fn a_good_message_is_answered_with_its_name() {
    let world = a_simulator().await;
    let google = world.google().await;
    let token = world.access_token(&google).await;
    let answer = world.send_to(&google, &token, &tokens::fcm(1, FcmFate::Accepted)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json; charset=UTF-8"));
    let name = answer.body["name"].as_str().expect("a name");
    assert!(name.starts_with("projects/pushroll-simulator/messages/0:"), "{name}");
    assert_eq!(answer.body.as_object().expect("an object").len(), 1);
}

#[tokio::test]
async fn the_first_characters_of_a_registration_token_are_its_fate() {
    let world = a_simulator().await;
    let google = world.google().await;
    let token = world.access_token(&google).await;
    for (fate, expected) in [
        (FcmFate::Bad, (400, "INVALID_ARGUMENT", Some("INVALID_ARGUMENT"))),
        (FcmFate::Dead, (404, "NOT_FOUND", Some("UNREGISTERED"))),
        (FcmFate::OtherSender, (403, "PERMISSION_DENIED", Some("SENDER_ID_MISMATCH"))),
    ] {
        let answer = world.send_to(&google, &token, &tokens::fcm(3, fate)).await;
        assert_eq!(error_of(&answer), expected);
        assert!(detail_of(&answer, BAD_REQUEST).is_none());
    }
    for seed in [1, 2] {
        let busy = tokens::fcm(seed, FcmFate::Busy);
        for _ in 0..2 {
            let answer = world.send_to(&google, &token, &busy).await;
            assert_eq!(error_of(&answer), (503, "UNAVAILABLE", Some("UNAVAILABLE")));
            assert_eq!(answer.header("retry-after"), Some("1"));
        }
        assert_eq!(world.send_to(&google, &token, &busy).await.status, 200);
    }
    let began = Instant::now();
    assert_eq!(world.send_to(&google, &token, &tokens::fcm(1, FcmFate::Slow)).await.status, 200);
    assert!(began.elapsed() >= Duration::from_millis(2_990), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_malformed_token_is_the_token_s_fault() {
    let world = a_simulator().await;
    let google = world.google().await;
    let token = world.access_token(&google).await;
    for malformed in ["", "with space", "tab\t", "grün"] {
        let answer = world.send_to(&google, &token, malformed).await;
        assert_eq!(
            error_of(&answer),
            (400, "INVALID_ARGUMENT", Some("INVALID_ARGUMENT")),
            "{malformed}"
        );
    }
}

#[tokio::test]
async fn a_fault_of_the_payload_names_its_field_and_is_not_the_token_s() {
    let world = a_simulator().await;
    let google = world.google().await;
    let token = world.access_token(&google).await;
    for (body, field) in [
        (json!({"message": {"token": "t", "data": {"a": 1}}}), "message.data[0].value"),
        (json!({"message": {"token": "t", "colour": "red"}}), "message"),
        (json!({"message": {}}), "message"),
    ] {
        let path = world.send_path();
        let answer = world.send(&google, &token, &path, body.to_string().as_bytes()).await;
        assert_eq!(error_of(&answer), (400, "INVALID_ARGUMENT", None), "{body}");
        let violations = &detail_of(&answer, BAD_REQUEST).expect("a detail")["fieldViolations"];
        assert_eq!(violations[0]["field"], field, "{answer:?}");
    }
    let answer = world.send(&google, &token, &world.send_path(), b"{").await;
    assert_eq!(error_of(&answer), (400, "INVALID_ARGUMENT", None));
}

#[tokio::test]
async fn a_wrong_project_is_404_without_an_fcm_error() {
    let world = a_simulator().await;
    let google = world.google().await;
    let token = world.access_token(&google).await;
    let body = br#"{"message":{"token":"dead-1"}}"#;
    let answer = world.send(&google, &token, "/v1/projects/other/messages:send", body).await;
    assert_eq!(error_of(&answer), (404, "NOT_FOUND", None));
    for (method, path, status) in
        [(Method::POST, "/v2/x", 404), (Method::GET, &*world.send_path(), 405)]
    {
        let answer = google.request(method, path, &[], b"").await.expect("answered");
        assert_eq!(answer.status, status, "{path}");
    }
}

#[tokio::test]
async fn only_an_access_token_of_this_token_endpoint_that_has_not_expired_is_accepted() {
    let world =
        a_simulator_with(|settings| settings.access_token_lifetime = Duration::from_secs(60)).await;
    let google = world.google().await;
    let token = world.access_token(&google).await;
    let body = br#"{"message":{"token":"t"}}"#;
    let unauthenticated = (401, "UNAUTHENTICATED", None);

    let without = google.request(Method::POST, &world.send_path(), &[], body).await;
    assert_eq!(error_of(&without.expect("answered")), unauthenticated);
    let wrong = world.send_to(&google, "ya29.wrong", "t").await;
    assert_eq!(error_of(&wrong), unauthenticated);
    assert!(wrong.header("www-authenticate").is_some());

    assert_eq!(world.send_to(&google, &token, "t").await.status, 200);
    world.simulator.set_clock_offset_ms(59_000).expect("legal");
    assert_eq!(world.send_to(&google, &token, "t").await.status, 200);
    world.simulator.set_clock_offset_ms(61_000).expect("legal");
    assert_eq!(error_of(&world.send_to(&google, &token, "t").await), unauthenticated);

    world.simulator.set_clock_offset_ms(0).expect("legal");
    let fresh = world.access_token(&google).await;
    world.simulator.expire_access_tokens();
    assert_eq!(error_of(&world.send_to(&google, &fresh, "t").await), unauthenticated);
    assert_eq!(world.simulator.statistics(Provider::Oauth).access_tokens_issued, 2);
}
