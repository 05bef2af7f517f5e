//! `pushroll backup`: a copy of all that the store holds, of a running server or of one that stands still.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use pushroll_domain::{BackUp as _, Store as _};
use pushroll_store_embedded::{EmbeddedStore, OpenError};
use serde_json::json;

use super::Exit;
use super::admin::{self, ServerArgs, Stop, write};
use crate::machine::SystemClock;
use crate::sealing::key_file;
use crate::settings::{Settings, Store};

/// Make a backup of the store, while the server runs or while it does not.
///
/// DIR must not be there yet, or be empty. A running server is asked to make it, and so is the one at --url: DIR is on
/// its machine then. All that it had answered by then is in the backup. To restore, start a server with store.path = DIR (or a copy
/// of it). The sealing key is left out on purpose: without it the credentials in the backup are of no use to a
/// thief, and of none to you, so keep a copy of the key elsewhere.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The directory to make.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    #[command(flatten)]
    server: ServerArgs,
}

/// A copy to another file system takes its time.
const SERVER_MAY_TAKE: Duration = Duration::from_secs(3600);

pub(super) fn run(args: &BackupArgs) -> Exit {
    admin::run(async {
        let server = &args.server;
        if server.given_url().is_some() {
            ask(server, &args.directory).await?;
            return tell(server, &args.directory, "keep a copy of it elsewhere");
        }
        let settings =
            Settings::load(server.config()).map_err(|faults| Stop::usage(faults.to_string()))?;
        let directory = std::path::absolute(&args.directory)
            .map_err(|cause| Stop::usage(format!("{}: {cause}", args.directory.display())))?;
        back_up(&settings, server, &directory).await?;
        tell(server, &directory, &key_of(&settings))
    })
}

/// Where the key is, and what is to be done with it.
fn key_of(settings: &Settings) -> String {
    let data = settings.data_directory().unwrap_or(Path::new(""));
    match key_file::file_of(&settings.sealing_key, data) {
        Some(file) => format!("{} (keep a copy of it elsewhere)", file.display()),
        None => "which the settings give (keep it elsewhere, too)".to_owned(),
    }
}

fn tell(server: &ServerArgs, directory: &Path, key: &str) -> Result<(), Stop> {
    if server.json() {
        let made = json!({"directory": directory, "sealing_key": key});
        return write(&format!("{made:#}"));
    }
    let shown = directory.display();
    write(&format!(
        "The backup is in {shown}.\nThe sealing key is not in it: {key}.\nTo restore, start a server with \
         store.path = {:?} and that key.",
        shown.to_string()
    ))
}

/// Makes the backup here, or by the server that has the store.
async fn back_up(settings: &Settings, server: &ServerArgs, directory: &Path) -> Result<(), Stop> {
    let Store::Embedded(embedded) = &settings.store else {
        return Err(Stop::usage(
            "a PostgreSQL database is backed up by its own means: pg_basebackup and the archive of its write-ahead log",
        ));
    };
    if !EmbeddedStore::is_in(&embedded.path) {
        let message = format!("there is no store in {}", embedded.path.display());
        return Err(Stop::new(Exit::Store, message));
    }
    let store = match EmbeddedStore::open(settings.embedded(embedded), Arc::new(SystemClock)) {
        Ok(store) => store,
        Err(OpenError::Locked { .. }) => return ask(server, directory).await,
        Err(fault) => return Err(Stop::new(Exit::Store, fault.to_string())),
    };
    let made = store.back_up(directory.to_owned()).await;
    store.close().await;
    made.map_err(|fault| Stop::new(Exit::Failed, fault.to_string()))
}

/// The server makes the backup, on its own machine.
async fn ask(server: &ServerArgs, directory: &Path) -> Result<(), Stop> {
    let mut client = server.session()?.client;
    client.wait_for_answers(SERVER_MAY_TAKE);
    let made = client.post("/admin/v1/backup", &json!({"directory": directory})).await;
    made.map(drop).map_err(Stop::from)
}
