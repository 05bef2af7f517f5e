//! What the number of devices does to throughput, latencies, memory and disk.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::fill::Fleet;
use crate::data::Mix;
use crate::load::{Pace, Plan};
use crate::measure::end_to_end::{Registered, carry_through};
use crate::measure::queries::{IDS, QUERIES_PER_SECOND, users_of};
use crate::measure::{How, Measured, load};
use crate::requests::{AskDevices, AskStatus, Register, Wishes};
use crate::servers::Process;
use crate::servers::pushroll::ADMIN_TOKEN;
use crate::usage::disk_bytes;

/// From the start until filters and indexes of tens of millions of devices are in memory.
const WARMING: Duration = Duration::from_secs(20);

/// Which numbers of devices.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The directory of the fleet; made if it is not there, and kept
    #[arg(long, default_value = "target/bench/fleet")]
    pub fleet: PathBuf,
    /// Millions of devices, in rising order
    #[arg(long, value_delimiter = ',', default_values_t = [5, 10, 20, 50])]
    pub millions: Vec<u64>,
    /// Single registrations offered a second for the latency of accept
    #[arg(long, default_value_t = 1_000.0)]
    pub offered: f64,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Growth {
    /// Size by size.
    pub sizes: Vec<Size>,
}

/// A number of devices.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Size {
    /// Registrations that were carried through before.
    pub devices: u64,
    /// From the start of the process until it was ready.
    pub ready_seconds: f64,
    /// Accepting singly as fast as it goes, verification paused.
    pub accept_closed: Measured,
    /// From request to outcome, when what is often read is in memory.
    pub end_to_end_per_second: f64,
    /// The same in the first seconds after the start, when it is read from the disk.
    #[serde(default)]
    pub end_to_end_at_first: f64,
    /// Accepting at a fixed rate, with verification.
    pub accept: Measured,
    /// Status of 100 ids of the last hour.
    pub status_recent: Measured,
    /// Status of 100 ids drawn from all.
    pub status_even: Measured,
    /// Devices of a user drawn from all.
    pub devices_of_user: Measured,
    /// The most resident memory of any of its servers.
    pub peak_bytes: u64,
    /// Bytes on disk for each registration, with its outcome.
    pub disk_bytes_each: f64,
}

impl Growth {
    /// These sizes, and those of an earlier run that this one did not measure.
    #[must_use]
    pub fn beside(mut self, earlier: Option<Self>) -> Self {
        let millions = |size: &Size| size.devices / 1_000_000;
        let measured: Vec<_> = self.sizes.iter().map(millions).collect();
        let earlier = earlier.into_iter().flat_map(|growth| growth.sizes);
        self.sizes.extend(earlier.filter(|size| !measured.contains(&millions(size))));
        self.sizes.sort_by_key(|size| size.devices);
        self
    }

    /// The size with so many million devices.
    pub fn at_millions(&self, millions: u64) -> Option<&Size> {
        self.sizes.iter().find(|size| size.devices / 1_000_000 == millions)
    }
}

impl Size {
    /// The slowest of a hundred look-ups of a user's devices.
    pub const fn devices_p99_us(&self) -> u64 {
        self.devices_of_user.latencies.p99_us
    }
}

/// Measures at each number of devices.
pub async fn measure(how: &How, options: &Options) -> anyhow::Result<Growth> {
    let mut fleet = Fleet::open(how, &options.fleet).await?;
    let mut sizes = Vec::new();
    for millions in &options.millions {
        fleet.fill(millions * 1_000_000).await?;
        sizes.push(size(&mut fleet, options.offered).await?);
        eprintln!("measured at {millions} million devices");
    }
    Ok(Growth { sizes })
}

