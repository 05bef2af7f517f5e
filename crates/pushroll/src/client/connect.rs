//! A connection to the server: TCP, and TLS where the address says https.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::{ClientFault, Trust};

/// For the look-up of the name, TCP and TLS together.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Where the server is.
pub(super) struct Target {
    pub(super) url: Url,
    /// As it stands in `Host`.
    pub(super) authority: String,
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Target {
    pub(super) fn new(url: &Url, trust: &Trust) -> Result<Self, ClientFault> {
        let fault =
            |cause: &str| ClientFault::Url { url: url.to_string(), cause: cause.to_owned() };
        if url.query().is_some() || url.fragment().is_some() {
            return Err(fault("it must not have a query"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ClientFault::Url {
                url: url.host_str().unwrap_or_default().to_owned(),
                cause: "it must not hold a user name or password".to_owned(),
            });
        }
        let host = url.host().ok_or_else(|| fault("it has no host"))?;
        let name = match &host {
            Host::Domain(name) => (*name).to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let tls = match url.scheme() {
            "http" => None,
            "https" => {
                let server_name = ServerName::try_from(name.clone());
                let server_name =
                    server_name.map_err(|_| fault("no certificate can have its name"))?;
                Some((trust.connector()?, server_name))
            }
            _ => return Err(fault("it must begin with http:// or https://")),
        };
        let port = url.port_or_known_default().ok_or_else(|| fault("it has no port"))?;
        Ok(Self { url: url.clone(), authority: url.authority().to_owned(), host: name, port, tls })
    }

    pub(super) async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, ClientFault> {
        let unreachable = |cause: String| ClientFault::Unreachable { url: self.url.clone(), cause };
        let connected = timeout(CONNECT_WITHIN, async {
            let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
            let stream = stream.map_err(|cause| unreachable(cause.to_string()))?;
            stream.set_nodelay(true).map_err(|cause| unreachable(cause.to_string()))?;
            let Some((connector, name)) = &self.tls else {
                return self.drive(TokioIo::new(stream)).await;
            };
            let tls = connector.connect(name.clone(), stream).await;
            let tls = tls.map_err(|cause| unreachable(format!("TLS: {cause}")))?;
            self.drive(TokioIo::new(tls)).await
        });
        match connected.await {
            Ok(connected) => connected,
            Err(_) => {
                let seconds = CONNECT_WITHIN.as_secs();
                Err(unreachable(format!("no connection within {seconds} seconds")))
            }
        }
    }

    async fn drive<T>(&self, io: T) -> Result<SendRequest<Full<Bytes>>, ClientFault>
    where
        T: Read + Write + Unpin + Send + 'static,
    {
        let opened = handshake(io).await;
        let (sender, connection) = opened.map_err(|cause| ClientFault::Unreachable {
            url: self.url.clone(),
            cause: cause.to_string(),
        })?;
        tokio::spawn(connection);
        Ok(sender)
    }
}
