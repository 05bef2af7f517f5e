//! APNs: fates, and every check with the reason that Apple documents for it.

use std::time::{Duration, Instant};

use http::Method;
use pushroll_simulator::tokens;
use pushroll_simulator::{ApnsFate, Provider};

use crate::client::Client;
use crate::setup::{
    BACKGROUND, a_simulator, a_simulator_with, dry_run, dry_run_headers, now_s, provider_token,
};

const DEVICE: &str = "0123456789abcdef";

/// What a request with changed headers is answered with: a value replaces a header, `None` leaves it out.
async fn with(client: &Client, bearer: &str, changes: &[(&str, Option<&str>)]) -> (u16, String) {
    let mut headers = dry_run_headers(bearer);
    for (name, value) in changes {
        headers.retain(|(known, _)| known != name);
        headers.extend(value.map(|value| (*name, value)));
    }
    let path = format!("/3/device/{DEVICE}");
    let answer = client.request(Method::POST, &path, &headers, BACKGROUND).await.expect("answered");
    (answer.status, answer.reason().to_owned())
}

#[tokio::test]
async fn a_good_dry_run_is_accepted_with_an_id_and_no_body() {
    let world = a_simulator().await;
    let client = world.production().await;
    let answer = dry_run(&client, &world.bearer(), DEVICE).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("apns-id").expect("an id").len(), 36);
    assert!(answer.body.is_null());
}

#[tokio::test]
async fn the_id_of_a_request_is_echoed_whatever_the_outcome() {
    let world = a_simulator().await;
    let client = world.production().await;
    let bearer = world.bearer();
    let id = "0f9b4a3e-0000-4000-8000-00000000abcd";
    for device in [DEVICE, "dead00", "xyz"] {
        let mut headers = dry_run_headers(&bearer);
        headers.push(("apns-id", id));
        let path = format!("/3/device/{device}");
        let answer = client.request(Method::POST, &path, &headers, BACKGROUND).await;
        assert_eq!(answer.expect("answered").header("apns-id"), Some(id), "{device}");
    }
}

