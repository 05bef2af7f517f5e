//! The servers that are measured, as processes of their own, so that what they use is told apart from
//! what the load generator uses.

pub mod bare;
pub mod pushroll;
pub mod receiver;
pub mod simulator;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::net::TcpStream;

use crate::usage::{self, Usage};

/// How long a server may take until it listens.
const STARTS_WITHIN: Duration = Duration::from_secs(120);
/// How long a server may take to stop when it is asked to.
const STOPS_WITHIN: Duration = Duration::from_secs(120);
const LOOKS_EVERY: Duration = Duration::from_millis(5);

/// A process that ends with this value.
pub struct Process {
    child: Child,
    /// The port on which it listens.
    pub port: u16,
    /// How long it took until it listened.
    pub started_in: Duration,
}

impl Process {
    /// Starts a program, on one core if there is one given, and waits until it listens on its port.
    pub async fn start(
        program: &Path,
        arguments: &[&str],
        port: u16,
        core: Option<usize>,
    ) -> anyhow::Result<Self> {
        let since = Instant::now();
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        let child = spawn_on(core, &mut command)
            .with_context(|| format!("can't start {}", program.display()))?;
        let mut process = Self { child, port, started_in: Duration::ZERO };
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if let Some(status) = process.child.try_wait()? {
                bail!("{} ended with {status} before it listened", program.display());
            }
            if since.elapsed() > STARTS_WITHIN {
                bail!("{} does not listen on port {port}", program.display());
            }
            tokio::time::sleep(LOOKS_EVERY).await;
        }
        process.started_in = since.elapsed();
        Ok(process)
    }

    /// What it has used so far.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        usage::of_process(self.child.id())
    }

    /// Stops it in good order, and says how long that took.
    pub async fn stop(mut self) -> anyhow::Result<Duration> {
        let since = Instant::now();
        let pid = Pid::from_raw(i32::try_from(self.child.id())?).context("no process id")?;
        kill_process(pid, Signal::TERM)?;
        while self.child.try_wait()?.is_none() {
            if since.elapsed() > STOPS_WITHIN {
                bail!("process {} does not stop", self.child.id());
            }
            tokio::time::sleep(LOOKS_EVERY).await;
        }
        Ok(since.elapsed())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a process whose threads stay on one core: it inherits that from the thread that starts it.
fn spawn_on(core: Option<usize>, command: &mut Command) -> anyhow::Result<Child> {
    let Some(core) = core else { return Ok(command.spawn()?) };
    let before = sched_getaffinity(None)?;
    stay_on(core)?;
    let child = command.spawn();
    sched_setaffinity(None, &before)?;
    Ok(child?)
}

/// Keeps the calling thread on one core.
pub fn stay_on(core: usize) -> anyhow::Result<()> {
    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only).with_context(|| format!("core {core} can't be used alone"))
}

/// Raises the limit of open files of this process, and of those that it starts, as far as it goes.
pub fn open_as_many_files_as_may_be() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    Ok(())
}

/// A port that was free a moment ago.
///
/// Below those from which outgoing connections take theirs, of which a load generator makes thousands: one of
/// these could take it before the server has it.
pub fn free_port() -> anyhow::Result<u16> {
    const PORTS: std::ops::Range<u32> = 12_000..32_000;
    static TRIED: AtomicU32 = AtomicU32::new(0);
    // Other runs beside this one begin elsewhere.
    let first = std::process::id().wrapping_mul(101);
    for _ in PORTS {
        let next = first.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(PORTS.start + next % (PORTS.end - PORTS.start))?;
        if std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port from {} to {} is free", PORTS.start, PORTS.end - 1)
}

/// This program, which is also every server that the measured one is compared with.
pub async fn start_own(
    arguments: &[&str],
    port: u16,
    core: Option<usize>,
) -> anyhow::Result<Process> {
    Process::start(&std::env::current_exe()?, arguments, port, core).await
}
