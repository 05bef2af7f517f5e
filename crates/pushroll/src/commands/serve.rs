//! `pushroll serve`: the server as a process.

use std::path::PathBuf;

use clap::Args;
use tracing::{error, info, warn};

use super::signals::Signals;
use super::{Exit, complain, on_runtime, panics};
use crate::server::{Server, StartError};
use crate::settings::{LogFormat, Settings};
use crate::{logging, machine};

/// Run the server.
///
/// It listens on 127.0.0.1:8080 and keeps its data in ./pushroll-data unless the settings say otherwise.
/// Every setting may be given in the file and, over it, in the environment: `path` of `[store]` is
/// PUSHROLL_STORE__PATH.
///
/// SIGTERM and Ctrl-C stop it: it accepts nothing more, finishes what is in hand within
/// shutdown.deadline_seconds and exits with 0. A second signal ends it at once. Whatever was answered 202 is
/// carried on by the next start either way.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The settings file [default: pushroll.toml in the working directory, if it is there].
    #[arg(long, short, value_name = "FILE", env = "PUSHROLL_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
}

/// Serves until a signal comes or the server fails.
pub(super) fn run(args: &ServeArgs) -> Exit {
    let settings = match Settings::load(args.config.as_deref()) {
        Ok(settings) => settings,
        Err(faults) => {
            complain(&faults);
            return Exit::Usage;
        }
    };
    logging::start(&settings.log);
    machine::raise_open_files();
    on_runtime(serve(settings))
}

async fn serve(settings: Settings) -> Exit {
    let panicked = panics::watch();
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(cause) => {
            complain(&format_args!("signals can't be received: {cause}"));
            return Exit::Failed;
        }
    };
    info!(version = env!("CARGO_PKG_VERSION"), data = %settings.store, "starting");
    for variable in &settings.foreign_variables {
        warn!(variable, "there is no such setting; the variable is ignored");
    }
    let log_format = settings.log.format;
    let started = tokio::select! {
        started = Server::start(settings) => started,
        signal = signals.next() => {
            info!(signal, "stopped before it was ready");
            return Exit::Done;
        }
    };
    let server = match started {
        Ok(server) => server,
        Err(fault) => return refuse(&fault, log_format),
    };
    println!("pushroll is ready on {}", server.place());
    if server.admin_place() != server.place() {
        println!("administration and metrics are on {}", server.admin_place());
    }
    if let Some(file) = server.admin_token_file() {
        info!(file = %file.display(), "the admin token is in this file");
    }

    let exit = tokio::select! {
        signal = signals.next() => {
            info!(signal, "stopping");
            Exit::Done
        }
        () = panicked.cancelled() => Exit::Died,
        () = server.failed() => {
            error!("a part of the server has ended; stopping");
            Exit::Died
        }
    };
    tokio::select! {
        () = server.stop() => {}
        signal = signals.next() => {
            info!(signal, "ended at once");
            return Exit::Interrupted;
        }
    }
    // It may have panicked while it was stopping.
    if panicked.is_cancelled() { Exit::Died } else { exit }
}

/// Tells why there is no server, in the form that whoever reads the log expects.
fn refuse(fault: &StartError, format: LogFormat) -> Exit {
    match format {
        LogFormat::Human => complain(fault),
        LogFormat::Json => error!(cause = %fault, "can't start"),
    }
    fault.exit()
}
