//! `pushroll org`

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::access::ServerArgs;
use super::pick::pick_org;
use super::session::{Session, properties, text};
use super::stop::Stop;
use super::table::Table;
use crate::commands::Exit;

/// Organizations: they own mobile apps.
#[derive(Debug, Args)]
pub struct OrgArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an organization.
    Create {
        /// A name for people.
        name: String,
    },
    /// List all organizations.
    List,
    /// Show an organization.
    Show {
        /// Its id or name [default: the only one that there is].
        org: Option<String>,
    },
}

pub(in crate::commands) fn run(args: &OrgArgs) -> Exit {
    super::run(async {
        let mut session = args.server.session()?;
        match &args.command {
            Command::Create { name } => {
                let made = session.client.post("/admin/v1/orgs", &json!({"name": name})).await?;
                session.tell(&made, || shown(&made))
            }
            Command::List => list(&mut session).await,
            Command::Show { org } => {
                let org = pick_org(&mut session, org.as_deref()).await?;
                session.tell(&org, || shown(&org))
            }
        }
    })
}

async fn list(session: &mut Session) -> Result<(), Stop> {
    let orgs = session.all("/orgs").await?;
    let nothing = "There is no organization yet: pushroll org create NAME";
    session.tell_list(&orgs, nothing, |orgs| {
        let mut table = Table::new(&["ID", "NAME", "MADE"]);
        for org in orgs {
            table.row(["id", "name", "created_at"].map(|name| text(&org[name])));
        }
        table
    })
}

fn shown(org: &Value) -> String {
    properties(&[
        ("organization", &text(&org["id"])),
        ("name", &text(&org["name"])),
        ("made", &text(&org["created_at"])),
    ])
}
