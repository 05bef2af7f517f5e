//! Pushroll as a process of its own, on a data directory of its own.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::simulator::Providers;
use super::{Process, free_port};
use crate::client;
use crate::requests::Account;

/// The admin token of every measured server.
pub const ADMIN_TOKEN: &str = "bench-admin-token-bench-admin-token-0123";

/// How to start it.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The program; this one, which holds the same server, if none is given.
    pub program: Option<PathBuf>,
    /// Where its settings and its data directory are.
    pub dir: PathBuf,
    /// Whether verification is paused.
    pub paused: bool,
    /// More settings of the store, as lines of TOML.
    pub store: String,
    /// More settings, as TOML tables.
    pub more: String,
    /// The core that it stays on.
    pub core: Option<usize>,
}

impl Setup {
    /// A server in this directory as it is set up by default, but that nothing limits what waits.
    pub fn new(program: Option<&Path>, dir: &Path) -> Self {
        let program = program.map(Path::to_owned);
        Self {
            program,
            dir: dir.to_owned(),
            paused: false,
            store: String::new(),
            more: String::new(),
            core: None,
        }
    }

    /// With verification paused.
    pub fn paused(self) -> Self {
        Self { paused: true, ..self }
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Starts it, asking these providers.
    pub async fn start(&self, providers: &Providers) -> anyhow::Result<Pushroll> {
        let port = free_port()?;
        let file = self.dir.join("pushroll.toml");
        let text = format!(
            "listen = \"127.0.0.1:{port}\"\n[store]\nkind = \"embedded\"\npath = {:?}\n{}\
             [admin]\ntoken = \"{ADMIN_TOKEN}\"\n[verification]\npaused = {}\n\
             [limits]\nwaiting_per_app = 1000000000\n\
             [callbacks]\nallow_http = true\nallow_ranges = [\"127.0.0.1/32\"]\n\
             [log]\nlevel = \"warn\"\n{}{}",
            self.data(),
            self.store,
            self.paused,
            providers.settings()?,
            self.more,
        );
        std::fs::write(&file, text)?;
        let program = match &self.program {
            Some(program) => program.clone(),
            None => std::env::current_exe()?,
        };
        let file = file.to_str().context("an odd path")?;
        let process =
            Process::start(&program, &["serve", "--config", file], port, self.core).await?;
        Ok(Pushroll { process })
    }
}

/// A running Pushroll.
pub struct Pushroll {
    /// The process.
    pub process: Process,
}

impl Pushroll {
    /// The port on which it listens.
    pub const fn port(&self) -> u16 {
        self.process.port
    }

    /// Makes an organization with an app that the providers know, and a token.
    pub async fn make_account(&self, providers: &Providers) -> anyhow::Result<Account> {
        let text = |value: &Value, name: &str| -> anyhow::Result<String> {
            Ok(value[name].as_str().with_context(|| format!("no {name}"))?.to_owned())
        };
        let org = self.administer("/admin/v1/orgs", &json!({"name": "bench"})).await?;
        let org = text(&org, "id")?;
        let apps = format!("/admin/v1/orgs/{org}/apps");
        let app = text(&self.administer(&apps, &providers.app_body()?).await?, "id")?;
        let token = self.administer(&format!("{apps}/{app}/tokens"), &json!({})).await?;
        Ok(Account { org, app, token: text(&token, "token")? })
    }

    async fn administer(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        client::post(self.port(), path, Some(ADMIN_TOKEN), body).await
    }

    /// What `/metrics` says.
    pub async fn metrics(&self) -> anyhow::Result<Metrics> {
        metrics(self.port()).await
    }

    /// How many registrations have ended.
    pub async fn ended(&self) -> anyhow::Result<u64> {
        Ok(self.metrics().await?.sum(ENDED) as u64)
    }

    /// Waits until so many registrations have ended in all.
    pub async fn until_ended(&self, count: u64, patience: Duration) -> anyhow::Result<()> {
        let since = Instant::now();
        loop {
            let ended = self.ended().await?;
            if ended >= count {
                return Ok(());
            }
            if since.elapsed() > patience {
                bail!("only {ended} of {count} registrations ended within {patience:?}");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What a status query says of these ids.
    pub async fn statuses(&self, account: &Account, ids: &[String]) -> anyhow::Result<Vec<String>> {
        let path = format!("/api/v1.0/orgs/{}/pushdeviceregistration/devices/status/", account.org);
        let (app, token) = (&account.app, &account.token);
        let mut statuses = Vec::with_capacity(ids.len());
        for some in ids.chunks(*crate::requests::STATUS_IDS.end()) {
            let body =
                json!({"RegistrationRequestIds": some, "MobileAppId": app, "ApiToken": token});
            let answer = client::post(self.port(), &path, None, &body).await?;
            for one in answer.as_array().context("no array")? {
                let (status, reason) = (&one["Status"], &one["FailureReason"]);
                let text = reason.as_str().or(status.as_str()).context("no status")?;
                statuses.push(text.to_owned());
            }
        }
        Ok(statuses)
    }
}

/// The counter of registrations that have ended.
pub const ENDED: &str = "pushroll_registrations_ended_total";

/// What `/metrics` of a server says.
pub async fn metrics(port: u16) -> anyhow::Result<Metrics> {
    Ok(Metrics(client::get(port, "/metrics", None).await?))
}

/// A scrape.
pub struct Metrics(String);

impl Metrics {
    /// The sum of a metric over all its labels.
    pub fn sum(&self, name: &str) -> f64 {
        let values = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            // A longer name that begins alike is another metric.
            let of_this = rest.starts_with(' ') || rest.starts_with('{');
            of_this.then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
        });
        values.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels_and_not_taken_for_another() {
        let text = "# HELP a_total x\na_total{x=\"1\"} 2\na_total{x=\"2 3\"} 5\na_total_more 100\n";
        assert_eq!(Metrics(text.to_owned()).sum("a_total"), 7.0);
    }
}
