//! Scripted answers and faults, through the handle.

use std::time::{Duration, Instant};

use http::Method;
use pushroll_simulator::{ErrorRate, FcmFate, Provider, Reply, Silence, tokens};
use serde_json::json;
use tokio::net::TcpStream;

use crate::client::{authority_of, connect_tls, finish};
use crate::setup::{BACKGROUND, a_simulator, dry_run, dry_run_headers};
use crate::streams::until;

#[tokio::test]
async fn replies_are_given_in_their_order_to_the_device_they_are_for() {
    let world = a_simulator().await;
    let client = world.production().await;
    let bearer = world.bearer();
    let replies = [
        Reply::busy(),
        Reply::refused(400, "AReasonOfNextYear"),
        Reply::status(410).with_timestamp(1_234),
        Reply::status(500).with_body(json!("plain text")),
        Reply::accepted(),
    ];
    world.simulator.script(Provider::ApnsProduction, Some("DEAD01"), replies).expect("legal");
    assert_eq!(dry_run(&client, &bearer, "ab").await.status, 200, "another device is not meant");
    let busy = dry_run(&client, &bearer, "dead01").await;
    assert_eq!((busy.status, busy.reason()), (503, "ServiceUnavailable"));
    assert_eq!(busy.header("retry-after"), Some("1"));
    assert_eq!(dry_run(&client, &bearer, "dead01").await.reason(), "AReasonOfNextYear");
    let gone = dry_run(&client, &bearer, "dead01").await;
    assert_eq!((gone.reason(), gone.body["timestamp"].as_i64()), ("Unregistered", Some(1_234)));
    assert_eq!(dry_run(&client, &bearer, "dead01").await.status, 500);
    assert_eq!(dry_run(&client, &bearer, "dead01").await.status, 200, "instead of its fate");
    assert_eq!(dry_run(&client, &bearer, "dead01").await.status, 410, "its fate again");
}

#[tokio::test]
async fn a_script_never_hides_a_fault_of_the_request() {
    let world = a_simulator().await;
    let client = world.production().await;
    world.simulator.script(Provider::ApnsProduction, None, [Reply::status(500)]).expect("legal");
    assert_eq!(dry_run(&client, "bearer x", "ab").await.status, 403);
    assert_eq!(dry_run(&client, &world.bearer(), "ab").await.status, 500);
}

#[tokio::test]
async fn fcm_and_the_token_endpoint_answer_scripts_in_their_own_form() {
    let world = a_simulator().await;
    let google = world.google().await;
    let token = world.access_token(&google).await;
    let quota = Reply::status(429).with_header("Retry-After", "90");
    let denied = Reply::refused(403, "PERMISSION_DENIED");
    world.simulator.script(Provider::Fcm, Some("t"), [quota, denied]).expect("legal");
    let answer = world.send_to(&google, &token, "t").await;
    assert_eq!(answer.header("retry-after"), Some("90"));
    assert_eq!(answer.body["error"]["status"], "RESOURCE_EXHAUSTED");
    assert_eq!(answer.body["error"]["details"][0]["errorCode"], "QUOTA_EXCEEDED");
    let answer = world.send_to(&google, &token, "t").await;
    assert_eq!(answer.body["error"]["status"], "PERMISSION_DENIED");
    assert!(answer.body["error"]["details"].is_null());

    let replies = [Reply::status(503), Reply::refused(401, "invalid_client"), Reply::as_usual()];
    world.simulator.script(Provider::Oauth, None, replies).expect("legal");
    for (status, error) in [(503, "temporarily_unavailable"), (401, "invalid_client")] {
        let answer = world.exchange(&google, &world.assertion(|_| {})).await;
        assert_eq!((answer.status, answer.body["error"].as_str()), (status, Some(error)));
    }
    world.access_token(&google).await;
    assert!(world.simulator.script(Provider::Oauth, Some("t"), [Reply::status(500)]).is_err());
}

#[tokio::test]
async fn latency_and_error_rates_apply_until_they_are_taken_back() {
    let world = a_simulator().await;
    let client = world.production().await;
    let bearer = world.bearer();
    let controls = world.controls();
    controls.set_latency(Provider::ApnsProduction, Duration::from_millis(300)).expect("legal");
    let began = Instant::now();
    dry_run(&client, &bearer, "ab").await;
    assert!(began.elapsed() >= Duration::from_millis(290));
    controls.set_latency(Provider::ApnsProduction, Duration::ZERO).expect("legal");

    let half = ErrorRate { rate: 0.5, reply: Reply::status(500) };
    controls.set_error_rate(Provider::ApnsProduction, Some(half)).expect("legal");
    let mut failed = 0;
    for _ in 0..200 {
        failed += u32::from(dry_run(&client, &bearer, "ab").await.status == 500);
    }
    assert!((60..140).contains(&failed), "{failed}");
    controls.set_error_rate(Provider::ApnsProduction, None).expect("legal");
    assert_eq!(dry_run(&client, &bearer, "ab").await.status, 200);
}

#[tokio::test]
async fn good_credentials_can_be_rejected_for_a_while() {
    let world = a_simulator().await;
    let (apns, google) = (world.production().await, world.google().await);
    let (bearer, token) = (world.bearer(), world.access_token(&google).await);
    let reject = |reject| {
        for provider in Provider::ALL {
            world.simulator.reject_credentials(provider, reject);
        }
    };
    reject(true);
    let answer = dry_run(&apns, &bearer, "ab").await;
    assert_eq!((answer.status, answer.reason()), (403, "InvalidProviderToken"));
    assert_eq!(world.send_to(&google, &token, "t").await.status, 401);
    let answer = world.exchange(&google, &world.assertion(|_| {})).await;
    assert_eq!((answer.status, &answer.body["error"]), (400, &json!("invalid_grant")));
    reject(false);
    assert_eq!(dry_run(&apns, &bearer, "ab").await.status, 200);
    assert_eq!(world.send_to(&google, &token, "t").await.status, 200);
}

