//! What is told of the device registration API, with the names and bounds that it is read with.

use pushroll_domain::{ApiToken, CallbackOrder, CallerHeaders, FailureReason, UserId};
use serde_json::{Value, json};

use super::headers;
use super::items::{CLEANUP, REGISTRATION, STATUS_QUERY};
use crate::json::{IdList, Many};
use crate::openapi::describe::{Answer, Body, Described, Tag, reference};
use crate::openapi::schema;
use crate::openapi::{EXAMPLE_API_TOKEN, EXAMPLE_APP, EXAMPLE_REGISTRATION, EXAMPLE_USER};
use crate::route::Step;

/// Device tokens in examples, by platform.
const EXAMPLE_APNS: &str = "7b9f1c5e0a3d48629fd1b0c7e6a5943210fedcba98765432100123456789abcd";
const EXAMPLE_FCM: &str = "dGhpcyBpcyBubyB0b2tlbg:APA91bEXAMPLE";

const STRICT: &str = "202 does not mean that the API token is good: a request with an unknown token, app or organization \
is answered 202 and nothing follows, but with the setting strict_tokens it is answered 400.";

pub(crate) fn described(step: Step) -> Described {
    match step {
        Step::Register => {
            let body = Body::new(reference("Registration"))
                .example("an iOS device", on_ios())
                .example("an Android device", on_android());
            let answer = accepted(reference("RegistrationRequest"));
            let summary = "Register a device";
            Described::new("register", Tag::Registration, summary, STRICT, answer)
                .with(register_headers())
                .taking(body)
        }
        Step::RegisterBatch => {
            let items = many(reference("Registration"));
            let body = Body::new(items).example("two devices", json!([on_ios(), on_android()]));
            let ids = json!({ "type": "array", "items": reference("RegistrationRequest") });
            let summary = "Register several devices";
            Described::new("registerBatch", Tag::Registration, summary, STRICT, accepted(ids))
                .with(register_headers())
                .taking(body)
        }
        Step::Status => {
            let query = json!({
                "RegistrationRequestIds": [EXAMPLE_REGISTRATION],
                "MobileAppId": EXAMPLE_APP,
                "ApiToken": EXAMPLE_API_TOKEN,
            });
            let body = Body::new(reference("StatusQuery")).example("one registration", query);
            let statuses = json!({ "type": "array", "items": reference("RegistrationStatus") });
            let words = "The statuses, in the order of the ids.";
            let answer = Answer::of(200, words, "application/json", statuses);
            let more = "An id that is unknown, untracked, expired or of another app is Pending. An API token that \
                        is not good for the app is answered 400.";
            let summary = "Ask how registrations ended";
            Described::new("reportStatus", Tag::Registration, summary, more, answer).taking(body)
        }
        Step::CleanUp => {
            let body = Body::new(reference("Cleanup"))
                .example("one device", cleanup(json!(EXAMPLE_APNS)))
                .example("all devices of the user", cleanup(Value::Null));
            let summary = "Remove devices of a user";
            let answer = Answer::empty(202, CLEANED);
            Described::new("cleanUp", Tag::Registration, summary, "", answer).taking(body)
        }
        Step::CleanUpBatch => {
            let any = json!({ "oneOf": [many(reference("Cleanup")), reference("Cleanup")] });
            let example = json!([cleanup(Value::Null)]);
            let body = Body::new(any).example("all devices of a user", example);
            let summary = "Remove devices of several users";
            let answer = Answer::empty(202, CLEANED);
            Described::new("cleanUpBatch", Tag::Registration, summary, "", answer).taking(body)
        }
    }
}

const CLEANED: &str = "Done durably, for registrations that are being verified, too. A token that is not good \
removes nothing.";

/// The answer has a body only if the outcome can be asked for.
fn accepted(ids: Value) -> Answer {
    let words = "On stable storage, and carried to its end. Without tracking the body is empty.";
    Answer::of(202, words, "application/json", ids)
}

fn many(items: Value) -> Value {
    json!({ "type": "array", "items": items, "minItems": 1, "maxItems": Many::MOST })
}

fn on_ios() -> Value {
    json!({
        "MobileAppId": EXAMPLE_APP,
        "UserId": EXAMPLE_USER,
        "ApiToken": EXAMPLE_API_TOKEN,
        "ApnsDeviceToken": EXAMPLE_APNS,
    })
}

fn on_android() -> Value {
    json!({
        "MobileAppId": EXAMPLE_APP,
        "UserId": EXAMPLE_USER,
        "ApiToken": EXAMPLE_API_TOKEN,
        "FcmDeviceToken": EXAMPLE_FCM,
    })
}

fn cleanup(token: Value) -> Value {
    json!({
        "MobileAppId": EXAMPLE_APP,
        "UserId": EXAMPLE_USER,
        "ApiToken": EXAMPLE_API_TOKEN,
        "DeviceToken": token,
    })
}

