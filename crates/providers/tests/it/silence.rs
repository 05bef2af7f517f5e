//! Providers that say nothing: requests that are never answered, connections that have died without
//! a word.

use std::time::Duration;

use pushroll_domain::Verdict;
use pushroll_simulator::{ApnsFate, Provider, Silence, tokens};
use tokio::time::Instant;

use crate::stage::stage_with;

const PRODUCTION: Provider = Provider::ApnsProduction;

fn good() -> String {
    tokens::apns(1, ApnsFate::Accepted)
}

#[tokio::test]
async fn a_request_that_is_never_answered_times_out_and_the_connection_stays_good() {
    let stage = stage_with(|settings| {
        settings.dry_run_timeout = Duration::from_millis(500);
        settings.ping_interval = Duration::from_millis(50);
        settings.ping_timeout = Duration::from_secs(10);
    })
    .await;
    stage.simulator.set_silence(PRODUCTION, Silence::Requests).unwrap();
    let report = stage.ask_apns(&good()).await;
    assert_eq!(
        (report.verdict, report.answer.reason.as_str()),
        (Verdict::Unreachable, "timed out")
    );
    stage.simulator.set_silence(PRODUCTION, Silence::None).unwrap();
    assert_eq!(stage.ask_apns(&good()).await.verdict, Verdict::Accepted);
    assert_eq!(stage.connections_opened(PRODUCTION), 1);
}

#[tokio::test]
async fn a_connection_that_has_died_silently_is_found_out_by_ping_and_replaced() {
    let stage = stage_with(|settings| {
        settings.dry_run_timeout = Duration::from_secs(60);
        settings.ping_interval = Duration::from_millis(100);
        settings.ping_timeout = Duration::from_millis(300);
        settings.connect_timeout = Duration::from_millis(300);
    })
    .await;
    assert_eq!(stage.ask_apns(&good()).await.verdict, Verdict::Accepted);
    stage.simulator.set_silence(PRODUCTION, Silence::Connections).unwrap();
    let began = Instant::now();
    let report = stage.ask_apns(&good()).await;
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!(report.verdict, Verdict::Unreachable);
    assert_eq!(report.answer.reason, "connection lost");
    assert!(report.answer.detail.unwrap().contains("PING"));
    stage.simulator.set_silence(PRODUCTION, Silence::None).unwrap();
    assert_eq!(stage.ask_apns(&good()).await.verdict, Verdict::Accepted);
    assert_eq!(stage.connections_opened(PRODUCTION), 2);
}

#[tokio::test]
async fn a_server_that_accepts_connections_and_says_nothing_times_out() {
    let stage = stage_with(|settings| {
        settings.connect_timeout = Duration::from_millis(300);
    })
    .await;
    stage.simulator.set_silence(PRODUCTION, Silence::Connections).unwrap();
    let report = stage.ask_apns(&good()).await;
    assert_eq!(report.verdict, Verdict::Unreachable);
    assert_eq!(report.answer.reason, "connecting timed out");
    stage.simulator.set_silence(PRODUCTION, Silence::None).unwrap();
    assert_eq!(stage.ask_apns(&good()).await.verdict, Verdict::Accepted);
}

#[tokio::test]
async fn a_connection_that_is_alive_and_answers_nothing_is_replaced() {
    let stage = stage_with(|settings| {
        settings.connections_per_credential = 1;
        settings.dry_run_timeout = Duration::from_millis(500);
    })
    .await;
    assert_eq!(stage.ask_apns(&good()).await.verdict, Verdict::Accepted);
    stage.simulator.set_silence(PRODUCTION, Silence::Requests).unwrap();
    for report in stage.ask_apns_at_once(10).await {
        assert_eq!(report.verdict, Verdict::Unreachable);
    }
    stage.simulator.set_silence(PRODUCTION, Silence::None).unwrap();
    assert_eq!(stage.ask_apns(&good()).await.verdict, Verdict::Accepted);
    assert_eq!(stage.connections_opened(PRODUCTION), 2);
}
