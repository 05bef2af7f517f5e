//! The parts by themselves: the store by the size of its calls, the disk under the same bytes, the
//! provider clients and h2load against the same simulator.

use serde::{Deserialize, Serialize};

use super::Stage;
use crate::alone::disk::{self, DiskFigures};
use crate::alone::h2load;
use crate::alone::provider::{self, ClientFigures, Which};
use crate::alone::store::{self, StoreFigures};

/// The store and the disk under calls of one size.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoreRow {
    /// Registrations in each call.
    pub batch: usize,
    /// Callers at once.
    pub callers: usize,
    /// Accepted only.
    pub accept: StoreFigures,
    /// Accepted and finished.
    pub accept_and_finish: StoreFigures,
    /// The bytes of one call appended and synced by one thread.
    pub disk: DiskFigures,
}

/// Calls of these sizes by so many callers; the last has one caller for each connection.
const CALLS: [(usize, usize); 4] = [(1, 1), (10, 1), (100, 1), (1_000, 1)];
/// So many of these are left out where all has to fit into a minute.
const QUICK_SKIPS: usize = 2;
/// Registrations that are made beforehand for each second: more than are accepted in one.
const PER_SECOND: [f64; 5] = [20_000.0, 80_000.0, 150_000.0, 200_000.0, 150_000.0];

/// Measures the store and the disk.
pub async fn store_and_disk(stage: &Stage, quick: bool) -> anyhow::Result<Vec<StoreRow>> {
    let mut rows = Vec::new();
    let calls = CALLS.into_iter().chain([(1, stage.how.connections)]).zip(PER_SECOND);
    for ((batch, callers), per_second) in calls.skip(if quick { QUICK_SKIPS } else { 0 }) {
        let options = |dir, finish| store::Options {
            dir,
            batch,
            callers,
            registrations: (per_second * stage.how.seconds).max(batch as f64) as u64,
            seconds: stage.how.seconds,
            first: 0,
            finish,
        };
        let accept = store::measure(&options(stage.place("store")?, false)).await?;
        let accept_and_finish = store::measure(&options(stage.place("store")?, true)).await?;
        let bytes = (accept.bytes_passed * (batch * callers) as f64) as usize;
        let (dir, span) = (stage.place("disk")?, stage.span() / 4);
        let disk = tokio::task::spawn_blocking(move || disk::measure(&dir, bytes, span)).await??;
        rows.push(StoreRow { batch, callers, accept, accept_and_finish, disk });
    }
    Ok(rows)
}

/// A provider client, beside what the simulator spent on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProviderRow {
    /// Who asked whom.
    pub who: String,
    /// What came of it.
    pub figures: ClientFigures,
    /// CPU time of the simulator for each request, in microseconds.
    pub simulator_cpu_micros: f64,
}

/// Dry runs at once, over the connections that one app's credentials may have.
const AT_ONCE: usize = 400;
const CONNECTIONS: usize = 4;

/// Measures the provider clients, and h2load if this machine has it.
pub async fn providers(stage: &Stage) -> anyhow::Result<Vec<ProviderRow>> {
    let (simulator, span) = (&stage.providers, stage.span());
    let mut rows = Vec::new();
    for (who, which) in
        [("Pushroll's client, APNs", Which::Apns), ("Pushroll's client, FCM", Which::Fcm)]
    {
        let before = simulator.process.usage()?;
        let figures = provider::measure(simulator, which, AT_ONCE, span).await?;
        let used = simulator.process.usage()?.since(&before);
        // What came before the clock started was answered, too.
        let all =
            figures.count as f64 * (1.0 + provider::WARM_UP.as_secs_f64() / span.as_secs_f64());
        let simulator_cpu_micros = used.cpu_seconds * 1e6 / all;
        rows.push(ProviderRow { who: who.to_owned(), figures, simulator_cpu_micros });
    }
    let before = simulator.process.usage()?;
    if let Some(figures) = h2load::measure(simulator, CONNECTIONS, AT_ONCE, span).await? {
        let used = simulator.process.usage()?.since(&before);
        let all = figures.per_second * (span.as_secs().max(1) + 1) as f64;
        let simulator_cpu_micros = used.cpu_seconds * 1e6 / all;
        rows.push(ProviderRow { who: "h2load, APNs".to_owned(), figures, simulator_cpu_micros });
    }
    Ok(rows)
}
