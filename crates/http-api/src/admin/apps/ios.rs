//! The iOS side of an app: APNs by key or by certificate. What is secret comes in and never goes out.

use pushroll_domain::{
    CertificateEnvironments, CertificateFacts, IosAuth, IosMode, IosSide, Secret,
};
use pushroll_engine::{ApnsAuthInput, ApnsCertificateInput, ApnsKeyInput, IosChange, IosInput};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{kept_text, not_removable};
use crate::admin::object::{Given, Object};
use crate::admin::times;
use crate::faults::{At, Faults};
use crate::openapi::{schema, words};
use crate::problem::Rule;

/// The properties of the side.
pub(super) const IOS: [&str; 4] = ["mode", "bundle_id", "key", "certificate"];
const KEY: [&str; 3] = ["key_id", "team_id", "p8"];
const CERTIFICATE: [&str; 2] = ["p12_base64", "password"];

const MODE: &str = "production, sandbox or auto";
const BUNDLE_ID: &str = "the app's bundle id, like com.example.app";
const KEY_OBJECT: &str =
    "an object with key_id, team_id and p8, or a certificate with p12_base64 and password";
const KEY_ID: &str = "the id of the APNs key, 10 characters";
const TEAM_ID: &str = "the id of the developer team, 10 characters";
const P8: &str = "the text of the .p8 file that Apple gave out with the key";
const ONE_OF_THEM: &str = "either key or certificate";
const P12: &str = "the .p12 file with the push certificate and its private key, in base64";
const PASSWORD: &str = "the password that the .p12 file was exported with, or nothing";

#[derive(Serialize, ToSchema)]
#[schema(as = IosSide)]
pub(super) struct Body<'a> {
    #[schema(schema_with = words::modes)]
    mode: IosMode,
    bundle_id: &'a str,
    #[serde(flatten)]
    auth: AuthBody<'a>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = IosAuth)]
#[serde(rename_all = "lowercase")]
enum AuthBody<'a> {
    Key { key_id: &'a str, team_id: &'a str },
    Certificate(CertificateBody<'a>),
}

#[derive(Serialize, ToSchema)]
#[schema(as = PushCertificate)]
struct CertificateBody<'a> {
    name: &'a str,
    topics: &'a [String],
    environments: &'static [&'static str],
    begins_at: times::At,
    expires_at: times::At,
}

impl<'a> From<&'a IosSide> for Body<'a> {
    fn from(IosSide { mode, bundle_id, auth }: &'a IosSide) -> Self {
        let auth = match auth {
            IosAuth::Key { key_id, team_id, p8: _ } => AuthBody::Key { key_id, team_id },
            IosAuth::Certificate { facts, pem: _ } => AuthBody::Certificate(facts.into()),
        };
        Self { mode: *mode, bundle_id, auth }
    }
}

impl<'a> From<&'a CertificateFacts> for CertificateBody<'a> {
    fn from(facts: &'a CertificateFacts) -> Self {
        let CertificateFacts { name, topics, environments, begins_at, expires_at } = facts;
        Self {
            name,
            topics,
            environments: match environments {
                CertificateEnvironments::Production => &["production"],
                CertificateEnvironments::Sandbox => &["sandbox"],
                CertificateEnvironments::Both => &["production", "sandbox"],
            },
            begins_at: times::At(*begins_at),
            expires_at: times::At(*expires_at),
        }
    }
}

/// The schema of what [`new`] reads, or [`change`] if it is a patch.
pub(super) fn schema(is_patch: bool) -> Value {
    let key = [
        schema::like(schema::some_text(KEY_ID), "ABC123DEFG"),
        schema::like(schema::some_text(TEAM_ID), "TEAM123456"),
        schema::some_text(P8),
    ];
    let certificate = [schema::some_text(P12), schema::or_null(schema::some_text(PASSWORD))];
    let mut modes = schema::some_text(MODE);
    modes["enum"] = IosMode::ALL.map(IosMode::name).into();
    let bundle_id = schema::like(schema::some_text(BUNDLE_ID), "com.example.app");
    let key = schema::closed(schema::object(KEY, key, &KEY));
    let certificate = schema::object(CERTIFICATE, certificate, &["p12_base64"]);
    let certificate = schema::closed(certificate);
    // A patch says with null that the one goes for the other.
    let auth = [schema::or_null(key), schema::or_null(certificate)];
    let [key, certificate] = auth;
    let required: &[&str] = if is_patch { &[] } else { &["mode"] };
    let side = schema::object(IOS, [modes, bundle_id, key, certificate], required);
    let mut side = schema::closed(side);
    let given =
        |name: &str| json!({ "required": [name], "properties": { name: { "type": "object" } } });
    side["not"] = json!({ "allOf": [given("key"), given("certificate")] });
    if !is_patch {
        // A certificate says which app it is for.
        let mut by_key = given("key");
        by_key["required"] = json!(["key", "bundle_id"]);
        side["anyOf"] = json!([by_key, given("certificate")]);
    }
    side
}

