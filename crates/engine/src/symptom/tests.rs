use super::*;
use pushroll_domain::BusyScope;

fn said(provider: Provider, status: Option<u16>, reason: &str, detail: &str) -> ProviderAnswer {
    ProviderAnswer {
        provider,
        environment: None,
        status,
        reason: reason.to_owned(),
        detail: (!detail.is_empty()).then(|| detail.to_owned()),
        provider_id: None,
    }
}

#[test]
fn refused_credentials_are_told_apart_by_the_providers_words() {
    use Provider::{Apns, Fcm, OAuth};
    let api_disabled =
        "Firebase Cloud Messaging API has not been used in project 1 before or it is disabled.";
    let timeframe = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.";
    for (answer, expected) in [
        (said(Apns, Some(403), "InvalidProviderToken", ""), Symptom::ApnsKeyRefused),
        (said(Apns, Some(403), "ExpiredProviderToken", ""), Symptom::ClockSkew),
        (said(Apns, Some(403), "BadCertificate", ""), Symptom::CertificateRefused),
        (
            said(Apns, Some(403), "BadCertificateEnvironment", ""),
            Symptom::CertificateOfOtherEnvironment,
        ),
        (said(Apns, Some(403), "Forbidden", ""), Symptom::CredentialsRefused),
        (said(OAuth, Some(400), "invalid_grant", timeframe), Symptom::ClockSkew),
        (
            said(OAuth, Some(400), "invalid_grant", "Invalid grant: account not found"),
            Symptom::AccountUnknown,
        ),
        (
            said(OAuth, Some(400), "invalid_grant", "Invalid JWT Signature."),
            Symptom::AccountKeyRefused,
        ),
        (said(OAuth, Some(401), "invalid_client", ""), Symptom::AccountUnknown),
        (said(Fcm, Some(403), "PERMISSION_DENIED", api_disabled), Symptom::ApiDisabled),
        (
            said(
                Fcm,
                Some(403),
                "PERMISSION_DENIED",
                "Permission 'cloudmessaging.messages.create' denied",
            ),
            Symptom::NoPermission,
        ),
        (said(Fcm, Some(404), "NOT_FOUND", ""), Symptom::ProjectUnknown),
        (said(Fcm, Some(401), "THIRD_PARTY_AUTH_ERROR", ""), Symptom::WrappedByFirebase),
        (said(Fcm, Some(401), "UNAUTHENTICATED", ""), Symptom::CredentialsRefused),
    ] {
        let found = Symptom::of_dry_run(&Verdict::CredentialsRefused, &answer);
        assert_eq!(found, Some(expected), "{answer:?}");
    }
}

#[test]
fn what_is_wrong_with_one_device_is_no_symptom_but_what_is_wrong_with_all_of_its_kind_is() {
    let apns = |reason: &str| said(Provider::Apns, Some(400), reason, "");
    let other = Verdict::WrongEnvironment { credentials: false };
    assert_eq!(Symptom::of_dry_run(&other, &apns("BadDeviceToken")), None);
    assert_eq!(Symptom::of_dry_run(&Verdict::TokenRejected, &apns("Unregistered")), None);
    assert_eq!(Symptom::of_dry_run(&Verdict::Accepted, &apns("OK")), None);
    let foreign = said(Provider::Fcm, Some(403), "SENDER_ID_MISMATCH", "");
    let found = Symptom::of_dry_run(&Verdict::TokenRejected, &foreign);
    assert_eq!(found, Some(Symptom::TokenOfOtherProject));
    let found = Symptom::of_dry_run(&Verdict::TokenRejected, &apns("DeviceTokenNotForTopic"));
    assert_eq!(found, Some(Symptom::TokenOfOtherApp));
    let found = Symptom::of_dry_run(&Verdict::RequestRefused, &apns("TopicDisallowed"));
    assert_eq!(found, Some(Symptom::TopicRefused));
}

#[test]
fn a_provider_that_is_not_reached_is_told_from_one_that_is_in_trouble() {
    let silent = |reason: &str| said(Provider::Apns, None, reason, "");
    for (reason, expected) in [
        ("the name can't be looked up", Symptom::NoLookup),
        ("can't connect", Symptom::NoConnection),
        ("the proxy made no connection", Symptom::NoTunnel),
        ("connecting timed out", Symptom::NoConnection),
        ("timed out", Symptom::NoConnection),
        ("no TLS", Symptom::NotTheProvider),
        ("the server does not speak HTTP/2", Symptom::NotTheProvider),
    ] {
        let found = Symptom::of_dry_run(&Verdict::Unreachable, &silent(reason));
        assert_eq!(found, Some(expected), "{reason}");
    }
    let busy = |scope| Verdict::Busy { retry_after: None, scope };
    let answer = |status| said(Provider::Fcm, Some(status), "UNAVAILABLE", "");
    let found = Symptom::of_dry_run(&busy(BusyScope::Provider), &answer(503));
    assert_eq!(found, Some(Symptom::ProviderFails));
    let found = Symptom::of_dry_run(&busy(BusyScope::App), &answer(429));
    assert_eq!(found, Some(Symptom::Throttled));
    let ours = Symptom::of_dry_run(&busy(BusyScope::Device), &silent("too much to do"));
    assert_eq!(ours, None);
}

#[test]
fn a_token_of_the_other_platform_is_known_by_its_form() {
    let token = |platform, text: &str| DeviceToken::parse(platform, text).unwrap();
    let wrapped = token(Platform::Ios, "dGhpcyBpcyBhIHRlc3QuLg:APA91bHun4MxP5egoKMwt2KZFBaFUH");
    assert_eq!(Symptom::of_token(&wrapped), Some(Symptom::FcmTokenAsApns));
    let bare = token(Platform::Android, &"A1".repeat(32));
    assert_eq!(Symptom::of_token(&bare), Some(Symptom::ApnsTokenAsFcm));
    for (platform, text) in [
        (Platform::Ios, "a1".repeat(32)),
        (Platform::Ios, "x:y".to_owned()),
        (Platform::Ios, "a:äääääää".to_owned()),
        (Platform::Android, "dGhpcyBpcyBhIHRlc3QuLg:APA91bHun4MxP5".to_owned()),
        (Platform::Android, "a1".repeat(31)),
    ] {
        assert_eq!(Symptom::of_token(&token(platform, &text)), None, "{text}");
    }
}

#[test]
fn every_symptom_has_a_name_of_its_own_says_what_is_wrong_and_what_to_do() {
    let mut names: Vec<_> = Symptom::ALL.iter().map(|symptom| symptom.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Symptom::ALL.len());
    for symptom in Symptom::ALL {
        for text in [symptom.what(), symptom.to_do()] {
            assert!(text.ends_with('.') && text.len() > 20, "{symptom:?}: {text}");
        }
    }
}
