//! `pushroll completions`

use std::io::Write as _;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::admin::Stop;
use super::{CommandLine, Exit, admin};

/// Write a script that completes the command line in your shell.
///
/// bash: pushroll completions bash > /etc/bash_completion.d/pushroll
///
/// zsh: pushroll completions zsh > "${fpath[1]}/_pushroll"
///
/// fish: pushroll completions fish > ~/.config/fish/completions/pushroll.fish
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> Exit {
    admin::run(async {
        let mut script = Vec::new();
        clap_complete::generate(args.shell, &mut CommandLine::command(), "pushroll", &mut script);
        let written = std::io::stdout().lock().write_all(&script);
        written.map_err(|cause| Stop::unwritable(&"the script", &cause))
    })
}
