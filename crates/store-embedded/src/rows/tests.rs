//! Bytes of format 1, which every later version has to read, and bytes that nobody can read.

use std::fmt::Debug;
use std::time::Duration;

use pushroll_domain::{
    Actor, AndroidSide, App, AppId, AuditAction, AuditEntry, AuditId, CallbackOrder,
    CallbackReport, CallbackResult, CallbackRetries, CertificateEnvironments, CertificateFacts,
    ClaimedToken, Delivery, DeliveryRecord, Device, DeviceToken, Ended, Environment, FailureReason,
    HostKey, ImportProgress, IosAuth, IosMode, IosSide, Lane, OldWebhookSecret, Org, OrgId,
    Outcome, Platform, Provider, ProviderAnswer, Registration, RegistrationId, RunId, Sealed,
    StoreError, Timestamp, TokenHash, TokenId, TokenRecord, Tries, UserId,
};

use super::*;

const AT: Timestamp = Timestamp::from_millis(0x0192_3456_789a);

fn app_id() -> AppId {
    AppId::from_bytes([0xa0; 16])
}

fn id() -> RegistrationId {
    RegistrationId::from_bytes([0x1d; 16])
}

fn lane() -> Lane {
    Lane { app: app_id(), platform: Platform::Android }
}

fn token() -> DeviceToken {
    DeviceToken::parse(Platform::Android, "fcm:T").unwrap()
}

fn user() -> UserId {
    UserId::parse("Jürgen").unwrap()
}

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

fn order() -> CallbackOrder {
    CallbackOrder {
        url: "https://a.example/x".into(),
        host: HostKey([1, 2, 3, 4, 5, 6, 7, 8]),
        signature: "c2ln".into(),
        headers: Some(Sealed(vec![0, 255])),
    }
}

