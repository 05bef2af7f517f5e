//! What an app says about its callbacks, its webhook secret, and the log of what became of them.

use std::time::Duration;

use http::StatusCode;
use pushroll_domain::{App, AppId, CallbackRetries, DeliveryRecord, OrgId};
use pushroll_engine::{Change, OLD_SECRET_FOR, OLD_SECRET_FOR_AT_MOST, Service};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::admin::inspect::CallbackBody;
use crate::admin::object::{Given, Object};
use crate::admin::{Call, faults_of, paging, times};
use crate::faults::Faults;
use crate::openapi::describe::{Answer, Body, Described, Tag};
use crate::openapi::{schema, words};
use crate::problem::Problem;
use crate::refusal;
use crate::reply::{self, Reply};

const LEAST_WINDOW_SECONDS: u64 = 60;
const LONGEST_WINDOW_SECONDS: u64 = CallbackRetries::LONGEST_WINDOW.as_secs();
const WINDOW: &str = "a whole number of seconds from 60 to 259200 (3 days)";
const OLD_ENDS_IN: &str = "a whole number of seconds from 0 to 2592000 (30 days)";

const CALLBACKS: [&str; 1] = ["retries"];
const RETRIES: [&str; 1] = ["window_seconds"];
const ROTATION: [&str; 1] = ["old_ends_in_seconds"];

/// What an app says about its callbacks.
#[derive(Serialize, ToSchema)]
#[schema(as = Callbacks)]
pub(super) struct CallbacksBody {
    #[schema(required = true)]
    retries: Option<RetriesBody>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = CallbackRetries)]
struct RetriesBody {
    window_seconds: u64,
}

impl From<&App> for CallbacksBody {
    fn from(app: &App) -> Self {
        let retries = app.callback_retries;
        let body =
            |retries: CallbackRetries| RetriesBody { window_seconds: retries.window.as_secs() };
        Self { retries: retries.map(body) }
    }
}

/// The webhook secret before the present one, as long as it is kept.
#[derive(Serialize, ToSchema)]
#[schema(as = OldWebhookSecret)]
pub(super) struct OldSecretBody {
    ends_at: times::At,
}

impl OldSecretBody {
    pub(super) fn of(app: &App) -> Option<Self> {
        app.old_webhook_secret.as_ref().map(|old| Self { ends_at: times::At(old.ends_at) })
    }
}

/// The schema of what [`changed_retries`] reads.
pub(super) fn callbacks_schema() -> Value {
    let window = schema::whole(WINDOW, LEAST_WINDOW_SECONDS..=LONGEST_WINDOW_SECONDS);
    let retries = schema::closed(schema::object(RETRIES, [schema::or_null(window)], &[]));
    schema::or_null(schema::closed(schema::object(CALLBACKS, [schema::or_null(retries)], &[])))
}

/// The retries of an app that is made; none unless they are asked for.
pub(super) fn new_retries(body: &Object<'_>, faults: &mut Faults) -> Option<CallbackRetries> {
    match changed_retries(body, faults) {
        Change::Set(retries) => Some(retries),
        Change::Keep | Change::Remove => None,
    }
}

pub(super) fn changed_retries(body: &Object<'_>, faults: &mut Faults) -> Change<CallbackRetries> {
    let callbacks = match body.object("callbacks", &CALLBACKS, faults) {
        Given::Absent | Given::Faulty => return Change::Keep,
        Given::Null => return Change::Remove,
        Given::Value(callbacks) => callbacks,
    };
    let retries = match callbacks.object("retries", &RETRIES, faults) {
        Given::Absent | Given::Faulty => return Change::Keep,
        Given::Null => return Change::Remove,
        Given::Value(retries) => retries,
    };
    let range = LEAST_WINDOW_SECONDS..=LONGEST_WINDOW_SECONDS;
    match retries.whole("window_seconds", range, WINDOW, faults) {
        Given::Absent | Given::Null => {
            Change::Set(CallbackRetries { window: CallbackRetries::LONGEST_WINDOW })
        }
        Given::Value(seconds) => {
            Change::Set(CallbackRetries { window: Duration::from_secs(seconds) })
        }
        Given::Faulty => Change::Keep,
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = RotatedWebhookSecret)]
struct RotatedBody<'a> {
    #[schema(required = true)]
    webhook_secret: Option<&'a str>,
    #[schema(required = true)]
    old_webhook_secret: Option<OldSecretBody>,
}

