//! The command line against a running server, as people and their scripts use it: the program itself, its output
//! and its exit codes.

mod administration;
mod audit;
mod completions;
mod config;
mod developer_information;
mod doctor;
mod export;
mod import;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};

use pushroll_testkit::Host;
use serde_json::Value;
use tokio::process::Command;

/// What a command said, and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// What it said, when it ended with this code.
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "out: {}\nerr: {}", self.out, self.err);
        self
    }

    /// What it wrote for programs, when all went well.
    #[track_caller]
    pub fn json(self) -> Value {
        let Self { out, .. } = self.ended(0);
        serde_json::from_str(&out).unwrap_or_else(|fault| panic!("{fault}: {out}"))
    }
}

/// The program, to be given arguments. The environment of the test is no setting.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pushroll"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PUSHROLL_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs a command to its end.
pub async fn run(command: &mut Command) -> Said {
    let output = command.output().await.expect("the program");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output that is text");
    let code = output.status.code().expect("an end that is no signal");
    Said { code, out: text(output.stdout), err: text(output.stderr) }
}

/// Whoever administers a server from the command line.
pub struct Operator {
    url: String,
    token_file: PathBuf,
    directory: PathBuf,
}

impl Operator {
    pub fn of(host: &Host) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let token_file = host.dir().join(format!("token-of-operator-{number}"));
        pushroll::private_file::write(
            &token_file,
            host.admin_token().as_bytes(),
            pushroll::private_file::Readable::ByOwner,
        )
        .expect("a file");
        let url = format!("http://{}", host.client().address());
        Self { url, token_file, directory: host.dir().to_owned() }
    }

    /// The program with what lets it in.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = program();
        command.args(arguments).arg("--url").arg(&self.url);
        command.arg("--admin-token-file").arg(&self.token_file);
        command.current_dir(&self.directory);
        command
    }

    /// Runs a command.
    pub async fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Said {
        run(&mut self.command(arguments)).await
    }

    /// Runs a command that writes for programs.
    pub async fn json<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Value {
        run(self.command(arguments).arg("--json")).await.json()
    }

    pub fn url(&self) -> &str {
        &self.url
    }
}

/// A path as an argument.
pub fn arg(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}
