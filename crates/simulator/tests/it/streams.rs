//! Streams and connections as Apple and Google limit them.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use h2::Reason;
use http::Method;
use pushroll_simulator::{Goaway, Provider, Reply};

use crate::client::{PATIENCE, finish};
use crate::raw::RawClient;
use crate::setup::{BACKGROUND, a_simulator, a_simulator_with, dry_run, dry_run_headers};

/// Keeps the streams of a burst open until all of it has arrived.
const LONG_ENOUGH: Duration = Duration::from_secs(1);

#[tokio::test]
async fn apns_allows_one_stream_until_a_provider_token_was_good_and_then_a_thousand() {
    let world = a_simulator().await;
    let client = world.production().await;
    assert_eq!(client.stream_limit(), 1);
    assert_eq!(dry_run(&client, "bearer x", "ab").await.status, 403);
    assert_eq!(client.stream_limit(), 1, "a refused token changes nothing");
    assert_eq!(dry_run(&client, &world.bearer(), "bad0").await.status, 400);
    client.until(|told| told.stream_limit == 1000).await;
    assert_eq!(dry_run(&client, &world.bearer(), "ab").await.status, 200, "it goes on");
}

#[tokio::test]
async fn a_thousand_requests_at_once_are_all_answered_on_one_connection() {
    let world = a_simulator().await;
    let mut client = world.production().await;
    let bearer = world.bearer();
    assert_eq!(dry_run(&client, &bearer, "ab").await.status, 200);
    client.until(|told| told.stream_limit == 1000).await;
    world.simulator.set_latency(Provider::ApnsProduction, LONG_ENOUGH).expect("legal");
    let headers = dry_run_headers(&bearer);
    let started: Vec<_> = (0..1000)
        .map(|n| client.start(Method::POST, &format!("/3/device/{n:04x}"), &headers, BACKGROUND))
        .collect();
    for answer in started {
        assert_eq!(finish(answer.expect("started")).await.expect("answered").status, 200);
    }
    let statistics = world.simulator.statistics(Provider::ApnsProduction);
    assert_eq!(statistics.requests, 1001);
    assert_eq!(statistics.streams_refused, 0);
    assert_eq!(statistics.device_tokens, 1001);
    assert!(statistics.highest_concurrent_streams > 500, "{statistics:?}");
}

#[tokio::test]
async fn apns_refuses_a_stream_over_the_limit_so_that_it_can_be_sent_again() {
    let world = a_simulator_with(|settings| {
        settings.limits.apns_streams = 2;
        settings.limits.apns_streams_before_first_token = 2;
    })
    .await;
    world.simulator.set_latency(Provider::ApnsProduction, LONG_ENOUGH).expect("legal");
    let bearer = world.bearer();
    let (url, ca_pem) = (world.simulator.apns_production_url(), world.simulator.ca_pem());
    let mut raw = RawClient::connect(url, ca_pem).await;
    assert_eq!(raw.stream_limit, 2);
    let burst = raw.burst(6, "/3/device/ab", &dry_run_headers(&bearer), BACKGROUND).await;
    assert_eq!(burst.answered, HashSet::from([1, 3]));
    assert_eq!(burst.reset.len(), 4);
    let refused = u32::from(Reason::REFUSED_STREAM);
    assert!(burst.reset.values().all(|code| *code == refused), "{burst:?}");
    assert!(burst.goaways.is_empty());
    assert_eq!(world.simulator.statistics(Provider::ApnsProduction).streams_refused, 4);
}

#[tokio::test]
async fn fcm_allows_a_hundred_streams_and_sends_goaway_when_they_are_exceeded() {
    let world = a_simulator().await;
    let google = world.google().await;
    assert_eq!(google.stream_limit(), 100);
    let authorization = format!("Bearer {}", world.access_token(&google).await);
    world.simulator.set_latency(Provider::Fcm, LONG_ENOUGH).expect("legal");
    let mut raw = RawClient::connect(world.simulator.fcm_url(), world.simulator.ca_pem()).await;
    assert_eq!(raw.stream_limit, 100);
    let headers = [("authorization", &*authorization)];
    let body = br#"{"message":{"token":"t"}}"#;
    let mut burst = raw.burst(101, &world.send_path(), &headers, body).await;
    raw.until_closed(&mut burst).await;
    assert_eq!(burst.answered.len(), 100, "the streams under way are answered");
    assert_eq!(burst.reset, HashMap::from([(201, Reason::REFUSED_STREAM.into())]));
    let goaway = (199, Reason::ENHANCE_YOUR_CALM.into(), "too_many_streams".to_owned());
    assert_eq!(burst.goaways, [goaway], "one, and none of h2's");
    assert_eq!(world.simulator.statistics(Provider::Fcm).goaways_sent, 1);
}

