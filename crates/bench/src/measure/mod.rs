//! What is measured side by side, in one run and with one load generator.

pub mod accept;
pub mod callbacks;
pub mod end_to_end;
pub mod parts_alone;
pub mod queries;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::load::{self, Figures, Pace, Plan, Quantiles, Source};
use crate::requests::{Account, Numbers};
use crate::servers::Process;
use crate::servers::pushroll::Setup;
use crate::servers::simulator::{self, Providers};
use crate::usage::Used;

/// How everything is measured.
#[derive(Debug, Clone, clap::Args)]
pub struct How {
    /// Connections, each with one request under way
    #[arg(long, global = true, default_value_t = 64)]
    pub connections: usize,
    /// Seconds of each measured load
    #[arg(long, global = true, default_value_t = 5.0)]
    pub seconds: f64,
    /// How often each comparison is made; the median counts
    #[arg(long, global = true, default_value_t = 3)]
    pub runs: usize,
    /// Threads of the load generator
    #[arg(long, global = true, default_value_t = 1)]
    pub threads: usize,
    /// Where the data directories are made: their disk is part of what is measured
    #[arg(long, global = true, default_value = "target")]
    pub dir: PathBuf,
    /// The measured program; by default this one, which holds the same server
    #[arg(long, global = true)]
    pub program: Option<PathBuf>,
}

/// The place where servers are measured: a directory and a simulator.
pub struct Stage {
    /// How everything is measured.
    pub how: How,
    /// The simulator.
    pub providers: Providers,
    dir: PathBuf,
    /// The directory, where it is to be removed at the end.
    _temporary: Option<TempDir>,
}

impl Stage {
    /// Makes a directory, which is removed at the end, and starts the simulator.
    pub async fn set(how: &How) -> anyhow::Result<Self> {
        Self::set_on(how, None).await
    }

    /// The same with the simulator on one core.
    pub async fn set_on(how: &How, core: Option<usize>) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&how.dir)?;
        let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(&how.dir)?;
        let stage = Self::at(how, dir.path(), core).await?;
        Ok(Self { _temporary: Some(dir), ..stage })
    }

    /// In a directory that stays.
    pub async fn at(how: &How, dir: &Path, core: Option<usize>) -> anyhow::Result<Self> {
        let dir = dir.canonicalize()?;
        let providers = dir.join("simulator");
        std::fs::create_dir_all(&providers)?;
        let providers = simulator::start(&providers, core).await?;
        Ok(Self { how: how.clone(), providers, dir, _temporary: None })
    }

    /// An empty directory of this name.
    pub fn place(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.dir.join(name);
        if path.exists() {
            std::fs::remove_dir_all(&path)?;
        }
        std::fs::create_dir(&path)?;
        Ok(path)
    }

    /// A server on an empty data directory.
    pub fn server(&self, name: &str) -> anyhow::Result<Setup> {
        Ok(Setup::new(self.how.program.as_deref(), &self.place(name)?))
    }

    /// How long each load is.
    pub fn span(&self) -> Duration {
        Duration::from_secs_f64(self.how.seconds)
    }

    /// A closed loop against a server.
    pub fn closed(&self, port: u16) -> Plan {
        let connections = self.how.connections;
        let span = self.span();
        Plan { port, connections, pace: Pace::Closed, span, gives_up: None, core: None }
    }

    /// For each thread of the generator its part of the numbers from here on.
    pub fn numbers(&self, from: u64) -> Vec<Numbers> {
        self.numbers_until(from, u64::MAX)
    }

    /// The same of the numbers below this.
    pub fn numbers_until(&self, from: u64, until: u64) -> Vec<Numbers> {
        Numbers::parts(from..until, self.how.threads)
    }
}

/// A load on a server, and what it took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measured {
    /// What was asked.
    pub what: String,
    /// Whom.
    pub server: String,
    /// Registrations, or whatever is asked for, a second.
    pub per_second: f64,
    /// How many in all.
    pub items: u64,
    /// Requests that were refused or failed.
    pub not_accepted: u64,
    /// Latencies of requests.
    pub latencies: Quantiles,
    /// CPU time of the generator for each item, in microseconds: as many seconds a million.
    pub generator_cpu_micros: f64,
    /// CPU time of the server for each item, in microseconds.
    pub server_cpu_micros: f64,
    /// What the server used in all.
    pub used: Used,
}

impl Measured {
    /// Puts together what the generator saw and what the server used.
    pub fn new(what: &str, server: &str, figures: &Figures, used: Used, batch: usize) -> Self {
        let items = figures.accepted * batch as u64;
        Self {
            what: what.to_owned(),
            server: server.to_owned(),
            per_second: figures.rate() * batch as f64,
            items,
            not_accepted: figures.refused + figures.failed,
            latencies: figures.latencies.quantiles(),
            generator_cpu_micros: figures.generator_micros() / batch as f64,
            server_cpu_micros: used.micros_each(items),
            used,
        }
    }
}

/// Loads a server and sees what it used.
pub async fn load<S: Source + 'static>(
    (what, name): (&str, &str),
    server: &Process,
    plan: Plan,
    sources: Vec<S>,
    batch: usize,
) -> anyhow::Result<(Measured, Vec<S>)> {
    let before = server.usage()?;
    let (figures, sources) = load::run(plan, sources).await?;
    let used = server.usage()?.since(&before);
    Ok((Measured::new(what, name, &figures, used, batch), sources))
}

/// The one in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Of these loads the one whose rate is in the middle.
pub fn middle(loads: &[Measured]) -> Option<&Measured> {
    let mut sorted: Vec<_> = loads.iter().collect();
    sorted.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    sorted.get(sorted.len() / 2).copied()
}

/// Ids that nobody knows, for servers that look at nothing.
pub fn anybody() -> Account {
    let guid = |digit: &str| digit.repeat(8) + "-1111-4111-8111-" + &digit.repeat(12);
    Account { org: guid("1"), app: guid("2"), token: "t".repeat(43) }
}
