//! FCM: the request, the answers, the access token.

use std::time::Duration;

use pushroll_domain::{BusyScope, Provider as Asked, Verdict};
use pushroll_simulator::{FcmFate, Provider, Reply, tokens};
use serde_json::json;

use crate::stage::stage;

const FCM: Provider = Provider::Fcm;

fn good(seed: u64) -> String {
    tokens::fcm(seed, FcmFate::Accepted)
}

#[tokio::test]
async fn a_dry_run_only_asks_for_validation() {
    let stage = stage().await;
    let report = stage.ask_fcm(&good(1)).await;
    assert_eq!(report.verdict, Verdict::Accepted, "{report:?}");
    assert_eq!(report.answer.provider, Asked::Fcm);
    assert_eq!((report.answer.environment, report.answer.status), (None, Some(200)));
    assert!(report.answer.provider_id.unwrap().starts_with("projects/"));

    let requests = stage.simulator.recent_requests(FCM, 10);
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    let project = &stage.android.project_id;
    assert_eq!(request.path, format!("/v1/projects/{project}/messages:send"));
    let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(body["validate_only"], json!(true));
    assert_eq!(body["message"]["token"], json!(good(1)));
}

#[tokio::test]
async fn each_fate_of_a_device_token_has_its_verdict() {
    let stage = stage().await;
    for (fate, reason) in [
        (FcmFate::Bad, "INVALID_ARGUMENT"),
        (FcmFate::Dead, "UNREGISTERED"),
        (FcmFate::OtherSender, "SENDER_ID_MISMATCH"),
    ] {
        let report = stage.ask_fcm(&tokens::fcm(2, fate)).await;
        assert_eq!(report.verdict, Verdict::TokenRejected, "{fate:?}");
        assert_eq!(report.answer.reason, reason);
        assert!(report.answer.detail.is_some());
    }
    let busy = tokens::fcm(2, FcmFate::Busy);
    let wait = Some(Duration::from_secs(1));
    for _ in 0..2 {
        let expected = Verdict::Busy { retry_after: wait, scope: BusyScope::Provider };
        assert_eq!(stage.ask_fcm(&busy).await.verdict, expected);
    }
    assert_eq!(stage.ask_fcm(&busy).await.verdict, Verdict::Accepted);
}

#[tokio::test]
async fn google_speaking_about_project_account_or_request_is_not_the_tokens_fault() {
    let stage = stage().await;
    let error = |code: u16, status: &str, details: serde_json::Value| {
        let body =
            json!({"error": {"code": code, "message": "m", "status": status, "details": details}});
        Reply::status(code).with_body(body)
    };
    let violation = json!([{"@type": "type.googleapis.com/google.rpc.BadRequest"}]);
    let cases = [
        (error(404, "NOT_FOUND", json!([])), Verdict::CredentialsRefused, "NOT_FOUND"),
        (
            error(403, "PERMISSION_DENIED", json!([])),
            Verdict::CredentialsRefused,
            "PERMISSION_DENIED",
        ),
        (error(400, "INVALID_ARGUMENT", violation), Verdict::RequestRefused, "INVALID_ARGUMENT"),
        (
            error(429, "RESOURCE_EXHAUSTED", json!([])),
            Verdict::Busy { retry_after: Some(Duration::from_secs(60)), scope: BusyScope::App },
            "RESOURCE_EXHAUSTED",
        ),
        (
            Reply::status(502).with_body(json!("<html>")),
            Verdict::Busy { retry_after: None, scope: BusyScope::Provider },
            "no reason given",
        ),
    ];
    for (reply, verdict, reason) in cases {
        stage.simulator.script(FCM, None, [reply]).unwrap();
        let report = stage.ask_fcm(&good(1)).await;
        assert_eq!((report.verdict, report.answer.reason.as_str()), (verdict, reason));
    }
}

#[tokio::test]
async fn two_hundred_dry_runs_at_once_fetch_one_access_token() {
    let stage = stage().await;
    for report in stage.ask_fcm_at_once(200).await {
        assert_eq!(report.verdict, Verdict::Accepted, "{report:?}");
    }
    assert_eq!(stage.simulator.statistics(Provider::Oauth).access_tokens_issued, 1);
}

#[tokio::test]
async fn an_expired_access_token_is_replaced_once_for_all_and_nobody_notices() {
    let stage = stage().await;
    assert_eq!(stage.ask_fcm(&good(1)).await.verdict, Verdict::Accepted);
    stage.simulator.expire_access_tokens();
    for report in stage.ask_fcm_at_once(100).await {
        assert_eq!(report.verdict, Verdict::Accepted, "{report:?}");
    }
    assert_eq!(stage.simulator.statistics(Provider::Oauth).access_tokens_issued, 2);
}

#[tokio::test]
async fn an_access_token_is_replaced_shortly_before_it_expires() {
    let stage = stage().await;
    assert_eq!(stage.ask_fcm(&good(1)).await.verdict, Verdict::Accepted);
    let issued = || stage.simulator.statistics(Provider::Oauth).access_tokens_issued;
    stage.advance_both(54);
    assert_eq!(stage.ask_fcm(&good(1)).await.verdict, Verdict::Accepted);
    assert_eq!(issued(), 1);
    stage.advance(Duration::from_secs(60));
    assert_eq!(stage.ask_fcm(&good(1)).await.verdict, Verdict::Accepted);
    assert_eq!(issued(), 2);
    assert!(!stage.simulator.statistics(FCM).answers.contains_key(&401));
}

#[tokio::test]
async fn a_new_access_token_that_is_refused_as_well_blames_the_credentials() {
    let stage = stage().await;
    stage.simulator.reject_credentials(FCM, true);
    let report = stage.ask_fcm(&good(1)).await;
    assert_eq!(report.verdict, Verdict::CredentialsRefused);
    assert_eq!((report.answer.provider, report.answer.status), (Asked::Fcm, Some(401)));
    assert_eq!(stage.simulator.requests_of(FCM, &good(1)), 2);
    assert_eq!(stage.simulator.statistics(Provider::Oauth).access_tokens_issued, 2);
}
