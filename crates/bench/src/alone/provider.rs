//! The provider client by itself: dry runs against the simulator, with nothing before or after.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use pushroll::machine::SystemClock;
use pushroll_domain::{
    ApnsCredentials, Clock, DeviceToken, DryRun as _, Environment, FcmCredentials, IdSequence,
    Platform, Providers as _, UserId, Verdict,
};
use pushroll_providers::{ProviderClients, ProviderSettings};
use pushroll_simulator::Ports;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::data::{Kind, Mix, device};
use crate::servers::simulator::Providers;
use crate::usage;

/// What is measured.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The simulator's directory.
    #[arg(long)]
    dir: PathBuf,
    /// Which provider.
    #[arg(long)]
    provider: Which,
    /// Dry runs at once.
    #[arg(long)]
    at_once: usize,
    /// For how long.
    #[arg(long)]
    seconds: f64,
}

/// For how long dry runs are made before the clock starts.
pub const WARM_UP: Duration = Duration::from_millis(300);

/// A provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Which {
    /// APNs.
    Apns,
    /// FCM.
    Fcm,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClientFigures {
    /// Dry runs a second.
    pub per_second: f64,
    /// CPU time for each, in microseconds.
    pub cpu_micros: f64,
    /// How many.
    pub count: u64,
}

/// Measures in a process of its own.
pub async fn measure(
    providers: &Providers,
    which: Which,
    at_once: usize,
    span: Duration,
) -> anyhow::Result<ClientFigures> {
    let provider = match which {
        Which::Apns => "apns",
        Which::Fcm => "fcm",
    };
    let dir = providers.dir.to_str().context("an odd path")?;
    let mut arguments = vec!["alone-provider".to_owned()];
    for (name, value) in [
        ("--dir", dir),
        ("--provider", provider),
        ("--at-once", &at_once.to_string()),
        ("--seconds", &span.as_secs_f64().to_string()),
    ] {
        arguments.extend([name.to_owned(), value.to_owned()]);
    }
    super::run_own(&arguments).await
}

/// Measures in this process, and prints.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let asker = Arc::new(Asker::new(&options)?);
    // Connections, provider tokens and access tokens are made before the clock starts.
    ask(&asker, &options, WARM_UP).await?;
    let (since, before) = (Instant::now(), usage::of_myself()?);
    let count = ask(&asker, &options, Duration::from_secs_f64(options.seconds)).await?;
    let took = since.elapsed();
    let used = usage::of_myself()?.since(&before);
    let figures = ClientFigures {
        per_second: count as f64 / took.as_secs_f64(),
        cpu_micros: used.micros_each(count),
        count,
    };
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

async fn ask(asker: &Arc<Asker>, options: &Options, span: Duration) -> anyhow::Result<u64> {
    let (since, done) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let tasks: Vec<_> = (0..options.at_once)
        .map(|_| {
            let (asker, done) = (Arc::clone(asker), Arc::clone(&done));
            tokio::spawn(async move {
                while since.elapsed() < span {
                    asker.ask().await?;
                    done.fetch_add(1, Ordering::Relaxed);
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(done.load(Ordering::Relaxed))
}

struct Asker {
    clients: ProviderClients,
    to: To,
    tokens: Vec<DeviceToken>,
    next: AtomicU64,
    ids: IdSequence,
}

enum To {
    Apns(Arc<ApnsCredentials>),
    Fcm(Arc<FcmCredentials>),
}

/// Device tokens that are made before the clock starts, and used in turn.
const TOKENS: usize = 10_000;

impl Asker {
    fn new(options: &Options) -> anyhow::Result<Self> {
        let dir = &options.dir;
        let ports: Ports = serde_json::from_slice(&std::fs::read(dir.join("ports.json"))?)?;
        let app: Value = serde_json::from_slice(&std::fs::read(dir.join("app.json"))?)?;
        let account = &app["android"]["service_account"];
        let url = |port: u16| Url::parse(&format!("https://127.0.0.1:{port}"));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let settings = ProviderSettings {
            apns_production_url: url(ports.apns_production)?,
            apns_sandbox_url: url(ports.apns_sandbox)?,
            fcm_url: url(ports.fcm)?,
            extra_ca_file: Some(dir.join("ca.pem")),
            token_uris: vec![text(&account["token_uri"])],
            ..ProviderSettings::default()
        };
        let clients = ProviderClients::new(&settings, Arc::new(SystemClock))?;
        let (kind, platform) = match options.provider {
            Which::Apns => (Kind::Apns, Platform::Ios),
            Which::Fcm => (Kind::Fcm, Platform::Android),
        };
        let to = match options.provider {
            Which::Apns => {
                let (ios, key) = (&app["ios"], &app["ios"]["key"]);
                let [bundle, id, team, p8] =
                    [&ios["bundle_id"], &key["key_id"], &key["team_id"], &key["p8"]].map(text);
                To::Apns(Arc::new(clients.read_apns_key(&bundle, &id, &team, &p8)?))
            }
            Which::Fcm => To::Fcm(Arc::new(clients.read_service_account(&account.to_string())?)),
        };
        let tokens = (0..).map(|number| device(number, Mix::AllNew));
        let tokens = tokens.filter(|device| device.kind == kind).take(TOKENS).map(|device| {
            let mut token = Vec::new();
            device.append_token(&mut token);
            Ok(DeviceToken::parse(platform, &String::from_utf8(token)?)?)
        });
        let tokens = tokens.collect::<anyhow::Result<_>>()?;
        Ok(Self { clients, to, tokens, next: AtomicU64::new(0), ids: IdSequence::new() })
    }

    async fn ask(&self) -> anyhow::Result<()> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let token = &self.tokens[next as usize % TOKENS];
        let report = match &self.to {
            To::Apns(credentials) => {
                let user =
                    UserId::parse("bench")?.key_in(pushroll_domain::AppId::from_bytes([1; 16]));
                let id = self.ids.registration(SystemClock.now(), &user, next);
                self.clients.apns(credentials, Environment::Production, token, id).await
            }
            To::Fcm(credentials) => self.clients.fcm(credentials, token).await,
        };
        ensure!(
            report.verdict == Verdict::Accepted,
            "a dry run was not accepted: {:?}",
            report.verdict
        );
        Ok(())
    }
}
