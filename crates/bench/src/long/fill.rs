//! Fleets: data directories with millions of devices, filled directly through the store, offline, or
//! through the API; kept for the next run.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use pushroll::machine::SystemClock;
use pushroll_domain::{Accept, AppId, Clock as _, Finished, OrgId, Store as _, Timestamp};
use pushroll_store_embedded::EmbeddedStore;
use serde::{Deserialize, Serialize};

use crate::alone::store::{Maker, finish, open};
use crate::data::Mix;
use crate::measure::end_to_end::{Registered, carry_through};
use crate::measure::{How, Stage};
use crate::requests::Account;
use crate::servers::pushroll::Setup;

/// Registrations in each call of the store.
const BATCH: u64 = 1_000;
/// Callers at once: while one waits for its commit, others make registrations.
const CALLERS: usize = 4;
/// The last of a hundred registrations are those of the last hour.
const RECENT_IN_HUNDRED: u64 = 2;
const RECENT: Duration = Duration::from_secs(3_000);
/// The others are spread over this time before, well within what outcomes are kept for.
const SPREAD: Duration = Duration::from_secs(6 * 86_400);
/// Ids that are kept, of the last hour and drawn evenly.
const SAMPLE: u64 = 100_000;

/// How a fleet is made.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The directory of the fleet; made if it is not there, and kept
    #[arg(long, default_value = "target/bench/fleet")]
    pub fleet: PathBuf,
    /// Devices (registrations) that it is to have, in millions
    #[arg(long, default_value_t = 5.0)]
    pub millions: f64,
    /// Register them through the API, verified by the simulator, instead of putting them into the store
    #[arg(long)]
    pub through_api: bool,
}

/// A data directory with many devices.
pub struct Fleet {
    /// Where it is, with a simulator that knows its app.
    pub stage: Stage,
    /// The server on it.
    pub setup: Setup,
    /// What is in it.
    pub state: State,
}

/// What a fleet's file says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// The account whose devices they are.
    pub account: Account,
    /// How many registrations were carried through: numbers below this are used.
    pub registrations: u64,
}

impl Fleet {
    /// Opens the fleet in this directory, and makes an empty one if there is none.
    pub async fn open(how: &How, dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let stage = Stage::at(how, dir, None).await?;
        let setup = Setup::new(how.program.as_deref(), &dir.canonicalize()?);
        let file = dir.join("fleet.json");
        if let Ok(json) = std::fs::read(&file) {
            let state = serde_json::from_slice(&json)
                .with_context(|| format!("{} is damaged: remove the fleet", file.display()))?;
            return Ok(Self { stage, setup, state });
        }
        let server = setup.start(&stage.providers).await?;
        let account = server.make_account(&stage.providers).await?;
        server.process.stop().await?;
        let fleet = Self { stage, setup, state: State { account, registrations: 0 } };
        fleet.save()?;
        Ok(fleet)
    }

    /// Notes what is in it.
    pub fn save(&self) -> anyhow::Result<()> {
        let file = self.setup.dir.join("fleet.json");
        Ok(std::fs::write(file, serde_json::to_string_pretty(&self.state)?)?)
    }

    /// Puts registrations into its store until it has had so many. No server may run on it.
    pub async fn fill(&mut self, until: u64) -> anyhow::Result<()> {
        let from = self.state.registrations;
        if from >= until {
            return Ok(());
        }
        let (app, org) =
            (AppId::parse(&self.state.account.app)?, OrgId::parse(&self.state.account.org)?);
        let filling = Arc::new(Filling {
            store: open(&self.setup.data())?,
            maker: Maker::new(app, org),
            next: AtomicU64::new(from),
            from,
            until,
            now: SystemClock.now(),
        });
        let since = Instant::now();
        let callers: Vec<_> =
            (0..CALLERS).map(|_| tokio::spawn(Arc::clone(&filling).call())).collect();
        let mut samples = Samples::default();
        for caller in callers {
            samples.add(caller.await??);
        }
        filling.store.close().await;
        let rate = (until - from) as f64 / since.elapsed().as_secs_f64();
        eprintln!("filled: {from} to {until} registrations, {rate:.0} a second");
        self.append("ids-even", &samples.even)?;
        std::fs::write(self.setup.dir.join("ids-recent"), lines(&samples.recent))?;
        self.state.registrations = until;
        self.save()
    }

    fn append(&self, name: &str, ids: &[String]) -> anyhow::Result<()> {
        let path = self.setup.dir.join(name);
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
        Ok(file.write_all(lines(ids).as_bytes())?)
    }

