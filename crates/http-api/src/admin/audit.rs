//! The audit list: who changed the configuration, when, from where, and what.

use pushroll_domain::{AppId, AuditEntry, AuditFilter, OrgId};
use pushroll_engine::Service;
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::{Call, paging, times};
use crate::faults::Faults;
use crate::openapi::describe::{Answer, Described, Tag};
use crate::openapi::words;
use crate::problem::Problem;
use crate::refusal;
use crate::reply::Reply;

/// A change of the configuration. What a field was changed to is not in it.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEntry)]
struct EntryBody<'e> {
    #[schema(format = "uuid")]
    id: String,
    at: times::At,
    /// Who: `admin-token` with the beginning of the token's SHA-256, or `command line`.
    by: &'e str,
    /// The address that the request came from.
    #[schema(required = true)]
    source: Option<String>,
    #[schema(schema_with = words::audit_actions)]
    action: &'static str,
    #[schema(required = true, format = "uuid")]
    org_id: Option<String>,
    #[schema(required = true, format = "uuid")]
    app_id: Option<String>,
    /// Of the API token; not the token itself.
    #[schema(required = true, format = "uuid")]
    token_id: Option<String>,
    /// The name of what was made or changed, as it was then.
    name: &'e str,
    /// Which fields were given, in dotted form.
    fields: &'e [String],
}

impl<'e> From<&'e AuditEntry> for EntryBody<'e> {
    fn from(entry: &'e AuditEntry) -> Self {
        Self {
            id: entry.id.to_string(),
            at: times::At(entry.at),
            by: &entry.actor.by,
            source: entry.actor.source.map(|source| source.to_string()),
            action: entry.action.name(),
            org_id: entry.org.map(|org| org.to_string()),
            app_id: entry.app.map(|app| app.to_string()),
            token_id: entry.token.map(|token| token.to_string()),
            name: &entry.name,
            fields: &entry.fields,
        }
    }
}

pub(super) fn described() -> Described {
    let answer = Answer::list::<EntryBody<'static>>("The changes, newest first.");
    let more = "Every change of organizations, apps, tokens and webhook secrets is in it, committed with the change. \
                Of an organization or app, if it is given.";
    Described::new("listAudit", Tag::Server, "List who changed what", more, answer)
        .with([paging::id_parameter("org_id"), paging::id_parameter("app_id")])
        .with(paging::parameters())
}

pub(super) async fn list(service: &Service, call: &Call) -> Result<Reply, Problem> {
    let mut faults = Faults::default();
    let query = paging::Query::of(&call.query);
    let page = query.page(&mut faults);
    let org = query.id("org_id", OrgId::parse, &mut faults);
    let app = query.id("app_id", AppId::parse, &mut faults);
    if !faults.is_empty() {
        return Err(faults.into_problem());
    }
    let found = service.audit(AuditFilter { org, app }, page).await.map_err(refusal::of_inspect)?;
    let items: Vec<_> = found.items.iter().map(EntryBody::from).collect();
    Ok(paging::list(items, found.next))
}
