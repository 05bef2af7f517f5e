//! API tokens: shown once, to who made them.

use http::StatusCode;
use pushroll_domain::{AppId, OrgId, TokenRecord};
use pushroll_engine::Service;
use serde::Serialize;

use crate::admin::object::{Given, Object};
use crate::admin::orgs::located;
use crate::admin::{Call, faults_of, paging, times};
use crate::faults::At;
use crate::problem::{Problem, Rule};
use crate::refusal;
use crate::reply::{self, Reply};

const EXPIRES_AT: &str = "a time to come, in RFC 3339, like 2030-01-01T00:00:00Z";

#[derive(Serialize)]
struct TokenBody<'t> {
    id: String,
    app_id: String,
    name: &'t str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'t str>,
    created_at: times::At,
    expires_at: Option<times::At>,
    revoked_at: Option<times::At>,
}

impl<'t> TokenBody<'t> {
    fn new(record: &'t TokenRecord, token: Option<&'t str>) -> Self {
        Self {
            id: record.id.to_string(),
            app_id: record.app.to_string(),
            name: &record.name,
            token,
            created_at: times::At(record.created_at),
            expires_at: record.expires_at.map(times::At),
            revoked_at: record.revoked_at.map(times::At),
        }
    }
}

pub(crate) async fn create(
    service: &Service,
    org: OrgId,
    app: AppId,
    call: &Call,
) -> Result<Reply, Problem> {
    service.known_app(org, app).map_err(refusal::of_configure)?;
    let mut faults = faults_of(call)?;
    // Everything in it is optional, and so is the body.
    let body = if call.body.is_empty() { b"{}" } else { &*call.body };
    let Some(body) = Object::of_body(body, &["name", "expires_at"], &mut faults) else {
        return Err(faults.into_problem());
    };
    let name = body.text("name", "a name for people", &mut faults).or_none().unwrap_or_default();
    let expires_at = match body.text("expires_at", EXPIRES_AT, &mut faults) {
        Given::Absent | Given::Null | Given::Faulty => None,
        Given::Value(text) => times::read(&text).or_else(|| {
            let detail = "expires_at is not a time in RFC 3339.";
            faults.add(At::field("expires_at"), Rule::NotUsable, detail, EXPIRES_AT);
            None
        }),
    };
    if !faults.is_empty() {
        return Err(faults.into_problem());
    }
    let made = service.create_token(org, app, &name, expires_at).await;
    let made = made.map_err(refusal::of_configure)?;
    let body = TokenBody::new(&made.record, Some(made.token.reveal()));
    let reply = reply::admin_json(StatusCode::CREATED, &body);
    Ok(located(reply, &format!("/admin/v1/orgs/{org}/apps/{app}/tokens/{}", made.record.id)))
}

pub(crate) fn list(
    service: &Service,
    org: OrgId,
    app: AppId,
    call: &Call,
) -> Result<Reply, Problem> {
    service.known_app(org, app).map_err(refusal::of_configure)?;
    let tokens = service.directory().tokens_of(app);
    let show =
        |token: &TokenRecord| serde_json::to_value(TokenBody::new(token, None)).unwrap_or_default();
    paging::part_of(&tokens, &call.query, |token| token.id.to_string(), show)
}
