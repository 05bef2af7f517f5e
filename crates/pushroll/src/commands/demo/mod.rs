//! `pushroll demo`: the main job for somebody who sees it for the first time. Simulator and server run in this
//! process; everything else goes through the public HTTP API over real sockets, as a caller's back end would.

mod fleet;
mod paste;
mod plan;
mod progress;
mod receiver;
mod report;
mod setup;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use tokio::time::Instant;
use url::Url;
use uuid::Uuid;

use super::signals::Signals;
use super::{Exit, complain, on_runtime, panics};
use crate::client::{Client, Trust};
use crate::server::Server;
use crate::settings::{Log, LogLevel, Settings};
use crate::trial::Trial;
use crate::{logging, machine};
use fleet::{Fleet, Wave};
use plan::{DEVICES_PER_USER, Kind, LEAST_DEVICES, Plan};
use progress::Progress;
use receiver::Receiver;
use report::Report;
use setup::Account;

/// How long the devices of one user may take to be stored.
const STORED_WITHIN: Duration = Duration::from_secs(10);

/// The width of what is explained.
const COLUMNS: usize = 96;
/// How many registrations are looked up for one that shows best why it failed.
const LOOKED_UP: usize = 50;

/// See everything at work in half a minute: server and simulator, 2,000 devices, every outcome.
///
/// Starts a simulator of Apple's and Google's servers and a Pushroll server in a temporary directory; makes an
/// organization, an app and API tokens; registers a fleet of mixed fate through the HTTP API; receives the callbacks
/// and checks their signatures; asks for the outcomes and compares them with what was to be expected; cleans a user
/// up. Then it stays up for you to try: it prints commands to paste.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Leave at once when all is done; the exit code is 0 only if every outcome was the expected one.
    #[arg(long)]
    exit: bool,
    /// The server's port on 127.0.0.1 [default: a free one].
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// How many devices to register.
    #[arg(long, value_name = "NUMBER", default_value_t = 2_000,
          value_parser = clap::value_parser!(u32).range(LEAST_DEVICES as i64..=200_000))]
    devices: u32,
}

/// Shows everything.
pub(super) fn run(args: &DemoArgs) -> Exit {
    logging::start(&Log { level: LogLevel::Error, ..Log::default() });
    machine::raise_open_files();
    on_runtime(show(args))
}

async fn show(args: &DemoArgs) -> Exit {
    let panicked = panics::watch();
    let mut signals = match Signals::listen_at_a_terminal() {
        Ok(signals) => signals,
        Err(cause) => {
            complain(&format_args!("signals can't be received: {cause}"));
            return Exit::Failed;
        }
    };
    let directory = match tempfile::Builder::new().prefix("pushroll-demo-").tempdir() {
        Ok(directory) => directory,
        Err(cause) => {
            complain(&format_args!("a temporary directory can't be made: {cause}"));
            return Exit::Failed;
        }
    };
    let shown = tokio::select! {
        shown = Stage::set(directory.path(), args) => match shown {
            Ok(stage) => stage.play(args, &mut signals).await,
            Err(fault) => Err(fault),
        },
        _ = signals.next() => return Exit::Interrupted,
    };
    match shown {
        Ok(_) if panicked.is_cancelled() => Exit::Died,
        Ok(exit) => exit,
        Err(fault) => {
            complain(&format_args!("the demo can't go on: {fault:#}"));
            Exit::Failed
        }
    }
}

/// Everything that runs.
struct Stage {
    trial: Trial,
    server: Server,
    began: Instant,
}

impl Stage {
    async fn set(directory: &Path, args: &DemoArgs) -> Result<Self> {
        let began = Instant::now();
        say(
            1,
            "Starting a simulator of Apple's and Google's push services, and a Pushroll server that asks it.",
        );
        let trial = Trial::start(directory).await?;
        let text = std::fs::read_to_string(&trial.settings_file)?;
        let mut settings =
            Settings::parse(Some((&trial.settings_file, &text)), std::iter::empty())?;
        if let Some(port) = args.port {
            settings.listen.set_port(port);
        }
        settings.strict_tokens = true;
        settings.limits.devices_per_user = DEVICES_PER_USER;
        let server = Server::start(settings).await?;
        println!("   The server listens on http://{}.", server.local_addr());
        println!("   Its data is in {}, and goes with the demo.", trial.directory.display());
        Ok(Self { trial, server, began })
    }

    /// Plays all of it, and stays up if that is wanted.
    async fn play(self, args: &DemoArgs, signals: &mut Signals) -> Result<Exit> {
        let address = self.server.local_addr();
        let played = tokio::select! {
            played = perform(&self.trial, address, args, self.began) => played,
            _ = signals.next() => Ok(Exit::Interrupted),
        };
        if matches!(played, Ok(Exit::Done | Exit::Failed)) && !args.exit {
            println!(
                "\nThe server stays up: paste away. Ctrl-C ends the demo and removes its data."
            );
            signals.next().await;
            println!();
        }
        self.server.stop().await;
        self.trial.simulator.shutdown().await;
        played
    }
}