#[tokio::test]
async fn a_stream_limit_can_be_changed_while_connections_are_open_and_taken_back() {
    let world = a_simulator().await;
    let google = world.google().await;
    world.simulator.set_stream_limit(Provider::Fcm, Some(7)).expect("legal");
    google.until(|told| told.stream_limit == 7).await;
    assert_eq!(world.google().await.stream_limit(), 7);
    let token = world.access_token(&google).await;
    assert_eq!(world.send_to(&google, &token, "t").await.status, 200);
    world.simulator.set_stream_limit(Provider::Fcm, None).expect("legal");
    google.until(|told| told.stream_limit == 100).await;
    for _ in 0..3 {
        assert_eq!(world.send_to(&google, &token, "t").await.status, 200);
    }
}

#[tokio::test]
async fn a_goaway_has_its_code_reason_and_last_stream_and_ends_the_connection() {
    let world = a_simulator().await;
    let client = world.production().await;
    assert_eq!(dry_run(&client, &world.bearer(), "ab").await.status, 200);
    let goaway = Goaway {
        error_code: Reason::INTERNAL_ERROR.into(),
        reason: Some("Shutdown".to_owned()),
        ..Goaway::default()
    };
    world.simulator.send_goaway(Provider::ApnsProduction, goaway).expect("legal");
    let ended = client.ended().await;
    assert!(ended.contains("internal error") && ended.contains("Shutdown"), "{ended}");
}

#[tokio::test]
async fn a_graceful_goaway_answers_what_is_under_way() {
    let world = a_simulator().await;
    let mut client = world.production().await;
    let bearer = world.bearer();
    let slow = client
        .start(Method::POST, "/3/device/5105", &dry_run_headers(&bearer), BACKGROUND)
        .expect("started");
    let seen = || world.simulator.statistics(Provider::ApnsProduction).requests == 1;
    until(seen).await;
    let goaway = Goaway { finish_streams: true, ..Goaway::default() };
    world.simulator.send_goaway(Provider::ApnsProduction, goaway).expect("legal");
    assert_eq!(finish(slow).await.expect("answered").status, 200);
    assert_eq!(client.ended().await, "");
}

#[tokio::test]
async fn a_goaway_below_the_streams_under_way_cuts_them() {
    let world = a_simulator().await;
    let mut client = world.production().await;
    let bearer = world.bearer();
    let slow = client
        .start(Method::POST, "/3/device/5105", &dry_run_headers(&bearer), BACKGROUND)
        .expect("started");
    until(|| world.simulator.statistics(Provider::ApnsProduction).requests == 1).await;
    let goaway = Goaway { last_stream_id: Some(0), ..Goaway::default() };
    world.simulator.send_goaway(Provider::ApnsProduction, goaway).expect("legal");
    assert!(finish(slow).await.is_err());
}

#[tokio::test]
async fn a_reply_can_reset_its_stream_or_its_connection_or_say_goaway() {
    use pushroll_simulator::Action;
    let world = a_simulator().await;
    let controls = world.controls();
    let bearer = world.bearer();
    let headers = dry_run_headers(&bearer);
    let client = world.production().await;
    let script = |action| {
        let reply = Reply::doing(action);
        controls.script(Provider::ApnsProduction, Some("AB"), [reply]).expect("legal");
    };
    let send = || client.request(Method::POST, "/3/device/ab", &headers, BACKGROUND);

    script(Action::ResetStream);
    assert_eq!(send().await.expect_err("reset").reason(), Some(Reason::INTERNAL_ERROR));
    assert_eq!(send().await.expect("answered").status, 200, "the connection lives");
    script(Action::Goaway);
    assert!(send().await.is_err());
    assert_ne!(client.ended().await, "still open");

    let client = world.production().await;
    script(Action::ResetConnection);
    let send = client.request(Method::POST, "/3/device/ab", &headers, BACKGROUND);
    assert!(send.await.expect_err("cut").is_io());
}

pub async fn until(condition: impl Fn() -> bool) {
    let waited = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.expect("the condition in time");
}
