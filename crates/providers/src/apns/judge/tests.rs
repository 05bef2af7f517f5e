use super::*;

const MINUTE: Option<Duration> = Some(Duration::from_secs(60));

fn verdict(status: u16, reason: &str) -> Verdict {
    match judge(status, ApnsReason::parse(reason), MINUTE) {
        Judgement::Final(verdict) => verdict,
        other => panic!("{status} {reason}: {other:?}"),
    }
}

/// Every documented reason with its status, as Apple lists them.
const DOCUMENTED: &[(u16, &str)] = &[
    (400, "BadCollapseId"),
    (400, "BadDeviceToken"),
    (400, "BadExpirationDate"),
    (400, "BadMessageId"),
    (400, "BadPriority"),
    (400, "BadTopic"),
    (400, "DeviceTokenNotForTopic"),
    (400, "DuplicateHeaders"),
    (400, "IdleTimeout"),
    (400, "InvalidPushType"),
    (400, "MissingDeviceToken"),
    (400, "MissingTopic"),
    (400, "PayloadEmpty"),
    (400, "TopicDisallowed"),
    (403, "BadCertificate"),
    (403, "BadCertificateEnvironment"),
    (403, "BadEnvironmentKeyIdInToken"),
    (403, "ExpiredProviderToken"),
    (403, "Forbidden"),
    (403, "InvalidProviderToken"),
    (403, "MissingProviderToken"),
    (403, "UnrelatedKeyIdInToken"),
    (404, "BadPath"),
    (405, "MethodNotAllowed"),
    (410, "ExpiredToken"),
    (410, "Unregistered"),
    (413, "PayloadTooLarge"),
    (429, "TooManyProviderTokenUpdates"),
    (429, "TooManyRequests"),
    (500, "InternalServerError"),
    (503, "ServiceUnavailable"),
    (503, "Shutdown"),
];

#[test]
fn the_list_of_reasons_is_apples() {
    let mut ours: Vec<_> = ApnsReason::ALL.iter().map(|reason| reason.name()).collect();
    let mut documented: Vec<_> = DOCUMENTED.iter().map(|(_, reason)| *reason).collect();
    ours.sort_unstable();
    documented.sort_unstable();
    assert_eq!(ours, documented);
    for reason in ApnsReason::ALL {
        assert_eq!(ApnsReason::parse(reason.name()), Some(*reason));
    }
}

#[test]
fn every_documented_answer_has_its_verdict() {
    for &(status, reason) in DOCUMENTED {
        let expected = match reason {
            "BadDeviceToken" => Verdict::WrongEnvironment { credentials: false },
            "BadEnvironmentKeyIdInToken" => Verdict::WrongEnvironment { credentials: true },
            "Unregistered" | "ExpiredToken" | "DeviceTokenNotForTopic" => Verdict::TokenRejected,
            "InvalidProviderToken"
            | "MissingProviderToken"
            | "BadCertificate"
            | "BadCertificateEnvironment"
            | "Forbidden"
            | "UnrelatedKeyIdInToken" => Verdict::CredentialsRefused,
            "IdleTimeout" => Verdict::Unreachable,
            "TooManyRequests" => Verdict::Busy { retry_after: MINUTE, scope: BusyScope::Device },
            "InternalServerError" | "ServiceUnavailable" | "Shutdown" => {
                Verdict::Busy { retry_after: MINUTE, scope: BusyScope::Provider }
            }
            "ExpiredProviderToken" | "TooManyProviderTokenUpdates" => continue,
            "BadCollapseId" | "BadExpirationDate" | "BadMessageId" | "BadPriority" | "BadTopic"
            | "DuplicateHeaders" | "InvalidPushType" | "MissingDeviceToken" | "MissingTopic"
            | "PayloadEmpty" | "TopicDisallowed" | "BadPath" | "MethodNotAllowed"
            | "PayloadTooLarge" => Verdict::RequestRefused,
            other => panic!("nothing expected of {other}"),
        };
        assert_eq!(verdict(status, reason), expected, "{status} {reason}");
    }
}

#[test]
fn an_expired_provider_token_is_renewed_before_the_credentials_are_blamed() {
    let judgement = judge(403, Some(ApnsReason::ExpiredProviderToken), None);
    assert_eq!(judgement, Judgement::RenewProviderToken);
    assert_eq!(judgement.verdict(), Verdict::CredentialsRefused);
}

#[test]
fn too_many_provider_tokens_hold_up_the_app_and_the_next_token() {
    let judgement = judge(429, Some(ApnsReason::TooManyProviderTokenUpdates), MINUTE);
    assert_eq!(judgement, Judgement::HoldProviderToken { retry_after: MINUTE });
    let app_is_busy = Verdict::Busy { retry_after: MINUTE, scope: BusyScope::App };
    assert_eq!(judgement.verdict(), app_is_busy);
}

#[test]
fn only_200_accepts_a_token() {
    assert_eq!(verdict(200, ""), Verdict::Accepted);
    for status in [100, 201, 204, 302, 600] {
        assert_eq!(verdict(status, ""), Verdict::Unreachable, "{status}");
    }
}

#[test]
fn an_undocumented_reason_is_judged_by_its_status() {
    for status in 400..600 {
        let expected = match status {
            403 => Verdict::CredentialsRefused,
            410 => Verdict::TokenRejected,
            429 => Verdict::Busy { retry_after: MINUTE, scope: BusyScope::Device },
            500.. => Verdict::Busy { retry_after: MINUTE, scope: BusyScope::Provider },
            _ => Verdict::RequestRefused,
        };
        assert_eq!(verdict(status, "SomethingNew"), expected, "{status}");
    }
}

#[test]
fn a_server_error_says_nothing_about_the_token_whatever_its_reason() {
    let busy = Verdict::Busy { retry_after: MINUTE, scope: BusyScope::Provider };
    for reason in ApnsReason::ALL {
        assert_eq!(verdict(502, reason.name()), busy, "{reason:?}");
    }
}
