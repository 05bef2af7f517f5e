//! `pushroll registration`

use clap::{Args, Subcommand};
use serde_json::Value;

use super::access::ServerArgs;
use super::app_output::last_answer;
use super::pick::pick_app;
use super::session::{properties, text};
use super::stop::Stop;
use super::table::Table;
use crate::client::percent;
use crate::commands::Exit;

/// Registrations: what became of a user's devices, in the providers' own words.
#[derive(Debug, Args)]
pub struct RegistrationArgs {
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
    /// List a user's registrations that are pending, failed or tracked, newest first.
    List {
        /// The app's id or name.
        app: String,
        /// The user's id.
        #[arg(long, value_name = "USER_ID")]
        user: String,
    },
    /// Show a registration.
    Show {
        /// The app's id or name.
        app: String,
        /// The RegistrationRequestId.
        id: String,
    },
}

pub(in crate::commands) fn run(args: &RegistrationArgs) -> Exit {
    super::run(carry_out(args))
}

async fn carry_out(args: &RegistrationArgs) -> Result<(), Stop> {
    let mut session = args.server.session()?;
    match &args.command {
        Command::List { app, user } => {
            let app = pick_app(&mut session, args.org.as_deref(), app).await?;
            let path = app.list_path(&format!("/registrations?user_id={}", percent(user)));
            let found = session.all(&path).await?;
            let nothing =
                "There is no registration of this user that is pending, failed or tracked.";
            session.tell_list(&found, nothing, table)
        }
        Command::Show { app, id } => {
            let app = pick_app(&mut session, args.org.as_deref(), app).await?;
            let path = app.path(&format!("/registrations/{}", percent(id)));
            let found = session.client.get(&path).await?;
            session.tell(&found, || shown(&found))
        }
    }
}

fn table(registrations: &[Value]) -> Table {
    let mut table = Table::new(&["ID", "ACCEPTED", "PLATFORM", "OUTCOME", "PROVIDER", "HINT"]);
    for one in registrations {
        table.row([
            text(&one["id"]),
            text(&one["accepted_at"]),
            text(&one["platform"]),
            outcome(one),
            last_answer(&one["provider"]),
            text(&one["hint"]),
        ]);
    }
    table
}

fn outcome(registration: &Value) -> String {
    match &registration["failure_reason"] {
        Value::Null => text(&registration["status"]),
        reason => text(reason),
    }
}

fn shown(one: &Value) -> String {
    let callback = match &one["callback"] {
        Value::Null => "-".to_owned(),
        callback => [&callback["result"], &callback["status"], &callback["reason"]]
            .into_iter()
            .filter(|value| !value.is_null())
            .map(text)
            .collect::<Vec<_>>()
            .join(" "),
    };
    let token = format!(
        "{} characters, fingerprint {}",
        text(&one["device_token_chars"]),
        text(&one["device_token_fingerprint"])
    );
    properties(&[
        ("registration", &text(&one["id"])),
        ("user", &text(&one["user_id"])),
        ("platform", &text(&one["platform"])),
        ("device token", &token),
        ("outcome", &outcome(one)),
        ("provider", &last_answer(&one["provider"])),
        ("hint", &text(&one["hint"])),
        ("accepted", &text(&one["accepted_at"])),
        ("due", &text(&one["due_at"])),
        ("ended", &text(&one["ended_at"])),
        ("dry runs", &text(&one["attempts"])),
        ("tracked", &text(&one["tracked"])),
        ("callback", &callback),
    ])
}