async fn perform(
    trial: &Trial,
    server: SocketAddr,
    args: &DemoArgs,
    began: Instant,
) -> Result<Exit> {
    say(
        2,
        "Making an organization, a mobile app with credentials for both platforms, and API tokens.",
    );
    let url = Url::parse(&format!("http://{server}"))?;
    let mut admin = Client::new(&url, Some(&trial.admin_token), &Trust::System)?;
    let account = Account::make(&mut admin, trial).await?;
    let mut client = Client::new(&url, None, &Trust::System)?;
    println!("   organization {}, app {}", account.org, account.app);

    let receiver = Receiver::start().await?;
    let plan = Plan::new(args.devices as usize);
    let total = plan.first.len() + plan.then.len();
    say(
        3,
        &format!(
            "Registering {total} devices, in batches and one by one. Each request is answered 202 when it is on stable \
         storage; then every device token is proven by a dry run with its provider, and a callback tells how it went."
        ),
    );
    let fleet = Fleet::new(url, account, Arc::clone(&receiver));
    let collector = plan.collector.clone();
    let registering = Instant::now();
    let wave = register(&fleet, &mut client, plan, total).await?;
    let all = registering.elapsed();

    say(
        4,
        "Asking for the outcomes, and comparing callbacks and answers with what was to be expected.",
    );
    let ids: Vec<Uuid> = wave.registered.iter().map(|registered| registered.id).collect();
    let statuses = fleet.statuses(&mut client, &ids).await?;
    let report = Report::new(&fleet, &wave.registered, &statuses);
    println!("\n{}", report.table());
    print!("{}", report.figures(&wave.answered, wave.took, all));
    println!(
        "   signatures                     {:>8} callbacks, each with Signature and webhook-signature checked",
        report.signatures()
    );
    let failed = explain(&fleet, &mut admin, &wave).await?;

    say(5, "Cleaning up the user with the most devices, as when somebody signs out everywhere.");
    let is_gone = clean_up(&fleet, &mut client, &mut admin, &collector).await?;

    say(6, "Yours to try:");
    let ids: Vec<Uuid> = wave.registered.iter().take(3).map(|registered| registered.id).collect();
    let user = wave.registered.iter().find(|registered| registered.planned.kind == Kind::Iphone);
    let user = user.map_or(collector.as_str(), |registered| registered.planned.user.as_str());
    println!("\n{}", paste::commands(server, &fleet.account, user, &ids, failed));

    let is_right = report.is_as_expected() && is_gone;
    let verdict = if is_right {
        "Every outcome was the expected one."
    } else {
        "NOT every outcome was the expected one: see the ✗ above."
    };
    println!("{verdict} ({:.1} s)", began.elapsed().as_secs_f64());
    Ok(if is_right { Exit::Done } else { Exit::Failed })
}

/// Registers the fleet, and waits for a callback for each device.
async fn register(
    fleet: &Arc<Fleet>,
    client: &mut Client,
    plan: Plan,
    total: usize,
) -> Result<Wave> {
    let progress = Progress::new(Arc::clone(fleet), total);
    let registering = async {
        let mut wave = fleet.register(plan.first).await?;
        // Who comes second must come second, and the limit must have been reached.
        let stored: Vec<Uuid> = wave
            .registered
            .iter()
            .filter(|registered| registered.planned.kind == Kind::ManyDevices)
            .map(|registered| registered.id)
            .collect();
        fleet.until_ended(client, &stored, STORED_WITHIN).await?;
        let mut then = fleet.register(plan.then).await?;
        wave.registered.append(&mut then.registered);
        wave.answered.append(&mut then.answered);
        wave.took += then.took;
        Ok::<_, anyhow::Error>(wave)
    };
    let (wave, ended) = tokio::join!(registering, progress.until_all_ended());
    let wave = wave?;
    if let Err(fault) = ended {
        // The table shows which are missing.
        println!("   {fault:#}");
    }
    Ok(wave)
}

/// Shows what an operator is told of a failure: of a sandbox token, if possible one that the other environment
/// was asked about, which happens to one a second.
async fn explain(fleet: &Fleet, admin: &mut Client, wave: &Wave) -> Result<Uuid> {
    let sandbox = wave.registered.iter().filter(|one| one.planned.kind == Kind::SandboxIphone);
    let mut shown = None;
    for id in sandbox.map(|one| one.id).take(LOOKED_UP) {
        let path = fleet.account.about_app(&format!("registrations/{id}"));
        let view = admin.get(&path).await?;
        let has_hint = view["hint"].is_string();
        shown = Some((id, view));
        if has_hint {
            break;
        }
    }
    let (id, view) = shown.context("there is no sandbox token")?;
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let words = &view["provider"];
    println!(
        "\n   An operator sees why a device was refused, in the provider's own words. Registration {id}:"
    );
    println!(
        "     {}: {} ({}) answered {} {}",
        text(&view["failure_reason"]),
        text(&words["name"]),
        text(&words["environment"]),
        words["status"],
        text(&words["reason"]),
    );
    if let Some(hint) = view["hint"].as_str() {
        println!("     hint: {hint}");
    }
    Ok(id)
}

/// Removes a user's devices, and looks whether they are gone.
async fn clean_up(
    fleet: &Fleet,
    client: &mut Client,
    admin: &mut Client,
    user: &str,
) -> Result<bool> {
    let account = &fleet.account;
    let path = account.about_app(&format!("devices?user_id={user}"));
    let before = count_devices(admin, &path).await?;
    let body = json!({"MobileAppId": account.app, "ApiToken": account.api_token, "UserId": user});
    let clean_up = account.devices("/cleanup");
    client.post(&clean_up, &body).await?;
    let after = count_devices(admin, &path).await?;
    println!("   user {user}: {before} devices before, {after} after");
    Ok(before == DEVICES_PER_USER as usize && after == 0)
}

async fn count_devices(admin: &mut Client, path: &str) -> Result<usize> {
    let answer = admin.get(path).await?;
    let items = answer["items"].as_array();
    ensure!(answer["next"] == Value::Null, "there are more devices than a page has");
    Ok(items.context("a list without items")?.len())
}

/// Says what comes now.
fn say(step: u8, what: &str) {
    let mut line = format!("\n{step}.");
    for word in what.split(' ') {
        if line.chars().count() + word.len() >= COLUMNS {
            println!("{line}");
            line = "  ".to_owned();
        }
        line.push(' ');
        line.push_str(word);
    }
    println!("{line}");
}
