//! `pushroll token`

use std::time::Duration;

use clap::{Args, Subcommand};
use pushroll_domain::Clock as _;
use serde_json::{Value, json};

use super::access::ServerArgs;
use super::pick::pick_app;
use super::session::{properties, text};
use super::stop::Stop;
use super::table::Table;
use crate::commands::Exit;
use crate::machine::SystemClock;
use crate::times::rfc3339;

/// API tokens: with one, an app's back end registers and removes its devices.
#[derive(Debug, Args)]
pub struct TokenArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The organization's id or name, if the app's name is not enough.
    #[arg(long, global = true, value_name = "ORG")]
    org: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an API token. It is shown this once.
    Create {
        /// The app's id or name.
        app: String,
        /// A name for people, to know it by when it is to be revoked.
        #[arg(long)]
        name: Option<String>,
        /// When it ends, in RFC 3339, like 2030-01-01T00:00:00Z [default: never].
        #[arg(long, value_name = "TIME", conflicts_with = "days")]
        expires_at: Option<String>,
        /// For how many days from now it is good.
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: Option<u32>,
    },
    /// List an app's API tokens. None is shown itself.
    List {
        /// The app's id or name.
        app: String,
    },
    /// Revoke an API token: what it has registered and is still being verified fails.
    Revoke {
        /// The app's id or name.
        app: String,
        /// The token's id, as the list has it.
        token_id: String,
        /// Don't ask.
        #[arg(long)]
        yes: bool,
    },
}

pub(in crate::commands) fn run(args: &TokenArgs) -> Exit {
    super::run(carry_out(args))
}

async fn carry_out(args: &TokenArgs) -> Result<(), Stop> {
    let mut session = args.server.session()?;
    let org = args.org.as_deref();
    match &args.command {
        Command::Create { app, name, expires_at, days } => {
            let app = pick_app(&mut session, org, app).await?;
            let in_days = |days: &u32| {
                let span = Duration::from_secs(u64::from(*days) * 86_400);
                rfc3339(SystemClock.now().plus(span))
            };
            let expires_at = expires_at.clone().or_else(|| days.as_ref().map(in_days));
            let body = json!({"name": name, "expires_at": expires_at});
            let made = session.client.post(&app.path("/tokens"), &body).await?;
            session.tell(&made, || {
                let name = app.name();
                let shown = properties(&[
                    ("token", &text(&made["token"])),
                    ("id", &text(&made["id"])),
                    ("name", &text(&made["name"])),
                    ("expires", &text(&made["expires_at"])),
                ]);
                format!("API token of {name}; it is shown this once:\n\n{shown}")
            })
        }
        Command::List { app } => {
            let app = pick_app(&mut session, org, app).await?;
            let tokens = session.all(&app.list_path("/tokens")).await?;
            let nothing = "The app has no API token: pushroll token create APP";
            session.tell_list(&tokens, nothing, table)
        }
        Command::Revoke { app, token_id, yes } => {
            let app = pick_app(&mut session, org, app).await?;
            let question = format!("Revoke the API token {token_id} of {}?", app.name());
            session.confirm(*yes, &question)?;
            let path = app.path(&format!("/tokens/{}", crate::client::percent(token_id)));
            session.client.expect(http::Method::DELETE, &path, &[], None).await?;
            session.tell(&json!({"id": token_id, "revoked": true}), || {
                format!("API token {token_id} of {} is revoked.", app.name())
            })
        }
    }
}

fn table(tokens: &[Value]) -> Table {
    let mut table = Table::new(&["ID", "NAME", "MADE", "EXPIRES", "REVOKED"]);
    for token in tokens {
        let cells = ["id", "name", "created_at", "expires_at", "revoked_at"];
        table.row(cells.map(|name| text(&token[name])));
    }
    table
}