pub(super) fn rotate_described() -> Described {
    let span = schema::whole(OLD_ENDS_IN, 0..=OLD_SECRET_FOR_AT_MOST.as_secs());
    let body =
        Body::optional(schema::closed(schema::object(ROTATION, [schema::or_null(span)], &[])))
            .example("an hour to change over", json!({ "old_ends_in_seconds": 3600 }));
    let answer = Answer::one::<RotatedBody<'static>>(200, "The new secret, shown this once.");
    let more = "Callbacks are signed with both secrets until the old one's end: after 24 hours unless it is said.";
    Described::new("rotateWebhookSecret", Tag::Callbacks, "Make a new webhook secret", more, answer)
        .taking(body)
}

pub(super) fn end_old_described() -> Described {
    let answer = Answer::empty(204, "Only the new secret signs.");
    let more = "It is no error if there is no old one.";
    Described::new(
        "endOldWebhookSecret",
        Tag::Callbacks,
        "End the old webhook secret",
        more,
        answer,
    )
}

pub(super) fn deliveries_described() -> Described {
    let answer = Answer::list::<DeliveryBody<'static>>("The attempts, newest first.");
    let more = "The attempts of the app's callbacks that have ended.";
    Described::new("listDeliveries", Tag::Callbacks, "List what became of callbacks", more, answer)
        .with(paging::parameters())
}

/// Shows the new secret this once.
pub(super) async fn rotate_secret(
    service: &Service,
    org: OrgId,
    app: AppId,
    call: &Call,
) -> Result<Reply, Problem> {
    service.known_app(org, app).map_err(refusal::of_configure)?;
    let mut faults = faults_of(call)?;
    // Everything in it is optional, and so is the body.
    let body = if call.body.is_empty() { b"{}" } else { &*call.body };
    let Some(body) = Object::of_body(body, &ROTATION, &mut faults) else {
        return Err(faults.into_problem());
    };
    let range = 0..=OLD_SECRET_FOR_AT_MOST.as_secs();
    let old_for = body.whole("old_ends_in_seconds", range, OLD_ENDS_IN, &mut faults).or_none();
    if !faults.is_empty() {
        return Err(faults.into_problem());
    }
    let old_for = old_for.map_or(OLD_SECRET_FOR, Duration::from_secs);
    let rotated = service.rotate_webhook_secret(&call.actor, org, app, old_for).await;
    let (app, secret) = rotated.map_err(refusal::of_configure)?;
    let body = RotatedBody {
        webhook_secret: str::from_utf8(secret.reveal()).ok(),
        old_webhook_secret: OldSecretBody::of(&app),
    };
    Ok(reply::admin_json(StatusCode::OK, &body))
}

pub(super) async fn end_old_secret(
    service: &Service,
    org: OrgId,
    app: AppId,
    call: &Call,
) -> Result<Reply, Problem> {
    service.end_old_webhook_secret(&call.actor, org, app).await.map_err(refusal::of_configure)?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// An attempt. Of the URL only host and port: the rest may hold secrets of the caller.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery)]
struct DeliveryBody<'d> {
    #[schema(format = "uuid")]
    registration_id: String,
    receiver: &'d str,
    /// How the registration ended.
    #[schema(schema_with = words::outcomes)]
    outcome: &'static str,
    attempt: u32,
    #[serde(flatten)]
    result: CallbackBody<'d>,
    #[schema(required = true)]
    retry_at: Option<times::At>,
}

impl<'d> From<&'d DeliveryRecord> for DeliveryBody<'d> {
    fn from(record: &'d DeliveryRecord) -> Self {
        Self {
            registration_id: record.id.to_string(),
            receiver: &record.receiver,
            outcome: record.outcome.name(),
            attempt: record.attempt,
            result: CallbackBody::from(&record.report),
            retry_at: record.retry_at.map(times::At),
        }
    }
}

pub(super) async fn deliveries(
    service: &Service,
    org: OrgId,
    app: AppId,
    call: &Call,
) -> Result<Reply, Problem> {
    service.known_app(org, app).map_err(refusal::of_configure)?;
    let mut faults = Faults::default();
    let page = paging::Query::of(&call.query).page(&mut faults);
    if !faults.is_empty() {
        return Err(faults.into_problem());
    }
    let found = service.deliveries_of(app, page).await.map_err(refusal::of_inspect)?;
    let items: Vec<_> = found.items.iter().map(DeliveryBody::from).collect();
    Ok(paging::list(items, found.next))
}
