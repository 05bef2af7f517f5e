//! The program as a child process: started, killed and stopped by its id, its output kept and shown
//! when a test fails. None is left behind, even if the test panics.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use pushroll_testkit::within;
use rustix::process::{Pid, Signal, kill_process};

/// How much of the output is shown when a test fails.
const SHOWN_LINES: usize = 60;

pub struct Process {
    child: Child,
    output: PathBuf,
}

/// Proxies that nobody is behind. Those of the environment must make no difference: with these, no
/// provider would ever be reached.
const DEAD_PROXY: &str = "http://127.0.0.1:9";

/// The program, to be given arguments. The environment of the test is no setting.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pushroll"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PUSHROLL_") {
            command.env_remove(name);
        }
    }
    for name in ["http_proxy", "https_proxy", "all_proxy"] {
        command.env(name, DEAD_PROXY).env(name.to_uppercase(), DEAD_PROXY);
    }
    command.env_remove("no_proxy").env_remove("NO_PROXY");
    command
}

impl Process {
    /// Starts the command; what it says is added to the file `output`.
    pub fn start(command: &mut Command, output: &Path) -> Self {
        let open = || -> File {
            OpenOptions::new().create(true).append(true).open(output).expect("a file for output")
        };
        command.stdin(Stdio::null()).stdout(open()).stderr(open());
        let child = command.spawn().expect("the program");
        Self { child, output: output.to_owned() }
    }

    pub fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// kill -9, and waits until it is gone.
    pub fn kill(&mut self) -> ExitStatus {
        self.child.kill().expect("a process of ours");
        self.child.wait().expect("a process of ours")
    }

    /// SIGTERM.
    pub fn ask_to_stop(&self) {
        kill_process(self.id(), Signal::TERM).expect("a process that runs");
    }

    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a process of ours")
    }

    /// How it ended; it must within this time.
    pub async fn end_within(&mut self, deadline: Duration) -> ExitStatus {
        within(deadline, "the process ends", async || self.has_ended()).await
    }

    /// Everything that it has said, and those before it with the same file.
    pub fn output(&self) -> String {
        let bytes = std::fs::read(&self.output).expect("the output");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Runs `work` while every thread of the process stands still.
    pub async fn while_frozen<T>(&self, work: impl AsyncFnOnce() -> T) -> T {
        kill_process(self.id(), Signal::STOP).expect("a process that runs");
        let frozen = async || self.thread_states().iter().all(|state| *state == 'T').then_some(());
        within(Duration::from_secs(30), "every thread stands still", frozen).await;
        let result = work().await;
        kill_process(self.id(), Signal::CONT).expect("a process that stands still");
        result
    }

    /// The state of each thread as /proc/PID/task/TID/stat has it: after the name in brackets.
    fn thread_states(&self) -> Vec<char> {
        let tasks = format!("/proc/{}/task", self.child.id());
        let entries = std::fs::read_dir(tasks).expect("the threads of a process that runs");
        entries
            .flatten()
            // A thread may end in between.
            .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok())
            .filter_map(|stat| stat.rsplit_once(") ")?.1.chars().next())
            .collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let output = std::fs::read(&self.output).unwrap_or_default();
            let output = String::from_utf8_lossy(&output);
            let lines: Vec<&str> = output.lines().collect();
            let shown = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
            eprintln!("--- the end of {}:\n{}\n---", self.output.display(), shown.join("\n"));
        }
    }
}
