//! The command line.

mod admin;
mod backup;
mod callback;
mod completions;
mod config;
mod demo;
mod device_export;
mod device_import;
mod doctor;
mod exit;
mod key;
mod migrate;
mod moving;
mod panics;
mod serve;
mod signals;
mod simulator;

use clap::{Parser, Subcommand};

use exit::EXIT_CODES;
pub use exit::Exit;

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
    Migrate(migrate::MigrateArgs),
    Simulator(simulator::SimulatorArgs),
    Demo(demo::DemoArgs),
    Callback(callback::CallbackArgs),
    Backup(backup::BackupArgs),
    Export(moving::ExportArgs),
    Import(moving::ImportArgs),
    Key(key::KeyArgs),
    Org(admin::OrgArgs),
    App(Box<admin::AppArgs>),
    Token(admin::TokenArgs),
    Device(Box<admin::DeviceArgs>),
    Registration(admin::RegistrationArgs),
    Audit(admin::AuditArgs),
    Doctor(doctor::DoctorArgs),
    Config(config::ConfigArgs),
    Completions(completions::CompletionsArgs),
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
        Command::Migrate(args) => migrate::run(&args),
        Command::Simulator(args) => simulator::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Callback(args) => callback::run(&args),
        Command::Backup(args) => backup::run(&args),
        Command::Export(args) => moving::run_export(&args),
        Command::Import(args) => moving::run_import(&args),
        Command::Key(args) => key::run(&args),
        Command::Org(args) => admin::run_org(&args),
        Command::App(args) => admin::run_app(&args),
        Command::Token(args) => admin::run_token(&args),
        Command::Device(args) => admin::run_device(&args),
        Command::Registration(args) => admin::run_registration(&args),
        Command::Audit(args) => admin::run_audit(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Completions(args) => completions::run(&args),
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
}
