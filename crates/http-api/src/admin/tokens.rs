//! API tokens: shown once, to who made them.

use http::StatusCode;
use pushroll_domain::{AppId, OrgId, TokenRecord};
use pushroll_engine::{NAME_CHARS, Service};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::admin::object::{Given, Object};
use crate::admin::orgs::located;
use crate::admin::{Call, faults_of, paging, times};
use crate::faults::At;
use crate::openapi::describe::{Answer, Body, Described, Tag};
use crate::openapi::schema;
use crate::problem::{Problem, Rule};
use crate::refusal;
use crate::reply::{self, Reply};

const TOKEN: [&str; 2] = ["name", "expires_at"];
const NAME: &str = "a name for people";
const EXPIRES_AT: &str = "a time to come, in RFC 3339, like 2030-01-01T00:00:00Z";

#[derive(Serialize, ToSchema)]
#[schema(as = ApiToken)]
struct TokenBody<'t> {
    #[schema(format = "uuid")]
    id: String,
    #[schema(format = "uuid")]
    app_id: String,
    name: &'t str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'t str>,
    created_at: times::At,
    #[schema(required = true)]
    expires_at: Option<times::At>,
    #[schema(required = true)]
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

pub(crate) fn create_described() -> Described {
    let name = schema::matching(schema::text(NAME, 0..=NAME_CHARS), schema::NO_CONTROLS);
    let mut expires_at = schema::some_text(EXPIRES_AT);
    expires_at["format"] = "date-time".into();
    let schemas = [schema::or_null(name), schema::or_null(expires_at)];
    let body = Body::optional(schema::closed(schema::object(TOKEN, schemas, &[])))
        .example("a token for ever", json!({ "name": "back end" }))
        .example("a token with an end", json!({ "expires_at": "2099-01-01T00:00:00Z" }));
    let answer = Answer::one::<TokenBody<'static>>(201, "The token, shown this once.").located();
    let more = "Of an app at most 100 tokens are good at once: one more is refused (400).";
    Described::new("createToken", Tag::Tokens, "Make an API token", more, answer).taking(body)
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
    let Some(body) = Object::of_body(body, &TOKEN, &mut faults) else {
        return Err(faults.into_problem());
    };
    let name = body.text("name", NAME, &mut faults).or_none().unwrap_or_default();
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
    let made = service.create_token(&call.actor, org, app, &name, expires_at).await;
    let made = made.map_err(refusal::of_configure)?;
    let body = TokenBody::new(&made.record, Some(made.token.reveal()));
    let reply = reply::admin_json(StatusCode::CREATED, &body);
    Ok(located(reply, &format!("/admin/v1/orgs/{org}/apps/{app}/tokens/{}", made.record.id)))
}

pub(crate) fn list_described() -> Described {
    let answer =
        Answer::list::<TokenBody<'static>>("The tokens, those that were revoked among them.");
    Described::new("listTokens", Tag::Tokens, "List an app's API tokens", "", answer)
        .with(paging::parameters())
}

pub(crate) fn revoke_described() -> Described {
    let answer = Answer::empty(204, "The token is revoked, from the next request on.");
    let more = "Revoking it again is no error.";
    Described::new("revokeToken", Tag::Tokens, "Revoke an API token", more, answer)
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
