//! What became of a user's registrations, and which devices he has.

use http::StatusCode;
use pushroll_domain::{
    AppId, CallbackReport, CallbackResult, Device, Ended, OrgId, Outcome, ProviderAnswer,
    Registration, RegistrationId, RegistrationView,
};
use pushroll_engine::Service;
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::{Call, paging, times};
use crate::faults::Faults;
use crate::openapi::describe::{Answer, Described, Tag};
use crate::openapi::words;
use crate::problem::Problem;
use crate::refusal;
use crate::reply::{self, Reply};

#[derive(Serialize, ToSchema)]
#[schema(as = Device)]
struct DeviceBody<'d> {
    #[schema(format = "uuid")]
    id: String,
    user_id: &'d str,
    #[schema(schema_with = words::platforms)]
    platform: &'static str,
    device_token: &'d str,
    #[schema(required = true, schema_with = words::environments_or_null)]
    environment: Option<&'static str>,
    registered_at: times::At,
    verified_at: times::At,
    last_seen_at: times::At,
}

impl<'d> From<&'d Device> for DeviceBody<'d> {
    fn from(device: &'d Device) -> Self {
        Self {
            id: device.id.to_string(),
            user_id: device.user.as_str(),
            platform: device.token.platform().name(),
            device_token: device.token.reveal(),
            environment: device.environment.map(|environment| environment.name()),
            registered_at: times::At(device.registered_at),
            verified_at: times::At(device.verified_at),
            last_seen_at: times::At(device.last_seen_at),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Registration)]
struct RegistrationBody<'r> {
    #[schema(format = "uuid")]
    id: String,
    user_id: &'r str,
    #[schema(schema_with = words::platforms)]
    platform: &'static str,
    #[schema(schema_with = words::statuses)]
    status: &'static str,
    #[schema(required = true, schema_with = words::failure_reasons_or_null)]
    failure_reason: Option<&'static str>,
    tracked: bool,
    accepted_at: times::At,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<times::At>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<times::At>,
    attempts: u32,
    #[schema(required = true)]
    provider: Option<ProviderBody<'r>>,
    #[schema(required = true)]
    hint: Option<&'r str>,
    #[schema(required = true)]
    callback: Option<CallbackBody<'r>>,
    #[schema(required = true)]
    device_token_fingerprint: Option<String>,
    device_token_chars: usize,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ProviderAnswer)]
pub(crate) struct ProviderBody<'r> {
    #[schema(schema_with = words::providers)]
    name: &'static str,
    #[schema(required = true, schema_with = words::environments_or_null)]
    environment: Option<&'static str>,
    #[schema(required = true)]
    status: Option<u16>,
    reason: &'r str,
    #[schema(required = true)]
    detail: Option<&'r str>,
    #[schema(required = true)]
    provider_id: Option<&'r str>,
}

impl<'r> From<&'r ProviderAnswer> for ProviderBody<'r> {
    fn from(answer: &'r ProviderAnswer) -> Self {
        Self {
            name: answer.provider.name(),
            environment: answer.environment.map(|environment| environment.name()),
            status: answer.status,
            reason: &answer.reason,
            detail: answer.detail.as_deref(),
            provider_id: answer.provider_id.as_deref(),
        }
    }
}

/// Neither the URL nor the headers: both may hold secrets of the caller.
#[derive(Serialize, ToSchema)]
#[schema(as = CallbackReport)]
pub(super) struct CallbackBody<'r> {
    #[schema(schema_with = words::callback_results)]
    result: &'static str,
    #[schema(required = true)]
    status: Option<u16>,
    #[schema(required = true)]
    reason: Option<&'r str>,
    #[schema(required = true)]
    at: Option<times::At>,
    #[schema(required = true)]
    took_ms: Option<u64>,
}

impl CallbackBody<'_> {
    /// Of a registration that has not ended.
    const NOT_DUE: Self =
        Self { result: "not_due", status: None, reason: None, at: None, took_ms: None };
}

impl<'r> From<&'r CallbackReport> for CallbackBody<'r> {
    fn from(report: &'r CallbackReport) -> Self {
        let (result, status, reason) = match &report.result {
            CallbackResult::Attempted => ("attempted", None, None),
            CallbackResult::Delivered { status } => ("delivered", Some(*status), None),
            CallbackResult::Answered { status } => ("answered", Some(*status), None),
            CallbackResult::Failed { reason } => ("failed", None, Some(reason.as_str())),
        };
        let took_ms = u64::try_from(report.took.as_millis()).ok();
        Self { result, status, reason, at: Some(times::At(report.at)), took_ms }
    }
}

impl<'r> From<&'r Registration> for RegistrationBody<'r> {
    fn from(pending: &'r Registration) -> Self {
        let chars = match &pending.claimed {
            pushroll_domain::ClaimedToken::Present(token) => token.chars(),
            pushroll_domain::ClaimedToken::TooLong { chars, .. } => *chars as usize,
        };
        Self {
            id: pending.id.to_string(),
            user_id: pending.user.as_str(),
            platform: pending.claimed.platform().name(),
            status: "Pending",
            failure_reason: None,
            tracked: pending.tracked,
            accepted_at: times::At(pending.accepted_at),
            due_at: Some(times::At(pending.due)),
            ended_at: None,
            attempts: pending.tries.attempts,
            provider: pending.last_answer.as_ref().map(ProviderBody::from),
            hint: None,
            callback: pending.callback.as_ref().map(|_| CallbackBody::NOT_DUE),
            device_token_fingerprint: pending.claimed.token().map(|token| token.fingerprint()),
            device_token_chars: chars,
        }
    }
}