pub(super) fn new(body: &Object<'_>, faults: &mut Faults) -> Option<IosInput> {
    let mode = body.required_text("mode", MODE, faults);
    let mode = mode.and_then(|mode| ios_mode(&mode, body, faults));
    let auth = match auth(body, faults) {
        Given::Value(auth) => Some(auth),
        Given::Absent | Given::Null => {
            body.missing("key", KEY_OBJECT, faults);
            None
        }
        Given::Faulty => None,
    };
    // A certificate says which app it is for.
    let bundle_id = match &auth {
        Some(ApnsAuthInput::Certificate(_)) => body.text("bundle_id", BUNDLE_ID, faults).or_none(),
        Some(ApnsAuthInput::Key(_)) | None => body.required_text("bundle_id", BUNDLE_ID, faults),
    };
    Some(IosInput { mode: mode?, bundle_id, auth: auth? })
}

pub(super) fn change(body: &Object<'_>, faults: &mut Faults) -> IosChange {
    let mode = kept_text(body, "mode", MODE, faults);
    let auth = match auth(body, faults) {
        Given::Absent | Given::Faulty => None,
        Given::Null => {
            not_removable(body, "key", KEY_OBJECT, faults);
            None
        }
        Given::Value(auth) => Some(auth),
    };
    IosChange {
        mode: mode.and_then(|mode| ios_mode(&mode, body, faults)),
        bundle_id: kept_text(body, "bundle_id", BUNDLE_ID, faults),
        auth,
    }
}

/// Key or certificate, and not both. Beside the one, the other may be null, as a patch says that it
/// goes.
fn auth(body: &Object<'_>, faults: &mut Faults) -> Given<ApnsAuthInput> {
    let key = body.object("key", &KEY, faults);
    let certificate = body.object("certificate", &CERTIFICATE, faults);
    match (key, certificate) {
        (Given::Faulty, _) | (_, Given::Faulty) => Given::Faulty,
        (Given::Value(_), Given::Value(_)) => {
            let field = body.field("certificate");
            let detail = format!("{} and {field} are both given.", body.field("key"));
            faults.add(At::field(field), Rule::NotUsable, detail, ONE_OF_THEM);
            Given::Faulty
        }
        (Given::Value(key), Given::Absent | Given::Null) => apns_key(&key, faults)
            .map_or(Given::Faulty, |key| Given::Value(ApnsAuthInput::Key(key))),
        (Given::Absent | Given::Null, Given::Value(certificate)) => {
            let certificate = apns_certificate(&certificate, faults);
            certificate.map_or(Given::Faulty, |certificate| {
                Given::Value(ApnsAuthInput::Certificate(certificate))
            })
        }
        (Given::Absent, Given::Absent) => Given::Absent,
        (Given::Null, Given::Absent | Given::Null) | (Given::Absent, Given::Null) => Given::Null,
    }
}

fn apns_key(body: &Object<'_>, faults: &mut Faults) -> Option<ApnsKeyInput> {
    let key_id = body.required_text("key_id", KEY_ID, faults);
    let team_id = body.required_text("team_id", TEAM_ID, faults);
    let p8 = body.required_text("p8", P8, faults).map(secret);
    Some(ApnsKeyInput { key_id: key_id?, team_id: team_id?, p8: p8? })
}

fn apns_certificate(body: &Object<'_>, faults: &mut Faults) -> Option<ApnsCertificateInput> {
    let p12_base64 = body.required_text("p12_base64", P12, faults).map(secret);
    let password = match body.text("password", PASSWORD, faults) {
        Given::Absent | Given::Null => Some(secret(String::new())),
        Given::Value(password) => Some(secret(password)),
        Given::Faulty => None,
    };
    Some(ApnsCertificateInput { p12_base64: p12_base64?, password: password? })
}

fn secret(text: String) -> Secret {
    Secret::new(text.into_bytes())
}

fn ios_mode(text: &str, body: &Object<'_>, faults: &mut Faults) -> Option<IosMode> {
    match text {
        "production" => Some(IosMode::Production),
        "sandbox" => Some(IosMode::Sandbox),
        "auto" => Some(IosMode::Auto),
        _ => {
            let field = body.field("mode");
            let detail = format!("{field} is none of {MODE}.");
            faults.add(At::field(field), Rule::NotUsable, detail, MODE);
            None
        }
    }
}
