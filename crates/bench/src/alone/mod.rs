//! The parts by themselves, each in a process of its own: the store, the disk, the provider client.
//! Each prints what it measured as JSON, for the process that compares.

pub mod disk;
pub mod h2load;
pub mod provider;
pub mod store;

use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde::de::DeserializeOwned;

/// Runs a command of this program to its end, and reads what it printed.
pub async fn run_own<T: DeserializeOwned>(arguments: &[String]) -> anyhow::Result<T> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    ensure!(output.status.success(), "{} ended with {}", arguments.join(" "), output.status);
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{} printed something odd", arguments.join(" ")))
}
