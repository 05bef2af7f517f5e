//! Making connections: to each address of each host in turn, beginning with the one that was last of use, until one
//! takes writes. Each has its own time to answer, so that one that accepts and says nothing is not in the way of the
//! next.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::ClientWrapper;
use futures_util::future::poll_fn;
use parking_lot::Mutex;
use tokio::net::lookup_host;
use tokio::time::timeout;
use tokio_postgres::config::Host;
use tokio_postgres::error::DbError;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::db::{Access, set_up};
use crate::faults::{Fault, Kind};
use crate::settings::PostgresSettings;

/// A connection that has to be driven to hear anything.
pub(crate) type Listening =
    Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// The function of the server that warns when a wait for synchronous replicas was broken off.
const BROKEN_OFF: &str = "SyncRepWaitForLSN";

/// Makes connections.
#[derive(Clone)]
pub(crate) struct Connector(Arc<Inner>);

struct Inner {
    driver: Config,
    tls: MakeRustlsConnect,
    /// How long one address may take, from the first packet until it can be worked with.
    patience: Duration,
    /// What each connection is told first.
    set_up: String,
    /// Where the last connection was made.
    last_good: Mutex<Option<Target>>,
}

/// One address of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    /// As it is given; certificates are for this name.
    host: Host,
    address: Option<IpAddr>,
    port: u16,
}

impl Connector {
    pub(crate) fn new(settings: &PostgresSettings, access: Access, tls: MakeRustlsConnect) -> Self {
        Self(Arc::new(Inner {
            driver: settings.driver(),
            tls,
            patience: settings.connect_timeout,
            set_up: set_up(settings, access),
            last_good: Mutex::default(),
        }))
    }

    pub(crate) fn tls(&self) -> MakeRustlsConnect {
        self.0.tls.clone()
    }

    /// Makes a connection that takes writes, and is told this first.
    ///
    /// # Errors
    /// Says of each address why not.
    pub(crate) async fn connect(&self, first: &str) -> Result<(Client, Listening), Fault> {
        let (mut targets, mut faults) = self.targets().await;
        let last_good = self.0.last_good.lock().clone();
        targets.sort_by_key(|target| Some(target) != last_good.as_ref());
        for target in targets {
            let made = timeout(self.0.patience, self.connect_to(&target, first)).await;
            match made.unwrap_or_else(|_| Err(Fault::timed_out())) {
                Ok(made) => {
                    let mut last_good = self.0.last_good.lock();
                    if last_good.as_ref() != Some(&target) {
                        tracing::info!(server = %target.name(), "connected to the database");
                        *last_good = Some(target);
                    }
                    return Ok(made);
                }
                Err(fault) => faults.push((target.name(), fault)),
            }
        }
        Err(all_of(faults))
    }

    async fn connect_to(&self, target: &Target, first: &str) -> Result<(Client, Listening), Fault> {
        let driver = target.alone(&self.0.driver);
        let (client, mut connection) = driver.connect(self.tls()).await?;
        if !first.is_empty() {
            let mut told = Box::pin(client.batch_execute(first));
            loop {
                tokio::select! {
                    done = &mut told => break done?,
                    message = poll_fn(|cx| connection.poll_message(cx)) => match message {
                        None => return Err(Fault::new(Kind::Connection, "the connection was closed")),
                        Some(message) => drop(message?),
                    }
                }
            }
        }
        Ok((client, connection))
    }

    /// Everything that the hosts' names stand for now.
    async fn targets(&self) -> (Vec<Target>, Vec<(String, Fault)>) {
        let driver = &self.0.driver;
        let (hosts, addresses, ports) =
            (driver.get_hosts(), driver.get_hostaddrs(), driver.get_ports());
        let (mut targets, mut faults) = (Vec::new(), Vec::new());
        for place in 0..hosts.len().max(addresses.len()) {
            let port = ports.get(place).or_else(|| ports.first()).copied().unwrap_or(5432);
            let address = addresses.get(place).copied();
            let host = match (hosts.get(place), address) {
                (Some(host), _) => host.clone(),
                (None, Some(address)) => Host::Tcp(address.to_string()),
                (None, None) => continue,
            };
            let target = Target { host, address, port };
            let name = match (&target.host, address) {
                (Host::Tcp(name), None) => name.clone(),
                (Host::Tcp(_), Some(_)) | (Host::Unix(_), _) => {
                    targets.push(target);
                    continue;
                }
            };
            match timeout(self.0.patience, lookup_host((name.as_str(), port))).await {
                Ok(Ok(found)) => targets.extend(
                    found.map(|found| Target { address: Some(found.ip()), ..target.clone() }),
                ),
                Ok(Err(cause)) => {
                    let reason = format!("its address can't be found: {cause}");
                    faults.push((target.name(), Fault::new(Kind::Connection, reason)));
                }
                Err(_) => {
                    let reason = "its address is not found in time";
                    faults.push((target.name(), Fault::new(Kind::Connection, reason)));
                }
            }
        }
        (targets, faults)
    }
}

