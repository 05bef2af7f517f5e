//! A raw HTTP/2 client: it shows what a connection was told (stream limit, GOAWAY, its end) and
//! lets a test open as many streams as it likes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Method, Request};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Long enough that only a hanging test meets it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// An answer read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn reason(&self) -> &str {
        self.body["reason"].as_str().unwrap_or("")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// What a connection has been told so far.
#[derive(Debug, Clone, Default)]
pub struct Told {
    pub stream_limit: usize,
    /// The end of the connection, in h2's words; "" is a clean end.
    pub ended: Option<String>,
}

#[derive(Clone)]
pub struct Client {
    send: SendRequest<Bytes>,
    told: watch::Receiver<Told>,
    authority: String,
}

/// Certificate and key, both in PEM.
pub type Identity<'a> = Option<(&'a str, &'a str)>;

pub fn tls_config(ca_pem: &str, identity: Identity<'_>, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        roots.add(certificate.expect("PEM")).expect("a certificate authority");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = CertificateDer::pem_slice_iter(certificate.as_bytes());
            let chain = chain.collect::<Result<_, _>>().expect("certificates in PEM");
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key in PEM");
            builder.with_client_auth_cert(chain, key).expect("a certificate with its key")
        }
    };
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

pub fn authority_of(url: &str) -> String {
    url.split("://").nth(1).expect("a URL").split('/').next().expect("an authority").to_owned()
}

pub async fn connect_tls(
    url: &str,
    ca_pem: &str,
    alpn: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    connect_tls_as(None, url, ca_pem, alpn).await
}

pub async fn connect_tls_as(
    identity: Identity<'_>,
    url: &str,
    ca_pem: &str,
    alpn: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let authority = authority_of(url);
    // A minimal system need not know localhost by its name.
    let tcp = TcpStream::connect(authority.replace("localhost:", "127.0.0.1:")).await?;
    tcp.set_nodelay(true)?;
    let host = authority.rsplit_once(':').expect("a port").0.to_owned();
    let name = ServerName::try_from(host).expect("a name");
    TlsConnector::from(tls_config(ca_pem, identity, alpn)).connect(name, tcp).await
}

impl Client {
    pub async fn connect(url: &str, ca_pem: &str) -> Self {
        Self::connect_as(None, url, ca_pem).await
    }

    pub async fn connect_as(identity: Identity<'_>, url: &str, ca_pem: &str) -> Self {
        let tls = connect_tls_as(identity, url, ca_pem, &[b"h2"]).await.expect("TLS");
        let (send, mut connection) = h2::client::handshake(tls).await.expect("HTTP/2");
        let (tell, told) = watch::channel(Told::default());
        tokio::spawn(async move {
            let end = std::future::poll_fn(|cx| {
                let end = std::pin::Pin::new(&mut connection).poll(cx);
                let limit = connection.max_concurrent_send_streams();
                tell.send_if_modified(|told| {
                    std::mem::replace(&mut told.stream_limit, limit) != limit
                });
                end
            })
            .await;
            let ended = end.err().map(|why| why.to_string()).unwrap_or_default();
            tell.send_modify(|told| told.ended = Some(ended));
        });
        let client = Self { send, told, authority: authority_of(url) };
        // The first SETTINGS have come.
        client.until(|told| told.stream_limit != 0 && told.stream_limit < 1 << 30).await;
        client
    }

    /// Sends without waiting for the answer, nor for the stream limit to allow it.
    pub fn start(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<ResponseFuture, h2::Error> {
        let mut request =
            Request::builder().method(method).uri(format!("https://{}{path}", self.authority));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        let (answer, mut stream) = self.send.send_request(request, body.is_empty())?;
        if !body.is_empty() {
            stream.send_data(Bytes::copy_from_slice(body), true)?;
        }
        Ok(answer)
    }

    pub async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, h2::Error> {
        let mut this = self.clone();
        let exchange = async {
            this.send = this.send.clone().ready().await?;
            finish(this.start(method, path, headers, body)?).await
        };
        tokio::time::timeout(PATIENCE, exchange).await.expect("an answer in time")
    }

    pub async fn until(&self, wanted: impl Fn(&Told) -> bool) -> Told {
        let mut told = self.told.clone();
        let found = tokio::time::timeout(PATIENCE, told.wait_for(|told| wanted(told))).await;
        found.expect("in time").expect("the connection's task lives").clone()
    }

    pub async fn ended(&self) -> String {
        self.until(|told| told.ended.is_some()).await.ended.expect("ended")
    }

    pub fn stream_limit(&self) -> usize {
        self.told.borrow().stream_limit
    }
}

pub async fn finish(answer: ResponseFuture) -> Result<Answer, h2::Error> {
    let (head, mut stream) = answer.await?.into_parts();
    let mut body = Vec::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk?;
        let _ = stream.flow_control().release_capacity(chunk.len());
        body.extend_from_slice(&chunk);
    }
    Ok(Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    })
}

use std::future::Future;