#[tokio::test]
async fn a_request_that_meets_silence_is_never_answered_and_its_connection_lives() {
    let world = a_simulator().await;
    let mut client = world.production().await;
    let bearer = world.bearer();
    let controls = world.controls();
    controls.set_silence(Provider::ApnsProduction, Silence::Requests).expect("legal");
    let lost = client
        .start(Method::POST, "/3/device/ab", &dry_run_headers(&bearer), BACKGROUND)
        .expect("started");
    until(|| controls.statistics(Provider::ApnsProduction).requests == 1).await;
    controls.set_silence(Provider::ApnsProduction, Silence::None).expect("legal");
    client.until(|told| told.stream_limit == 1000 || told.ended.is_some()).await;
    assert_eq!(dry_run(&client, &bearer, "cd").await.status, 200);
    let wait = tokio::time::timeout(Duration::from_millis(50), finish(lost)).await;
    assert!(wait.is_err(), "it must not be answered");
}

#[tokio::test]
async fn silent_connections_are_accepted_and_go_on_where_they_stopped() {
    let world = a_simulator().await;
    let client = world.production().await;
    let bearer = world.bearer();
    assert_eq!(dry_run(&client, &bearer, "ab").await.status, 200);
    let controls = world.controls();
    controls.set_silence(Provider::ApnsProduction, Silence::Connections).expect("legal");
    let (url, ca_pem) = (world.simulator.apns_production_url(), world.simulator.ca_pem());
    TcpStream::connect(authority_of(url)).await.expect("TCP is accepted");
    let handshake = connect_tls(url, ca_pem, &[b"h2"]);
    let short = Duration::from_millis(100);
    assert!(tokio::time::timeout(short, handshake).await.is_err(), "no TLS");
    let mut pending = Box::pin(dry_run(&client, &bearer, "cd"));
    assert!(tokio::time::timeout(short, &mut pending).await.is_err(), "no answer");
    controls.set_silence(Provider::ApnsProduction, Silence::None).expect("legal");
    assert_eq!(pending.await.status, 200);
    assert_eq!(dry_run(&world.production().await, &bearer, "ab").await.status, 200);
}

#[tokio::test]
async fn connections_are_reset_and_refused_and_accepted_again_on_the_same_port() {
    let world = a_simulator().await;
    let client = world.production().await;
    let bearer = world.bearer();
    let controls = world.controls();
    controls.reset_connections(Provider::ApnsProduction).expect("legal");
    assert!(client.ended().await.contains("reset"), "{}", client.ended().await);

    let open = world.production().await;
    controls.refuse_connections(Provider::ApnsProduction, true).await.expect("legal");
    let address = authority_of(world.simulator.apns_production_url());
    let refused = TcpStream::connect(&address).await.expect_err("refused");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(dry_run(&open, &bearer, "ab").await.status, 200, "what is open stays");
    controls.refuse_connections(Provider::ApnsProduction, false).await.expect("legal");
    assert_eq!(dry_run(&world.production().await, &bearer, "ab").await.status, 200);
    let statistics = controls.statistics(Provider::ApnsProduction);
    assert_eq!(statistics.connections_opened, 3);
}

#[tokio::test]
async fn faults_of_a_port_are_not_taken_for_the_token_endpoint_alone() {
    let world = a_simulator().await;
    let controls = world.controls();
    assert!(controls.reset_connections(Provider::Oauth).is_err());
    assert!(controls.set_stream_limit(Provider::Oauth, Some(1)).is_err());
    assert!(controls.set_silence(Provider::Oauth, Silence::Connections).is_err());
    assert!(controls.set_silence(Provider::Oauth, Silence::Requests).is_ok());
    assert!(controls.refuse_connections(Provider::Oauth, true).await.is_err());
}

#[tokio::test]
async fn requests_are_counted_by_device_and_kept_with_headers_and_body() {
    let world = a_simulator().await;
    let client = world.production().await;
    let bearer = world.bearer();
    dry_run(&client, &bearer, "AB").await;
    dry_run(&client, &bearer, "ab").await;
    dry_run(&client, &bearer, "bad0").await;
    let controls = world.controls();
    assert_eq!(controls.requests_of(Provider::ApnsProduction, "Ab"), 2);
    assert_eq!(controls.requests_of(Provider::ApnsSandbox, "ab"), 0);
    let recent = controls.recent_requests(Provider::ApnsProduction, 2);
    assert_eq!(recent.len(), 2);
    assert_eq!(recent[1].path, "/3/device/bad0");
    assert_eq!(recent[1].status, Some(400));
    assert_eq!(recent[1].header("apns-priority"), Some("5"));
    assert_eq!(recent[1].body.as_bytes(), BACKGROUND);
    let statistics = controls.statistics(Provider::ApnsProduction);
    assert_eq!((statistics.requests, statistics.answers[&200]), (3, 2));
    assert_eq!(statistics.reasons["BadDeviceToken"], 1);

    let google = world.google().await;
    let token = world.access_token(&google).await;
    let device = tokens::fcm(5, FcmFate::Dead);
    world.send_to(&google, &token, &device).await;
    assert_eq!(controls.requests_of(Provider::Fcm, &device), 1);
    assert_eq!(controls.statistics(Provider::Oauth).requests, 1);
    assert_eq!(controls.statistics(Provider::Fcm).reasons["UNREGISTERED"], 1);

    controls.reset().await;
    assert_eq!(controls.requests_of(Provider::Fcm, &device), 0);
    assert!(controls.recent_requests(Provider::Fcm, 10).is_empty());
}