fn register_headers() -> [Value; 4] {
    let url = |name: &str, more: &str| {
        json!({
            "name": name,
            "in": "header",
            "description": format!(
                "An absolute https URL that is told the outcome, without user info; not an address within a \
                 private network.{more}"
            ),
            "schema": {
                "type": "string",
                "maxLength": CallbackOrder::MAX_URL_CHARS,
                "pattern": "^([Hh][Tt][Tt][Pp][Ss]?://.*)?$",
            },
        })
    };
    let mut first = url(headers::CALLBACK_URL.as_str(), "");
    first["example"] = "https://hooks.example.com/push".into();
    let other = format!(" Another name of {}.", headers::CALLBACK_URL.as_str());
    [
        json!({
            "name": headers::TRACK.as_str(),
            "in": "header",
            "description": "Whether the outcome is to be asked for: the answer then carries the registration's id.",
            "schema": { "type": "string", "pattern": "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])?$" },
            "example": "true",
        }),
        first,
        url(headers::STATUS_CALLBACK_URL.as_str(), &other),
        json!({
            "name": headers::CALLBACK_HEADERS.as_str(),
            "in": "header",
            "description": format!(
                "A JSON object of strings: headers for that call, at most {} and {} bytes. Read only with a callback URL.",
                CallerHeaders::MAX_HEADERS, CallerHeaders::MAX_TEXT_BYTES,
            ),
            "schema": { "type": "string" },
            "example": "{\"X-Trace\": \"1\"}",
        }),
    ]
}

/// The schemas that are read and written by hand.
pub(crate) fn schemas() -> [(String, Value); 5] {
    let app = || schema::like(schema::guid("The id of the mobile app."), EXAMPLE_APP);
    let user = || {
        let words =
            "Contact, lead or profile id. A GUID is normalized; anything else is kept as it is.";
        let text = schema::text(words, 1..=UserId::MAX_CHARS);
        schema::like(schema::matching(text, schema::NO_CONTROLS), EXAMPLE_USER)
    };
    let token = || {
        let text = schema::text("An API token of the app.", 1..=ApiToken::MAX_CHARS);
        schema::like(text, EXAMPLE_API_TOKEN)
    };
    let device = |words: &str, example: &str| {
        let text = schema::or_null(json!({ "type": "string", "description": words }));
        schema::like(text, example)
    };
    let [apns, fcm] = ["ApnsDeviceToken", "FcmDeviceToken"];
    let one = |given: &str, other: &str| {
        json!({
            "required": [given],
            "properties": {
                given: { "type": "string", "minLength": 1 },
                other: { "enum": [null, ""] },
            },
        })
    };
    let mut registration = schema::object(
        REGISTRATION.properties.map(|property| property.name),
        [
            app(),
            user(),
            token(),
            device("The token that APNs gave the device.", EXAMPLE_APNS),
            device("The token that FCM gave the device.", EXAMPLE_FCM),
        ],
        &["MobileAppId", "UserId", "ApiToken"],
    );
    registration["description"] = "Exactly one of the two device tokens is needed.".into();
    registration["oneOf"] = json!([one(apns, fcm), one(fcm, apns)]);
    let cleanup = schema::object(
        CLEANUP.properties.map(|property| property.name),
        [
            app(),
            user(),
            token(),
            device("Absent, null or empty: all devices of the user in the app.", EXAMPLE_APNS),
        ],
        &["MobileAppId", "UserId", "ApiToken"],
    );
    let ids = json!({
        "type": "array",
        "description": "The ids that registrations were answered with.",
        "items": schema::like(schema::guid("An id."), EXAMPLE_REGISTRATION),
        "minItems": 1,
        "maxItems": IdList::MOST,
    });
    let names = STATUS_QUERY.properties.map(|property| property.name);
    let query = schema::object(names, [ids, app(), token()], &names);
    let request = schema::object(
        ["RegistrationRequestId"],
        [json!({ "type": "string", "format": "uuid" })],
        &["RegistrationRequestId"],
    );
    let reasons: Vec<Value> =
        FailureReason::ALL.map(|reason| reason.name().into()).into_iter().collect();
    let ended = |statuses: Value, reason: Value| {
        let names = ["Status", "FailureReason"];
        schema::object(names, [json!({ "enum": statuses }), reason], &names)
    };
    let status = json!({
        "oneOf": [
            ended(json!(["Pending", "Success"]), json!({ "type": "null" })),
            ended(json!(["Failed"]), json!({ "enum": reasons })),
        ],
    });
    [
        ("Registration".to_owned(), registration),
        ("Cleanup".to_owned(), cleanup),
        ("StatusQuery".to_owned(), query),
        ("RegistrationRequest".to_owned(), request),
        ("RegistrationStatus".to_owned(), status),
    ]
}

/// The request that is made to a callback URL.
pub(crate) fn callback_described() -> Value {
    let reasons: Vec<Value> =
        FailureReason::ALL.map(|reason| reason.name().into()).into_iter().collect();
    let reasons: Vec<Value> = reasons.into_iter().chain([Value::Null]).collect();
    let names = ["Status", "Signature", "FailureReason"];
    let signature = json!({
        "type": "string",
        "description": "Base64 of HMAC-SHA256 over the callback URL exactly as it was given, keyed with the API token.",
    });
    let schemas = [json!({ "enum": ["Success", "Failed"] }), signature, json!({ "enum": reasons })];
    let body = Body::new(schema::object(names, schemas, &names)).told();
    let header = |name: &str, words: &str| {
        json!({
            "name": name,
            "in": "header",
            "description": words,
            "schema": { "type": "string" },
        })
    };
    let taken = json!({ "2XX": { "description": "Taken; anything else is not." } });
    json!({
        "outcome": {
            format!("{{$request.header.{}}}", headers::CALLBACK_URL.as_str()): {
                "post": {
                    "summary": "The registration has ended",
                    "security": [],
                    "parameters": [
                        header("webhook-id", "The registration's id."),
                        header("webhook-timestamp", "As Standard Webhooks defines it."),
                        header("webhook-signature", "As Standard Webhooks defines it, with the app's webhook secret."),
                    ],
                    "requestBody": body,
                    "responses": taken,
                },
            },
        },
    })
}
