//! Starting with many registrations pending: after a stop in good order, and after a kill with a
//! write-ahead log to be read again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use pushroll::machine::SystemClock;
use pushroll_domain::{Accept, AppId, Clock as _, OrgId, Store as _};
use serde::{Deserialize, Serialize};

use crate::alone::store::{Maker, open};
use crate::client;
use crate::data::Mix;
use crate::load::{self, Plan};
use crate::measure::Stage;
use crate::requests::{Numbers, Register, Wishes};
use crate::servers::pushroll::{Pushroll, Setup};

/// How many are pending.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Pending registrations
    #[arg(long, default_value_t = 1_000_000)]
    pub pending: u64,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StartUp {
    /// Pending registrations, at the least.
    pub pending: u64,
    /// From the start of the process until it was ready: the slower of the two.
    pub ready_seconds: f64,
    /// After a stop in good order.
    pub after_stop_seconds: f64,
    /// After a kill.
    pub after_kill_seconds: f64,
}

/// Registrations in each call of the store.
const BATCH: u64 = 1_000;
/// How long a server is loaded before it is killed.
const LOADED: Duration = Duration::from_secs(2);
const READY_WITHIN: Duration = Duration::from_secs(300);

/// Measures.
pub async fn measure(stage: &Stage, options: &Options) -> anyhow::Result<StartUp> {
    let setup = stage.server("start-up")?.paused();
    let server = setup.start(&stage.providers).await?;
    let account = server.make_account(&stage.providers).await?;
    server.process.stop().await?;
    let maker = Maker::new(AppId::parse(&account.app)?, OrgId::parse(&account.org)?);
    let store = open(&setup.data())?;
    for first in (0..options.pending).step_by(BATCH as usize) {
        let numbers = first..(first + BATCH).min(options.pending);
        let accept = |number| Accept {
            registration: maker.make(number, Mix::Fleet, SystemClock.now()).0,
            taken: false,
        };
        store.accept(numbers.map(accept).collect()).await?;
    }
    store.close().await;
    drop(Arc::new(store));

    let (server, after_stop) = start(&setup, stage).await?;
    let numbers = Numbers::parts(options.pending..u64::MAX, 1)[0];
    let register = Register::new(&account, numbers, 100, Mix::Fleet, &Wishes::default());
    let plan = Plan { span: LOADED, ..stage.closed(server.port()) };
    load::run(plan, vec![register]).await?;
    // Dropping kills it.
    drop(server);
    let (server, after_kill) = start(&setup, stage).await?;
    server.process.stop().await?;
    let seconds = |span: Duration| span.as_secs_f64();
    Ok(StartUp {
        pending: options.pending,
        ready_seconds: seconds(after_stop.max(after_kill)),
        after_stop_seconds: seconds(after_stop),
        after_kill_seconds: seconds(after_kill),
    })
}

async fn start(setup: &Setup, stage: &Stage) -> anyhow::Result<(Pushroll, Duration)> {
    let since = Instant::now();
    let server = setup.start(&stage.providers).await?;
    while client::get(server.port(), "/readyz", None).await.is_err() {
        if since.elapsed() > READY_WITHIN {
            bail!("the server is not ready after {READY_WITHIN:?}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok((server, since.elapsed()))
}
