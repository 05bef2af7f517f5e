//! Latency over offered load: single registrations at fixed rates, verification paused.

use serde::{Deserialize, Serialize};

use crate::data::Mix;
use crate::load::{Pace, Plan};
use crate::measure::accept::after;
use crate::measure::{Measured, Stage, load};
use crate::requests::{Register, Wishes};

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Offered {
    /// Registrations offered a second, and what came of them.
    pub loads: Vec<(f64, Measured)>,
}

/// Shares of what a closed loop reaches.
const SHARES: [f64; 7] = [0.1, 0.25, 0.4, 0.55, 0.7, 0.8, 0.9];
/// Connections for each of the closed loop's, so that none that is due has to wait for one.
const MORE_CONNECTIONS: usize = 4;

/// Measures.
pub async fn measure(stage: &Stage) -> anyhow::Result<Offered> {
    let server = stage.server("offered")?.paused().start(&stage.providers).await?;
    let account = server.make_account(&stage.providers).await?;
    let registers = |from| {
        let numbers = stage.numbers(from).into_iter();
        let register =
            |numbers| Register::new(&account, numbers, 1, Mix::Fleet, &Wishes::default());
        numbers.map(register).collect::<Vec<_>>()
    };
    let plan = stage.closed(server.port());
    let names = ("accept, single", "pushroll");
    let (closed, mut left) = load(names, &server.process, plan, registers(0), 1).await?;
    let mut loads = Vec::new();
    for share in SHARES {
        let per_second = closed.per_second * share;
        let connections = plan.connections * MORE_CONNECTIONS;
        let plan = Plan { pace: Pace::Open { per_second }, connections, ..plan };
        let (measured, now_left) =
            load(names, &server.process, plan, registers(after(&left)), 1).await?;
        left = now_left;
        loads.push((per_second, measured));
    }
    Ok(Offered { loads })
}
