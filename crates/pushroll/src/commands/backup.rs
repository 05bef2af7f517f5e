//! `pushroll backup`: a copy of all that the store holds, of a running server or of one that stands still.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use http::StatusCode;
use pushroll_domain::{BackUp as _, Store as _};
use pushroll_store_embedded::{EmbeddedStore, OpenError};
use serde_json::{Value, json};

use super::demo::client::{Call, Client};
use super::{Exit, complain, on_runtime};
use crate::admin_token::TOKEN_FILE;
use crate::machine::SystemClock;
use crate::private_file;
use crate::sealing::key_file;
use crate::settings::{AdminTokenSource, Settings, Store};

/// Make a backup of the store, while the server runs or while it does not.
///
/// DIR must not be there yet, or be empty. A running server is asked to make it, so DIR is on its machine; all
/// that it had answered by then is in the backup. To restore, start a server with store.path = DIR (or a copy
/// of it). The sealing key is left out on purpose: without it the credentials in the backup are of no use to a
/// thief, and of none to you, so keep a copy of the key elsewhere.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The directory to make.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The settings file of the server [default: pushroll.toml in the working directory, if it is there].
    #[arg(long, short, value_name = "FILE", env = "PUSHROLL_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
}

pub(super) fn run(args: &BackupArgs) -> Exit {
    let settings = match Settings::load(args.config.as_deref()) {
        Ok(settings) => settings,
        Err(faults) => {
            complain(&faults);
            return Exit::Usage;
        }
    };
    let directory = match std::path::absolute(&args.directory) {
        Ok(directory) => directory,
        Err(cause) => {
            complain(&format_args!("{}: {cause}", args.directory.display()));
            return Exit::Usage;
        }
    };
    on_runtime(async move {
        let exit = back_up(&settings, &directory).await;
        if exit == Exit::Done {
            println!("{}", done(&settings, &directory));
        }
        exit
    })
}

fn done(settings: &Settings, directory: &Path) -> String {
    let data = settings.data_directory().unwrap_or(Path::new(""));
    let key = match key_file::file_of(&settings.sealing_key, data) {
        Some(file) => format!("{} (keep a copy of it elsewhere)", file.display()),
        None => "which the settings give (keep it elsewhere, too)".to_owned(),
    };
    format!(
        "The backup is in {}.\nThe sealing key is not in it: {key}.\nTo restore, start a server with \
         store.path = {:?} and that key.",
        directory.display(),
        directory.display().to_string(),
    )
}

async fn back_up(settings: &Settings, directory: &Path) -> Exit {
    let Store::Embedded(embedded) = &settings.store else {
        complain(
            &"a PostgreSQL database is backed up by its own means: pg_basebackup and the archive of its write-ahead \
              log",
        );
        return Exit::Usage;
    };
    if !EmbeddedStore::is_in(&embedded.path) {
        complain(&format_args!("there is no store in {}", embedded.path.display()));
        return Exit::Store;
    }
    let opened = EmbeddedStore::open(settings.embedded(embedded), Arc::new(SystemClock));
    let store = match opened {
        Ok(store) => store,
        Err(OpenError::Locked { .. }) => return ask_the_server(settings, directory).await,
        Err(fault) => {
            complain(&fault);
            return Exit::Store;
        }
    };
    let made = store.back_up(directory.to_owned()).await;
    store.close().await;
    match made {
        Ok(()) => Exit::Done,
        Err(fault) => {
            complain(&fault);
            Exit::Failed
        }
    }
}

/// The server has the store; it makes the backup.
async fn ask_the_server(settings: &Settings, directory: &Path) -> Exit {
    let file = match &settings.admin_token {
        AdminTokenSource::Given(token) => Ok(token.clone()),
        AdminTokenSource::File(file) => {
            private_file::read(file).map_err(|cause| (file.clone(), cause))
        }
        AdminTokenSource::BesideTheData => {
            let file = settings.data_directory().unwrap_or(Path::new("")).join(TOKEN_FILE);
            private_file::read(&file).map_err(|cause| (file, cause))
        }
    };
    let token = match file {
        Ok(token) => token,
        Err((file, cause)) => {
            complain(&format_args!("the admin token {} can't be read: {cause}", file.display()));
            return Exit::Secrets;
        }
    };
    let token = String::from_utf8_lossy(token.reveal()).into_owned();
    let body = json!({"directory": directory});
    let (address, under_tls) = match settings.admin_listener {
        Some(own) => (own.listen, own.tls),
        None => (settings.listen, settings.tls.is_some()),
    };
    if under_tls {
        complain(&format_args!(
            "a server has the store, and its administration is under TLS: ask it by POST \
             https://{address}/admin/v1/backup with {body}"
        ));
        return Exit::Failed;
    }
    let call = Call::administer("/admin/v1/backup", &token, &body);
    match Client::new(address).ask(call).await {
        Ok((StatusCode::CREATED, _)) => Exit::Done,
        Ok((status, answer)) => {
            let problem: Value = serde_json::from_slice(&answer).unwrap_or_default();
            let detail = problem["detail"].as_str().unwrap_or("it does not say why");
            complain(&format_args!(
                "the server at {} answered {status}: {detail}",
                settings.listen
            ));
            Exit::Failed
        }
        Err(fault) => {
            complain(&format_args!(
                "a server has the store, and it can't be asked at {address}: {fault:#}"
            ));
            Exit::Failed
        }
    }
}
