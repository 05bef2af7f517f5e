//! A new connection: a fresh look-up of the name, TCP, TLS.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::endpoint::Endpoint;
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
    #[error("no TLS")]
    Tls(String),
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
            Self::Lookup(words) | Self::Tcp(words) | Self::Tls(words) | Self::Http(words) => {
                Some(words)
            }
            Self::NoHttp2 | Self::TimedOut => None,
        }
    }
}

/// Makes connections.
#[derive(Clone)]
pub(crate) struct Dialer {
    tls: Tls,
    timeout: Duration,
}

impl Dialer {
    pub const fn new(tls: Tls, timeout: Duration) -> Self {
        Self { tls, timeout }
    }

    /// A connection on which the peer has agreed to HTTP/2.
    pub async fn dial_h2(&self, endpoint: &Endpoint) -> Result<TlsStream<TcpStream>, DialFault> {
        let stream = self.dial(endpoint, &self.tls.h2).await?;
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
        let stream = self.dial(endpoint, &self.tls.any_http).await?;
        let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok((stream, is_h2))
    }

    async fn dial(
        &self,
        endpoint: &Endpoint,
        tls: &TlsConnector,
    ) -> Result<TlsStream<TcpStream>, DialFault> {
        let deadline = Instant::now() + self.timeout;
        let connected = async {
            let tcp = connect(endpoint, deadline).await?;
            tls.connect(endpoint.server_name.clone(), tcp)
                .await
                .map_err(|fault| DialFault::Tls(fault.to_string()))
        };
        timeout_at(deadline, connected).await.unwrap_or(Err(DialFault::TimedOut))
    }
}

/// Tries the host's addresses in turn. A share of the time for each, so that a dead one leaves some
/// for the others.
async fn connect(endpoint: &Endpoint, deadline: Instant) -> Result<TcpStream, DialFault> {
    let found = lookup_host((endpoint.host.as_str(), endpoint.port)).await;
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
