//! How the store reaches its database, and every limit with its unit and its default.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use pushroll_domain::Secret;
use thiserror::Error;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

/// Where the database is: `postgres://user@host:5432,host2:5432/database`. With several hosts, the one that
/// takes writes is used.
#[derive(Clone)]
pub struct ConnectionUrl {
    pub(crate) config: Config,
    /// What the URL itself says about encryption.
    pub(crate) tls: Option<Tls>,
}

/// Why a text is no connection URL. Never shows the text: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UrlFault {
    /// It is not of the form.
    #[error("must be like postgres://user@host:5432/database ({0})")]
    Form(String),
    /// It names no host.
    #[error("must name a host, like postgres://user@host:5432/database")]
    NoHost,
    /// It names no database.
    #[error("must name a database after the host, like postgres://user@host:5432/database")]
    NoDatabase,
    /// Its `sslmode` is unknown.
    #[error("has an unknown sslmode: use disable, prefer, require, verify-ca or verify-full")]
    SslMode,
}

/// Whether the connection is encrypted, and how the server is known again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// Not at all.
    Off,
    /// If the server offers it. Whoever is between may read everything.
    Prefer,
    /// Always, with whatever certificate. Keeps out who listens, not who pretends to be the server.
    Require,
    /// Always, with a certificate of these authorities.
    VerifyCa(Authorities),
    /// Always, with a certificate of these authorities for the host that was asked for.
    VerifyFull(Authorities),
}

/// Whose certificates are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorities {
    /// Those that this machine believes.
    OfTheMachine,
    /// Those in this PEM file.
    File(PathBuf),
}

impl FromStr for ConnectionUrl {
    type Err = UrlFault;

    fn from_str(text: &str) -> Result<Self, UrlFault> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(UrlFault::Form("it begins otherwise".to_owned()));
        }
        let (place, query) = text.split_once('?').unwrap_or((text, ""));
        let (mut mode, mut authorities, mut rest) = (None, Authorities::OfTheMachine, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value),
                Some(("sslrootcert", value)) => authorities = Authorities::File(value.into()),
                Some(_) | None => rest.push(pair),
            }
        }
        let config: Config = format!("{place}?{}", rest.join("&"))
            .parse()
            .map_err(|cause: tokio_postgres::Error| UrlFault::Form(reason(&cause)))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(UrlFault::NoHost);
        }
        if config.get_dbname().is_none() {
            return Err(UrlFault::NoDatabase);
        }
        let tls = match mode {
            None => None,
            Some("disable") => Some(Tls::Off),
            Some("allow" | "prefer") => Some(Tls::Prefer),
            Some("require") => Some(Tls::Require),
            Some("verify-ca") => Some(Tls::VerifyCa(authorities)),
            Some("verify-full") => Some(Tls::VerifyFull(authorities)),
            Some(_) => return Err(UrlFault::SslMode),
        };
        Ok(Self { config, tls })
    }
}

/// What the driver does not like, without the text that it did not like.
fn reason(cause: &tokio_postgres::Error) -> String {
    let mut source: Option<&dyn std::error::Error> = Some(cause);
    let mut last = String::new();
    while let Some(error) = source {
        last = error.to_string();
        source = error.source();
    }
    last
}

impl ConnectionUrl {
    /// How the connection is encrypted if nobody says: verified in full, but on this machine not at all.
    #[must_use]
    pub fn default_tls(&self) -> Tls {
        self.tls.clone().unwrap_or_else(|| {
            if self.is_on_this_machine() {
                Tls::Off
            } else {
                Tls::VerifyFull(Authorities::OfTheMachine)
            }
        })
    }

    fn is_on_this_machine(&self) -> bool {
        self.config.get_hosts().iter().all(|host| match host {
            Host::Tcp(name) => {
                name == "localhost"
                    || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
            }
            Host::Unix(_) => true,
        })
    }
}

impl fmt::Debug for ConnectionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        let ports = self.config.get_ports();
        for (index, host) in self.config.get_hosts().iter().enumerate() {
            let port = ports.get(index).or_else(|| ports.first()).copied().unwrap_or(5432);
            let comma = if index == 0 { "" } else { "," };
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}:{port}")?,
                Host::Unix(path) => write!(f, "{comma}{}:{port}", path.display())?,
            }
        }
        write!(f, "/{}", self.config.get_dbname().unwrap_or_default())
    }
}

