//! A new connection: a fresh look-up of the name, TCP, perhaps through a proxy, TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pushroll_domain::ApnsCertificate;
use rustls::AlertDescription;
use thiserror::Error;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::endpoint::Endpoint;
use super::heard::alert_of;
use super::proxy::Proxy;
use super::tls::Tls;

/// The least time that each of a host's addresses gets.
const LEAST_PER_ADDRESS: Duration = Duration::from_millis(500);

/// Why there is no connection.
#[derive(Debug, Clone, Error)]
pub(crate) enum DialFault {
    #[error("the name can't be looked up")]
    Lookup(String),
    #[error("can't connect")]
    Tcp(String),
    #[error("the proxy made no connection")]
    Proxy(String),
    #[error("no TLS")]
    Tls(String),
    /// The only one that says something about the credentials.
    #[error("the certificate was refused")]
    Certificate(String),
    #[error("the server does not speak HTTP/2")]
    NoHttp2,
    #[error("no HTTP")]
    Http(String),
    #[error("connecting timed out")]
    TimedOut,
}

impl DialFault {
    /// What the system said.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Lookup(words)
            | Self::Tcp(words)
            | Self::Proxy(words)
            | Self::Tls(words)
            | Self::Certificate(words)
            | Self::Http(words) => Some(words),
            Self::NoHttp2 | Self::TimedOut => None,
        }
    }

    /// What an alert holds against the certificate that we showed (RFC 8446, 6.2), if it does.
    pub fn of_certificate_alert(alert: AlertDescription) -> Option<Self> {
        let words = match alert {
            AlertDescription::BadCertificate => "it calls it bad",
            AlertDescription::UnsupportedCertificate => "it does not take its kind",
            AlertDescription::CertificateRevoked => "it has been revoked",
            AlertDescription::CertificateExpired => "it has expired",
            AlertDescription::CertificateUnknown => "it does not take it",
            AlertDescription::UnknownCA => "its issuer is not known there",
            AlertDescription::AccessDenied => "access is denied to it",
            AlertDescription::CertificateRequired => "it wants another",
            _ => return None,
        };
        Some(Self::Certificate(format!("the server ended TLS: {words} (alert {alert:?})")))
    }
}

/// Makes connections.
#[derive(Clone)]
pub(crate) struct Dialer {
    tls: Tls,
    proxy: Option<Arc<Proxy>>,
    timeout: Duration,
}

impl Dialer {
    pub fn new(tls: Tls, proxy: Option<Proxy>, timeout: Duration) -> Self {
        Self { tls, proxy: proxy.map(Arc::new), timeout }
    }

    /// A connection on which the peer has agreed to HTTP/2, and has been shown the certificate if it
    /// asked for one.
    pub async fn dial_h2(
        &self,
        endpoint: &Endpoint,
        certificate: Option<&ApnsCertificate>,
    ) -> Result<TlsStream<TcpStream>, DialFault> {
        let stream = match certificate {
            None => self.dial(endpoint, &self.tls.h2, false).await?,
            Some(certificate) => {
                let unusable = |fault| DialFault::Certificate(format!("it can't be used: {fault}"));
                let tls = self.tls.h2_with_certificate(certificate).map_err(unusable)?;
                self.dial(endpoint, &tls, true).await?
            }
        };
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            Ok(stream)
        } else {
            Err(DialFault::NoHttp2)
        }
    }

    /// A connection for HTTP/2 or HTTP/1.1, and whether it is HTTP/2.
    pub async fn dial_any_http(
        &self,
        endpoint: &Endpoint,
    ) -> Result<(TlsStream<TcpStream>, bool), DialFault> {
        let stream = self.dial(endpoint, &self.tls.any_http, false).await?;
        let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok((stream, is_h2))
    }

    async fn dial(
        &self,
        endpoint: &Endpoint,
        tls: &TlsConnector,
        has_certificate: bool,
    ) -> Result<TlsStream<TcpStream>, DialFault> {
        let deadline = Instant::now() + self.timeout;
        let connected = async {
            let tcp = match &self.proxy {
                None => connect(&endpoint.host, endpoint.port, deadline).await?,
                Some(proxy) => self.tunnel(proxy, endpoint, deadline).await?,
            };
            let handshake = tls.connect(endpoint.server_name.clone(), tcp);
            handshake.await.map_err(|fault| {
                // TLS 1.2 refuses a certificate within the handshake.
                let alert = alert_of(&fault).filter(|_| has_certificate);
                alert
                    .and_then(DialFault::of_certificate_alert)
                    .unwrap_or_else(|| DialFault::Tls(fault.to_string()))
            })
        };
        timeout_at(deadline, connected).await.unwrap_or(Err(DialFault::TimedOut))
    }

    /// A connection through the proxy, which looks the name up.
    async fn tunnel(
        &self,
        proxy: &Proxy,
        endpoint: &Endpoint,
        deadline: Instant,
    ) -> Result<TcpStream, DialFault> {
        let about_proxy = |fault: DialFault| {
            let detail = fault.detail().map(|words| format!(": {words}")).unwrap_or_default();
            DialFault::Proxy(format!("{proxy}: {fault}{detail}"))
        };
        let (host, port) = proxy.address();
        let mut tcp = connect(host, port, deadline).await.map_err(about_proxy)?;
        let tunnelled = proxy.ask_for(&mut tcp, endpoint).await;
        tunnelled.map_err(|words| DialFault::Proxy(format!("{proxy}: {words}")))?;
        Ok(tcp)
    }
}

/// Tries the host's addresses in turn. A share of the time for each, so that a dead one leaves some
/// for the others.
async fn connect(host: &str, port: u16, deadline: Instant) -> Result<TcpStream, DialFault> {
    let found = lookup_host((host, port)).await;
    let addresses: Vec<SocketAddr> =
        found.map_err(|fault| DialFault::Lookup(fault.to_string()))?.collect();
    let mut last = DialFault::Lookup("the name has no address".to_owned());
    for (n, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - n).unwrap_or(u32::MAX);
        match timeout(share.max(LEAST_PER_ADDRESS), connect_to(*address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(fault)) => last = DialFault::Tcp(fault.to_string()),
            Err(_) => last = DialFault::TimedOut,
        }
    }
    Err(last)
}

async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
