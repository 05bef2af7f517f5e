//! A long run at a part of the capacity: registrations, the cleanups of their users, status queries;
//! memory, files, disk and latencies have to stay where they are.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::data::Mix;
use crate::load::{self, Pace, Plan};
use crate::measure::accept::after;
use crate::measure::queries::users_of;
use crate::measure::{Stage, median};
use crate::requests::{Account, AskStatus, CleanUsers, Numbers, Register, Wishes};
use crate::servers::pushroll::Pushroll;
use crate::usage::disk_bytes;

/// How long and how much.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Minutes
    #[arg(long, default_value_t = 60.0)]
    pub minutes: f64,
    /// Five minutes, with caches that are full by then
    #[arg(long)]
    pub short: bool,
    /// Registrations a second
    #[arg(long, default_value_t = 1_000.0)]
    pub registrations: f64,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Soak {
    /// Registrations a second.
    pub registrations: f64,
    /// Window by window.
    pub samples: Vec<Sample>,
    /// What stayed flat from the second third to the last, and what did not.
    pub verdicts: Vec<Verdict>,
}

/// A window of the soak.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds since the beginning.
    pub at: f64,
    /// Resident memory in bytes.
    pub resident: u64,
    /// Open files and connections.
    pub files: u64,
    /// Bytes on disk.
    pub disk: u64,
    /// p99 of accept.
    pub accept_p99_us: u64,
    /// p99 of a status query.
    pub status_p99_us: u64,
    /// Requests that were refused or failed.
    pub not_accepted: u64,
}

/// Whether a figure stayed flat.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Verdict {
    /// Which figure.
    pub name: String,
    /// Its median in the second third.
    pub middle: f64,
    /// Its median in the last third.
    pub last: f64,
    /// By how much it may grow, as a factor.
    pub may_grow: f64,
    /// Whether it stayed within.
    pub flat: bool,
}

const WINDOW: Duration = Duration::from_secs(10);
const STATUS_PER_SECOND: f64 = 20.0;
const STATUS_IDS: usize = 100;
/// Users are cleaned up so many registrations after theirs.
const LAG: u64 = 50_000;
/// Outcomes are kept for so long, that their number comes to rest within minutes.
const RETENTION: &str = "[outcomes]\nretention_days = 0.001\n";
/// What the store holds in memory for the short form: it is full, and the server's memory at rest, within minutes.
const SMALL_CACHES: &str =
    "block_cache_bytes = 16777216\nwrite_buffer_bytes = 8388608\nwal_bytes = 33554432\n";
const DRAINED_WITHIN: Duration = Duration::from_secs(60);

/// Soaks.
pub async fn measure(stage: &Stage, options: &Options) -> anyhow::Result<Soak> {
    let mut setup = stage.server("soak")?;
    setup.more = RETENTION.to_owned();
    if options.short {
        setup.store = SMALL_CACHES.to_owned();
    }
    let server = setup.start(&stage.providers).await?;
    let account = server.make_account(&stage.providers).await?;
    let minutes = if options.short { 5.0 } else { options.minutes };
    let (span, since) = (Duration::from_secs_f64(minutes * 60.0), Instant::now());
    let mut streams = Streams { account, next: 0, cleaned: 0, ids: vec![GUID.to_owned()] };
    let mut samples = Vec::new();
    while since.elapsed() < span {
        let (accept, status) = streams.window(&server, stage, options.registrations).await?;
        let usage = server.process.usage()?;
        samples.push(Sample {
            at: since.elapsed().as_secs_f64(),
            resident: usage.resident,
            files: usage.files,
            disk: disk_bytes(&setup.data()),
            accept_p99_us: accept.latencies.quantiles().p99_us,
            status_p99_us: status.latencies.quantiles().p99_us,
            not_accepted: accept.refused + accept.failed + status.refused + status.failed,
        });
    }
    server.until_ended(streams.next, DRAINED_WITHIN).await?;
    server.process.stop().await?;
    let verdicts = verdicts(&samples);
    Ok(Soak { registrations: options.registrations, samples, verdicts })
}