/// How the store on PostgreSQL is set up.
#[derive(Debug, Clone)]
pub struct PostgresSettings {
    /// Where the database is.
    pub url: ConnectionUrl,
    /// The password, if it is not in the URL.
    pub password: Option<Secret>,
    /// How the connection is encrypted.
    pub tls: Tls,
    /// What this process is called in the database's tables and logs.
    pub node: String,
    /// The most connections of this process, one for listening not among them. Default 16.
    pub connections: u32,
    /// How long a connection may take to be made. Default 5 s.
    pub connect_timeout: Duration,
    /// How long a statement may take. Default 10 s.
    pub statement_timeout: Duration,
    /// How long a shard is held without a sign of life. Default 15 s.
    pub lease: Duration,
    /// The most items (registrations, finishes, …) that may wait for a commit; accepting more is
    /// refused at once, everything else waits. Default 65,536.
    pub commit_queue_items: u32,
    /// The most items in one commit, unless a single intention has more. Default 2,048.
    pub commit_max_items: u32,
    /// How long outcomes are kept. Default 7 days.
    pub outcome_retention: Duration,
    /// How many attempts of each app the delivery log holds. Default 10,000.
    pub deliveries_logged: u64,
    /// How many changes of the configuration the audit list keeps. Default 10,000.
    pub audit_entries: u64,
}

impl PostgresSettings {
    /// The defaults, with this database.
    #[must_use]
    pub fn new(url: ConnectionUrl) -> Self {
        Self {
            tls: url.default_tls(),
            url,
            password: None,
            node: "pushroll".to_owned(),
            connections: 16,
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
            lease: Duration::from_secs(15),
            commit_queue_items: 65_536,
            commit_max_items: 2_048,
            outcome_retention: Duration::from_secs(7 * 24 * 3600),
            deliveries_logged: 10_000,
            audit_entries: 10_000,
        }
    }

    /// The driver's settings.
    pub(crate) fn driver(&self) -> Config {
        let mut config = self.url.config.clone();
        if let Some(password) = &self.password {
            config.password(password.reveal());
        }
        config
            .application_name(format!("pushroll {}", self.node))
            .connect_timeout(self.connect_timeout)
            .tcp_user_timeout(self.statement_timeout * 2)
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3)
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .ssl_mode(match self.tls {
                Tls::Off => SslMode::Disable,
                Tls::Prefer => SslMode::Prefer,
                Tls::Require | Tls::VerifyCa(_) | Tls::VerifyFull(_) => SslMode::Require,
            });
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ConnectionUrl, UrlFault> {
        text.parse()
    }

    #[test]
    fn a_connection_url_names_a_host_and_a_database() {
        assert!(parse("postgres://pushroll@db.example:5433/pushroll").is_ok());
        assert!(parse("postgresql://pushroll@one:5432,two:5433/pushroll").is_ok());
        assert_eq!(parse("postgres:///pushroll").unwrap_err(), UrlFault::NoHost);
        assert_eq!(parse("postgres://pushroll@db").unwrap_err(), UrlFault::NoDatabase);
        for wrong in ["", "db.example", "mysql://db/pushroll", "postgres://db:port/pushroll"] {
            assert!(matches!(parse(wrong), Err(UrlFault::Form(_))), "{wrong}");
        }
    }

    #[test]
    fn no_fault_and_no_debug_shows_the_password() {
        let url = parse("postgres://me:hunter2@one:5432,two:5433/roll").unwrap();
        assert_eq!(format!("{url:?}"), "postgres://one:5432,two:5433/roll");
        let fault = parse("postgres://me:hunter2@db:port/roll").unwrap_err();
        assert!(!fault.to_string().contains("hunter2"), "{fault}");
        let settings = PostgresSettings::new(url);
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn encryption_is_as_the_url_says_else_in_full_beyond_this_machine() {
        let tls = |text| parse(text).unwrap().default_tls();
        assert_eq!(tls("postgres://db/roll"), Tls::VerifyFull(Authorities::OfTheMachine));
        assert_eq!(tls("postgres://127.0.0.1/roll"), Tls::Off);
        assert_eq!(tls("postgres://localhost,db/roll"), Tls::VerifyFull(Authorities::OfTheMachine));
        assert_eq!(tls("postgres://db/roll?sslmode=require&connect_timeout=3"), Tls::Require);
        let file = Authorities::File("/etc/ca.pem".into());
        assert_eq!(
            tls("postgres://localhost/roll?sslrootcert=/etc/ca.pem&sslmode=verify-ca"),
            Tls::VerifyCa(file)
        );
        let unknown = parse("postgres://db/roll?sslmode=sometimes");
        assert_eq!(unknown.unwrap_err(), UrlFault::SslMode);
    }
}
