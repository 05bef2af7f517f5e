//! Accepting registrations durably with verification paused, singly and in batches, beside servers
//! that do nothing but HTTP and beside the store that has no HTTP in front; then all that was accepted
//! is verified, to see that it was kept.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde::{Deserialize, Serialize};

use super::{Measured, Stage, anybody, load, median};
use crate::alone::store::{self, StoreFigures};
use crate::data::Mix;
use crate::load::Plan;
use crate::requests::{Account, Register, Wishes};
use crate::servers::bare::{self, Framework};

/// What accepting comes to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Accepting {
    /// Registrations in each request.
    pub batch: usize,
    /// Every load, in the order in which they were made.
    pub loads: Vec<Measured>,
    /// The store alone, with as many callers as there were connections; once in each run.
    pub store: Vec<StoreFigures>,
    /// Pushroll's rate by bare hyper's; the median of the runs.
    pub of_hyper: f64,
    /// Pushroll's rate by the store's alone; the median of the runs.
    pub of_store: f64,
    /// What the data directory took on disk for each registration that waits, in bytes.
    pub disk_bytes_each: f64,
    /// How fast all that was accepted was verified afterwards, a second.
    pub drained_per_second: Option<f64>,
}

/// How many registrations are made beforehand for each second of the store alone: more than it accepts, but no
/// more than memory has room for.
const STORE_PER_SECOND: f64 = 200_000.0;
const MOST_MADE: f64 = 2_000_000.0;
/// A load before the first that counts.
const WARM_UP: Duration = Duration::from_millis(500);
/// How long verifying what was accepted may take.
const DRAINED_WITHIN: Duration = Duration::from_secs(1800);

/// Measures with so many registrations in each request.
pub async fn measure(stage: &Stage, batch: usize, drain: bool) -> anyhow::Result<Accepting> {
    let (hyper, axum) =
        (bare::start(Framework::Hyper, None).await?, bare::start(Framework::Axum, None).await?);
    let setup = stage.server("accept")?;
    let paused = setup.clone().paused();
    let server = paused.start(&stage.providers).await?;
    let account = server.make_account(&stage.providers).await?;
    let nobody = anybody();
    let what = if batch == 1 {
        "accept, single".to_owned()
    } else {
        format!("accept, batches of {batch}")
    };
    let sources = |account: &Account, from| {
        let numbers = stage.numbers(from).into_iter();
        let register =
            |numbers| Register::new(account, numbers, batch, Mix::Fleet, &Wishes::default());
        numbers.map(register).collect::<Vec<_>>()
    };

    let (mut loads, mut store, mut accepted, mut next) = (Vec::new(), Vec::new(), 0, 0);
    let (mut of_hyper, mut of_store) = (Vec::new(), Vec::new());
    for run in 0..stage.how.runs {
        let mut rates = Vec::new();
        for (name, process) in
            [("bare hyper", &hyper), ("bare axum", &axum), ("pushroll", &server.process)]
        {
            let is_pushroll = name == "pushroll";
            let account = if is_pushroll { &account } else { &nobody };
            let plan = stage.closed(process.port);
            if run == 0 {
                let warm_up = Plan { span: WARM_UP, ..plan };
                let (warm, left) =
                    load((&what, name), process, warm_up, sources(account, next), batch).await?;
                if is_pushroll {
                    (accepted, next) = (accepted + warm.items, after(&left));
                }
            }
            let (measured, left) =
                load((&what, name), process, plan, sources(account, next), batch).await?;
            ensure!(measured.not_accepted == 0, "{name} refused {}", measured.not_accepted);
            if is_pushroll {
                (accepted, next) = (accepted + measured.items, after(&left));
            }
            rates.push(measured.per_second);
            loads.push(measured);
        }
        let options = store::Options {
            dir: stage.place("store")?,
            batch,
            callers: stage.how.connections,
            registrations: (STORE_PER_SECOND * stage.how.seconds).min(MOST_MADE) as u64,
            seconds: stage.how.seconds,
            first: 0,
            finish: false,
        };
        let alone = store::measure(&options).await?;
        of_hyper.push(rates[2] / rates[0]);
        of_store.push(rates[2] / alone.per_second);
        store.push(alone);
    }

    let disk = crate::usage::disk_bytes(&setup.data());
    server.process.stop().await?;
    let mut drained_per_second = None;
    if drain {
        let server = setup.start(&stage.providers).await?;
        let since = Instant::now();
        server.until_ended(accepted, DRAINED_WITHIN).await?;
        drained_per_second = Some(accepted as f64 / since.elapsed().as_secs_f64());
        server.process.stop().await?;
    }
    Ok(Accepting {
        batch,
        loads,
        store,
        of_hyper: median(of_hyper),
        of_store: median(of_store),
        disk_bytes_each: disk as f64 / accepted as f64,
        drained_per_second,
    })
}

/// The first number that none of these has used.
pub fn after(sources: &[Register]) -> u64 {
    sources.iter().map(|source| source.numbers.next()).max().unwrap_or(0)
}
