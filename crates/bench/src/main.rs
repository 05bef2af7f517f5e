//! Measures Pushroll side by side with what it is built on: in one run, on one machine, with one load.
//!
//! The servers run as processes of their own, so that what they use is told apart from what the load
//! generator uses. Ratios are what counts; absolute figures belong to the machine.

mod alone;
mod client;
mod counted;
mod data;
mod load;
mod long;
mod measure;
mod report;
mod requests;
mod servers;
mod side_by_side;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use measure::How;
use report::{Parts, Place};
use side_by_side::Part;

/// What the server has, too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Pushroll side by side with what it is built on, in one run and with the same load.
///
/// Without a command everything is measured that takes minutes; the commands measure what takes longer.
/// Each prints the report of all that was measured so far, and writes it to DIR/report.md and
/// DIR/report.json (see --out) with plots beside it.
#[derive(Debug, Parser)]
#[command(name = "pushroll-bench", max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    how: How,
    /// Takes a minute in all, and forgets what was measured before
    #[arg(long)]
    quick: bool,
    /// Measures only these parts
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// Where the report is written
    #[arg(long, global = true, default_value = "target/bench", value_name = "DIR")]
    out: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Puts millions of devices into a store, or registers them through the API
    Load(long::fill::Options),
    #[command(flatten)]
    Long(long::Command),
    /// Everything that there is, one after the other: hours
    All,
    #[command(hide = true)]
    Bare(servers::bare::Options),
    #[command(hide = true)]
    Receive(servers::receiver::Options),
    #[command(hide = true)]
    Simulate(servers::simulator::Options),
    #[command(hide = true)]
    AloneStore(alone::store::Options),
    #[command(hide = true)]
    AloneProvider(alone::provider::Options),
    #[command(hide = true)]
    Counted(counted::Options),
}

fn main() -> ExitCode {
    // Among the servers that this program can be is the measured one.
    if std::env::args().nth(1).is_some_and(|command| command == "serve") {
        return pushroll::commands::run().into();
    }
    match begin(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("pushroll-bench: {fault:#}");
            ExitCode::FAILURE
        }
    }
}

fn begin(arguments: Arguments) -> anyhow::Result<()> {
    if let Some(Command::Counted(options)) = &arguments.command {
        return counted::run(options);
    }
    servers::open_as_many_files_as_may_be()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(arguments))
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { how, quick, only, out, command } = arguments;
    let place = Place(out);
    let command = match command {
        Some(Command::Bare(options)) => return servers::bare::run(options).await,
        Some(Command::Receive(options)) => return servers::receiver::run(options).await,
        Some(Command::Simulate(options)) => return servers::simulator::run(options).await,
        Some(Command::AloneStore(options)) => return alone::store::run(options).await,
        Some(Command::AloneProvider(options)) => return alone::provider::run(options).await,
        Some(Command::Load(options)) => return long::fill::run(&how, &options).await,
        Some(Command::All) => return all(how, place).await,
        Some(Command::Counted(_)) | None => None,
        Some(Command::Long(command)) => Some(command),
    };
    let mut parts = if quick { Parts::default() } else { place.last_parts() };
    match command {
        None => side_by_side::measure(&how, quick, &only, &mut parts).await?,
        Some(command) => command.measure(&how, &mut parts).await?,
    }
    println!("{}", place.write(parts)?);
    Ok(())
}

/// Everything, each as its command measures it by default; the report is written after each.
async fn all(how: How, place: Place) -> anyhow::Result<()> {
    let mut parts = place.last_parts();
    side_by_side::measure(&how, false, &[], &mut parts).await?;
    place.write(parts)?;
    for name in ["overload", "start-up", "growth", "soak"] {
        let parsed = Arguments::try_parse_from(["pushroll-bench", name])?;
        let Some(Command::Long(command)) = parsed.command else { continue };
        let mut parts = place.last_parts();
        command.measure(&how, &mut parts).await?;
        place.write(parts)?;
    }
    println!("{}", place.write(place.last_parts())?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
