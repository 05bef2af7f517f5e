//! What an app says about its callbacks, its webhook secret, and the log of what became of them.

use std::time::Duration;

use http::StatusCode;
use pushroll_domain::{App, AppId, CallbackRetries, DeliveryRecord, OrgId};
use pushroll_engine::{Change, OLD_SECRET_FOR, OLD_SECRET_FOR_AT_MOST, Service};
use serde::Serialize;

use crate::admin::inspect::CallbackBody;
use crate::admin::object::{Given, Object};
use crate::admin::{Call, faults_of, paging, times};
use crate::faults::Faults;
use crate::problem::Problem;
use crate::refusal;
use crate::reply::{self, Reply};

const LEAST_WINDOW_SECONDS: u64 = 60;
const LONGEST_WINDOW_SECONDS: u64 = CallbackRetries::LONGEST_WINDOW.as_secs();
const WINDOW: &str = "a whole number of seconds from 60 to 259200 (3 days)";
const OLD_ENDS_IN: &str = "a whole number of seconds from 0 to 2592000 (30 days)";

/// What an app says about its callbacks.
#[derive(Serialize)]
pub(super) struct CallbacksBody {
    retries: Option<RetriesBody>,
}

#[derive(Serialize)]
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
#[derive(Serialize)]
pub(super) struct OldSecretBody {
    ends_at: times::At,
}

impl OldSecretBody {
    pub(super) fn of(app: &App) -> Option<Self> {
        app.old_webhook_secret.as_ref().map(|old| Self { ends_at: times::At(old.ends_at) })
    }
}

/// The retries of an app that is made; none unless they are asked for.
pub(super) fn new_retries(body: &Object<'_>, faults: &mut Faults) -> Option<CallbackRetries> {
    match changed_retries(body, faults) {
        Change::Set(retries) => Some(retries),
        Change::Keep | Change::Remove => None,
    }
}

pub(super) fn changed_retries(body: &Object<'_>, faults: &mut Faults) -> Change<CallbackRetries> {
    let callbacks = match body.object("callbacks", &["retries"], faults) {
        Given::Absent | Given::Faulty => return Change::Keep,
        Given::Null => return Change::Remove,
        Given::Value(callbacks) => callbacks,
    };
    let retries = match callbacks.object("retries", &["window_seconds"], faults) {
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

#[derive(Serialize)]
struct RotatedBody<'a> {
    webhook_secret: Option<&'a str>,
    old_webhook_secret: Option<OldSecretBody>,
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
    let Some(body) = Object::of_body(body, &["old_ends_in_seconds"], &mut faults) else {
        return Err(faults.into_problem());
    };
    let range = 0..=OLD_SECRET_FOR_AT_MOST.as_secs();
    let old_for = body.whole("old_ends_in_seconds", range, OLD_ENDS_IN, &mut faults).or_none();
    if !faults.is_empty() {
        return Err(faults.into_problem());
    }
    let old_for = old_for.map_or(OLD_SECRET_FOR, Duration::from_secs);
    let rotated = service.rotate_webhook_secret(org, app, old_for).await;
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
) -> Result<Reply, Problem> {
    service.end_old_webhook_secret(org, app).await.map_err(refusal::of_configure)?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// An attempt. Of the URL only host and port: the rest may hold secrets of the caller.
#[derive(Serialize)]
struct DeliveryBody<'d> {
    registration_id: String,
    receiver: &'d str,
    /// How the registration ended.
    outcome: &'static str,
    attempt: u32,
    #[serde(flatten)]
    result: CallbackBody<'d>,
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
