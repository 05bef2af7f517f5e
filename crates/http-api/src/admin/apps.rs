//! Mobile apps. Private keys and service accounts come in and never go out again.

mod ios;

use http::StatusCode;
use pushroll_domain::{AndroidSide, App, AppId, OrgId, Secret};
use pushroll_engine::{AndroidInput, AppChange, Change, NewApp, Service};
use serde::Serialize;

use crate::admin::object::{Given, Object};
use crate::admin::orgs::located;
use crate::admin::{Call, callbacks, faults_of, paging, times};
use crate::faults::{At, Faults};
use crate::problem::{Problem, Rule};
use crate::refusal;
use crate::reply::{self, Reply};

const APP: [&str; 5] = ["name", "description", "ios", "android", "callbacks"];
const ANDROID: [&str; 1] = ["service_account"];

const NAME: &str = "a name for people";
const DESCRIPTION: &str = "a description for people";
const SERVICE_ACCOUNT: &str =
    "the JSON file of a service account of the Firebase project, as an object or as a string";

#[derive(Serialize)]
struct AppBody<'a> {
    id: String,
    org_id: String,
    name: &'a str,
    description: &'a str,
    ios: Option<ios::Body<'a>>,
    android: Option<AndroidBody<'a>>,
    callbacks: callbacks::CallbacksBody,
    old_webhook_secret: Option<callbacks::OldSecretBody>,
    created_at: times::At,
    updated_at: times::At,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_secret: Option<&'a str>,
}

#[derive(Serialize)]
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

pub(crate) async fn create(service: &Service, org: OrgId, call: &Call) -> Result<Reply, Problem> {
    service.known_org(org).map_err(refusal::of_configure)?;
    let mut faults = faults_of(call)?;
    let new = Object::of_body(&call.body, &APP, &mut faults)
        .and_then(|body| new_app(&body, &mut faults))
        .filter(|_| faults.is_empty());
    let Some(new) = new else { return Err(faults.into_problem()) };
    let (app, secret) = service.create_app(org, new).await.map_err(refusal::of_configure)?;
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
    let app = service.change_app(org, app, change).await.map_err(refusal::of_configure)?;
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
