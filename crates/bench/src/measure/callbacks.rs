//! Registrations with callbacks, until the last callback has been received.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use serde::{Deserialize, Serialize};

use super::Stage;
use crate::data::Mix;
use crate::load::{self, Plan};
use crate::requests::{Register, Wishes};
use crate::servers::receiver;
use crate::usage::Used;

/// What callbacks come to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Callbacks {
    /// Registrations carried through and told, a second.
    pub per_second: f64,
    /// How many.
    pub count: u64,
    /// CPU time of the server for each, in microseconds.
    pub server_cpu_micros: f64,
    /// What the server used.
    pub used: Used,
}

/// How long the last callbacks may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// The load goes on for a part of the time of the others: callbacks take longer than it.
const SHARE: f64 = 0.5;

/// Measures.
pub async fn measure(stage: &Stage) -> anyhow::Result<Callbacks> {
    let receiver = receiver::start().await?;
    let setup = stage.server("callbacks")?;
    let server = setup.start(&stage.providers).await?;
    let account = server.make_account(&stage.providers).await?;
    let wishes = Wishes {
        tracked: false,
        callback_url: Some(format!("http://127.0.0.1:{}/callback", receiver.port)),
    };
    let numbers = stage.numbers(0).into_iter();
    let sources = numbers.map(|numbers| Register::new(&account, numbers, 100, Mix::Fleet, &wishes));
    let plan = Plan { span: stage.span().mul_f64(SHARE), ..stage.closed(server.port()) };
    let (before, since) = (server.process.usage()?, Instant::now());
    let (figures, _) = load::run(Plan { connections: 2, ..plan }, sources.collect()).await?;
    ensure!(figures.refused + figures.failed == 0, "{} were refused", figures.refused);
    let count = figures.accepted * 100;
    loop {
        let received = receiver::received(&receiver).await?;
        if received >= count {
            ensure!(received == count, "{received} callbacks of {count} registrations");
            break;
        }
        if since.elapsed() > PATIENCE {
            bail!("only {received} of {count} callbacks came within {PATIENCE:?}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let took = since.elapsed();
    let used = server.process.usage()?.since(&before);
    Ok(Callbacks {
        per_second: count as f64 / took.as_secs_f64(),
        count,
        server_cpu_micros: used.micros_each(count),
        used,
    })
}