impl<'r> From<&'r Ended> for RegistrationBody<'r> {
    fn from(ended: &'r Ended) -> Self {
        let (status, failure_reason) = match ended.outcome {
            Outcome::Success => ("Success", None),
            Outcome::Failed(reason) => ("Failed", Some(reason.name())),
        };
        Self {
            id: ended.id.to_string(),
            user_id: ended.user.as_str(),
            platform: ended.platform.name(),
            status,
            failure_reason,
            tracked: ended.tracked,
            accepted_at: times::At(ended.accepted_at),
            due_at: None,
            ended_at: Some(times::At(ended.ended_at)),
            attempts: ended.attempts,
            provider: ended.answer.as_ref().map(ProviderBody::from),
            hint: ended.hint.as_deref(),
            callback: ended.callback.as_ref().map(CallbackBody::from),
            device_token_fingerprint: ended.token_fingerprint.clone(),
            device_token_chars: ended.token_chars as usize,
        }
    }
}

impl<'r> From<&'r RegistrationView> for RegistrationBody<'r> {
    fn from(view: &'r RegistrationView) -> Self {
        match view {
            RegistrationView::Pending(pending) => Self::from(&**pending),
            RegistrationView::Ended(ended) => Self::from(&**ended),
        }
    }
}

pub(crate) fn devices_described() -> Described {
    let answer = Answer::list::<DeviceBody<'static>>("The devices, those of a user together.");
    let more = "Of one user, or of all.";
    Described::new("listDevices", Tag::Roll, "List devices", more, answer)
        .with([paging::user_parameter(false)])
        .with(paging::parameters())
}

pub(crate) fn registrations_described() -> Described {
    let answer = Answer::list::<RegistrationBody<'static>>("The registrations, newest first.");
    let more = "Pending and ended, with the provider's own words.";
    Described::new("listRegistrations", Tag::Roll, "List a user's registrations", more, answer)
        .with([paging::user_parameter(true)])
        .with(paging::parameters())
}

pub(crate) fn registration_described() -> Described {
    let answer = Answer::one::<RegistrationBody<'static>>(200, "The registration.");
    Described::new("getRegistration", Tag::Roll, "Show a registration", "", answer)
}

pub(crate) async fn devices(
    service: &Service,
    org: OrgId,
    app: AppId,
    call: &Call,
) -> Result<Reply, Problem> {
    service.known_app(org, app).map_err(refusal::of_configure)?;
    let (user, page) = asked_of_anybody(call)?;
    let found = match user {
        Some(user) => service.devices_of_user(app, &user, page).await,
        None => service.devices_of_app(app, page).await,
    };
    let found = found.map_err(refusal::of_inspect)?;
    let items: Vec<_> = found.items.iter().map(DeviceBody::from).collect();
    Ok(paging::list(items, found.next))
}

pub(crate) async fn registrations(
    service: &Service,
    org: OrgId,
    app: AppId,
    call: &Call,
) -> Result<Reply, Problem> {
    service.known_app(org, app).map_err(refusal::of_configure)?;
    let (user, page) = asked(call)?;
    let found = service.registrations_of_user(app, &user, page).await;
    let found = found.map_err(refusal::of_inspect)?;
    let items: Vec<_> = found.items.iter().map(RegistrationBody::from).collect();
    Ok(paging::list(items, found.next))
}

pub(crate) async fn registration(
    service: &Service,
    org: OrgId,
    app: AppId,
    id: RegistrationId,
) -> Result<Reply, Problem> {
    service.known_app(org, app).map_err(refusal::of_configure)?;
    let found = service.registration_of(app, id).await.map_err(refusal::of_inspect)?;
    let found = found.ok_or_else(|| refusal::not_found("registration"))?;
    Ok(reply::admin_json(StatusCode::OK, &RegistrationBody::from(&found)))
}

/// As [`asked`], of a user or of all.
fn asked_of_anybody(
    call: &Call,
) -> Result<(Option<pushroll_domain::UserId>, pushroll_domain::PageRequest), Problem> {
    let mut faults = Faults::default();
    let query = paging::Query::of(&call.query);
    let page = query.page(&mut faults);
    let user = query.user_id_if_given(&mut faults);
    if faults.is_empty() { Ok((user, page)) } else { Err(faults.into_problem()) }
}

fn asked(call: &Call) -> Result<(pushroll_domain::UserId, pushroll_domain::PageRequest), Problem> {
    let mut faults = Faults::default();
    let query = paging::Query::of(&call.query);
    let page = query.page(&mut faults);
    match query.user_id(&mut faults) {
        Some(user) if faults.is_empty() => Ok((user, page)),
        Some(_) | None => Err(faults.into_problem()),
    }
}
