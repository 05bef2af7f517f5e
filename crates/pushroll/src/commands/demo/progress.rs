//! How far the demo is: a bar on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal as _, stdout};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::fleet::Fleet;

const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Between two lines when there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(2);
/// After so long without a callback none is expected any more: the slowest fates take some seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// Shows how many registrations have ended until all have.
pub struct Progress {
    bar: Option<ProgressBar>,
    fleet: Arc<Fleet>,
    total: usize,
}

impl Progress {
    pub fn new(fleet: Arc<Fleet>, total: usize) -> Self {
        let bar = stdout().is_terminal().then(|| {
            let target = ProgressDrawTarget::stdout_with_hz(10);
            let bar = ProgressBar::with_draw_target(Some(total as u64), target);
            let style = "   {bar:40} {pos:>6}/{len} ended, {msg} accepted  {elapsed}";
            bar.with_style(ProgressStyle::with_template(style).expect("a constant template"))
                .with_message("0")
        });
        Self { bar, fleet, total }
    }

    /// Returns when a callback has come for every registration.
    pub async fn until_all_ended(&self) -> Result<()> {
        let (mut seen, mut seen_at) = (0, Instant::now());
        let mut line_at = Instant::now();
        loop {
            let ended = self.fleet.receiver.count();
            let accepted = self.fleet.accepted.load(Ordering::Relaxed);
            if ended != seen {
                (seen, seen_at) = (ended, Instant::now());
            }
            let is_over = ended >= self.total;
            match &self.bar {
                Some(bar) => {
                    bar.set_position(ended as u64);
                    bar.set_message(accepted.to_string());
                }
                None if is_over || line_at.elapsed() >= LINE_EVERY => {
                    println!("   {ended} of {} ended, {accepted} accepted", self.total);
                    line_at = Instant::now();
                }
                None => {}
            }
            if is_over {
                return Ok(());
            }
            if seen_at.elapsed() > PATIENCE {
                bail!("no callback came for {PATIENCE:?}, and {} are missing", self.total - ended);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish();
        }
    }
}
