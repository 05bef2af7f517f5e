//! `pushroll device`

use clap::{Args, Subcommand};
use serde_json::Value;

use super::access::ServerArgs;
use super::pick::pick_app;
use super::session::text;
use super::stop::Stop;
use super::table::Table;
use crate::client::percent;
use crate::commands::{Exit, device_export, device_import};

/// Devices: which a user has, and the whole roll in and out.
#[derive(Debug, Args)]
pub struct DeviceArgs {
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
    /// List a user's devices.
    List {
        /// The app's id or name.
        app: String,
        /// The user's id.
        #[arg(long, value_name = "USER_ID")]
        user: String,
    },
    Import(device_import::ImportArgs),
    Export(device_export::ExportArgs),
}

pub(in crate::commands) fn run(args: &DeviceArgs) -> Exit {
    match &args.command {
        Command::Import(import) => device_import::run(&args.server, args.org.as_deref(), import),
        Command::Export(export) => {
            super::run(device_export::export(&args.server, args.org.as_deref(), export))
        }
        Command::List { app, user } => super::run(list(args, app, user)),
    }
}

async fn list(args: &DeviceArgs, app: &str, user: &str) -> Result<(), Stop> {
    let mut session = args.server.session()?;
    let app = pick_app(&mut session, args.org.as_deref(), app).await?;
    let path = app.list_path(&format!("/devices?user_id={}", percent(user)));
    let devices = session.all(&path).await?;
    session.tell_list(&devices, "This user has no device in the app.", table)
}

fn table(devices: &[Value]) -> Table {
    let mut table = Table::new(&[
        "PLATFORM",
        "ENVIRONMENT",
        "REGISTERED",
        "VERIFIED",
        "LAST SEEN",
        "DEVICE TOKEN",
    ]);
    for device in devices {
        let cells = [
            "platform",
            "environment",
            "registered_at",
            "verified_at",
            "last_seen_at",
            "device_token",
        ];
        table.row(cells.map(|name| text(&device[name])));
    }
    table
}
