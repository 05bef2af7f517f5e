//! stub
use clap::Args;
use super::Exit;
/// stub
#[derive(Debug, Args)]
pub struct SimulatorArgs {}
pub(super) fn run(_: &SimulatorArgs) -> Exit { Exit::Done }
