//! The command line.

mod backup;
mod callback;
mod demo;
mod key;
mod panics;
mod serve;
mod signals;
mod simulator;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// How the process ends. The codes are those of sysexits.h where it has a fitting one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All went well; also after SIGTERM and Ctrl-C.
    Done,
    /// Something failed that has no code of its own; an outcome of the demo was not the expected one.
    Failed,
    /// The command line or the settings are wrong.
    Usage,
    /// The address can't be listened on.
    Listen,
    /// A part of the server died: a fault of the program.
    Died,
    /// The store can't be opened, read or written.
    Store,
    /// Another process has the data directory.
    InUse,
    /// The sealing key is missing or another than the store's, or the admin token can't be read.
    Secrets,
    /// A second signal came while the server was stopping, or one before the demo was through.
    Interrupted,
}

impl Exit {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 64,
            Self::Listen => 69,
            Self::Died => 70,
            Self::Store => 74,
            Self::InUse => 75,
            Self::Secrets => 78,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

const EXIT_CODES: &str = "\
Exit codes:
  0    all went well; also after SIGTERM and Ctrl-C
  1    something failed; an outcome of the demo was not the expected one
  64   the command line or the settings are wrong; every fault is told
  69   the address can't be listened on
  70   a part of the server died
  74   the store can't be opened, read or written
  75   another process has the data directory
  78   the sealing key is missing or not the store's, or the admin token can't be read
  130  a second signal came while the server was stopping, or one before the demo was through";

/// The device roll for push notifications: registers devices, proves every token with Apple or Google
/// before it is stored, tells the caller how it went, and keeps the roll clean.
#[derive(Debug, Parser)]
#[command(name = "pushroll", version, after_help = EXIT_CODES, max_term_width = 100)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    Simulator(simulator::SimulatorArgs),
    Demo(demo::DemoArgs),
    Callback(callback::CallbackArgs),
    Backup(backup::BackupArgs),
    Key(key::KeyArgs),
}

/// Runs the command that the command line asks for.
#[must_use]
pub fn run() -> Exit {
    let command = match CommandLine::try_parse() {
        Ok(line) => line.command,
        Err(fault) => {
            // `--help` and `--version` come this way too.
            let _ = fault.print();
            return if fault.use_stderr() { Exit::Usage } else { Exit::Done };
        }
    };
    match command {
        Command::Serve(args) => serve::run(&args),
        Command::Simulator(args) => simulator::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Callback(args) => callback::run(&args),
        Command::Backup(args) => backup::run(&args),
        Command::Key(args) => key::run(&args),
    }
}

/// Runs a command's work on a runtime with a thread for each core.
fn on_runtime(work: impl Future<Output = Exit>) -> Exit {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => {
            eprintln!("pushroll: threads can't be started: {cause}");
            return Exit::Failed;
        }
    };
    let exit = runtime.block_on(work);
    // What is left has been told to stop, and nobody waits for it.
    runtime.shutdown_background();
    exit
}

/// Tells on the screen why a command can't go on.
fn complain(fault: &dyn std::fmt::Display) {
    eprintln!("pushroll: {fault}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn every_exit_code_is_in_the_help() {
        for exit in [
            Exit::Done,
            Exit::Failed,
            Exit::Usage,
            Exit::Listen,
            Exit::Died,
            Exit::Store,
            Exit::InUse,
            Exit::Secrets,
            Exit::Interrupted,
        ] {
            let line = format!("  {:<5}", exit.code());
            assert!(EXIT_CODES.lines().any(|l| l.starts_with(&line)), "{exit:?}");
        }
    }
}
