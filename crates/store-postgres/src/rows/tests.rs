//! Documents of version 1, which every later version has to read, and bytes that nobody can read.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use pushroll_domain::{
    AndroidSide, App, AppId, CallbackOrder, CallbackReport, CallbackResult, CallbackRetries,
    CertificateEnvironments, CertificateFacts, ClaimedToken, Delivery, DeliveryRecord, Device,
    DeviceToken, Ended, Ending, Environment, FailureReason, Finish, HostKey, IosAuth, IosMode,
    IosSide, OldWebhookSecret, Org, OrgId, Outcome, Platform, Provider, ProviderAnswer,
    Registration, RegistrationId, RunId, Sealed, StoreError, Timestamp, TokenHash, TokenId,
    TokenRecord, Tries, UserId,
};
use serde_json::{Value, json};

use super::*;

const AT: Timestamp = Timestamp::from_millis(0x0192_3456_789a);
const AT_MS: u64 = 0x0192_3456_789a;
const ORG: OrgId = OrgId::from_bytes([0x0e; 16]);
const APP: AppId = AppId::from_bytes([0xa0; 16]);
const ID: RegistrationId = RegistrationId::from_bytes([0x1d; 16]);

fn answer() -> ProviderAnswer {
    ProviderAnswer {
        provider: Provider::Fcm,
        environment: None,
        status: Some(404),
        reason: "UNREGISTERED".into(),
        detail: Some("gone".into()),
        provider_id: None,
    }
}

fn answer_of_apns() -> ProviderAnswer {
    ProviderAnswer {
        provider: Provider::Apns,
        environment: Some(Environment::Sandbox),
        provider_id: Some("8d1e".into()),
        ..answer()
    }
}

fn order() -> CallbackOrder {
    CallbackOrder {
        url: "https://a.example/x".into(),
        host: HostKey([1, 2, 3, 4, 5, 6, 7, 8]),
        signature: "c2ln".into(),
        headers: Some(Sealed(vec![0, 255])),
    }
}

fn token() -> DeviceToken {
    DeviceToken::parse(Platform::Android, "fcm:T").unwrap()
}

fn registration() -> Registration {
    Registration {
        id: ID,
        org: ORG,
        app: APP,
        user: UserId::parse("Jürgen").unwrap(),
        claimed: ClaimedToken::Present(token()),
        authorized_by: Some(TokenId::from_bytes([0x70; 16])),
        tracked: true,
        callback: Some(order()),
        accepted_at: AT,
        due: AT.plus(Duration::from_secs(1)),
        tries: Tries { attempts: 2, first_attempt_at: Some(AT), last_run: Some(RunId(300)) },
        last_answer: Some(answer()),
    }
}

