//! Administration: organizations, mobile apps, API tokens, and what an operator asks about users'
//! devices and registrations. Every answer to it is guarded by the admin token.

mod apps;
mod audit;
mod backup;
mod callbacks;
pub(crate) mod developer_information;
mod health;
mod inspect;
mod object;
mod operation;
mod orgs;
mod paging;
mod times;
mod tokens;

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderMap};
use pushroll_domain::{Actor, BackUp, TokenHash};
use pushroll_engine::{Service, Source};
use tracing::error;

pub(crate) use operation::{Operation, PLACES};

use crate::content_type;
use crate::faults::Faults;
use crate::openapi;
use crate::problem::{Problem, Rule};
use crate::refusal;
use crate::reply::{self, Reply};

/// A request of the administration, whole.
pub(crate) struct Call {
    /// What is to be done.
    pub(crate) operation: Operation,
    /// The part of the path after the question mark.
    pub(crate) query: String,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Bytes,
    /// Who makes backups.
    pub(crate) backup: Option<Arc<dyn BackUp>>,
    /// Where callers reach the device registration API.
    pub(crate) base: developer_information::Base,
    /// Who asks, and from where.
    pub(crate) actor: Actor,
}

/// Whether the request carries the admin token.
///
/// # Errors
/// 401, and 429 when the source has tried too often.
pub(crate) fn authorize(
    service: &Service,
    admin_token: &TokenHash,
    headers: &HeaderMap,
    source: Source,
) -> Result<(), Problem> {
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = given.and_then(|given| given.split_once(' ')).and_then(|(scheme, token)| {
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
    });
    if token.is_some_and(|token| TokenHash::of(token) == *admin_token) {
        return Ok(());
    }
    service.count_bad_token(source).map_err(refusal::throttled)?;
    Err(Problem::unauthorized())
}

/// Answers a request, as a task of its own: a caller that hangs up does not leave a change half made.
pub(crate) async fn answer(service: Service, call: Call) -> Result<Reply, Problem> {
    let work = tokio::spawn(async move { carry_out(&service, &call).await });
    match work.await {
        Ok(answered) => answered.map(reply::not_cached),
        Err(failed) => {
            error!(%failed, "a request of the administration ended in a panic");
            let detail = "The request met a fault of the service. It may have been carried out.";
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, Rule::Internal, detail))
        }
    }
}

async fn carry_out(service: &Service, call: &Call) -> Result<Reply, Problem> {
    match call.operation {
        Operation::CreateOrg => orgs::create(service, call).await,
        Operation::ListOrgs => orgs::list(service, call),
        Operation::ShowOrg(org) => orgs::show(service, org),
        Operation::CreateApp(org) => apps::create(service, org, call).await,
        Operation::ListApps(org) => apps::list(service, org, call),
        Operation::ShowApp(org, app) => apps::show(service, org, app),
        Operation::ChangeApp(org, app) => apps::change(service, org, app, call).await,
        Operation::DeleteApp(org, app) => {
            service.delete_app(&call.actor, org, app).await.map_err(refusal::of_configure)?;
            Ok(reply::empty(StatusCode::NO_CONTENT))
        }
        Operation::CreateToken(org, app) => tokens::create(service, org, app, call).await,
        Operation::ListTokens(org, app) => tokens::list(service, org, app, call),
        Operation::RevokeToken(org, app, token) => {
            service
                .revoke_token(&call.actor, org, app, token)
                .await
                .map_err(refusal::of_configure)?;
            Ok(reply::empty(StatusCode::NO_CONTENT))
        }
        Operation::ListDevices(org, app) => inspect::devices(service, org, app, call).await,
        Operation::ListRegistrations(org, app) => {
            inspect::registrations(service, org, app, call).await
        }
        Operation::ShowRegistration(org, app, id) => {
            inspect::registration(service, org, app, id).await
        }
        Operation::BackUp => backup::make(call).await,
        Operation::ListDeliveries(org, app) => callbacks::deliveries(service, org, app, call).await,
        Operation::RotateWebhookSecret(org, app) => {
            callbacks::rotate_secret(service, org, app, call).await
        }
        Operation::EndOldWebhookSecret(org, app) => {
            callbacks::end_old_secret(service, org, app, call).await
        }
        Operation::ShowDeveloperInformation(org, app) => {
            developer_information::show(service, org, app, call)
        }
        Operation::ShowHealth(org, app) => health::show(service, org, app).await,
        Operation::CheckApp(org, app) => health::check(service, org, app).await,
        Operation::ListAudit => audit::list(service, call).await,
        Operation::ShowOpenApi => Ok(openapi::of_admin()),
    }
}

/// The faults of a request with a body, begun with those of its content type.
fn faults_of(call: &Call) -> Result<Faults, Problem> {
    let mut faults = Faults::default();
    content_type::check(&call.headers, &mut faults);
    if faults.is_empty() { Ok(faults) } else { Err(faults.into_problem()) }
}

#[cfg(test)]
mod tests;
