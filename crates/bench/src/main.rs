//! Measures Pushroll side by side with what it is built on: in one run, on one machine, with one load.
//!
//! The servers run as processes of their own, so that their CPU time is told apart from the load
//! generator's. Ratios are what counts; absolute figures belong to the machine.

mod accept;
mod bare;
mod load;
mod process;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "pushroll-bench",
    about = "Measures Pushroll side by side with what it is built on"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Accepts registrations durably, beside a bare hyper server that parses and answers 202.
    Accept(accept::Options),
    /// The bare hyper server by itself (started by the other commands).
    #[command(hide = true)]
    Bare(bare::Options),
}

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match Arguments::parse().command {
        Command::Accept(options) => runtime.block_on(accept::run(options)),
        Command::Bare(options) => runtime.block_on(bare::run(options)),
    }
}
