//! `pushroll export` and `pushroll import`: everything from one store to another.

mod screen;

use std::path::{Path, PathBuf};

use clap::Args;
use pushroll_domain::{Clock as _, MovingView};
use serde_json::{Value, json};

use super::{Exit, complain, on_runtime};
use crate::machine::SystemClock;
use crate::moving::{
    self, Content, ExportError, Exported, FileFault, Header, Import, ImportError, Imported,
    OpenFault, Output, Source,
};
use crate::settings::Settings;
use crate::times::rfc3339;
use screen::Screen;

/// What stands for standard output or input.
const STANDARD: &str = "-";

/// Write everything that a store holds to a file, to be imported into another store of either kind.
///
/// Organizations, apps with their sealed credentials, tokens' hashes, devices, pending registrations, outcomes, callbacks
/// that wait, the delivery logs and the audit list: all that `pushroll import` needs for another server to go on where this one
/// stopped. Nothing in it is unsealed, and the sealing key is left out; but device tokens and users are in it, so keep it
/// as you keep the data. It is NDJSON, and ends with counts and digests.
///
/// Stop the servers first: what they answer afterwards is not in the export. FILE is there when it is whole; before that
/// it is FILE.part. Interrupted, it goes on with --resume as long as no server and no other command that may write was started
/// since. To compress it, have it written to standard output: pushroll export - | zstd > FILE.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The file to make, or - for standard output.
    #[arg(value_name = "FILE", required_unless_present = "digest_only")]
    file: Option<PathBuf>,
    /// The settings file of the server [default: pushroll.toml in the working directory, if it is there].
    #[arg(long, short, value_name = "FILE", env = "PUSHROLL_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Go on with FILE.part. Nothing may have changed since: on PostgreSQL, nobody may have been at the database who
    /// could change anything, and not with --live.
    #[arg(long, conflicts_with = "digest_only")]
    resume: bool,
    /// Export a PostgreSQL database while servers work on it, as it is at this moment. It can't be resumed.
    #[arg(long)]
    live: bool,
    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
    /// Write nothing; tell counts and digest, which are the same for every store with the same content.
    #[arg(long, conflicts_with = "file")]
    digest_only: bool,
    /// Write the report for programs.
    #[arg(long)]
    json: bool,
}

/// Read everything from a file that `pushroll export` made into an empty store of either kind.
///
/// The store is the one of the settings. A data directory is made; a database must have been made with pushroll migrate.
/// The sealing key must be that of the store that was exported. In the end everything is read again and compared with the
/// file, and only then servers start on it: pending registrations and callbacks go on where they were.
///
/// Interrupted, for whatever reason, the same command goes on where it was. Imported again, the same file changes
/// nothing. A compressed file is read from standard input: zstd -dc FILE | pushroll import -
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The file, or - for standard input.
    file: PathBuf,
    /// The settings file of the server [default: pushroll.toml in the working directory, if it is there].
    #[arg(long, short, value_name = "FILE", env = "PUSHROLL_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Do not read everything again in the end.
    #[arg(long)]
    no_verify: bool,
    /// Write the report for programs.
    #[arg(long)]
    json: bool,
}

pub(super) fn run_export(args: &ExportArgs) -> Exit {
    let settings = match Settings::load(args.config.as_deref()) {
        Ok(settings) => settings,
        Err(faults) => {
            complain(&faults);
            return Exit::Usage;
        }
    };
    let output = match &args.file {
        None => None,
        Some(file) if file.as_os_str() == STANDARD => {
            if args.resume {
                complain(&"what went to standard output can't be resumed: name a file");
                return Exit::Usage;
            }
            Some(Output::Stdout)
        }
        Some(file) if file.exists() && !args.force => {
            complain(&format_args!("{} is there already: replace it with --force", file.display()));
            return Exit::Usage;
        }
        Some(file) => Some(Output::File { path: file.clone(), resume: args.resume }),
    };
    on_runtime(export(&settings, args, output))
}

