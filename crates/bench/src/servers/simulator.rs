//! The simulator of APNs, FCM and Google's token endpoint as a process of its own, with what it needs
//! to remember turned down, so that it costs as little as it can.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use pushroll_simulator::{Limits, Ports, Simulator, SimulatorSettings};
use serde_json::Value;

use super::{Process, free_port, start_own};

/// How long a simulator may take until its files are there; it makes an RSA key.
const WRITES_WITHIN: Duration = Duration::from_secs(60);

/// How a simulator is started.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Its directory.
    #[arg(long)]
    dir: PathBuf,
    /// The port of its control endpoint.
    #[arg(long)]
    port: u16,
}

/// A running simulator, and where it is.
pub struct Providers {
    /// The process.
    pub process: Process,
    /// Its ports.
    pub ports: Ports,
    /// Its directory.
    pub dir: PathBuf,
}

/// Starts one as a process of its own, on one core if there is one given.
pub async fn start(dir: &Path, core: Option<usize>) -> anyhow::Result<Providers> {
    let port = free_port()?;
    let path = dir.to_str().context("an odd path")?;
    let arguments = ["simulate", "--dir", path, "--port", &port.to_string()];
    let process = start_own(&arguments, port, core).await?;
    // It listens before it has written its files.
    let read = || -> anyhow::Result<Ports> {
        serde_json::from_slice::<Value>(&std::fs::read(dir.join("app.json"))?)?;
        Ok(serde_json::from_slice(&std::fs::read(dir.join("ports.json"))?)?)
    };
    let since = Instant::now();
    let ports = loop {
        match read() {
            Ok(ports) => break ports,
            Err(fault) if since.elapsed() > WRITES_WITHIN => {
                return Err(fault.context("the simulator does not write its files"));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    Ok(Providers { process, ports, dir: dir.to_owned() })
}

/// Simulates until it is ended.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let ports = Ports { control: options.port, ..Ports::default() };
    let limits = Limits { recent_requests: 0, device_tokens: 1, ..Limits::default() };
    let settings = SimulatorSettings { ports, limits, ..SimulatorSettings::new(&options.dir) };
    let _simulator = Simulator::start(settings).await?;
    loop {
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
}

impl Providers {
    /// `https://…` of a port.
    pub fn url(&self, port: u16) -> String {
        format!("https://127.0.0.1:{port}")
    }

    /// The body that makes an app whose credentials it accepts.
    pub fn app_body(&self) -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&std::fs::read(self.dir.join("app.json"))?)?)
    }

    /// The token endpoint, as the service account names it.
    pub fn token_uri(&self) -> anyhow::Result<String> {
        match &self.app_body()?["android"]["service_account"]["token_uri"] {
            Value::String(uri) => Ok(uri.clone()),
            _ => bail!("the simulator's app has no token_uri"),
        }
    }

    /// The settings of a server that asks this simulator.
    pub fn settings(&self) -> anyhow::Result<String> {
        let Ports { apns_production, apns_sandbox, fcm, .. } = self.ports;
        Ok(format!(
            "[providers]\napns_production = {:?}\napns_sandbox = {:?}\nfcm = {:?}\ntoken_uris = [{:?}]\n\
             ca_file = {:?}\n",
            self.url(apns_production),
            self.url(apns_sandbox),
            self.url(fcm),
            self.token_uri()?,
            self.dir.join("ca.pem"),
        ))
    }
}