#[tokio::test]
async fn the_first_digits_of_a_device_token_are_its_fate() {
    let world = a_simulator().await;
    let (production, sandbox) = (world.production().await, world.sandbox().await);
    let bearer = world.bearer();
    let token = |fate| tokens::apns(7, fate);

    let bad = dry_run(&production, &bearer, &token(ApnsFate::Bad)).await;
    assert_eq!((bad.status, bad.reason()), (400, "BadDeviceToken"));

    let before_ms = now_s() * 1000;
    let dead = dry_run(&production, &bearer, &token(ApnsFate::Dead).to_uppercase()).await;
    assert_eq!((dead.status, dead.reason()), (410, "Unregistered"));
    assert!(dead.body["timestamp"].as_i64().expect("a timestamp") >= before_ms);

    let sandbox_only = token(ApnsFate::SandboxOnly);
    let refused = dry_run(&production, &bearer, &sandbox_only).await;
    assert_eq!((refused.status, refused.reason()), (400, "BadDeviceToken"));
    assert_eq!(dry_run(&sandbox, &bearer, &sandbox_only).await.status, 200);

    for other in [token(ApnsFate::Busy), tokens::apns(8, ApnsFate::Busy)] {
        for _ in 0..2 {
            let busy = dry_run(&production, &bearer, &other).await;
            assert_eq!((busy.status, busy.reason()), (429, "TooManyRequests"));
        }
        assert_eq!(dry_run(&production, &bearer, &other).await.status, 200);
        assert_eq!(dry_run(&production, &bearer, &other).await.status, 200);
    }

    let began = Instant::now();
    assert_eq!(dry_run(&production, &bearer, &token(ApnsFate::Slow)).await.status, 200);
    assert!(began.elapsed() >= Duration::from_millis(2_990), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_device_token_must_have_1_to_200_hexadecimal_digits() {
    let world = a_simulator().await;
    let client = world.production().await;
    let bearer = world.bearer();
    for good in ["a", "abc", "AB12", &"1".repeat(200)] {
        assert_eq!(dry_run(&client, &bearer, good).await.status, 200, "{good}");
    }
    for malformed in ["zz", "a-c", "12%3934", &"1".repeat(202)] {
        let answer = dry_run(&client, &bearer, malformed).await;
        assert_eq!((answer.status, answer.reason()), (400, "BadDeviceToken"), "{malformed}");
    }
}

#[tokio::test]
async fn paths_and_methods_other_than_apple_s_are_refused() {
    let world = a_simulator().await;
    let client = world.production().await;
    let bearer = world.bearer();
    for (method, path, status, reason) in [
        (Method::POST, "/", 404, "BadPath"),
        (Method::POST, "/2/device/ab", 404, "BadPath"),
        (Method::POST, "/3/device/ab/cd", 404, "BadPath"),
        (Method::POST, "/3/devices/ab", 404, "BadPath"),
        (Method::POST, "/3/device/", 400, "MissingDeviceToken"),
        (Method::GET, "/3/device/ab", 405, "MethodNotAllowed"),
    ] {
        let answer = client.request(method, path, &dry_run_headers(&bearer), BACKGROUND).await;
        let answer = answer.expect("answered");
        assert_eq!((answer.status, answer.reason()), (status, reason), "{path}");
    }
}

#[tokio::test]
async fn every_header_is_checked_and_its_fault_has_its_own_reason() {
    let world = a_simulator().await;
    let client = world.production().await;
    let bearer = world.bearer();
    let long = "x".repeat(65);
    let cases: &[(&str, Option<&str>, &str)] = &[
        ("apns-topic", None, "MissingTopic"),
        ("apns-topic", Some(""), "BadTopic"),
        ("apns-topic", Some("com.example/pushroll"), "BadTopic"),
        ("apns-topic", Some("com.example.pushroll.voip"), "TopicDisallowed"),
        ("apns-topic", Some("com.example.other"), "DeviceTokenNotForTopic"),
        ("apns-push-type", Some("backgroud"), "InvalidPushType"),
        ("apns-priority", Some("10"), "BadPriority"),
        ("apns-priority", Some("4"), "BadPriority"),
        ("apns-priority", None, "BadPriority"),
        ("apns-expiration", Some("soon"), "BadExpirationDate"),
        ("apns-expiration", Some("-1"), "BadExpirationDate"),
        ("apns-id", Some("1234"), "BadMessageId"),
        ("apns-id", Some("0f9b4a3e00004000800000000000abcd"), "BadMessageId"),
        ("apns-collapse-id", Some(&long), "BadCollapseId"),
    ];
    for (name, value, reason) in cases {
        let answer = with(&client, &bearer, &[(name, *value)]).await;
        assert_eq!(answer, (400, (*reason).to_owned()), "{name}: {value:?}");
    }
    let fits = "x".repeat(64);
    for changes in [
        vec![("apns-collapse-id", Some(fits.as_str()))],
        vec![("apns-expiration", None)],
        vec![("apns-expiration", Some("1900000000"))],
        vec![("apns-push-type", None), ("apns-priority", None)],
        vec![("apns-push-type", Some("alert")), ("apns-priority", Some("10"))],
    ] {
        assert_eq!(with(&client, &bearer, &changes).await.0, 200, "{changes:?}");
    }
    let mut twice = dry_run_headers(&bearer);
    twice.push(("apns-priority", "5"));
    let answer = client.request(Method::POST, "/3/device/ab", &twice, BACKGROUND).await;
    assert_eq!(answer.expect("answered").reason(), "DuplicateHeaders");
}

#[tokio::test]
async fn a_payload_is_a_json_object_of_at_most_4096_bytes() {
    let world = a_simulator().await;
    let client = world.production().await;
    let bearer = world.bearer();
    let sized = |bytes: usize| {
        let empty = r#"{"aps":{"content-available":1},"x":""}"#;
        empty.replace("\"\"", &format!("\"{}\"", "x".repeat(bytes - empty.len())))
    };
    for (payload, status, reason) in [
        (String::new(), 400, "PayloadEmpty"),
        ("no JSON".to_owned(), 400, "PayloadEmpty"),
        (sized(4096), 200, ""),
        (sized(4097), 413, "PayloadTooLarge"),
        (sized(200_000), 413, "PayloadTooLarge"),
        (r#"{"aps":{"alert":"x"}}"#.to_owned(), 400, "InvalidPushType"),
        (r#"{"aps":{"content-available":1,"sound":"x"}}"#.to_owned(), 400, "InvalidPushType"),
        (r#"{"aps":{"content-available":1},"own":[1]}"#.to_owned(), 200, ""),
    ] {
        let headers = dry_run_headers(&bearer);
        let answer =
            client.request(Method::POST, "/3/device/ab", &headers, payload.as_bytes()).await;
        let answer = answer.expect("answered");
        assert_eq!((answer.status, answer.reason()), (status, reason), "{} bytes", payload.len());
    }
}

#[tokio::test]
async fn a_provider_token_must_be_signed_by_the_key_for_the_team_and_no_older_than_an_hour() {
    let world = a_simulator().await;
    let client = world.production().await;
    let key = world.simulator.apns_key().clone();
    let mut other_id = key.clone();
    other_id.key_id = "AAAAAAAAAA".to_owned();
    let mut other_team = key.clone();
    other_team.team_id = "AAAAAAAAAA".to_owned();
    let mut forged = world.simulator.unknown_apns_key().clone();
    forged.key_id = key.key_id.clone();
    let (now, hour) = (now_s(), 3600);
    let cases = [
        (provider_token(world.simulator.unknown_apns_key(), now), "InvalidProviderToken"),
        (provider_token(&forged, now), "InvalidProviderToken"),
        (provider_token(&other_id, now), "InvalidProviderToken"),
        (provider_token(&other_team, now), "InvalidProviderToken"),
        (provider_token(&key, now + hour), "InvalidProviderToken"),
        (provider_token(&key, now - hour - 5), "ExpiredProviderToken"),
        ("bearer ".to_owned(), "InvalidProviderToken"),
        ("bearer a.b.c".to_owned(), "InvalidProviderToken"),
        ("basic dTpw".to_owned(), "InvalidProviderToken"),
        (world.bearer() + "A", "InvalidProviderToken"),
    ];
    for (bearer, reason) in cases {
        let answer = dry_run(&client, &bearer, DEVICE).await;
        assert_eq!((answer.status, answer.reason()), (403, reason), "{bearer}");
    }
    assert_eq!(
        with(&client, "", &[("authorization", None)]).await,
        (403, "MissingProviderToken".to_owned())
    );
    assert_eq!(dry_run(&client, &provider_token(&key, now - hour + 60), DEVICE).await.status, 200);
    assert_eq!(world.simulator.statistics(Provider::ApnsProduction).provider_tokens_seen, 1);
}

#[tokio::test]
async fn a_token_that_was_good_expires_on_an_open_connection() {
    let world = a_simulator().await;
    let client = world.production().await;
    let bearer = world.bearer();
    assert_eq!(dry_run(&client, &bearer, DEVICE).await.status, 200);
    world.simulator.set_clock_offset_ms(3_700_000).expect("legal");
    assert_eq!(dry_run(&client, &bearer, DEVICE).await.reason(), "ExpiredProviderToken");
}

#[tokio::test]
async fn too_many_provider_tokens_are_refused_on_one_connection_within_20_minutes_only() {
    let world = a_simulator().await;
    let client = world.production().await;
    let key = world.simulator.apns_key();
    let now = now_s();
    for issued_at in [now - 1, now] {
        assert_eq!(dry_run(&client, &provider_token(key, issued_at), DEVICE).await.status, 200);
    }
    let third = provider_token(key, now - 2);
    let refused = dry_run(&client, &third, DEVICE).await;
    assert_eq!((refused.status, refused.reason()), (429, "TooManyProviderTokenUpdates"));
    assert_eq!(dry_run(&client, &third, DEVICE).await.status, 429, "it is not learnt by refusal");
    assert_eq!(dry_run(&world.production().await, &third, DEVICE).await.status, 200);
    world.simulator.set_clock_offset_ms(21 * 60_000).expect("legal");
    assert_eq!(dry_run(&client, &third, DEVICE).await.status, 200);
}

#[tokio::test]
async fn the_number_of_provider_tokens_can_be_set() {
    let world = a_simulator_with(|settings| settings.limits.provider_tokens_per_window = 1).await;
    let client = world.production().await;
    assert_eq!(dry_run(&client, &world.bearer(), DEVICE).await.status, 200);
    assert_eq!(dry_run(&client, &world.bearer(), DEVICE).await.status, 429);
}