    /// Ids of the last hour before it was filled, or drawn evenly from all.
    pub fn ids(&self, name: &str) -> anyhow::Result<Arc<Vec<String>>> {
        let text = std::fs::read_to_string(self.setup.dir.join(name))?;
        Ok(Arc::new(text.lines().map(str::to_owned).collect()))
    }
}

fn lines(ids: &[String]) -> String {
    ids.iter().flat_map(|id| [id.as_str(), "\n"]).collect()
}

#[derive(Default)]
struct Samples {
    recent: Vec<String>,
    even: Vec<String>,
}

impl Samples {
    fn add(&mut self, other: Self) {
        self.recent.extend(other.recent);
        self.even.extend(other.even);
    }
}

struct Filling {
    store: EmbeddedStore,
    maker: Maker,
    next: AtomicU64,
    from: u64,
    until: u64,
    now: Timestamp,
}

impl Filling {
    async fn call(self: Arc<Self>) -> anyhow::Result<Samples> {
        let mut samples = Samples::default();
        let count = self.until - self.from;
        let (even_step, recent_from) =
            ((count / SAMPLE).max(1), self.until - count * RECENT_IN_HUNDRED / 100);
        let recent_step = ((self.until - recent_from) / SAMPLE).max(1);
        loop {
            let first = self.next.fetch_add(BATCH, Ordering::Relaxed);
            if first >= self.until {
                return Ok(samples);
            }
            let numbers = first..(first + BATCH).min(self.until);
            let made: Vec<_> = numbers
                .clone()
                .map(|number| self.maker.make(number, Mix::Fleet, self.time(number)))
                .collect();
            for (number, (registration, _)) in numbers.zip(&made) {
                if number.is_multiple_of(even_step) {
                    samples.even.push(registration.id.to_string());
                }
                if number >= recent_from && number.is_multiple_of(recent_step) {
                    samples.recent.push(registration.id.to_string());
                }
            }
            let accept =
                |(one, _): &(Arc<_>, _)| Accept { registration: Arc::clone(one), taken: true };
            self.store.accept(made.iter().map(accept).collect()).await?;
            let finishes = made.into_iter().map(|(one, fate)| {
                let at = one.accepted_at;
                finish(one, fate, at)
            });
            let ended = self.store.finish(finishes.collect()).await?;
            ensure!(
                ended.iter().all(|end| matches!(end, Finished::Ended(_))),
                "a registration did not end"
            );
        }
    }

    /// When the registration with this number is said to have been accepted.
    fn time(&self, number: u64) -> Timestamp {
        let count = self.until - self.from;
        let old = count - count * RECENT_IN_HUNDRED / 100;
        let at = number - self.from;
        if at < old {
            let left = 1.0 - at as f64 / old as f64;
            self.now.minus(RECENT + SPREAD.mul_f64(left))
        } else {
            let left = 1.0 - (at - old) as f64 / (count - old) as f64;
            self.now.minus(RECENT.mul_f64(left))
        }
    }
}

/// Makes a fleet, or makes one larger.
pub async fn run(how: &How, options: &Options) -> anyhow::Result<()> {
    let mut fleet = Fleet::open(how, &options.fleet).await?;
    let until = (options.millions * 1e6) as u64;
    if !options.through_api {
        fleet.fill(until).await?;
        let bytes = crate::usage::disk_bytes(&fleet.setup.data());
        println!("{} registrations, {bytes} bytes on disk", fleet.state.registrations);
        return Ok(());
    }
    let server = fleet.setup.start(&fleet.stage.providers).await?;
    let plan = crate::load::Plan {
        span: Duration::MAX,
        connections: how.connections.min(16),
        ..fleet.stage.closed(server.port())
    };
    let account = fleet.state.account.clone();
    let next = fleet.state.registrations;
    let mut registered = Registered { server, account, given: Vec::new(), next };
    let carried = carry_through(&fleet.stage, &mut registered, plan, 100, until).await?;
    registered.server.process.stop().await?;
    let ids: Vec<_> = registered.given.into_iter().map(|(_, id)| id).collect();
    fleet.append("ids-even", &ids)?;
    std::fs::write(fleet.setup.dir.join("ids-recent"), lines(&ids))?;
    fleet.state.registrations = registered.next;
    fleet.save()?;
    println!("{} registrations at {:.0} a second", carried.load.items, carried.load.per_second);
    Ok(())
}