/// Why there is no connection: of one server its own words, of several each one's.
fn all_of(mut faults: Vec<(String, Fault)>) -> Fault {
    if faults.len() == 1
        && let Some((_, fault)) = faults.pop()
    {
        return fault;
    }
    let each: Vec<String> =
        faults.iter().map(|(name, fault)| format!("{name}: {}", fault.reason)).collect();
    Fault::new(
        Kind::Connection,
        format!("no server of the database can be used ({})", each.join("; ")),
    )
}

impl Target {
    fn name(&self) -> String {
        match (&self.host, self.address) {
            (Host::Tcp(host), Some(address)) if *host != address.to_string() => {
                format!("{host}:{} ({address})", self.port)
            }
            (Host::Tcp(host), _) => format!("{host}:{}", self.port),
            (Host::Unix(path), _) => path.display().to_string(),
        }
    }

    /// The driver's settings for this one alone.
    fn alone(&self, whole: &Config) -> Config {
        let mut config = Config::new();
        match &self.host {
            Host::Tcp(host) => config.host(host),
            Host::Unix(path) => config.host_path(path),
        };
        if let Some(address) = self.address {
            config.hostaddr(address);
        }
        config
            .port(self.port)
            .ssl_mode(whole.get_ssl_mode())
            .ssl_negotiation(whole.get_ssl_negotiation())
            .keepalives(whole.get_keepalives())
            .keepalives_idle(whole.get_keepalives_idle())
            .target_session_attrs(whole.get_target_session_attrs())
            .channel_binding(whole.get_channel_binding());
        if let Some(user) = whole.get_user() {
            config.user(user);
        }
        if let Some(password) = whole.get_password() {
            config.password(password);
        }
        if let Some(name) = whole.get_dbname() {
            config.dbname(name);
        }
        if let Some(options) = whole.get_options() {
            config.options(options);
        }
        if let Some(name) = whole.get_application_name() {
            config.application_name(name);
        }
        if let Some(span) = whole.get_connect_timeout() {
            config.connect_timeout(*span);
        }
        if let Some(span) = whole.get_tcp_user_timeout() {
            config.tcp_user_timeout(*span);
        }
        if let Some(span) = whole.get_keepalives_interval() {
            config.keepalives_interval(span);
        }
        if let Some(count) = whole.get_keepalives_retries() {
            config.keepalives_retries(count);
        }
        config
    }
}

/// Drives a connection to its end. A commit whose wait for synchronous replicas was broken off is on one server only;
/// the server warns, and calls it a success. Here the connection ends before that is heard, so that nobody takes it
/// for one.
async fn drive(mut connection: Listening) {
    loop {
        match poll_fn(|cx| connection.poll_message(cx)).await {
            None => return,
            Some(Ok(AsyncMessage::Notice(said))) if is_broken_off(&said) => {
                tracing::warn!(
                    said = said.message(),
                    "a commit is not known to be on the replicas"
                );
                return;
            }
            Some(Ok(_)) => {}
            Some(Err(cause)) => {
                tracing::debug!(reason = Fault::from(cause).reason, "a connection has ended");
                return;
            }
        }
    }
}

fn is_broken_off(said: &DbError) -> bool {
    said.routine() == Some(BROKEN_OFF)
}

impl Manager for Connector {
    type Type = ClientWrapper;
    type Error = Fault;

    async fn create(&self) -> Result<ClientWrapper, Fault> {
        let (client, connection) = self.connect(&self.0.set_up).await?;
        // It ends with the wrapper.
        Ok(ClientWrapper::new(client, tokio::spawn(drive(connection))))
    }

    async fn recycle(&self, client: &mut ClientWrapper, _: &Metrics) -> RecycleResult<Fault> {
        if client.is_closed() { Err(RecycleError::message("it is closed")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connector(url: &str) -> Connector {
        let settings = PostgresSettings::new(url.parse().unwrap());
        Connector::new(&settings, Access::Reads, crate::tls::connector(&settings.tls).unwrap())
    }

    #[tokio::test]
    async fn every_address_of_every_host_is_tried_with_the_port_of_its_host() {
        let both = connector("postgres://me@127.0.0.2:5001,127.0.0.3:5002/roll");
        let (targets, faults) = both.targets().await;
        assert!(faults.is_empty());
        let names: Vec<String> = targets.iter().map(Target::name).collect();
        assert_eq!(names, ["127.0.0.2:5001", "127.0.0.3:5002"]);
    }

    #[tokio::test]
    async fn one_of_several_is_asked_as_all_would_be() {
        let url =
            "postgres://me:pw@127.0.0.2:5001/roll?channel_binding=require&options=-cjit%3Doff";
        let connector = connector(url);
        let (targets, _) = connector.targets().await;
        let mut expected = connector.0.driver.clone();
        expected.hostaddr("127.0.0.2".parse().unwrap());
        assert!(targets[0].alone(&connector.0.driver) == expected, "but for where it is");
    }
}
