//! The device registration API: from a request to the engine and back.
//!
//! The form of a request is judged first and as a whole: path, headers and body; whether its tokens are
//! good is the engine's.

mod described;
mod fields;
mod headers;
mod items;

use std::io::Write as _;

use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use pushroll_domain::{OrgId, Outcome, RegistrationId, SpanContext, Status};
use pushroll_engine::{Service, Source};

pub(crate) use described::{callback_described, described, schemas};

use crate::content_type;
use crate::faults::{At, Faults};
use crate::json::{self, Many};
use crate::problem::{Problem, Rule};
use crate::refusal;
use crate::reply::{self, Reply};
use crate::route::{Step, percent_decoded};
use crate::site::CallbackRules;

/// A request of the API, whole.
pub(crate) struct Call<'r> {
    /// The organization's id as it stands in the path.
    pub(crate) org: &'r str,
    /// Which step.
    pub(crate) step: Step,
    /// The headers.
    pub(crate) head: &'r Parts,
    /// The body.
    pub(crate) body: Bytes,
    /// Where it comes from.
    pub(crate) source: Source,
    /// Its span, if it is traced.
    pub(crate) span: Option<SpanContext>,
}

/// Answers a request.
pub(crate) async fn answer(
    service: &Service,
    callbacks: &CallbackRules,
    call: Call<'_>,
) -> Result<Reply, Problem> {
    let mut faults = Faults::default();
    content_type::check(&call.head.headers, &mut faults);
    if !faults.is_empty() {
        // Of a body that is no JSON there is nothing more to say.
        return Err(faults.into_problem());
    }
    let org = org_id(call.org, &mut faults);
    match call.step {
        Step::Register => register(service, callbacks, call, org, Many::One, faults).await,
        Step::RegisterBatch => register(service, callbacks, call, org, Many::Array, faults).await,
        Step::Status => report_status(service, call, org, faults).await,
        Step::CleanUp => clean_up(service, call, org, Many::One, faults).await,
        Step::CleanUpBatch => clean_up(service, call, org, Many::OneOrArray, faults).await,
    }
}

async fn register(
    service: &Service,
    callbacks: &CallbackRules,
    call: Call<'_>,
    org: Option<OrgId>,
    many: Many,
    mut faults: Faults,
) -> Result<Reply, Problem> {
    let mut options = headers::read(&call.head.headers, callbacks, &mut faults);
    options.span = call.span;
    let items = json::read(&call.body, many, &items::REGISTRATION, &mut faults);
    let Some(org) = org.filter(|_| faults.is_empty()) else { return Err(faults.into_problem()) };
    let is_batch = many != Many::One;
    let tracked = options.tracked;
    let ids = service
        .register(call.source, org, items, options)
        .await
        .map_err(|error| refusal::of_register(error, is_batch))?;
    if !tracked {
        return Ok(reply::empty(StatusCode::ACCEPTED));
    }
    let body = registration_ids(&ids, is_batch);
    Ok(reply::of_type(StatusCode::ACCEPTED, reply::JSON, body.into()))
}

async fn report_status(
    service: &Service,
    call: Call<'_>,
    org: Option<OrgId>,
    mut faults: Faults,
) -> Result<Reply, Problem> {
    let query = json::read(&call.body, Many::One, &items::STATUS_QUERY, &mut faults).pop();
    let (Some(org), Some(query), true) = (org, query, faults.is_empty()) else {
        return Err(faults.into_problem());
    };
    let statuses = service
        .report_status(call.source, org, query.app, &query.token, &query.ids)
        .await
        .map_err(refusal::of_status)?;
    let body = status_list(&statuses);
    Ok(reply::of_type(StatusCode::OK, reply::JSON, body.into()))
}

async fn clean_up(
    service: &Service,
    call: Call<'_>,
    org: Option<OrgId>,
    many: Many,
    mut faults: Faults,
) -> Result<Reply, Problem> {
    let items = json::read(&call.body, many, &items::CLEANUP, &mut faults);
    let Some(org) = org.filter(|_| faults.is_empty()) else { return Err(faults.into_problem()) };
    service
        .clean_up(call.source, org, items)
        .await
        .map_err(|error| refusal::of_clean_up(error, many != Many::One))?;
    Ok(reply::empty(StatusCode::ACCEPTED))
}

/// Reads the organization's id from the path, where braces may be percent-encoded.
fn org_id(segment: &str, faults: &mut Faults) -> Option<OrgId> {
    OrgId::parse(&percent_decoded(segment))
        .inspect_err(|fault| {
            let detail = "The orgId in the path is not a GUID.";
            faults.add(At::field("orgId"), Rule::Guid, detail, fields::expected_of(fault));
        })
        .ok()
}

/// The ids of registrations as the API writes them.
fn registration_ids(ids: &[RegistrationId], is_batch: bool) -> Vec<u8> {
    const ONE: usize = r#"{"RegistrationRequestId":""},"#.len() + 36;
    let mut body = Vec::with_capacity(ids.len() * ONE + 2);
    if is_batch {
        body.push(b'[');
    }
    for (position, id) in ids.iter().enumerate() {
        if position > 0 {
            body.push(b',');
        }
        // Writing to memory can't fail.
        let _ = write!(body, r#"{{"RegistrationRequestId":"{id}"}}"#);
    }
    if is_batch {
        body.push(b']');
    }
    body
}

/// Statuses as the API writes them.
fn status_list(statuses: &[Status]) -> Vec<u8> {
    let mut body = Vec::with_capacity(statuses.len() * 64 + 2);
    body.push(b'[');
    for (position, status) in statuses.iter().enumerate() {
        if position > 0 {
            body.push(b',');
        }
        match status {
            Status::Pending => body.extend(br#"{"Status":"Pending","FailureReason":null}"#),
            Status::Ended(Outcome::Success) => {
                body.extend(br#"{"Status":"Success","FailureReason":null}"#);
            }
            Status::Ended(Outcome::Failed(reason)) => {
                body.extend(br#"{"Status":"Failed","FailureReason":""#);
                body.extend(reason.name().as_bytes());
                body.extend(br#""}"#);
            }
        }
    }
    body.push(b']');
    body
}

#[cfg(test)]
mod tests;
