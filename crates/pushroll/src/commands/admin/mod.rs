//! The commands that ask a running server through its admin API: tables for people, JSON for programs.

mod access;
mod app;
mod app_input;
mod app_output;
mod audit;
mod device;
mod org;
mod patience;
mod pick;
mod registration;
mod session;
mod stop;
mod table;
mod token;

pub(super) use access::ServerArgs;
pub(super) use app::{AppArgs, run as run_app};
pub(super) use app_output::last_answer;
pub(super) use audit::{AuditArgs, run as run_audit};
pub(super) use device::{DeviceArgs, run as run_device};
pub(super) use org::{OrgArgs, run as run_org};
pub(super) use patience::Patience;
pub(super) use pick::{App, pick_app};
pub(super) use registration::{RegistrationArgs, run as run_registration};
pub(super) use session::{Session, text, write};
pub(super) use stop::Stop;
pub(super) use table::Table;
pub(super) use token::{TokenArgs, run as run_token};

use std::path::{Path, PathBuf};

use super::{Exit, complain, on_runtime};

/// A file beside another, with more at the end of its name.
pub(super) fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    file.with_file_name(name)
}

/// Runs a command's work, and says on the screen why it did not succeed.
pub(super) fn run(work: impl Future<Output = Result<(), Stop>>) -> Exit {
    on_runtime(async {
        match work.await {
            Ok(()) => Exit::Done,
            Err(stop) => {
                if !stop.message.is_empty() {
                    complain(&stop.message);
                }
                stop.exit
            }
        }
    })
}
