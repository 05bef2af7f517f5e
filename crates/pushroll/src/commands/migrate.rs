//! `pushroll migrate`: makes the schema of a PostgreSQL database, or brings it up to date.

use std::path::PathBuf;

use clap::Args;
use pushroll_store_postgres::{Migrated, Migration, migrate};

use super::{Exit, complain, on_runtime};
use crate::settings::{Settings, Store};

/// Make the schema of a PostgreSQL database, or bring it up to date.
///
/// The database is the one of `[store]` in the settings. Run it once before the first server starts, and again
/// after the program was replaced by a newer one; several may run at once. Servers go on meanwhile.
///
/// A database has a fixed number of shards: parts that the work is divided into between servers, and the rows
/// between the database servers of a Citus cluster. 64 are right for up to some 30 servers.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// The settings file [default: pushroll.toml in the working directory, if it is there].
    #[arg(long, short, value_name = "FILE", env = "PUSHROLL_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,

    /// The number of shards of a new database, a power of two up to 4096 [default: 64].
    #[arg(long, value_name = "N")]
    shards: Option<u32>,

    /// Spread the shards over the servers of a Citus cluster.
    #[arg(long)]
    citus: bool,
}

/// Migrates.
pub(super) fn run(args: &MigrateArgs) -> Exit {
    let settings = match Settings::load(args.config.as_deref()) {
        Ok(settings) => settings,
        Err(faults) => {
            complain(&faults);
            return Exit::Usage;
        }
    };
    let Store::Postgres(store) = &settings.store else {
        complain(
            &"the settings name the embedded store, which brings itself up to date; store.kind = \"postgres\" is \
              what has a schema to migrate",
        );
        return Exit::Usage;
    };
    let migration = Migration { shards: args.shards, citus: args.citus };
    on_runtime(async {
        match migrate(&settings.postgres(store), migration).await {
            Ok(migrated) => {
                tell(&migrated, &settings.store);
                Exit::Done
            }
            Err(fault) => {
                complain(&fault);
                Exit::Store
            }
        }
    })
}

fn tell(migrated: &Migrated, store: &Store) {
    for migration in &migrated.applied {
        println!("applied {migration}");
    }
    let over = if migrated.citus { ", spread over a Citus cluster" } else { "" };
    println!("{store} is up to date: {} shards{over}", migrated.shards);
}
