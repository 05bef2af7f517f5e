//! Mobile apps. Private keys and service accounts come in and never go out again.

mod ios;

use http::StatusCode;
use pushroll_domain::{AndroidSide, App, AppId, OrgId, Secret};
use pushroll_engine::{
    AndroidInput, AppChange, Change, DESCRIPTION_CHARS, NAME_CHARS, NewApp, Service,
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::admin::object::{Given, Object};
use crate::admin::orgs::located;
use crate::admin::{Call, callbacks, faults_of, paging, times};
use crate::faults::{At, Faults};
use crate::openapi::describe::{Answer, Body, Described, Tag};
use crate::openapi::schema;
use crate::problem::{Problem, Rule};
use crate::refusal;
use crate::reply::{self, Reply};

const APP: [&str; 5] = ["name", "description", "ios", "android", "callbacks"];
const ANDROID: [&str; 1] = ["service_account"];

const NAME: &str = "a name for people";
const DESCRIPTION: &str = "a description for people";
const SERVICE_ACCOUNT: &str =
    "the JSON file of a service account of the Firebase project, as an object or as a string";

#[derive(Serialize, ToSchema)]
#[schema(as = App)]
struct AppBody<'a> {
    #[schema(format = "uuid")]
    id: String,
    #[schema(format = "uuid")]
    org_id: String,
    name: &'a str,
    description: &'a str,
    #[schema(required = true)]
    ios: Option<ios::Body<'a>>,
    #[schema(required = true)]
    android: Option<AndroidBody<'a>>,
    callbacks: callbacks::CallbacksBody,
    #[schema(required = true)]
    old_webhook_secret: Option<callbacks::OldSecretBody>,
    created_at: times::At,
    updated_at: times::At,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_secret: Option<&'a str>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AndroidSide)]
struct AndroidBody<'a> {
    project_id: &'a str,
    client_email: &'a str,
}

impl<'a> AppBody<'a> {
    /// `webhook_secret` is for the one who made the app, once.
    fn new(app: &'a App, webhook_secret: Option<&'a str>) -> Self {
        Self {
            id: app.id.to_string(),
            org_id: app.org.to_string(),
            name: &app.name,
            description: &app.description,
            ios: app.ios.as_ref().map(ios::Body::from),
            android: app.android.as_ref().map(AndroidBody::from),
            callbacks: callbacks::CallbacksBody::from(app),
            old_webhook_secret: callbacks::OldSecretBody::of(app),
            created_at: times::At(app.created_at),
            updated_at: times::At(app.updated_at),
            webhook_secret,
        }
    }
}

impl<'a> From<&'a AndroidSide> for AndroidBody<'a> {
    fn from(side: &'a AndroidSide) -> Self {
        Self { project_id: &side.project_id, client_email: &side.client_email }
    }
}

/// The schema of what [`new_app`] reads, or [`app_change`] if it is a patch.
fn app_schema(is_patch: bool) -> Value {
    let file = json!({
        "oneOf": [{ "type": "object" }, { "type": "string", "minLength": 1 }],
        "description": SERVICE_ACCOUNT,
    });
    let android = schema::closed(schema::object(ANDROID, [file], &ANDROID));
    let schemas = [
        schema::matching(schema::text(NAME, 1..=NAME_CHARS), schema::A_NAME),
        schema::or_null(schema::text(DESCRIPTION, 0..=DESCRIPTION_CHARS)),
        schema::or_null(ios::schema(is_patch)),
        schema::or_null(android),
        callbacks::callbacks_schema(),
    ];
    let required: &[&str] = if is_patch { &[] } else { &["name"] };
    schema::closed(schema::object(APP, schemas, required))
}

pub(crate) fn create_described() -> Described {
    let key = "-----BEGIN PRIVATE KEY-----\n…\n-----END PRIVATE KEY-----\n";
    let account = json!({ "type": "service_account", "project_id": "…", "private_key": "…" });
    let key = json!({ "key_id": "ABC123DEFG", "team_id": "TEAM123456", "p8": key });
    let ios = json!({ "mode": "production", "bundle_id": "com.contoso.shop", "key": key });
    let body = Body::new(app_schema(false))
        .example("without a side yet", json!({ "name": "Shop", "description": "Our shop" }))
        .example(
            "both sides",
            json!({
                "name": "Shop",
                "ios": ios,
                "android": { "service_account": account },
                "callbacks": { "retries": { "window_seconds": 3600 } },
            }),
        );
    let words = "The app, and its webhook secret, which is shown this once.";
    let answer = Answer::one::<AppBody<'static>>(201, words).located();
    let more =
        "Credentials are checked when they are entered, sealed at rest, and never come out again.";
    Described::new("createApp", Tag::Apps, "Make an app", more, answer).taking(body)
}

pub(crate) fn list_described() -> Described {
    let answer = Answer::list::<AppBody<'static>>("The apps, in the order of their ids.");
    Described::new("listApps", Tag::Apps, "List an organization's apps", "", answer)
        .with(paging::parameters())
}

pub(crate) fn show_described() -> Described {
    let answer = Answer::one::<AppBody<'static>>(200, "The app.");
    Described::new("getApp", Tag::Apps, "Show an app", "", answer)
}

pub(crate) fn change_described() -> Described {
    let body = Body::new(app_schema(true))
        .example("another name", json!({ "name": "Shop 2" }))
        .example("callbacks tried again", json!({ "callbacks": { "retries": {} } }));
    let answer = Answer::one::<AppBody<'static>>(200, "The app as it is now.");
    let more = "A JSON merge patch (RFC 7396): what is absent stays, what is null goes. A key or a certificate is \
                changed whole, and the one replaces the other.";
    Described::new("changeApp", Tag::Apps, "Change an app", more, answer).taking(body)
}

