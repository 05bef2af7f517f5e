//! APNs: the request, the answers, the provider token.

use std::time::Duration;

use pushroll_domain::{BusyScope, DryRun, Environment, Provider as Asked, Providers, Verdict};
use pushroll_simulator::{ApnsFate, Provider, Reply, tokens};
use serde_json::json;

use crate::stage::{ios_token, some_id, stage};

const PRODUCTION: Provider = Provider::ApnsProduction;

fn good(seed: u64) -> String {
    tokens::apns(seed, ApnsFate::Accepted)
}

#[tokio::test]
async fn a_dry_run_is_a_background_push_that_apns_does_not_store() {
    let stage = stage().await;
    let (token, id) = (good(1), some_id());
    let sent = ios_token(&token);
    let report = stage.clients.apns(&stage.ios, Environment::Production, &sent, id).await;
    assert_eq!(report.verdict, Verdict::Accepted, "{report:?}");
    assert_eq!(report.answer.provider, Asked::Apns);
    assert_eq!(report.answer.environment, Some(Environment::Production));
    assert_eq!(report.answer.status, Some(200));
    assert_eq!(report.answer.provider_id, Some(id.to_string()));

    let requests = stage.simulator.recent_requests(PRODUCTION, 10);
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!(request.method, "POST");
    assert_eq!(request.path, format!("/3/device/{token}"));
    assert_eq!(request.body, r#"{"aps":{"content-available":1}}"#);
    for (name, value) in [
        ("apns-push-type", "background"),
        ("apns-priority", "5"),
        ("apns-expiration", "0"),
        ("apns-topic", stage.simulator.bundle_id()),
        ("apns-id", &id.to_string()),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn each_fate_of_a_device_token_has_its_verdict() {
    let stage = stage().await;
    let wrong = Verdict::WrongEnvironment { credentials: false };
    for (fate, environment, verdict, reason) in [
        (ApnsFate::Bad, Environment::Production, wrong.clone(), "BadDeviceToken"),
        (ApnsFate::Dead, Environment::Production, Verdict::TokenRejected, "Unregistered"),
        (ApnsFate::SandboxOnly, Environment::Production, wrong.clone(), "BadDeviceToken"),
        (ApnsFate::SandboxOnly, Environment::Sandbox, Verdict::Accepted, "OK"),
    ] {
        let report = stage.ask_apns_in(environment, &tokens::apns(2, fate)).await;
        assert_eq!((report.verdict, report.answer.reason.as_str()), (verdict, reason), "{fate:?}");
        assert_eq!(report.answer.environment, Some(environment));
    }
    let busy = tokens::apns(2, ApnsFate::Busy);
    for _ in 0..2 {
        let report = stage.ask_apns(&busy).await;
        let Verdict::Busy { scope: BusyScope::Device, .. } = report.verdict else {
            panic!("{report:?}");
        };
    }
    assert_eq!(stage.ask_apns(&busy).await.verdict, Verdict::Accepted);
}

#[tokio::test]
async fn a_token_that_is_not_hexadecimal_is_refused_unasked() {
    let stage = stage().await;
    for token in ["zz", "ab/../cd", "ab cd", "abé"] {
        let report = stage.ask_apns(token).await;
        assert_eq!((report.verdict, report.answer.status), (Verdict::TokenRejected, None));
    }
    assert_eq!(stage.connections_opened(PRODUCTION), 0);
}

#[tokio::test]
async fn a_reason_that_apple_does_not_document_is_kept_and_judged_by_its_status() {
    let stage = stage().await;
    let replies = [Reply::refused(400, "AReasonOfNextYear"), Reply::refused(410, "Gone2")];
    stage.simulator.script(PRODUCTION, None, replies).unwrap();
    let report = stage.ask_apns(&good(1)).await;
    assert_eq!(report.verdict, Verdict::RequestRefused);
    assert_eq!(report.answer.reason, "AReasonOfNextYear");
    assert_eq!(stage.ask_apns(&good(1)).await.verdict, Verdict::TokenRejected);
}

#[tokio::test]
async fn the_time_of_a_410_is_kept() {
    let stage = stage().await;
    let gone = Reply::refused(410, "Unregistered").with_timestamp(1_700_000_000_123);
    stage.simulator.script(PRODUCTION, None, [gone]).unwrap();
    let detail = stage.ask_apns(&good(1)).await.answer.detail.unwrap();
    assert!(detail.contains("1700000000123"), "{detail}");
}

#[tokio::test]
async fn a_huge_answer_is_cut_and_judged_by_its_status() {
    let stage = stage().await;
    let huge = Reply::status(400).with_body(json!("x".repeat(16 * 1024)));
    stage.simulator.script(PRODUCTION, None, [huge]).unwrap();
    let report = stage.ask_apns(&good(1)).await;
    assert_eq!(report.verdict, Verdict::RequestRefused);
    assert_eq!(stage.ask_apns(&good(1)).await.verdict, Verdict::Accepted);
}

#[tokio::test]
async fn an_answer_that_repeats_the_device_token_is_kept_without_it() {
    let stage = stage().await;
    let token = good(1);
    let reply = Reply::status(400).with_body(json!({"reason": format!("no such: {token}")}));
    stage.simulator.script(PRODUCTION, None, [reply]).unwrap();
    assert_eq!(stage.ask_apns(&token).await.answer.reason, "no such: (token)");
}

#[tokio::test]
async fn a_key_that_apns_does_not_know_is_the_credentials_fault() {
    let stage = stage().await;
    let key = stage.simulator.unknown_apns_key();
    let read = stage.clients.read_apns_key("com.example.x", &key.key_id, &key.team_id, &key.p8);
    let credentials = std::sync::Arc::new(read.unwrap());
    let token = ios_token(&good(1));
    let report = stage.clients.apns(&credentials, Environment::Production, &token, some_id()).await;
    assert_eq!(report.verdict, Verdict::CredentialsRefused, "{report:?}");
    assert_eq!(report.answer.reason, "InvalidProviderToken");
}

#[tokio::test]
async fn a_server_error_replaces_the_connection_and_its_retry_after_is_read() {
    let stage = stage().await;
    let busy = Reply::status(503).with_header("retry-after", "7");
    stage.simulator.script(PRODUCTION, None, [busy]).unwrap();
    let report = stage.ask_apns(&good(1)).await;
    let seven = Some(Duration::from_secs(7));
    let expected = Verdict::Busy { retry_after: seven, scope: BusyScope::Provider };
    assert_eq!(report.verdict, expected);
    assert_eq!(stage.ask_apns(&good(1)).await.verdict, Verdict::Accepted);
    assert_eq!(stage.connections_opened(PRODUCTION), 2);
}

#[tokio::test]
async fn one_provider_token_serves_all_until_it_is_50_minutes_old() {
    let stage = stage().await;
    let seen = || stage.simulator.statistics(PRODUCTION).provider_tokens_seen;
    for report in stage.ask_apns_at_once(200).await {
        assert_eq!(report.verdict, Verdict::Accepted, "{report:?}");
    }
    stage.advance_both(49);
    assert_eq!(stage.ask_apns(&good(1)).await.verdict, Verdict::Accepted);
    assert_eq!(seen(), 1);
    stage.advance_both(2);
    assert_eq!(stage.ask_apns(&good(1)).await.verdict, Verdict::Accepted);
    assert_eq!(seen(), 2);
}

#[tokio::test]
async fn an_expired_provider_token_is_renewed_once_for_all_and_nobody_notices() {
    let stage = stage().await;
    assert_eq!(stage.ask_apns(&good(1)).await.verdict, Verdict::Accepted);
    // To us the token is 45 minutes old, to APNs 61.
    stage.advance(Duration::from_secs(45 * 60));
    stage.simulator.set_clock_offset_ms(61 * 60_000).unwrap();
    for report in stage.ask_apns_at_once(100).await {
        assert_eq!(report.verdict, Verdict::Accepted, "{report:?}");
    }
    let statistics = stage.simulator.statistics(PRODUCTION);
    assert_eq!(statistics.provider_tokens_seen, 2);
    assert!(statistics.reasons.contains_key("ExpiredProviderToken"), "{statistics:?}");
}

#[tokio::test]
async fn a_new_provider_token_that_is_expired_as_well_blames_the_credentials() {
    let stage = stage().await;
    stage.simulator.set_clock_offset_ms(3 * 3600 * 1000).unwrap();
    let report = stage.ask_apns(&good(1)).await;
    assert_eq!(report.verdict, Verdict::CredentialsRefused);
    assert_eq!(report.answer.reason, "ExpiredProviderToken");
    assert_eq!(stage.simulator.requests_of(PRODUCTION, &good(1)), 2);
}

#[tokio::test]
async fn after_too_many_provider_tokens_the_current_one_is_kept() {
    let stage = stage().await;
    let replies = [
        Reply::refused(429, "TooManyProviderTokenUpdates"),
        Reply::refused(403, "ExpiredProviderToken"),
    ];
    stage.simulator.script(PRODUCTION, None, replies).unwrap();
    let report = stage.ask_apns(&good(1)).await;
    assert_eq!(report.verdict, Verdict::Busy { retry_after: None, scope: BusyScope::App });
    assert_eq!(stage.ask_apns(&good(1)).await.verdict, Verdict::Accepted);
    assert_eq!(stage.simulator.statistics(PRODUCTION).provider_tokens_seen, 1);
}