/// An id that nobody has.
const GUID: &str = "00000000-0000-7000-8000-000000000000";

struct Streams {
    account: Account,
    next: u64,
    cleaned: u64,
    ids: Vec<String>,
}

impl Streams {
    async fn window(
        &mut self,
        server: &Pushroll,
        stage: &Stage,
        per_second: f64,
    ) -> anyhow::Result<(load::Figures, load::Figures)> {
        let account = &self.account;
        let plan = Plan { span: WINDOW, ..stage.closed(server.port()) };
        let open =
            |per_second, connections| Plan { pace: Pace::Open { per_second }, connections, ..plan };
        let numbers = Numbers::parts(self.next..u64::MAX, 1)[0];
        let wishes = Wishes { tracked: true, callback_url: None };
        let register = Register::new(account, numbers, 1, Mix::Fleet, &wishes).keeping(10);
        let ask = AskStatus::new(account, Arc::new(self.ids.clone()), STATUS_IDS);
        let users = self.cleaned..users_of(self.next.saturating_sub(LAG)).max(self.cleaned);
        let cleanups_per_second = (users.end - users.start).max(1) as f64 / WINDOW.as_secs_f64();
        let clean = CleanUsers::new(account, Numbers::parts(users.clone(), 1)[0], 1);
        let (accepted, asked, cleaned) = tokio::join!(
            load::run(open(per_second, plan.connections), vec![register]),
            load::run(open(STATUS_PER_SECOND, 4), vec![ask]),
            load::run(open(cleanups_per_second, 16), vec![clean]),
        );
        let ((mut accepted, left), (asked, _), (cleaned, _)) = (accepted?, asked?, cleaned?);
        accepted.failed += cleaned.failed + cleaned.refused;
        self.next = after(&left);
        self.cleaned = users.end;
        self.ids = left.into_iter().flat_map(|source| source.given).map(|(_, id)| id).collect();
        Ok((accepted, asked))
    }
}

fn verdicts(samples: &[Sample]) -> Vec<Verdict> {
    let third = samples.len() / 3;
    let verdict = |name: &str, may_grow: f64, of: &dyn Fn(&Sample) -> f64| {
        let of_part = |part: &[Sample]| median(part.iter().map(of).collect());
        let (middle, last) = (of_part(&samples[third..third * 2]), of_part(&samples[third * 2..]));
        Verdict { name: name.to_owned(), middle, last, may_grow, flat: last <= middle * may_grow }
    };
    vec![
        verdict("resident memory, MiB", 1.1, &|sample| sample.resident as f64 / 1_048_576.0),
        verdict("open files", 1.1, &|sample| sample.files as f64),
        verdict("disk, MiB", 1.25, &|sample| sample.disk as f64 / 1_048_576.0),
        verdict("p99 of accept, µs", 1.5, &|sample| sample.accept_p99_us as f64),
        verdict("p99 of status, µs", 1.5, &|sample| sample.status_p99_us as f64),
    ]
}

impl fmt::Display for Soak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.samples.last().map_or(0.0, |sample| sample.at);
        let bad: u64 = self.samples.iter().map(|sample| sample.not_accepted).sum();
        writeln!(
            f,
            "{seconds:.0} s at {} registrations a second; {bad} requests not accepted.\n",
            self.registrations
        )?;
        writeln!(f, "| | second third | last third | flat |\n| --- | --- | --- | --- |")?;
        for Verdict { name, middle, last, flat, .. } in &self.verdicts {
            writeln!(
                f,
                "| {name} | {middle:.1} | {last:.1} | {} |",
                if *flat { "yes" } else { "no" }
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_is_not_flat() {
        let sample = |n: u64| Sample {
            at: n as f64,
            resident: (100 + n * 10) << 20,
            files: 50,
            disk: 1 << 30,
            accept_p99_us: 900,
            status_p99_us: 500,
            not_accepted: 0,
        };
        let samples: Vec<_> = (0..9).map(sample).collect();
        let flat: Vec<bool> = verdicts(&samples).iter().map(|verdict| verdict.flat).collect();
        assert_eq!(flat, [false, true, true, true, true]);
    }
}