async fn export(settings: &Settings, args: &ExportArgs, output: Option<Output>) -> Exit {
    let source = match Source::open(settings, args.live).await {
        Ok(source) => source,
        Err(fault) => {
            complain(&fault);
            return exit_of_open(&fault);
        }
    };
    let now = SystemClock.now();
    let view = MovingView {
        ended_after: now.minus(settings.outcomes.retention),
        logged_per_app: settings.callbacks.logged_per_app,
        audited: settings.audit.entries,
    };
    let screen = Screen::new();
    let exported = match &output {
        None => {
            let estimate = source.estimate().await;
            let content =
                moving::digest(source.records(), view, estimate, "reading", &screen).await;
            content
                .map(|content| Exported { content, resumed_after: 0 })
                .map_err(ExportError::Store)
        }
        Some(output) => {
            let keys = match source.sealing_keys().await {
                Ok(keys) => keys.iter().map(ToString::to_string).collect(),
                Err(fault) => {
                    complain(&fault);
                    return Exit::Store;
                }
            };
            moving::export(&source, Header::of_now(&source, keys, now, view), output, &screen).await
        }
    };
    screen.clear();
    match exported {
        Ok(exported) => {
            tell_export(&exported, output.as_ref(), args.json);
            Exit::Done
        }
        Err(fault) => {
            complain(&fault);
            match fault {
                ExportError::Store(_) | ExportError::Write { .. } => Exit::Store,
                ExportError::Resume { .. } => Exit::Data,
            }
        }
    }
}

fn exit_of_open(fault: &OpenFault) -> Exit {
    match fault {
        OpenFault::InUse(_) | OpenFault::Serving { .. } => Exit::InUse,
        OpenFault::NoStore { .. }
        | OpenFault::Embedded(_)
        | OpenFault::Postgres(_)
        | OpenFault::Store(_) => Exit::Store,
    }
}

fn tell_export(exported: &Exported, output: Option<&Output>, json: bool) {
    let content = &exported.content;
    let (to_stdout, file) = match output {
        None => (false, None),
        Some(Output::Stdout) => (true, None),
        Some(Output::File { path, .. }) => (false, Some(path.as_path())),
    };
    if json {
        let report = json!({
            "records": content.records(),
            "kinds": kinds(content),
            "content": content.digest(),
            "file": file,
            "resumed_after": exported.resumed_after,
        });
        return say(to_stdout, &report.to_string());
    }
    let mut text = table(content);
    if let Some(file) = file {
        text += &format!(
            "\nEverything is in {}. The sealing key is not in it: the store that it is imported into needs the same.",
            file.display()
        );
    }
    say(to_stdout, &text);
}

/// The report goes to standard error if the export itself goes to standard output.
fn say(to_stderr: bool, text: &str) {
    if to_stderr { eprintln!("{text}") } else { println!("{text}") }
}

fn kinds(content: &Content) -> Value {
    content
        .kinds()
        .into_iter()
        .map(|of| (of.kind, json!(of.count)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn table(content: &Content) -> String {
    let mut text = String::new();
    for of in content.kinds() {
        text += &format!("{:>12}  {}\n", of.count, of.kind);
    }
    text + &format!("{:>12}  records, content {}", content.records(), content.digest())
}

pub(super) fn run_import(args: &ImportArgs) -> Exit {
    let settings = match Settings::load(args.config.as_deref()) {
        Ok(settings) => settings,
        Err(faults) => {
            complain(&faults);
            return Exit::Usage;
        }
    };
    let file = Some(args.file.as_path()).filter(|file| file.as_os_str() != STANDARD);
    on_runtime(import(&settings, args, file))
}

async fn import(settings: &Settings, args: &ImportArgs, file: Option<&Path>) -> Exit {
    let screen = Screen::new();
    let import = Import { settings, file, verify: !args.no_verify, now: SystemClock.now() };
    let imported = moving::import(import, &screen).await;
    screen.clear();
    match imported {
        Ok(imported) => {
            tell_import(&imported, settings, args.json);
            Exit::Done
        }
        Err(fault) => {
            complain(&fault);
            match &fault {
                ImportError::File { fault: FileFault::Read(_), .. } => Exit::NoInput,
                ImportError::File { .. } | ImportError::OtherFile { .. } => Exit::Data,
                ImportError::Open(fault) => exit_of_open(fault),
                ImportError::Key(_) => Exit::Secrets,
                ImportError::NotEmpty { .. } | ImportError::Differs { .. } => Exit::Failed,
                ImportError::Store(_) => Exit::Store,
            }
        }
    }
}

fn tell_import(imported: &Imported, settings: &Settings, json: bool) {
    let content = imported.content.as_ref();
    if json {
        let report = json!({
            "export": imported.export,
            "records": content.map(Content::records),
            "kinds": content.map(kinds),
            "content": content.map(Content::digest),
            "resumed_after": imported.resumed_after,
            "verified": imported.verified,
            "imported_before": imported.before.map(rfc3339),
        });
        println!("{report}");
        return;
    }
    let Some(content) = content else {
        let at = imported.before.map(rfc3339).unwrap_or_default();
        println!(
            "This export was imported into {} before, at {at}. Nothing was changed.",
            settings.store
        );
        return;
    };
    let checked =
        if imported.verified { ", and was read again: it is what was exported" } else { "" };
    println!(
        "{}\nEverything is in {}{checked}. Servers may start.",
        table(content),
        settings.store
    );
}
