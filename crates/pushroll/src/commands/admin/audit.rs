//! `pushroll audit`

use clap::Args;
use serde_json::Value;

use super::access::ServerArgs;
use super::pick::{pick_app, pick_org};
use super::session::text;
use super::stop::Stop;
use super::table::Table;
use crate::commands::Exit;

/// Who changed the configuration, when, from where, and what; newest first.
///
/// Every change of organizations, apps, API tokens and webhook secrets is in the list, and a rotation of the
/// sealing key. No secret is: of a change only which fields were given. The newest are kept
/// (admin.audit_entries).
#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Only changes of this organization and its apps: its id or name.
    #[arg(long, value_name = "ORG")]
    org: Option<String>,
    /// Only changes of this app: its id or name. One that is deleted is known by its id alone.
    #[arg(long, value_name = "APP")]
    app: Option<String>,
    /// How many at most, the newest.
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

pub(in crate::commands) fn run(args: &AuditArgs) -> Exit {
    super::run(carry_out(args))
}

async fn carry_out(args: &AuditArgs) -> Result<(), Stop> {
    let mut session = args.server.session()?;
    let mut filters = Vec::new();
    if let Some(app) = &args.app {
        let id = match pushroll_domain::AppId::parse(app) {
            Ok(id) => id.to_string(),
            Err(_) => pick_app(&mut session, args.org.as_deref(), app).await?.id,
        };
        filters.push(format!("app_id={id}"));
    }
    if let Some(org) = &args.org {
        let org = pick_org(&mut session, Some(org)).await?;
        filters.push(format!("org_id={}", text(&org["id"])));
    }
    let path = match filters.is_empty() {
        true => "/audit".to_owned(),
        false => format!("/audit?{}", filters.join("&")),
    };
    let entries = session.first(&path, usize::try_from(args.limit).unwrap_or(usize::MAX)).await?;
    session.tell_list(&entries, "Nothing has been changed yet.", table)
}

fn table(entries: &[Value]) -> Table {
    let mut table = Table::new(&["WHEN", "WHAT", "NAME", "FIELDS", "OF", "BY", "FROM"]);
    for entry in entries {
        let fields: Vec<String> =
            entry["fields"].as_array().into_iter().flatten().map(text).collect();
        let fields = if fields.is_empty() { "-".to_owned() } else { fields.join(" ") };
        let of = ["token_id", "app_id", "org_id"].into_iter().map(|name| &entry[name]);
        let of = of.into_iter().find(|id| id.is_string()).unwrap_or(&Value::Null);
        table.row([
            text(&entry["at"]),
            text(&entry["action"]),
            text(&entry["name"]),
            fields,
            text(of),
            text(&entry["by"]),
            text(&entry["source"]),
        ]);
    }
    table
}