fn plain_registration() -> Registration {
    Registration {
        claimed: ClaimedToken::TooLong { platform: Platform::Android, chars: 5_000 },
        authorized_by: None,
        tracked: false,
        callback: None,
        tries: Tries::default(),
        last_answer: None,
        ..registration()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The value is written as these bytes and read back from them; no part of them is a document, nor are they with more
/// behind them, and no change of a byte makes the reader panic.
fn holds<T: PartialEq + Debug>(
    value: &T,
    written: &[u8],
    read: impl Fn(&[u8]) -> Result<T, StoreError>,
    golden: &str,
) {
    assert_eq!(hex(written), golden, "{value:?}");
    assert_eq!(&read(written).unwrap(), value);
    for length in 0..written.len() {
        assert!(matches!(read(&written[..length]), Err(StoreError::Corrupt(_))), "cut to {length}");
    }
    assert!(matches!(read(&[written, &[0]].concat()), Err(StoreError::Corrupt(_))));
    for at in 0..written.len() {
        for with in [0x00, 0x01, 0x7f, 0x80, 0xff] {
            let mut changed = written.to_vec();
            changed[at] = with;
            drop(read(&changed));
        }
    }
    let mut newer = written.to_vec();
    newer[0] = 99;
    let Err(StoreError::Corrupt(message)) = read(&newer) else { panic!("not of this version") };
    assert!(message.contains("encoding 99"), "{message}");
}

#[test]
fn a_pending_registration_is_read_for_ever() {
    for (value, golden_accepted, golden_tried) in [
        (
            registration(),
            "010e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e074ac3bc7267656e000566636d3a54017070707070707070707070707070707001011368747470733a2f2f612e6578616d706c652f7801020304050607080463326c6e010200ff9af1d9a2a332",
            "0102019af1d9a2a33201ac020101000194030c554e524547495354455245440104676f6e6500",
        ),
        (
            plain_registration(),
            "010e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e074ac3bc7267656e0188270000009af1d9a2a332",
            "0100000000",
        ),
    ] {
        let accepted = encode_registration(&value);
        let tried = encode_tries(&value.tries, value.last_answer.as_ref());
        let read = |accepted: &[u8], tried: &[u8]| {
            decode_registration(&PendingColumns {
                id: ID,
                app: APP,
                platform: 1,
                given_due: i64::try_from(AT_MS).unwrap() + 1_000,
                accepted,
                tried,
            })
        };
        holds(&value, &accepted, |bytes| read(bytes, &tried), golden_accepted);
        holds(&value, &tried, |bytes| read(&accepted, bytes), golden_tried);
    }
}

#[test]
fn a_device_is_read_for_ever() {
    let device = Device {
        id: ID,
        app: APP,
        user: registration().user,
        token: token(),
        environment: Some(Environment::Sandbox),
        registered_at: AT,
        verified_at: AT.plus(Duration::from_millis(5)),
        last_seen_at: AT.plus(Duration::from_millis(9)),
        answer: Some(answer()),
    };
    let written = encode_device(
        &registration(),
        &token(),
        device.environment,
        device.answer.as_ref(),
        device.verified_at,
    );
    let last_seen = i64::try_from(AT_MS).unwrap() + 9;
    let read =
        |document: &[u8]| decode_device(&DeviceColumns { id: ID, app: APP, last_seen, document });
    holds(
        &device,
        &written,
        read,
        "01074ac3bc7267656e010566636d3a5401019af1d9a2a3329ff1d9a2a3320101000194030c554e524547495354455245440104676f6e6500",
    );
}

#[test]
fn an_outcome_is_read_for_ever() {
    let report = CallbackReport {
        result: CallbackResult::Failed { reason: "timed out".into() },
        at: AT,
        took: Duration::from_micros(1_500),
    };
    let ended = Ended {
        id: ID,
        app: APP,
        user: registration().user,
        platform: Platform::Android,
        token_fingerprint: Some(token().fingerprint()),
        token_chars: 5,
        tracked: true,
        outcome: Outcome::Failed(FailureReason::DryRunSendingFailed),
        answer: Some(answer_of_apns()),
        hint: Some("hint".into()),
        callback: Some(report.clone()),
        accepted_at: AT,
        ended_at: AT.plus(Duration::from_secs(2)),
        attempts: 3,
    };
    let finish = Finish {
        registration: Arc::new(registration()),
        ending: Ending::Failed {
            reason: FailureReason::DryRunSendingFailed,
            answer: Some(answer_of_apns()),
        },
        at: ended.ended_at,
        tries: Tries { attempts: 3, ..Tries::default() },
        devices_per_user: 100,
    };
    let (written, reported) = (encode_outcome(&finish), encode_report(&report));
    let read = |document: &[u8], callback: &[u8]| {
        decode_outcome(&OutcomeColumns {
            id: ID,
            app: APP,
            tracked: true,
            code: 2,
            ended_at: i64::try_from(AT_MS).unwrap() + 2_000,
            document,
            hint: Some(b"hint"),
            callback: Some(callback),
        })
    };
    holds(
        &ended,
        &written,
        |document| read(document, &reported),
        "01074ac3bc7267656e010108373330356632643505010001010194030c554e524547495354455245440104676f6e650104386431659af1d9a2a33203",
    );
    holds(
        &ended,
        &reported,
        |callback| read(&written, callback),
        "01030974696d6564206f75749af1d9a2a332dc0b",
    );
    for (result, golden) in [
        (CallbackResult::Attempted, "01009af1d9a2a332dc0b"),
        (CallbackResult::Delivered { status: 204 }, "0101cc019af1d9a2a332dc0b"),
        (CallbackResult::Answered { status: 503 }, "0102f7039af1d9a2a332dc0b"),
    ] {
        let report = CallbackReport { result, ..report.clone() };
        let ended = Ended { callback: Some(report.clone()), ..ended.clone() };
        holds(&ended, &encode_report(&report), |callback| read(&written, callback), golden);
    }
}

#[test]
fn a_callback_and_an_entry_of_the_log_are_read_for_ever() {
    let delivery = Delivery {
        id: ID,
        org: ORG,
        app: APP,
        order: order(),
        outcome: Outcome::Failed(FailureReason::ApiTokenNotValid),
        ended_at: AT,
        attempt: 300,
        first_attempt_at: AT,
        again_at: Some(AT),
    };
    let read = |document: &[u8]| {
        decode_delivery(&CallbackColumns {
            id: ID,
            app: APP,
            code: 5,
            ended_at: i64::try_from(AT_MS).unwrap(),
            attempt: 300,
            first_attempt_at: AT,
            again_at: Some(AT),
            document,
        })
    };
    holds(
        &delivery,
        &encode_callback(ORG, &order()),
        read,
        "010e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e1368747470733a2f2f612e6578616d706c652f7801020304050607080463326c6e010200ff",
    );

    let record = DeliveryRecord {
        id: ID,
        receiver: "a.example:443".into(),
        outcome: Outcome::Success,
        attempt: 2,
        report: CallbackReport {
            result: CallbackResult::Answered { status: 503 },
            at: AT,
            took: Duration::from_micros(1_500),
        },
        retry_at: Some(AT.plus(Duration::from_secs(9))),
    };
    holds(
        &record,
        &encode_record(&record),
        |document| decode_record(ID, 2, document),
        "010d612e6578616d706c653a343433000c0102f7039af1d9a2a332dc0b01c2b7daa2a332",
    );
}

#[test]
fn what_stands_for_names_in_columns_stays_as_it_is() {
    let outcomes = [
        Outcome::Success,
        Outcome::Failed(FailureReason::DuplicateExists),
        Outcome::Failed(FailureReason::DryRunSendingFailed),
        Outcome::Failed(FailureReason::DeviceTokenTooLong),
        Outcome::Failed(FailureReason::FailedToStoreDevice),
        Outcome::Failed(FailureReason::ApiTokenNotValid),
    ];
    for (outcome, code) in outcomes.into_iter().zip(0_i16..) {
        assert_eq!(codes::outcome(outcome), code);
        assert_eq!(codes::outcome_of(code), Some(outcome));
    }
    assert_eq!(codes::outcome_of(6), None);
    for (platform, code) in [(Platform::Ios, 0), (Platform::Android, 1)] {
        assert_eq!(codes::platform(platform), code);
        assert_eq!(codes::platform_of(code), Some(platform));
    }
    assert_eq!(codes::platform_of(2_i16), None);
    for (provider, code) in [(Provider::Apns, 0), (Provider::Fcm, 1), (Provider::OAuth, 2)] {
        assert_eq!(codes::provider(provider), code);
        assert_eq!(codes::provider_of(code), Some(provider));
    }
    for (environment, code) in [(Environment::Production, 0), (Environment::Sandbox, 1)] {
        assert_eq!(codes::environment(environment), code);
        assert_eq!(codes::environment_of(code), Some(environment));
    }
}

fn app() -> App {
    App {
        id: APP,
        org: ORG,
        name: "Shop".into(),
        description: "d".into(),
        ios: Some(IosSide {
            mode: IosMode::Auto,
            bundle_id: "com.example".into(),
            auth: IosAuth::Key {
                key_id: "KEY".into(),
                team_id: "TEAM".into(),
                p8: Sealed(vec![7, 255]),
            },
        }),
        android: Some(AndroidSide {
            project_id: "p".into(),
            client_email: "e@p".into(),
            service_account: Sealed(vec![9]),
        }),
        webhook_secret: Sealed(vec![1, 2]),
        old_webhook_secret: Some(OldWebhookSecret { secret: Sealed(vec![3, 255]), ends_at: AT }),
        callback_retries: Some(CallbackRetries { window: Duration::from_secs(3 * 86_400) }),
        created_at: AT,
        updated_at: AT,
        deleted_at: None,
    }
}

fn app_document() -> Value {
    json!({
        "name": "Shop",
        "description": "d",
        "ios": {
            "mode": "auto",
            "bundle_id": "com.example",
            "auth": {"key": {"key_id": "KEY", "team_id": "TEAM", "p8": "B/8="}},
        },
        "android": {"project_id": "p", "client_email": "e@p", "service_account": "CQ=="},
        "webhook_secret": "AQI=",
        "old_webhook_secret": {"secret": "A/8=", "ends_at": AT_MS},
        "callback_retries_ms": 259_200_000,
        "created_at": AT_MS,
        "updated_at": AT_MS,
    })
}

#[test]
fn documents_of_the_configuration_are_read_for_ever() {
    assert_eq!(config::encode_app(&app()), app_document());
    assert_eq!(config::decode_app(APP, ORG, None, app_document()).unwrap(), app());
    let deleted = config::decode_app(APP, ORG, Some(AT), app_document()).unwrap();
    assert_eq!(deleted.deleted_at, Some(AT));

    let facts = CertificateFacts {
        name: "Push: com.example".into(),
        topics: vec!["com.example".into(), "com.example.voip".into()],
        environments: CertificateEnvironments::Both,
        begins_at: AT,
        expires_at: AT.plus(Duration::from_secs(60)),
    };
    let auth = IosAuth::Certificate { facts, pem: Sealed(vec![8, 255]) };
    let ios = app().ios.map(|side| IosSide { auth, ..side });
    let with_certificate =
        App { ios, android: None, old_webhook_secret: None, callback_retries: None, ..app() };
    let document = json!({
        "name": "Shop",
        "description": "d",
        "ios": {
            "mode": "auto",
            "bundle_id": "com.example",
            "auth": {"certificate": {
                "facts": {
                    "name": "Push: com.example",
                    "topics": ["com.example", "com.example.voip"],
                    "environments": "both",
                    "begins_at": AT_MS,
                    "expires_at": AT_MS + 60_000,
                },
                "pem": "CP8=",
            }},
        },
        "android": null,
        "webhook_secret": "AQI=",
        "created_at": AT_MS,
        "updated_at": AT_MS,
    });
    assert_eq!(config::encode_app(&with_certificate), document);
    assert_eq!(config::decode_app(APP, ORG, None, document).unwrap(), with_certificate);

    let org = Org { id: ORG, name: "Contoso".into(), created_at: AT };
    let document = json!({"name": "Contoso", "created_at": AT_MS});
    assert_eq!(config::encode_org(&org), document);
    assert_eq!(config::decode_org(ORG, document).unwrap(), org);

    let token = TokenRecord {
        id: TokenId::from_bytes([0x70; 16]),
        org: ORG,
        app: APP,
        hash: TokenHash::from_bytes([0xcd; 32]),
        name: "n".into(),
        created_at: AT,
        expires_at: Some(AT),
        revoked_at: None,
    };
    let document = json!({
        "org": "0e0e0e0e-0e0e-0e0e-0e0e-0e0e0e0e0e0e",
        "name": "n",
        "created_at": AT_MS,
        "expires_at": AT_MS,
    });
    assert_eq!(config::encode_token(&token), document);
    assert_eq!(config::decode_token(token.id, APP, &[0xcd; 32], None, document).unwrap(), token);
    let damaged = config::decode_app(APP, ORG, None, json!({"name": 5}));
    assert!(matches!(damaged, Err(StoreError::Corrupt(_))));
}