async fn size(fleet: &mut Fleet, offered: f64) -> anyhow::Result<Size> {
    let devices = fleet.state.registrations;
    let disk = disk_bytes(&fleet.setup.data());
    let (accept_closed, paused_peak) = accept_paused(fleet).await?;

    let server = fleet.setup.start(&fleet.stage.providers).await?;
    let ready_seconds = server.process.started_in.as_secs_f64();
    settle(&server.process).await?;
    let account = fleet.state.account.clone();
    let next = fleet.state.registrations;
    let mut registered = Registered { server, account: account.clone(), given: Vec::new(), next };
    let plan = fleet.stage.closed(registered.server.port());
    let at_first = carry_through(&fleet.stage, &mut registered, plan, 1, u64::MAX).await?;
    let warming = Plan { span: WARMING, ..plan };
    carry_through(&fleet.stage, &mut registered, warming, 1, u64::MAX).await?;
    let end_to_end = carry_through(&fleet.stage, &mut registered, plan, 1, u64::MAX).await?;
    fleet.state.registrations = registered.next;
    fleet.save()?;
    let Registered { server, .. } = registered;
    let process = &server.process;

    let open = |per_second| Plan { pace: Pace::Open { per_second }, ..plan };
    let numbers = fleet.stage.numbers(fleet.state.registrations);
    let wishes = Wishes { tracked: true, callback_url: None };
    let registers =
        numbers.into_iter().map(|numbers| Register::new(&account, numbers, 1, Mix::Fleet, &wishes));
    let names = ("accept, single", "pushroll");
    let (accept, left) = load(names, process, open(offered), registers.collect(), 1).await?;
    fleet.state.registrations = crate::measure::accept::after(&left);
    fleet.save()?;
    settle(process).await?;

    let (recent, even) = (fleet.ids("ids-recent")?, fleet.ids("ids-even")?);
    let queries = open(QUERIES_PER_SECOND);
    let ask = |ids| vec![AskStatus::new(&account, ids, IDS)];
    let names = ("status of 100 ids of the last hour", "pushroll");
    let (status_recent, _) = load(names, process, queries, ask(recent), 1).await?;
    let names = ("status of 100 ids drawn evenly", "pushroll");
    let (status_even, _) = load(names, process, queries, ask(even), 1).await?;
    let users = vec![AskDevices::new(&account, ADMIN_TOKEN, users_of(devices))];
    let names = ("devices of a user", "pushroll");
    let (devices_of_user, _) = load(names, process, queries, users, 1).await?;
    let peak_bytes = process.usage()?.peak.max(paused_peak);
    server.process.stop().await?;
    Ok(Size {
        devices,
        ready_seconds,
        accept_closed,
        end_to_end_per_second: end_to_end.load.per_second,
        end_to_end_at_first: at_first.load.per_second,
        accept,
        status_recent,
        status_even,
        devices_of_user,
        peak_bytes,
        disk_bytes_each: disk as f64 / devices as f64,
    })
}

/// Accepts as fast as it goes, and has what was accepted verified afterwards.
async fn accept_paused(fleet: &mut Fleet) -> anyhow::Result<(Measured, u64)> {
    let server = fleet.setup.clone().paused().start(&fleet.stage.providers).await?;
    settle(&server.process).await?;
    let account = &fleet.state.account;
    let numbers = fleet.stage.numbers(fleet.state.registrations);
    let registers = numbers
        .into_iter()
        .map(|numbers| Register::new(account, numbers, 1, Mix::Fleet, &Wishes::default()));
    let plan = fleet.stage.closed(server.port());
    let names = ("accept, single", "pushroll");
    let (measured, left) = load(names, &server.process, plan, registers.collect(), 1).await?;
    fleet.state.registrations = crate::measure::accept::after(&left);
    fleet.save()?;
    let peak = server.process.usage()?.peak;
    server.process.stop().await?;
    let server = fleet.setup.start(&fleet.stage.providers).await?;
    server.until_ended(measured.items, DRAINED_WITHIN).await?;
    let peak = server.process.usage()?.peak.max(peak);
    server.process.stop().await?;
    Ok((measured, peak))
}

const DRAINED_WITHIN: Duration = Duration::from_secs(600);
/// A server is at rest when it uses less than this share of a core for so long.
const REST_SHARE: f64 = 0.05;
const REST: Duration = Duration::from_secs(2);
/// Tables may be merged for as long as this after a fill.
const SETTLED_WITHIN: Duration = Duration::from_secs(900);

/// Waits until a server does nothing any more but what it always does.
pub async fn settle(process: &Process) -> anyhow::Result<()> {
    let since = Instant::now();
    loop {
        let before = process.usage()?;
        tokio::time::sleep(REST).await;
        let used = process.usage()?.since(&before).cpu_seconds;
        if used < REST_SHARE * REST.as_secs_f64() {
            return Ok(());
        }
        anyhow::ensure!(since.elapsed() < SETTLED_WITHIN, "the server does not come to rest");
    }
}