fn registration() -> Registration {
    Registration {
        id: id(),
        org: OrgId::from_bytes([0x0e; 16]),
        app: app_id(),
        user: user(),
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

fn ended() -> Ended {
    Ended {
        id: id(),
        app: app_id(),
        user: user(),
        platform: Platform::Ios,
        token_fingerprint: Some("0badf00d".into()),
        token_chars: 64,
        tracked: true,
        outcome: Outcome::Failed(FailureReason::DryRunSendingFailed),
        answer: Some(ProviderAnswer {
            provider: Provider::Apns,
            environment: Some(Environment::Sandbox),
            provider_id: Some("8d1e".into()),
            ..answer()
        }),
        hint: Some("hint".into()),
        callback: Some(CallbackReport {
            result: CallbackResult::Failed { reason: "timed out".into() },
            at: AT,
            took: Duration::from_micros(1_500),
        }),
        accepted_at: AT,
        ended_at: AT.plus(Duration::from_secs(2)),
        attempts: 3,
    }
}

fn device() -> Device {
    Device {
        id: id(),
        app: app_id(),
        user: user(),
        token: token(),
        environment: Some(Environment::Sandbox),
        registered_at: AT,
        verified_at: AT.plus(Duration::from_millis(5)),
        last_seen_at: AT.plus(Duration::from_millis(9)),
        answer: Some(answer()),
    }
}

fn delivery() -> Delivery {
    Delivery {
        id: id(),
        org: OrgId::from_bytes([0x0e; 16]),
        app: app_id(),
        order: order(),
        outcome: Outcome::Failed(FailureReason::ApiTokenNotValid),
        ended_at: AT,
        attempt: 0,
        first_attempt_at: AT,
        again_at: None,
    }
}

fn attempted_delivery() -> Delivery {
    let first_attempt_at = AT.plus(Duration::from_secs(3));
    Delivery { attempt: 300, first_attempt_at, ..delivery() }
}

fn audit_entry() -> AuditEntry {
    AuditEntry {
        id: AuditId::from_bytes([0x1f; 16]),
        at: AT,
        actor: Actor { by: "admin-token 01020304".into(), source: Some([192, 0, 2, 1].into()) },
        action: AuditAction::TokenCreated,
        org: Some(OrgId::from_bytes([1; 16])),
        app: Some(AppId::from_bytes([2; 16])),
        token: Some(TokenId::from_bytes([3; 16])),
        name: "Läden".into(),
        fields: vec!["name".into(), "ios.key".into()],
    }
}

fn delivery_record() -> DeliveryRecord {
    DeliveryRecord {
        id: id(),
        receiver: "a.example:443".into(),
        outcome: Outcome::Success,
        attempt: 2,
        report: CallbackReport {
            result: CallbackResult::Answered { status: 503 },
            at: AT,
            took: Duration::from_micros(1_500),
        },
        retry_at: Some(AT.plus(Duration::from_secs(9))),
    }
}

fn app_with_more() -> App {
    App {
        old_webhook_secret: Some(OldWebhookSecret { secret: Sealed(vec![3, 255]), ends_at: AT }),
        callback_retries: Some(CallbackRetries { window: Duration::from_secs(3 * 86_400) }),
        ..app()
    }
}

fn app() -> App {
    App {
        id: app_id(),
        org: OrgId::from_bytes([0x0e; 16]),
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
        old_webhook_secret: None,
        callback_retries: None,
        created_at: AT,
        updated_at: AT,
        deleted_at: Some(AT),
    }
}

fn app_with_certificate(environments: CertificateEnvironments) -> App {
    let facts = CertificateFacts {
        name: "Push: com.example".into(),
        topics: vec!["com.example".into(), "com.example.voip".into()],
        environments,
        begins_at: AT,
        expires_at: AT.plus(Duration::from_secs(60)),
    };
    let auth = IosAuth::Certificate { facts, pem: Sealed(vec![8, 255]) };
    let ios = app().ios.map(|side| IosSide { auth, ..side });
    App { ios, android: None, ..app() }
}

fn org() -> Org {
    Org { id: OrgId::from_bytes([0x0e; 16]), name: "Contoso".into(), created_at: AT }
}

fn api_token() -> TokenRecord {
    TokenRecord {
        id: TokenId::from_bytes([0x70; 16]),
        org: OrgId::from_bytes([0x0e; 16]),
        app: app_id(),
        hash: TokenHash::from_bytes([0xcd; 32]),
        name: "n".into(),
        created_at: AT,
        expires_at: Some(AT),
        revoked_at: None,
    }
}

fn pending() -> PendingRow {
    PendingRow { commit: 300, due: AT, platform: Platform::Android }
}

type Decode<T> = fn(&[u8]) -> Result<T, StoreError>;

const READ_REGISTRATION: Decode<Registration> =
    |bytes| decode_registration(lane(), AT.plus(Duration::from_secs(1)), id(), bytes);
const READ_OUTCOME: Decode<Ended> = |bytes| decode_outcome(app_id(), id(), bytes);
const READ_DEVICE: Decode<Device> = |bytes| decode_device(app_id(), token(), bytes);
const READ_DELIVERY: Decode<Delivery> = |bytes| decode_delivery(id(), bytes);
const READ_RECORD: Decode<DeliveryRecord> = decode_delivery_record;
const READ_ORG: Decode<Org> = |bytes| decode_org(org().id, bytes);
const READ_APP: Decode<App> = |bytes| decode_app(app_id(), bytes);
const READ_TOKEN: Decode<TokenRecord> = |bytes| decode_token(api_token().id, bytes);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The value is written as these bytes and read back from them; no part of them is a row, nor are
/// they with more behind them, and no change of a byte makes the reader panic.
fn holds<T: PartialEq + Debug>(value: &T, written: &[u8], read: Decode<T>, golden: &str) {
    assert_eq!(hex(written), golden, "{value:?}");
    assert_eq!(&read(written).unwrap(), value);
    for length in 0..written.len() {
        assert!(matches!(read(&written[..length]), Err(StoreError::Corrupt(_))), "cut to {length}");
    }
    let longer = [written, &[0]].concat();
    assert!(matches!(read(&longer), Err(StoreError::Corrupt(_))));
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
fn rows_of_format_1_are_read_for_ever() {
    let full = registration();
    holds(&full, &encode_registration(&full), READ_REGISTRATION, GOLDEN[0]);
    let plain = plain_registration();
    holds(&plain, &encode_registration(&plain), READ_REGISTRATION, GOLDEN[1]);
    holds(&ended(), &encode_outcome(&ended()), READ_OUTCOME, GOLDEN[2]);
    holds(&device(), &encode_device(&device()), READ_DEVICE, GOLDEN[3]);
    holds(&delivery(), &encode_delivery(&delivery()), READ_DELIVERY, GOLDEN[4]);
    holds(&org(), &encode_org(&org()), READ_ORG, GOLDEN[5]);
    holds(&app(), &encode_app(&app()), READ_APP, GOLDEN[6]);
    holds(&api_token(), &encode_token(&api_token()), READ_TOKEN, GOLDEN[7]);
    holds(&pending(), &encode_pending(pending()), decode_pending, GOLDEN[8]);
    holds(&300, &encode_mark(300), decode_mark, GOLDEN[9]);
    assert_eq!(hex(&encode_history(AT)), GOLDEN[10]);
}

#[test]
fn rows_of_format_3_are_read_for_ever() {
    let entry = audit_entry();
    holds(&entry, &encode_audit(&entry), decode_audit, GOLDEN_3);
    let bare = AuditEntry {
        actor: Actor { by: "command line".into(), source: None },
        org: None,
        app: None,
        token: None,
        ..audit_entry()
    };
    assert_eq!(decode_audit(&encode_audit(&bare)).unwrap(), bare);
    for action in AuditAction::ALL {
        let entry = AuditEntry { action, ..audit_entry() };
        assert_eq!(decode_audit(&encode_audit(&entry)).unwrap(), entry);
    }
}

#[test]
fn rows_of_format_2_are_read_for_ever() {
    let attempted = attempted_delivery();
    holds(&attempted, &encode_delivery(&attempted), READ_DELIVERY, GOLDEN_2[0]);
    let record = delivery_record();
    holds(&record, &encode_delivery_record(&record), READ_RECORD, GOLDEN_2[1]);
    let app = app_with_more();
    holds(&app, &encode_app(&app), READ_APP, GOLDEN_2[2]);
    assert_eq!(ended_at(&encode_delivery_record(&record)).unwrap(), AT);
    let with = app_with_certificate(CertificateEnvironments::Both);
    holds(&with, &encode_app(&with), READ_APP, GOLDEN_2[3]);
    for environments in [CertificateEnvironments::Production, CertificateEnvironments::Sandbox] {
        let with = app_with_certificate(environments);
        assert_eq!(READ_APP(&encode_app(&with)).unwrap(), with);
    }
    assert_eq!(encode_app(&self::app())[0], 1, "older programs read what they know");
}

#[test]
fn the_progress_of_an_import_is_read_for_ever() {
    let progress = ImportProgress {
        export: [0xe0; 16],
        records: 300,
        digest: [0xcd; 32],
        begun_at: AT,
        finished_at: Some(AT),
    };
    let golden = [
        "01",
        "e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0",
        "ac02",
        "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd",
        "9af1d9a2a332",
        "019af1d9a2a332",
    ];
    holds(&progress, &encode_import(&progress), decode_import, &golden.concat());
}

#[test]
fn what_a_status_query_and_the_retention_read_comes_first() {
    let row = encode_outcome(&ended());
    assert_eq!(status(&row).unwrap(), (ended().ended_at, Some(ended().outcome)));
    let untracked = encode_outcome(&Ended { tracked: false, ..ended() });
    assert_eq!(status(&untracked).unwrap(), (ended().ended_at, None));
    assert_eq!(ended_at(&row).unwrap(), ended().ended_at);
    assert_eq!(ended_at(&encode_history(AT)).unwrap(), AT);
    assert_eq!(registered_by(&encode_device(&device())).unwrap(), id());
}

#[test]
fn every_result_of_a_callback_is_read_back() {
    for result in [
        CallbackResult::Attempted,
        CallbackResult::Delivered { status: 204 },
        CallbackResult::Answered { status: 500 },
        CallbackResult::Failed { reason: "no".into() },
    ] {
        let callback = Some(CallbackReport { result, at: AT, took: Duration::ZERO });
        let ended = Ended { callback, ..ended() };
        assert_eq!(READ_OUTCOME(&encode_outcome(&ended)).unwrap(), ended);
    }
}

#[test]
fn every_outcome_is_read_back() {
    let failures = FailureReason::ALL.into_iter().map(Outcome::Failed);
    for outcome in failures.chain([Outcome::Success]) {
        let ended = Ended { outcome, ..ended() };
        assert_eq!(READ_OUTCOME(&encode_outcome(&ended)).unwrap(), ended);
    }
}

/// Never change one of these: they are on somebody's disk.
const GOLDEN: [&str; 11] = [
    // registration
    "010e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e074ac3bc7267656e000566636d3a540170707070707070\
     70707070707070707001011368747470733a2f2f612e6578616d706c652f78010203040506070804\
     63326c6e010200ff9af1d9a2a33202019af1d9a2a33201ac020101000194030c554e524547495354\
     455245440104676f6e6500",
    // registration without options
    "010e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e074ac3bc7267656e0188270000009af1d9a2a332000000\
     00",
    // outcome
    "01ea80daa2a3320102074ac3bc7267656e000108306261646630306440010001010194030c554e52\
     4547495354455245440104676f6e65010438643165010468696e7401030974696d6564206f75749a\
     f1d9a2a332dc0b9af1d9a2a33203",
    // device
    "011d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d074ac3bc7267656e01019af1d9a2a3329ff1d9a2a332a3\
     f1d9a2a3320101000194030c554e524547495354455245440104676f6e6500",
    // callback
    "010e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0ea0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a01368747470733a\
     2f2f612e6578616d706c652f7801020304050607080463326c6e010200ff059af1d9a2a332",
    // organization
    "0107436f6e746f736f9af1d9a2a332",
    // app
    "010e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0453686f70016401020b636f6d2e6578616d706c650003\
     4b4559045445414d0207ff0101700365407001090201029af1d9a2a3329af1d9a2a332019af1d9a2\
     a332",
    // api token
    "010e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0ea0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0cdcdcdcdcdcdcd\
     cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd016e9af1d9a2a332019af1d9a2a332\
     00",
    // pending
    "01ac029af1d9a2a33201",
    // cleanup
    "01ac02",
    // history
    "019af1d9a2a332",
];

/// A row of format 3: a change of the configuration.
const GOLDEN_3: &str = "011f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f9af1d9a2a3321461646d696e2d746f6b656e2030313032\
     3033303401093139322e302e322e310c746f6b656e2e637265617465010101010101010101010101\
     01010101010102020202020202020202020202020202010303030303030303030303030303030306\
     4cc3a464656e02046e616d6507696f732e6b6579";

/// Never change one of these either.
const GOLDEN_2: [&str; 4] = [
    // callback that was attempted
    "020e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0ea0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a01368747470733a\
     2f2f612e6578616d706c652f7801020304050607080463326c6e010200ff059af1d9a2a332ac02d2\
     88daa2a332",
    // entry of the delivery log
    "019af1d9a2a3321d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d0d612e6578616d706c653a343433000202\
     f703dc0b01c2b7daa2a332",
    // app with an old webhook secret and retries
    "020e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0453686f70016401020b636f6d2e6578616d706c650003\
     4b4559045445414d0207ff0101700365407001090201029af1d9a2a3329af1d9a2a332019af1d9a2\
     a332010203ff9af1d9a2a3320180a8cc7b",
    // app with a push certificate
    "020e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0453686f70016401020b636f6d2e6578616d706c650111\
     507573683a20636f6d2e6578616d706c65020b636f6d2e6578616d706c6510636f6d2e6578616d70\
     6c652e766f6970029af1d9a2a332fac5dda2a3320208ff000201029af1d9a2a3329af1d9a2a33201\
     9af1d9a2a3320000",
];