pub(crate) fn delete_described() -> Described {
    let answer = Answer::empty(204, "The app is unknown from the next request on.");
    let more =
        "Its tokens are revoked, what is pending ends, and its devices go in the background.";
    Described::new("deleteApp", Tag::Apps, "Delete an app", more, answer)
}

pub(crate) async fn create(service: &Service, org: OrgId, call: &Call) -> Result<Reply, Problem> {
    service.known_org(org).map_err(refusal::of_configure)?;
    let mut faults = faults_of(call)?;
    let new = Object::of_body(&call.body, &APP, &mut faults)
        .and_then(|body| new_app(&body, &mut faults))
        .filter(|_| faults.is_empty());
    let Some(new) = new else { return Err(faults.into_problem()) };
    let (app, secret) =
        service.create_app(&call.actor, org, new).await.map_err(refusal::of_configure)?;
    let secret = str::from_utf8(secret.reveal()).ok();
    let reply = reply::admin_json(StatusCode::CREATED, &AppBody::new(&app, secret));
    Ok(located(reply, &format!("/admin/v1/orgs/{org}/apps/{}", app.id)))
}

pub(crate) fn list(service: &Service, org: OrgId, call: &Call) -> Result<Reply, Problem> {
    service.known_org(org).map_err(refusal::of_configure)?;
    let apps = service.directory().apps_of(org);
    let show = |app: &App| serde_json::to_value(AppBody::new(app, None)).unwrap_or_default();
    paging::part_of(&apps, &call.query, |app| app.id.to_string(), show)
}

pub(crate) fn show(service: &Service, org: OrgId, app: AppId) -> Result<Reply, Problem> {
    let app = service.known_app(org, app).map_err(refusal::of_configure)?;
    Ok(reply::admin_json(StatusCode::OK, &AppBody::new(&app, None)))
}

/// A JSON merge patch (RFC 7396): what is absent stays, what is null goes. A key or a
/// certificate is changed whole, for its parts belong together.
pub(crate) async fn change(
    service: &Service,
    org: OrgId,
    app: AppId,
    call: &Call,
) -> Result<Reply, Problem> {
    service.known_app(org, app).map_err(refusal::of_configure)?;
    let mut faults = faults_of(call)?;
    let change = Object::of_body(&call.body, &APP, &mut faults)
        .map(|body| app_change(&body, &mut faults))
        .filter(|_| faults.is_empty());
    let Some(change) = change else { return Err(faults.into_problem()) };
    let app =
        service.change_app(&call.actor, org, app, change).await.map_err(refusal::of_configure)?;
    Ok(reply::admin_json(StatusCode::OK, &AppBody::new(&app, None)))
}

fn new_app(body: &Object<'_>, faults: &mut Faults) -> Option<NewApp> {
    let name = body.required_text("name", NAME, faults);
    let description = body.text("description", DESCRIPTION, faults).or_none().unwrap_or_default();
    let ios = body.object("ios", &ios::IOS, faults).or_none();
    let ios = ios.map(|ios| ios::new(&ios, faults));
    let android = body.object("android", &ANDROID, faults).or_none();
    let android = android.map(|android| android_input(&android, faults));
    let callback_retries = callbacks::new_retries(body, faults);
    let name = name?;
    let (ios, android) = (ios.flatten(), android.flatten());
    Some(NewApp { name, description, ios, android, callback_retries })
}

fn android_input(body: &Object<'_>, faults: &mut Faults) -> Option<AndroidInput> {
    match body.file("service_account", SERVICE_ACCOUNT, faults) {
        Given::Value(text) => {
            Some(AndroidInput { service_account: Secret::new(text.into_bytes()) })
        }
        Given::Absent | Given::Null => {
            body.missing("service_account", SERVICE_ACCOUNT, faults);
            None
        }
        Given::Faulty => None,
    }
}

fn app_change(body: &Object<'_>, faults: &mut Faults) -> AppChange {
    let description = match body.text("description", DESCRIPTION, faults) {
        Given::Absent | Given::Faulty => Change::Keep,
        Given::Null => Change::Remove,
        Given::Value(text) => Change::Set(text),
    };
    let ios = match body.object("ios", &ios::IOS, faults) {
        Given::Absent | Given::Faulty => Change::Keep,
        Given::Null => Change::Remove,
        Given::Value(ios) => Change::Set(ios::change(&ios, faults)),
    };
    let android = match body.object("android", &ANDROID, faults) {
        Given::Absent | Given::Faulty => Change::Keep,
        Given::Null => Change::Remove,
        Given::Value(android) => match android_input(&android, faults) {
            Some(input) => Change::Set(input),
            None => Change::Keep,
        },
    };
    let name = kept_text(body, "name", NAME, faults);
    let callback_retries = callbacks::changed_retries(body, faults);
    AppChange { name, description, ios, android, callback_retries }
}

/// A text that may be changed and can't be removed.
fn kept_text(
    body: &Object<'_>,
    name: &str,
    expected: &'static str,
    faults: &mut Faults,
) -> Option<String> {
    match body.text(name, expected, faults) {
        Given::Absent | Given::Faulty => None,
        Given::Null => {
            not_removable(body, name, expected, faults);
            None
        }
        Given::Value(text) => Some(text),
    }
}

fn not_removable(body: &Object<'_>, name: &str, expected: &'static str, faults: &mut Faults) {
    let field = body.field(name);
    let detail = format!("{field} can't be removed. Leave it out to keep it as it is.");
    faults.add(At::field(field), Rule::Required, detail, expected);
}
