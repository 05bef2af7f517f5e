//! `pushroll simulator`: the providers' stand-in as a process, with all that a trial needs.

use std::path::PathBuf;

use clap::Args;
use pushroll_simulator::{APP_NAME, P12_PASSWORD};

use super::signals::Signals;
use super::{Exit, complain, on_runtime};
use crate::logging;
use crate::settings::{Log, LogLevel};
use crate::trial::{ADMIN_TOKEN_FILE, KEY_FILE, SETTINGS_FILE, Trial};

/// Run a simulator of Apple's and Google's servers, with a settings file for a server that uses it.
///
/// APNs (production and sandbox), FCM and Google's token endpoint listen on free ports of 127.0.0.1, with
/// certificates of an authority of their own. The first characters of a device token decide its fate: bad0…,
/// dead…, 5a4d… (good in the sandbox only), b0b0… (busy twice), 5105… (slow) with APNs; bad-…, dead-…,
/// other-…, busy-…, slow-… with FCM; everything else that is well-formed is accepted.
///
/// It runs until Ctrl-C or SIGTERM. Started again on the same directory it has the same keys.
#[derive(Debug, Args)]
pub struct SimulatorArgs {
    /// The directory for keys, certificates and the server's settings; made if it is not there.
    #[arg(long, value_name = "DIR", default_value = "./pushroll-trial")]
    dir: PathBuf,
}

/// Simulates until a signal comes.
pub(super) fn run(args: &SimulatorArgs) -> Exit {
    logging::start(&Log { level: LogLevel::Warn, ..Log::default() });
    on_runtime(simulate(&args.dir))
}

async fn simulate(dir: &std::path::Path) -> Exit {
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(cause) => {
            complain(&format_args!("signals can't be received: {cause}"));
            return Exit::Failed;
        }
    };
    let started = tokio::select! {
        started = Trial::start(dir) => started,
        _ = signals.next() => return Exit::Done,
    };
    let trial = match started {
        Ok(trial) => trial,
        Err(fault) => {
            complain(&format_args!("the simulator can't start: {fault:#}"));
            return Exit::Failed;
        }
    };
    println!("{}", introduce(&trial));
    signals.next().await;
    trial.simulator.shutdown().await;
    Exit::Done
}

fn introduce(trial: &Trial) -> String {
    let Trial { simulator, directory, settings_file, .. } = trial;
    let (production, sandbox) = (simulator.apns_production_url(), simulator.apns_sandbox_url());
    let (fcm, control) = (simulator.fcm_url(), simulator.control_url());
    let (dir, settings) = (directory.display(), settings_file.display());
    format!(
        r#"The simulator of Apple's and Google's servers is up.

  APNs, production   {production}
  APNs, sandbox      {sandbox}
  FCM and tokens     {fcm}
  control            {control}

In {dir}:
  {SETTINGS_FILE:<14} settings of a server that asks this simulator
  app.json       an app that this simulator knows, as a body for POST /admin/v1/orgs/ORG/apps
  app-with-certificate.json, push-certificate.p12
                 the same with a push certificate; the password of the file is {P12_PASSWORD}
  {ADMIN_TOKEN_FILE:<14} the admin token of that server
  {KEY_FILE:<14} the sealing key of that server
  ca.pem         the authority that signs the simulator's certificates

Now, in another terminal:
  pushroll serve --config {settings}

and in a third:
  export PUSHROLL_CONFIG={settings}
  pushroll org create Trial
  pushroll app create --from {dir}/app.json
  pushroll token create "{APP_NAME}"
  pushroll app info "{APP_NAME}"

Ctrl-C ends the simulator."#
    )
}
