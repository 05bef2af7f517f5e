//! Accepting registrations durably, with verification paused, beside a bare hyper server under the same
//! load from the same generator.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use pushroll_simulator::{ApnsFate, FcmFate, tokens};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::load::{self, Figures};
use crate::process::{Server, free_port};

/// What to measure.
#[derive(clap::Args)]
pub struct Options {
    /// Connections, each with one request under way.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Requests of one run.
    #[arg(long, default_value_t = 200_000)]
    requests: usize,
    /// Runs, of which the median counts.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Where Pushroll's program is.
    #[arg(long, default_value = "target/release/pushroll")]
    program: PathBuf,
    /// Where the data directory is made; the disk is part of what is measured.
    #[arg(long, default_value = "target")]
    dir: PathBuf,
}

/// The admin token of the measured server.
const ADMIN_TOKEN: &str = "bench-admin-token-bench-admin-token-0123";

/// Measures and prints.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let dir = tempfile::tempdir_in(&options.dir)?;
    let bare = {
        let (program, port) = (std::env::current_exe()?, free_port()?);
        Server::start(&program, &["bare", "--port", &port.to_string()], port).await?
    };
    let pushroll = {
        let port = free_port()?;
        let settings = dir.path().join("pushroll.toml");
        let data = dir.path().join("data");
        let text = format!(
            "listen = \"127.0.0.1:{port}\"\n[store]\nkind = \"embedded\"\npath = {data:?}\n\
             [admin]\ntoken = \"{ADMIN_TOKEN}\"\n[verification]\npaused = true\n\
             [limits]\nwaiting_per_app = 1000000000\n[log]\nlevel = \"warn\"\n"
        );
        std::fs::write(&settings, text)?;
        let settings = settings.to_str().context("an odd path")?;
        Server::start(&options.program, &["serve", "--config", settings], port).await?
    };
    let target = Target::set_up(pushroll.port()).await?;

    let mut ratios = Vec::new();
    println!("| server | requests/s | p50 µs | p99 µs | server CPU µs a request |");
    println!("| --- | --- | --- | --- | --- |");
    for run in 0..options.runs {
        let mut rates = Vec::new();
        for (name, server) in [("bare hyper", &bare), ("pushroll", &pushroll)] {
            let requests = target.requests(run * options.requests, options.requests, server.port());
            let cpu = server.cpu_time()?;
            let figures = load::run(server.port(), options.connections, requests).await?;
            let cpu = server.cpu_time()? - cpu;
            ensure!(figures.refused == 0, "{name} refused {} requests", figures.refused);
            print(name, &figures, cpu.as_secs_f64() * 1e6 / figures.accepted as f64);
            rates.push(figures.rate());
        }
        ratios.push(rates[1] / rates[0]);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "\naccept, single, durable: {:.0}% of bare hyper (median of {}); pushroll's memory {} MiB",
        ratios[ratios.len() / 2] * 100.0,
        ratios.len(),
        pushroll.resident_bytes()? / (1 << 20),
    );
    Ok(())
}

fn print(name: &str, figures: &Figures, cpu_micros: f64) {
    println!(
        "| {name} | {:.0} | {} | {} | {cpu_micros:.1} |",
        figures.rate(),
        figures.latencies.value_at_quantile(0.5),
        figures.latencies.value_at_quantile(0.99),
    );
}

/// An organization with an app and a token in the measured server.
struct Target {
    org: String,
    app: String,
    token: String,
}

impl Target {
    async fn set_up(port: u16) -> anyhow::Result<Self> {
        let text = |value: &Value, name: &str| -> anyhow::Result<String> {
            Ok(value[name].as_str().with_context(|| format!("no {name}"))?.to_owned())
        };
        let org = administer(port, "/admin/v1/orgs", &json!({"name": "bench"})).await?;
        let org = text(&org, "id")?;
        let apps = format!("/admin/v1/orgs/{org}/apps");
        let app = text(&administer(port, &apps, &json!({"name": "bench"})).await?, "id")?;
        let token = administer(port, &format!("{apps}/{app}/tokens"), &json!({})).await?;
        Ok(Self { org, app, token: text(&token, "token")? })
    }

    /// Requests with users and device tokens of their own, made before the clock starts.
    fn requests(&self, first: usize, count: usize, port: u16) -> Arc<Vec<Vec<u8>>> {
        let path = format!("/api/v1.0/orgs/{}/pushdeviceregistration/devices", self.org);
        let Self { app, token, .. } = self;
        let request = |n: usize| {
            let n = n as u64;
            let (kind, device) = if n.is_multiple_of(2) {
                ("ApnsDeviceToken", tokens::apns(n, ApnsFate::Accepted))
            } else {
                ("FcmDeviceToken", tokens::fcm(n, FcmFate::Accepted))
            };
            let user = format!("{n:08x}-0000-4000-8000-{n:012x}");
            let body = format!(
                "{{\"MobileAppId\":\"{app}\",\"UserId\":\"{user}\",\"ApiToken\":\"{token}\",\
                 \"{kind}\":\"{device}\"}}"
            );
            load::post(&path, port, &body)
        };
        Arc::new((first..first + count).map(request).collect())
    }
}

async fn administer(port: u16, path: &str, body: &Value) -> anyhow::Result<Value> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let (mut send, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::post(path)
        .header("host", format!("127.0.0.1:{port}"))
        .header("authorization", format!("Bearer {ADMIN_TOKEN}"))
        .header("content-type", "application/json")
        .body(Full::new(bytes::Bytes::from(body.to_string())))?;
    let answer = send.send_request(request).await?;
    let status = answer.status();
    let bytes = answer.into_body().collect().await?.to_bytes();
    connection.abort();
    ensure!(status.is_success(), "{path}: {status} {}", String::from_utf8_lossy(&bytes));
    Ok(serde_json::from_slice(&bytes)?)
}
