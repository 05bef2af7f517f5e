//! `pushroll key rotate`: everything sealed anew under a new key.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use pushroll_domain::Store as _;
use pushroll_store_embedded::{EmbeddedStore, OpenError};
use pushroll_store_postgres::Upkeep;

use super::{Exit, complain, on_runtime};
use crate::machine::SystemClock;
use crate::sealing::rotation::{self, RotateError, Rotated};
use crate::settings::{PostgresStore, Settings, Store};

/// The sealing key: under it the credentials in the store are sealed.
#[derive(Debug, Args)]
pub struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    Rotate(RotateArgs),
}

/// Seal everything in the store anew under a new key.
///
/// The embedded store: while no server runs. With the key in a file a new one is made there; the old one goes into a file beside it, for backups that
/// were made before. With the key in the settings, put the new one before the old one in sealing.key, with a
/// space between, and take the old one out afterwards. Broken off anywhere, it does no harm: a server starts
/// with both keys, and running it again finishes it.
///
/// PostgreSQL: while the servers run. First give all of them both keys, the new one first, and start them again one after
/// the other; they go on sealing under the old one. Then run this: it is refused while a server does not have the new
/// key. Afterwards the old key may be taken away from the servers. Broken off, it goes on when it is run again.
#[derive(Debug, Args)]
struct RotateArgs {
    /// The settings file of the server [default: pushroll.toml in the working directory, if it is there].
    #[arg(long, short, value_name = "FILE", env = "PUSHROLL_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
}

pub(super) fn run(args: &KeyArgs) -> Exit {
    let KeyCommand::Rotate(args) = &args.command;
    let settings = match Settings::load(args.config.as_deref()) {
        Ok(settings) => settings,
        Err(faults) => {
            complain(&faults);
            return Exit::Usage;
        }
    };
    on_runtime(rotate(settings))
}

async fn rotate(settings: Settings) -> Exit {
    let embedded = match &settings.store {
        Store::Embedded(embedded) => embedded,
        Store::Postgres(postgres) => return rotate_together(&settings, postgres).await,
    };
    if !EmbeddedStore::is_in(&embedded.path) {
        complain(&format_args!("there is no store in {}", embedded.path.display()));
        return Exit::Store;
    }
    let opened = EmbeddedStore::open(settings.embedded(embedded), Arc::new(SystemClock));
    let store = match opened {
        Ok(store) => store,
        Err(fault @ OpenError::Locked { .. }) => {
            complain(&format_args!("{fault}. Stop the server first"));
            return Exit::InUse;
        }
        Err(fault) => {
            complain(&fault);
            return Exit::Store;
        }
    };
    let rotated = rotation::rotate(&store, &embedded.path, &settings.sealing_key).await;
    store.close().await;
    conclude(rotated)
}

async fn rotate_together(settings: &Settings, postgres: &PostgresStore) -> Exit {
    let upkeep = match Upkeep::open(settings.postgres(postgres)).await {
        Ok(upkeep) => upkeep,
        Err(fault) => {
            complain(&fault);
            return Exit::Store;
        }
    };
    let name = PathBuf::from(settings.store.to_string());
    let rotated = rotation::rotate_together(&upkeep, &name, &settings.sealing_key).await;
    upkeep.close();
    conclude(rotated)
}

fn conclude(rotated: Result<Rotated, RotateError>) -> Exit {
    match rotated {
        Ok(rotated) => {
            println!("{}", tell(&rotated));
            Exit::Done
        }
        Err(fault) => {
            complain(&fault);
            match fault {
                RotateError::Key(_) => Exit::Secrets,
                RotateError::Store(_) => Exit::Store,
                RotateError::Given
                | RotateError::GivenToAll
                | RotateError::NotGivenTo { .. }
                | RotateError::NotFollowedBy { .. }
                | RotateError::AnotherRotates => Exit::Usage,
            }
        }
    }
}

fn tell(rotated: &Rotated) -> String {
    let Rotated { key, retired, rows, was_begun, files } = rotated;
    let begun = if *was_begun { "The rotation that had been begun is finished. " } else { "" };
    let first = format!("{begun}Everything is sealed under key {key} now ({rows} rows).");
    let retired: Vec<String> = retired.iter().map(ToString::to_string).collect();
    let retired = retired.join(", ");
    match files {
        Some((new, old)) => format!(
            "{first}\nThe new key is in {}: keep a copy of it elsewhere.\nThe old key ({retired}) is in {}: \
             backups that were made before need it. Move it away from the data.",
            new.display(),
            old.display(),
        ),
        None => format!(
            "{first}\nThe old key ({retired}) may be taken away; backups that were made before need it."
        ),
    }
}
