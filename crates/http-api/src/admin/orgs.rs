//! Organizations.

use http::StatusCode;
use http::header::{HeaderValue, LOCATION};
use pushroll_domain::{Org, OrgId};
use pushroll_engine::{NAME_CHARS, Service};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::admin::object::Object;
use crate::admin::{Call, faults_of, paging, times};
use crate::openapi::describe::{Answer, Body, Described, Tag};
use crate::openapi::schema;
use crate::problem::Problem;
use crate::refusal;
use crate::reply::{self, Reply};

const ORG: [&str; 1] = ["name"];
const NAME: &str = "a name for people";

#[derive(Serialize, ToSchema)]
#[schema(as = Organization)]
struct OrgBody<'o> {
    #[schema(format = "uuid")]
    id: String,
    name: &'o str,
    created_at: times::At,
}

impl<'o> From<&'o Org> for OrgBody<'o> {
    fn from(org: &'o Org) -> Self {
        Self { id: org.id.to_string(), name: &org.name, created_at: times::At(org.created_at) }
    }
}

pub(crate) fn create_described() -> Described {
    let name = schema::matching(schema::text(NAME, 1..=NAME_CHARS), schema::A_NAME);
    let body = Body::new(schema::closed(schema::object(ORG, [name], &ORG)));
    let answer = Answer::one::<OrgBody<'static>>(201, "The organization.").located();
    Described::new("createOrganization", Tag::Organizations, "Make an organization", "", answer)
        .taking(body.example("an organization", json!({ "name": "Contoso" })))
}

pub(crate) async fn create(service: &Service, call: &Call) -> Result<Reply, Problem> {
    let mut faults = faults_of(call)?;
    let name = Object::of_body(&call.body, &ORG, &mut faults)
        .and_then(|body| body.required_text("name", NAME, &mut faults));
    let Some(name) = name.filter(|_| faults.is_empty()) else { return Err(faults.into_problem()) };
    let org = service.create_org(&call.actor, &name).await.map_err(refusal::of_configure)?;
    let reply = reply::admin_json(StatusCode::CREATED, &OrgBody::from(&*org));
    Ok(located(reply, &format!("/admin/v1/orgs/{}", org.id)))
}

pub(crate) fn list_described() -> Described {
    let answer = Answer::list::<OrgBody<'static>>("The organizations, in the order of their ids.");
    Described::new("listOrganizations", Tag::Organizations, "List the organizations", "", answer)
        .with(paging::parameters())
}

pub(crate) fn list(service: &Service, call: &Call) -> Result<Reply, Problem> {
    let orgs = service.directory().orgs();
    let show = |org: &Org| serde_json::to_value(OrgBody::from(org)).unwrap_or_default();
    paging::part_of(&orgs, &call.query, |org| org.id.to_string(), show)
}

pub(crate) fn show_described() -> Described {
    let answer = Answer::one::<OrgBody<'static>>(200, "The organization.");
    Described::new("getOrganization", Tag::Organizations, "Show an organization", "", answer)
}

pub(crate) fn show(service: &Service, org: OrgId) -> Result<Reply, Problem> {
    let org = service.known_org(org).map_err(refusal::of_configure)?;
    Ok(reply::admin_json(StatusCode::OK, &OrgBody::from(&*org)))
}

/// Says where the new thing is.
pub(crate) fn located(mut reply: Reply, path: &str) -> Reply {
    if let Ok(value) = HeaderValue::from_str(path) {
        reply.headers_mut().insert(LOCATION, value);
    }
    reply
}
