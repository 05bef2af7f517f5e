//! stub
use clap::Args;
use super::Exit;
/// stub
#[derive(Debug, Args)]
pub struct DemoArgs {}
pub(super) fn run(_: &DemoArgs) -> Exit { Exit::Done }
