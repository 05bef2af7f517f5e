//! The embedded store by itself: registrations that were made before the clock starts are accepted,
//! or accepted and finished, by callers each of whom waits for its commit.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use pushroll::machine::SystemClock;
use pushroll_domain::{
    Accept, AppId, ClaimedToken, Clock, DeviceToken, Ending, Environment, FailureReason, Finish,
    Finished, IdSequence, OrgId, Platform, Registration, Store, Timestamp, TokenId, Tries, UserId,
};
use pushroll_store_embedded::{EmbeddedSettings, EmbeddedStore};
use serde::{Deserialize, Serialize};

use crate::data::{Fate, Kind, Mix, Random, registration};
use crate::usage;

/// What is measured.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The data directory; made if it is not there.
    #[arg(long)]
    pub dir: PathBuf,
    /// Registrations in each call of the store.
    #[arg(long)]
    pub batch: usize,
    /// Callers at once.
    #[arg(long)]
    pub callers: usize,
    /// Registrations that are made beforehand: the most that there can be.
    #[arg(long)]
    pub registrations: u64,
    /// For how long, in seconds.
    #[arg(long)]
    pub seconds: f64,
    /// The number of the first of them.
    #[arg(long, default_value_t = 0)]
    pub first: u64,
    /// Whether they are finished, too.
    #[arg(long)]
    pub finish: bool,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoreFigures {
    /// Registrations a second.
    pub per_second: f64,
    /// CPU time for each, in microseconds, of the whole process.
    pub cpu_micros: f64,
    /// Bytes passed to the kernel to be written, for each.
    pub bytes_passed: f64,
    /// Bytes written to disks, for each.
    pub bytes_written: f64,
}

/// Measures in a process of its own.
pub async fn measure(options: &Options) -> anyhow::Result<StoreFigures> {
    let Options { dir, batch, callers, registrations, seconds, first, finish } = options;
    let mut arguments = vec!["alone-store".to_owned()];
    let dir = dir.to_str().context("an odd path")?;
    for (name, value) in [
        ("--dir", dir.to_owned()),
        ("--batch", batch.to_string()),
        ("--callers", callers.to_string()),
        ("--registrations", registrations.to_string()),
        ("--seconds", seconds.to_string()),
        ("--first", first.to_string()),
    ] {
        arguments.extend([name.to_owned(), value]);
    }
    if *finish {
        arguments.push("--finish".to_owned());
    }
    super::run_own(&arguments).await
}

/// Measures in this process, and prints.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let store = Arc::new(open(&options.dir)?);
    let maker = Maker::new(AppId::from_bytes([0x11; 16]), OrgId::from_bytes([0x22; 16]));
    let calls = calls(&options, &maker);
    let span = Duration::from_secs_f64(options.seconds);
    let (since, before) = (Instant::now(), usage::of_myself()?);
    let callers: Vec<_> = calls
        .into_iter()
        .map(|calls| {
            let store = Arc::clone(&store);
            let finish = options.finish;
            tokio::spawn(async move {
                let mut done = 0;
                for call in calls.into_iter().take_while(|_| since.elapsed() < span) {
                    accept(&store, &call, finish).await?;
                    done += call.len();
                    if finish {
                        finish_all(&store, call).await?;
                    }
                }
                anyhow::Ok(done)
            })
        })
        .collect();
    let mut count = 0;
    for caller in callers {
        count += caller.await??;
    }
    let took = since.elapsed();
    let used = usage::of_myself()?.since(&before);
    store.close().await;
    let each = |number: f64| number / count as f64;
    let figures = StoreFigures {
        per_second: count as f64 / took.as_secs_f64(),
        cpu_micros: used.micros_each(count as u64),
        bytes_passed: each(used.passed_to_write as f64),
        bytes_written: each(used.written as f64),
    };
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

/// Opens the store in this directory as a server opens it.
pub fn open(dir: &Path) -> anyhow::Result<EmbeddedStore> {
    Ok(EmbeddedStore::open(EmbeddedSettings::new(dir), Arc::new(SystemClock))?)
}

type Batch = Vec<(Arc<Registration>, Fate)>;

/// For each caller its calls, all made before the clock starts.
fn calls(options: &Options, maker: &Maker) -> Vec<Vec<Batch>> {
    let mut calls = vec![Vec::new(); options.callers];
    let numbers: Vec<u64> = (options.first..options.first + options.registrations).collect();
    for (index, some) in numbers.chunks(options.batch).enumerate() {
        let batch = some.iter().map(|number| maker.make(*number, Mix::Fleet, SystemClock.now()));
        calls[index % options.callers].push(batch.collect());
    }
    calls
}

async fn accept(store: &EmbeddedStore, batch: &Batch, taken: bool) -> anyhow::Result<()> {
    let accept =
        |(one, _): &(Arc<Registration>, Fate)| Accept { registration: Arc::clone(one), taken };
    Ok(store.accept(batch.iter().map(accept).collect()).await?)
}

async fn finish_all(store: &EmbeddedStore, batch: Batch) -> anyhow::Result<()> {
    let finishes = batch.into_iter().map(|(one, fate)| finish(one, fate, SystemClock.now()));
    let ended = store.finish(finishes.collect()).await?;
    ensure!(
        ended.iter().all(|end| matches!(end, Finished::Ended(_))),
        "a registration did not end: {ended:?}"
    );
    Ok(())
}

/// How a registration with this fate is finished once its provider has answered.
pub fn finish(registration: Arc<Registration>, fate: Fate, at: Timestamp) -> Finish {
    let ending = match fate {
        Fate::Stored | Fate::Repeat => {
            let ios = registration.claimed.platform() == Platform::Ios;
            Ending::Verified { environment: ios.then_some(Environment::Production), answer: None }
        }
        Fate::Dead => Ending::Failed { reason: FailureReason::DryRunSendingFailed, answer: None },
    };
    let tries = Tries { attempts: 1, ..Tries::default() };
    Finish { registration, ending, at, tries, devices_per_user: 100 }
}

/// Makes registrations as the engine makes them.
pub struct Maker {
    app: AppId,
    org: OrgId,
    ids: IdSequence,
}

impl Maker {
    /// Of this app.
    pub const fn new(app: AppId, org: OrgId) -> Self {
        Self { app, org, ids: IdSequence::new() }
    }

    /// The registration with this number, accepted then.
    pub fn make(&self, number: u64, mix: Mix, now: Timestamp) -> (Arc<Registration>, Fate) {
        let (device, fate) = registration(number, mix);
        let platform = match device.kind {
            Kind::Apns => Platform::Ios,
            Kind::Fcm => Platform::Android,
        };
        let (mut token, mut user) = (Vec::new(), Vec::new());
        device.append_token(&mut token);
        device.append_user(&mut user);
        let text = |bytes| String::from_utf8(bytes).expect("tokens and users are ASCII");
        let user = UserId::parse(&text(user)).expect("a GUID is a user id");
        let token = DeviceToken::parse(platform, &text(token)).expect("a token of its platform");
        let random = Random(number).next();
        let registration = Registration {
            id: self.ids.registration(now, &user.key_in(self.app), random),
            org: self.org,
            app: self.app,
            user,
            claimed: ClaimedToken::Present(token),
            authorized_by: Some(TokenId::from_bytes([0x33; 16])),
            tracked: true,
            callback: None,
            accepted_at: now,
            due: now,
            tries: Tries::default(),
            last_answer: None,
        };
        (Arc::new(registration), fate)
    }
}
