//! APNs by client certificate.

use http::Method;
use pushroll_simulator::{ApnsFate, Provider, PushCertificateOrder, tokens};

use crate::client::{Answer, Client};
use crate::setup::{BACKGROUND, World, a_simulator, dry_run, now_s};

const TOPIC: &str = "com.example.pushroll";

/// A connection to production (or the sandbox) with a certificate that was ordered so.
async fn client_with(world: &World, url: &str, order: &PushCertificateOrder) -> Client {
    let push = world.simulator.issue_push_certificate(order).expect("a certificate");
    let identity = Some((push.certificate_pem.as_str(), push.key_pem.as_str()));
    Client::connect_as(identity, url, world.simulator.ca_pem()).await
}

async fn push(client: &Client, topic: Option<&str>, device: &str) -> Answer {
    let mut headers =
        vec![("apns-push-type", "background"), ("apns-priority", "5"), ("apns-expiration", "0")];
    headers.extend(topic.map(|topic| ("apns-topic", topic)));
    let path = format!("/3/device/{device}");
    client.request(Method::POST, &path, &headers, BACKGROUND).await.expect("an answer")
}

fn good() -> String {
    tokens::apns(1, ApnsFate::Accepted)
}

#[tokio::test]
async fn a_certificate_of_the_app_needs_no_provider_token() {
    let world = a_simulator().await;
    let order = PushCertificateOrder::default();
    for (url, provider) in [
        (world.simulator.apns_production_url(), Provider::ApnsProduction),
        (world.simulator.apns_sandbox_url(), Provider::ApnsSandbox),
    ] {
        let client = client_with(&world, url, &order).await;
        assert_eq!(push(&client, Some(TOPIC), &good()).await.status, 200);
        let bad = push(&client, Some(TOPIC), &tokens::apns(1, ApnsFate::Bad)).await;
        assert_eq!((bad.status, bad.reason()), (400, "BadDeviceToken"));
        // Shown beside a certificate it is ignored.
        assert_eq!(dry_run(&client, "bearer nonsense", &good()).await.status, 200);
        assert_eq!(world.simulator.statistics(provider).requests_with_certificate, 3);
        client.until(|told| told.stream_limit == 1000).await;
    }
}

#[tokio::test]
async fn without_certificate_and_provider_token_one_is_missing() {
    let world = a_simulator().await;
    let answer = push(&world.production().await, Some(TOPIC), &good()).await;
    assert_eq!((answer.status, answer.reason()), (403, "MissingProviderToken"));
}

#[tokio::test]
async fn a_certificate_that_is_expired_or_signed_by_a_stranger_is_bad() {
    let world = a_simulator().await;
    let expired = PushCertificateOrder {
        expires_at_s: Some(now_s() - 60),
        ..PushCertificateOrder::default()
    };
    let strange = PushCertificateOrder { by_a_stranger: true, ..PushCertificateOrder::default() };
    for order in [expired, strange] {
        let client = client_with(&world, world.simulator.apns_production_url(), &order).await;
        let answer = push(&client, Some(TOPIC), &good()).await;
        assert_eq!((answer.status, answer.reason()), (403, "BadCertificate"), "{order:?}");
    }
}

#[tokio::test]
async fn a_certificate_expires_by_the_simulator_s_clock() {
    let world = a_simulator().await;
    let order = PushCertificateOrder {
        expires_at_s: Some(now_s() + 3600),
        ..PushCertificateOrder::default()
    };
    let client = client_with(&world, world.simulator.apns_production_url(), &order).await;
    assert_eq!(push(&client, Some(TOPIC), &good()).await.status, 200);
    world.controls().set_clock_offset_ms(2 * 3600 * 1000).expect("an offset");
    assert_eq!(push(&client, Some(TOPIC), &good()).await.reason(), "BadCertificate");
}

#[tokio::test]
async fn a_certificate_of_the_other_environment_is_told() {
    let world = a_simulator().await;
    let (production, sandbox) =
        (world.simulator.apns_production_url(), world.simulator.apns_sandbox_url());
    let order = |production, sandbox| PushCertificateOrder {
        production,
        sandbox,
        ..PushCertificateOrder::default()
    };
    for (url, order, status) in [
        (production, order(true, false), 200),
        (production, order(false, true), 403),
        (sandbox, order(false, true), 200),
        (sandbox, order(true, false), 403),
    ] {
        let answer = push(&client_with(&world, url, &order).await, Some(TOPIC), &good()).await;
        assert_eq!(answer.status, status, "{order:?}");
        if status == 403 {
            assert_eq!(answer.reason(), "BadCertificateEnvironment");
        }
    }
}

#[tokio::test]
async fn a_topic_that_is_not_the_certificate_s_is_disallowed_and_must_be_named() {
    let world = a_simulator().await;
    let url = world.simulator.apns_production_url();
    let ours = client_with(&world, url, &PushCertificateOrder::default()).await;
    for (topic, reason) in [
        (Some("com.example.other"), "TopicDisallowed"),
        (Some("not a topic"), "BadTopic"),
        (None, "MissingTopic"),
    ] {
        let answer = push(&ours, topic, &good()).await;
        assert_eq!((answer.status, answer.reason()), (400, reason), "{topic:?}");
    }
    let bundle_id = "com.example.other".to_owned();
    let order = PushCertificateOrder { bundle_id, ..PushCertificateOrder::default() };
    let other = client_with(&world, url, &order).await;
    let answer = push(&other, Some("com.example.other"), &good()).await;
    assert_eq!(answer.reason(), "DeviceTokenNotForTopic");
}

#[tokio::test]
async fn credentials_that_are_to_be_rejected_are_rejected_whichever_they_are() {
    let world = a_simulator().await;
    let url = world.simulator.apns_production_url();
    let client = client_with(&world, url, &PushCertificateOrder::default()).await;
    world.controls().reject_credentials(Provider::ApnsProduction, true);
    assert_eq!(push(&client, Some(TOPIC), &good()).await.reason(), "BadCertificate");
}

#[tokio::test]
async fn the_directory_holds_a_p12_and_an_app_with_it() {
    let world = a_simulator().await;
    let text = std::fs::read_to_string(world.dir.path().join("app-with-certificate.json"));
    let app: serde_json::Value = serde_json::from_str(&text.expect("is there")).expect("JSON");
    assert_eq!(app["ios"].get("key"), None);
    assert_eq!(app["ios"]["certificate"]["password"], "simulator");
    assert_eq!(app["ios"], world.simulator.app_body_with_certificate("x")["ios"]);
    let file = std::fs::read(world.dir.path().join("push-certificate.p12")).expect("is there");
    let opened = p12_keystore::Pkcs12Archive::from_pkcs12(&file, "simulator").expect("opens");
    assert_eq!((opened.keys.len(), opened.certs.len()), (1, 1));
}
