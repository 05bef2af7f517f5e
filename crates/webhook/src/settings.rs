//! What an operator may set about callbacks, with the defaults.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use thiserror::Error;

/// The settings of [`crate::CallbackClient`].
#[derive(Debug, Clone)]
pub struct CallbackSettings {
    /// Whether `http` URLs are allowed beside `https`. Default: no.
    pub allow_http: bool,
    /// Hosts that are never refused, whatever their addresses and on every port: a name
    /// (`hooks.example.com`), a name and all under it but not itself (`*.example.com`), or an
    /// address. Default: none.
    pub allowed_hosts: Vec<String>,
    /// Ranges whose addresses are never refused, on every port. Default: none.
    pub allowed_ranges: Vec<IpNet>,
    /// Ports that are allowed beside 443 with `https` and 80 with `http`. Default: none.
    pub extra_ports: Vec<u16>,
    /// How long a callback may take in all: look-up, connection, TLS and answer. Default: 10 s.
    pub timeout: Duration,
    /// How much of an answer's body is read. Default: 4 KiB.
    pub max_answer_bytes: usize,
    /// Certificates (PEM) of authorities that are trusted beside the system's. Default: none.
    pub extra_ca_file: Option<PathBuf>,
    /// Who turns names into addresses. Default: the system's name servers.
    pub names: NameSource,
    /// How many connections are kept for the next callback, over all hosts; 0 keeps none.
    /// Default: 64.
    pub max_idle_connections: usize,
    /// How long a connection is kept unused. Receivers close idle connections of their own accord
    /// after 2 s and more, and a callback that crosses such a close on its way is lost, so this is
    /// well below. Default: 1 s.
    pub idle_timeout: Duration,
    /// How long a connection is used at most, so that a changed name is noticed. Default: 60 s.
    pub max_connection_age: Duration,
}

impl Default for CallbackSettings {
    fn default() -> Self {
        Self {
            allow_http: false,
            allowed_hosts: Vec::new(),
            allowed_ranges: Vec::new(),
            extra_ports: Vec::new(),
            timeout: Duration::from_secs(10),
            max_answer_bytes: 4 * 1024,
            extra_ca_file: None,
            names: NameSource::System,
            max_idle_connections: 64,
            idle_timeout: Duration::from_secs(1),
            max_connection_age: Duration::from_secs(60),
        }
    }
}

/// Who turns names into addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameSource {
    /// The hosts file, then the name servers of `resolv.conf`. Names are complete as they stand:
    /// search domains are not tried.
    System,
    /// This name server alone, over UDP and TCP.
    Server(SocketAddr),
}

/// What is wrong with the settings.
#[derive(Debug, Error)]
pub enum CallbackSettingsFault {
    /// An entry of `allowed_hosts` is neither a name nor an address.
    #[error("allowed host {0:?} is neither a host name, nor *. and a host name, nor an address")]
    AllowedHost(String),
    /// The time-out is zero.
    #[error("the time-out must be longer than zero")]
    NoTime,
    /// The extra CA file can't be read, or holds no certificate.
    #[error("the CA file {path} can't be used: {reason}")]
    ExtraCa {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The name server's client could not be set up.
    #[error("names can't be looked up: {0}")]
    Names(String),
    /// TLS could not be set up.
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// All that is wrong with the settings; at least one thing.
#[derive(Debug, Error)]
pub struct CallbackSettingsFaults(pub Vec<CallbackSettingsFault>);

impl fmt::Display for CallbackSettingsFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}
