use super::super::error_body::ErrorBody;
use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// Judges an answer with this JSON in the error's `details`.
fn judged(status: u16, details: &str) -> Judgement {
    let text = format!(r#"{{"error":{{"code":{status},"message":"m","details":[{details}]}}}}"#);
    judge(status, ErrorBody::read(text.as_bytes()).code(), None)
}

fn fcm_error(code: &str) -> String {
    format!(
        r#"{{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"{code}"}}"#
    )
}

fn with_code(status: u16, code: &str) -> Verdict {
    judged(status, &fcm_error(code)).verdict()
}

const BAD_REQUEST: &str = r#"{"@type":"type.googleapis.com/google.rpc.BadRequest",
    "fieldViolations":[{"field":"message.token","description":"Invalid registration token"}]}"#;

#[test]
fn only_200_accepts_a_token() {
    assert_eq!(judged(200, "").verdict(), Verdict::Accepted);
    for status in [100, 201, 204, 302, 600] {
        assert_eq!(judged(status, "").verdict(), Verdict::Unreachable, "{status}");
    }
}

#[test]
fn the_token_is_at_fault_only_where_fcm_itself_says_so() {
    assert_eq!(with_code(404, "UNREGISTERED"), Verdict::TokenRejected);
    assert_eq!(with_code(400, "INVALID_ARGUMENT"), Verdict::TokenRejected);
    assert_eq!(with_code(403, "SENDER_ID_MISMATCH"), Verdict::TokenRejected);
    let both = format!("{BAD_REQUEST},{}", fcm_error("INVALID_ARGUMENT"));
    assert_eq!(judged(400, &both).verdict(), Verdict::TokenRejected);
}

#[test]
fn a_bad_request_without_fcms_own_code_is_a_fault_of_the_request() {
    assert_eq!(judged(400, BAD_REQUEST).verdict(), Verdict::RequestRefused);
    assert_eq!(judged(400, "").verdict(), Verdict::RequestRefused);
    assert_eq!(with_code(400, "SOMETHING_NEW"), Verdict::RequestRefused);
}

#[test]
fn a_wrong_project_and_a_missing_permission_are_the_credentials_fault() {
    assert_eq!(judged(404, "").verdict(), Verdict::CredentialsRefused);
    assert_eq!(judged(404, BAD_REQUEST).verdict(), Verdict::CredentialsRefused);
    assert_eq!(judged(403, "").verdict(), Verdict::CredentialsRefused);
    assert_eq!(with_code(403, "SOMETHING_NEW"), Verdict::CredentialsRefused);
}

#[test]
fn a_401_renews_the_access_token_before_the_credentials_are_blamed() {
    for judgement in [judged(401, ""), judged(401, &fcm_error("THIRD_PARTY_AUTH_ERROR"))] {
        assert_eq!(judgement, Judgement::RenewAccessToken);
        assert_eq!(judgement.verdict(), Verdict::CredentialsRefused);
    }
}

#[test]
fn a_quota_holds_up_the_app_for_as_long_as_asked_else_a_minute() {
    let busy = |wait| Verdict::Busy { retry_after: Some(wait), scope: BusyScope::App };
    assert_eq!(with_code(429, "QUOTA_EXCEEDED"), busy(MINUTE));
    let asked = judge(429, Some(FcmCode::QuotaExceeded), Some(Duration::from_secs(7)));
    assert_eq!(asked.verdict(), busy(Duration::from_secs(7)));
}

#[test]
fn a_server_error_is_the_providers_whatever_its_code() {
    for code in ["INTERNAL", "UNAVAILABLE", "UNREGISTERED", "INVALID_ARGUMENT"] {
        for status in [500, 502, 503, 599] {
            let judgement = judge(status, ErrorBody::read(b"").code(), Some(MINUTE));
            let busy = Verdict::Busy { retry_after: Some(MINUTE), scope: BusyScope::Provider };
            assert_eq!(judgement.verdict(), busy);
            let busy = Verdict::Busy { retry_after: None, scope: BusyScope::Provider };
            assert_eq!(with_code(status, code), busy, "{status} {code}");
        }
    }
}

#[test]
fn any_other_4xx_is_a_fault_of_the_request() {
    for status in (400..500).filter(|status| ![401, 403, 404, 429].contains(status)) {
        assert_eq!(judged(status, "").verdict(), Verdict::RequestRefused, "{status}");
    }
    assert_eq!(with_code(404, "SOMETHING_NEW"), Verdict::RequestRefused);
}

#[test]
fn a_body_that_is_not_json_leaves_the_status_to_judge_by() {
    let body = ErrorBody::read(b"<html>Bad Gateway</html>");
    assert_eq!((body.code(), body.words(), body.class()), (None, None, "none"));
}
