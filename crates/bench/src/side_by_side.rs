//! What is measured without a command: everything that takes minutes, or a part of it, or as much as
//! fits into a minute.

use std::time::{Duration, Instant};

use crate::long::offered;
use crate::measure::{How, Stage, accept, callbacks, end_to_end, parts_alone, queries};
use crate::report::Parts;

/// A part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Accepting singly, beside bare hyper, bare axum and the store alone.
    Accept,
    /// Accepting in batches of 100, beside the same.
    Batches,
    /// The store and the disk alone.
    Store,
    /// The provider client and h2load.
    Providers,
    /// From request to outcome.
    EndToEnd,
    /// The same, in batches of 100.
    EndToEndBatches,
    /// Status, devices of a user, cleanup; makes `end-to-end`, too.
    Queries,
    /// Callbacks.
    Callbacks,
    /// Memory of a server that has nothing to do.
    Idle,
    /// Latency over offered load.
    Offered,
}

impl Part {
    const ALL: [Self; 10] = [
        Self::Idle,
        Self::Accept,
        Self::Batches,
        Self::Store,
        Self::Providers,
        Self::EndToEnd,
        Self::EndToEndBatches,
        Self::Queries,
        Self::Callbacks,
        Self::Offered,
    ];
    /// What fits into a minute.
    const QUICK: [Self; 6] =
        [Self::Idle, Self::Accept, Self::Batches, Self::Store, Self::Providers, Self::EndToEnd];
}

/// Seconds of each load where all has to fit into a minute.
const QUICK_SECONDS: f64 = 1.0;
/// How long a server is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(2);

/// Measures these parts; if there are none, all that there are.
pub async fn measure(
    how: &How,
    quick: bool,
    only: &[Part],
    parts: &mut Parts,
) -> anyhow::Result<()> {
    let how = match quick {
        true => How { seconds: QUICK_SECONDS.min(how.seconds), runs: 1, ..how.clone() },
        false => how.clone(),
    };
    let wanted: Vec<Part> = match (only, quick) {
        ([], false) => Part::ALL.to_vec(),
        ([], true) => Part::QUICK.to_vec(),
        (only, _) => only.to_vec(),
    };
    let stage = Stage::set(&how).await?;
    for part in Part::ALL.into_iter().filter(|part| wanted.contains(part)) {
        // Queries ask about what was registered end to end: both are made together.
        if part == Part::EndToEnd && wanted.contains(&Part::Queries) {
            continue;
        }
        let since = Instant::now();
        match part {
            Part::Accept => parts.accept = Some(accept::measure(&stage, 1, !quick).await?),
            Part::Batches => parts.batches = Some(accept::measure(&stage, 100, !quick).await?),
            Part::Store => parts.store = Some(parts_alone::store_and_disk(&stage, quick).await?),
            Part::Providers => parts.providers = Some(parts_alone::providers(&stage).await?),
            Part::EndToEnd => parts.end_to_end = Some(end_to_end::measure(&stage, 1).await?.0),
            Part::EndToEndBatches => {
                parts.end_to_end_batches = Some(end_to_end::measure(&stage, 100).await?.0);
            }
            Part::Queries => {
                let (end_to_end, registered) = end_to_end::measure(&stage, 1).await?;
                parts.end_to_end = Some(end_to_end);
                parts.queries = Some(queries::measure(&stage, &registered).await?);
            }
            Part::Callbacks => parts.callbacks = Some(callbacks::measure(&stage).await?),
            Part::Idle => parts.idle_bytes = Some(idle(&stage).await?),
            Part::Offered => parts.offered = Some(offered::measure(&stage).await?),
        }
        eprintln!("{part:?}: {:.1} s", since.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Memory of a server that has answered a few requests and has nothing to do.
async fn idle(stage: &Stage) -> anyhow::Result<u64> {
    let server = stage.server("idle")?.start(&stage.providers).await?;
    server.make_account(&stage.providers).await?;
    tokio::time::sleep(IDLE).await;
    Ok(server.process.usage()?.resident)
}
