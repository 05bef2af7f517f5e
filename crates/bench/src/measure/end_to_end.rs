//! Registrations from request to outcome: accepted, verified against the simulator over TLS, stored,
//! their outcomes readable; beside the rate that the machine's cores would allow if nothing were
//! spent but what the parts take by themselves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde::{Deserialize, Serialize};

use super::accept::after;
use super::{Measured, Stage};
use crate::data::{Mix, registration};
use crate::load::{self, Next, Plan, Source};
use crate::requests::{Account, Given, Register, Wishes, expected};
use crate::servers::pushroll::{self, ENDED, Pushroll};
use crate::usage::{Used, disk_bytes};

/// What carrying registrations through comes to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EndToEnd {
    /// Registrations in each request.
    pub batch: usize,
    /// The load. Its rate counts until the last registration has ended.
    pub load: Measured,
    /// The most registrations that were on their way at once.
    pub window: u64,
    /// CPU time of the simulator for each registration, in microseconds.
    pub simulator_cpu_micros: f64,
    /// What the simulator used.
    pub simulator: Used,
    /// Outcomes that were read, and are what they had to be.
    pub outcomes: BTreeMap<String, u64>,
    /// What the data directory took on disk for each device, in bytes.
    pub disk_bytes_each: f64,
    /// Bytes written to disks for each byte of a request's body.
    pub write_amplification: f64,
}

/// A load before the one that counts.
const WARM_UP: Duration = Duration::from_millis(1_500);
/// How many registrations may be on their way: a little less than the server carries in memory of
/// one app on one platform.
pub const WINDOW: u64 = 2_000;
/// How often it is looked up how many have ended.
const LOOKS_EVERY: Duration = Duration::from_millis(20);
/// How long the last registrations may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Outcomes that are read, at the most.
const READ: usize = 20_000;
/// Bytes of a registration as a caller sees it: the mean of the bodies.
const BODY_BYTES: f64 = 320.0;

/// What was registered, for those who ask about it afterwards.
pub struct Registered {
    /// The server.
    pub server: Pushroll,
    /// The account.
    pub account: Account,
    /// Ids with their numbers.
    pub given: Vec<Given>,
    /// Numbers below this were used.
    pub next: u64,
}

/// Measures with so many registrations in each request.
pub async fn measure(stage: &Stage, batch: usize) -> anyhow::Result<(EndToEnd, Registered)> {
    let setup = stage.server("end-to-end")?;
    let server = setup.start(&stage.providers).await?;
    let account = server.make_account(&stage.providers).await?;
    let mut registered = Registered { server, account, given: Vec::new(), next: 0 };
    let plan = stage.closed(registered.server.port());
    let warm_up = Plan { span: WARM_UP, ..plan };
    carry_through(stage, &mut registered, warm_up, batch, u64::MAX).await?;
    let mut end_to_end = carry_through(stage, &mut registered, plan, batch, u64::MAX).await?;
    let disk = disk_bytes(&setup.data());
    end_to_end.disk_bytes_each = disk as f64 / registered.next as f64;
    Ok((end_to_end, registered))
}

/// Carries registrations through, as long as the plan says and with no number from `until` on, and
/// checks outcomes.
pub async fn carry_through(
    stage: &Stage,
    registered: &mut Registered,
    plan: Plan,
    batch: usize,
    until: u64,
) -> anyhow::Result<EndToEnd> {
    let Registered { server, account, .. } = registered;
    let wishes = Wishes { tracked: true, callback_url: None };
    let ended = Arc::new(AtomicU64::new(0));
    let sources = stage.numbers_until(registered.next, until).into_iter().map(|numbers| Windowed {
        inner: Register::new(account, numbers, batch, Mix::Fleet, &wishes).keeping(1),
        sent: 0,
        batch: batch as u64,
        ended: Arc::clone(&ended),
        share: stage.how.threads as u64,
    });
    let (before, simulator_before) = (server.process.usage()?, stage.providers.process.usage()?);
    let (already, since) = (server.metrics().await?.sum(ENDED) as u64, Instant::now());
    let watch = tokio::spawn(watch(server.port(), already, Arc::clone(&ended)));
    let ran = load::run(plan, sources.collect()).await;
    watch.abort();
    let (figures, sources) = ran?;
    let count = figures.accepted * batch as u64;
    ensure!(figures.refused + figures.failed == 0, "{} were refused", figures.refused);
    server.until_ended(already + count, PATIENCE).await?;
    let took = since.elapsed();
    let used = server.process.usage()?.since(&before);
    let simulator = stage.providers.process.usage()?.since(&simulator_before);

    let sources: Vec<_> = sources.into_iter().map(|windowed| windowed.inner).collect();
    registered.next = after(&sources);
    registered.given = sources.into_iter().flat_map(|source| source.given).collect();
    let outcomes = read_outcomes(registered).await?;
    let what = match batch {
        1 => "end to end".to_owned(),
        batch => format!("end to end, batches of {batch}"),
    };
    let mut load = Measured::new(&what, "pushroll", &figures, used, batch);
    load.per_second = count as f64 / took.as_secs_f64();
    Ok(EndToEnd {
        batch,
        window: WINDOW,
        simulator_cpu_micros: simulator.micros_each(count),
        simulator,
        outcomes,
        disk_bytes_each: 0.0,
        write_amplification: load.used.written as f64 / (count as f64 * BODY_BYTES),
        load,
    })
}

async fn watch(port: u16, already: u64, ended: Arc<AtomicU64>) {
    loop {
        if let Ok(metrics) = pushroll::metrics(port).await {
            let all = metrics.sum(ENDED) as u64;
            ended.store(all.saturating_sub(already), Ordering::Relaxed);
        }
        tokio::time::sleep(LOOKS_EVERY).await;
    }
}

async fn read_outcomes(registered: &Registered) -> anyhow::Result<BTreeMap<String, u64>> {
    let Registered { server, account, given, .. } = registered;
    let step = (given.len() / READ).max(1);
    let some: Vec<&Given> = given.iter().step_by(step).collect();
    let ids: Vec<String> = some.iter().map(|(_, id)| id.clone()).collect();
    let mut outcomes = BTreeMap::new();
    for ((number, id), status) in some.iter().zip(server.statuses(account, &ids).await?) {
        let (_, fate) = registration(*number, Mix::Fleet);
        ensure!(
            expected(fate).contains(&status.as_str()),
            "registration {number} ({id}) is {fate:?} and came to {status}"
        );
        *outcomes.entry(status).or_insert(0) += 1;
    }
    Ok(outcomes)
}

/// Registrations of which no more than a number are on their way.
struct Windowed {
    inner: Register,
    sent: u64,
    batch: u64,
    ended: Arc<AtomicU64>,
    /// So many threads share the window.
    share: u64,
}

impl Source for Windowed {
    fn next(&mut self, request: &mut Vec<u8>) -> Next {
        let ended = self.ended.load(Ordering::Relaxed) / self.share;
        if self.sent + self.batch > ended + WINDOW / self.share {
            return Next::NotNow;
        }
        let next = self.inner.next(request);
        if matches!(next, Next::Request(_)) {
            self.sent += self.batch;
        }
        next
    }

    fn heard(&mut self, tag: u64, status: u16, body: &[u8]) {
        self.inner.heard(tag, status, body);
    }
}
