//! `pushroll config`: the settings, without a server.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use pushroll_providers::ProviderClients;
use pushroll_webhook::CallbackClient;
use serde_json::json;

use super::admin::{Stop, write};
use super::{Exit, admin};
use crate::machine::SystemClock;
use crate::settings::{Effective, Fault, Settings, SettingsError, SiblingSettings};
use crate::traces;

/// The settings: are they right, what is in force, what is there to set.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// See whether the settings are right. Every fault is told; the exit code is 64 if there is one.
    Check(Source),
    /// Show every setting in force, and where it was given. Of secrets nothing is shown.
    Show {
        #[command(flatten)]
        source: Source,
        /// Only those that were given.
        #[arg(long)]
        given: bool,
        /// Write JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Write the reference of all settings, in Markdown.
    Reference,
}

#[derive(Debug, Args)]
struct Source {
    /// The settings file [default: pushroll.toml in the working directory, if it is there].
    #[arg(long, short, value_name = "FILE", env = "PUSHROLL_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
}

pub(super) fn run(args: &ConfigArgs) -> Exit {
    admin::run(async {
        match &args.command {
            Command::Check(source) => {
                let given = check(source.config.as_deref())
                    .map_err(|faults| Stop::usage(faults.to_string()))?;
                write(&format!("The settings are right. {given} of them were given."))
            }
            Command::Show { source, given, json } => {
                let loaded = Settings::load_with_sources(source.config.as_deref());
                let (_, effective) = loaded.map_err(|faults| Stop::usage(faults.to_string()))?;
                let wanted = |one: &&Effective| !given || one.source.is_some();
                let effective: Vec<_> = effective.iter().filter(wanted).collect();
                write(&if *json { as_json(&effective) } else { as_toml(&effective) })
            }
            Command::Reference => write(&Settings::reference_page()),
        }
    })
}

/// Reads the settings as a server would, with the files that they name; how many were given. Must be called within
/// a tokio runtime.
///
/// # Errors
/// All that is wrong.
pub(super) fn check(file: Option<&Path>) -> Result<usize, SettingsError> {
    let (settings, effective) = Settings::load_with_sources(file)?;
    let faults = faults_of_parts(&settings);
    if !faults.is_empty() {
        return Err(SettingsError(faults));
    }
    Ok(effective.iter().filter(|one| one.source.is_some()).count())
}

/// What only those find wrong who work with the settings.
fn faults_of_parts(settings: &Settings) -> Vec<Fault> {
    let SiblingSettings { providers, callbacks, .. } = settings.for_siblings();
    let mut faults = Vec::new();
    if let Err(found) = ProviderClients::new(&providers, Arc::new(SystemClock)) {
        faults.push(Fault { source: "[providers]".to_owned(), message: found.to_string() });
    }
    if let Err(found) = CallbackClient::new(callbacks) {
        faults.push(Fault { source: "[callbacks]".to_owned(), message: found.to_string() });
    }
    if let Err(found) = traces::check(&settings.traces) {
        faults.push(Fault { source: "[traces]".to_owned(), message: found.to_string() });
    }
    faults
}

fn as_json(effective: &[&Effective]) -> String {
    let items: Vec<_> = effective
        .iter()
        .map(|one| {
            let value = (!one.written.is_empty()).then_some(&one.written);
            json!({"section": one.section, "key": one.key, "value": value, "source": one.source})
        })
        .collect();
    format!("{:#}", json!(items))
}

/// As a settings file would have it.
fn as_toml(effective: &[&Effective]) -> String {
    let mut text = String::new();
    let mut section = "";
    for one in effective {
        if one.section != section {
            section = &one.section;
            let _ = write!(text, "\n[{section}]\n");
        }
        let source = one.source.as_deref().unwrap_or("default");
        let _ = match one.written.as_str() {
            "" => writeln!(text, "# {} is not set", one.key),
            written => writeln!(text, "{} = {written}  # {source}", one.key),
        };
    }
    text.trim_start().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_reads_back_as_a_settings_file() {
        let settings = |text: &str| {
            let file = Path::new("x.toml");
            Settings::parse(Some((file, text)), std::iter::empty())
        };
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pushroll.toml");
        std::fs::write(&file, "[limits]\nbody_bytes = 4096\n").unwrap();
        let (_, effective) = Settings::load_with_sources(Some(&file)).unwrap();
        let shown = as_toml(&effective.iter().collect::<Vec<_>>());
        assert!(shown.contains("limits.body_bytes"), "{shown}");
        assert_eq!(settings(&shown).unwrap().limits.body_bytes, 4096);
    }

    #[tokio::test]
    async fn a_file_that_the_settings_name_must_be_there() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pushroll.toml");
        std::fs::write(&file, "[providers]\nca_file = '/nowhere/ca.pem'\n").unwrap();
        let faults = check(Some(&file)).unwrap_err().to_string();
        assert!(faults.contains("/nowhere/ca.pem"), "{faults}");
        let traces =
            "[traces]\nendpoint = 'http://127.0.0.1:1'\nheaders_file = '/nowhere/headers'\n";
        std::fs::write(&file, traces).unwrap();
        let faults = check(Some(&file)).unwrap_err().to_string();
        assert!(faults.contains("/nowhere/headers"), "{faults}");
        std::fs::write(&file, "listen = '127.0.0.1:0'\n").unwrap();
        assert_eq!(check(Some(&file)).unwrap(), 1);
    }
}
