//! A small HTTP client: a connection for each request, HTTP/1.1 or HTTP/2, in clear text or under TLS.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::WebPkiServerVerifier;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::answer::Answer;
use crate::request::Request;

/// A client of one server.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    address: SocketAddr,
    /// Whom it trusts, if it speaks TLS.
    trust: Option<&'static Trust>,
}

/// Trust in one authority.
struct Trust(Arc<WebPkiServerVerifier>);

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trust")
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What goes over the wire.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) http2: bool,
}

impl Client {
    /// A client of the server at this address.
    #[must_use]
    pub const fn of(address: SocketAddr) -> Self {
        Self { address, trust: None }
    }

    /// A client that speaks TLS and trusts the authority in this PEM. A bit of memory for each of them
    /// is not given back.
    ///
    /// # Panics
    /// When that is no authority.
    #[must_use]
    pub fn over_tls(address: SocketAddr, ca_pem: &str) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
            roots.add(certificate.expect("PEM")).expect("an authority");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let trust = Box::leak(Box::new(Trust(verifier.build().expect("an authority"))));
        Self { address, trust: Some(trust) }
    }

    /// The certificate that the server shows now, in DER.
    ///
    /// # Panics
    /// When it shows none that is trusted.
    pub async fn server_certificate(&self) -> Vec<u8> {
        let tcp = TcpStream::connect(self.address).await.expect("a server that listens");
        let tls = self.handshake(self.trust.expect("a client over TLS"), tcp, &[]).await;
        tls.get_ref().1.peer_certificates().expect("a certificate")[0].to_vec()
    }

    async fn handshake(
        &self,
        trust: &Trust,
        tcp: TcpStream,
        alpn: &[&str],
    ) -> TlsStream<TcpStream> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_webpki_verifier(Arc::clone(&trust.0))
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::from(self.address.ip());
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await.expect("TLS")
    }

    /// Where the server is.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A `GET`.
    pub fn get(&self, target: &str) -> Request {
        Request::new(*self, Method::GET, target)
    }

    /// A `POST` of JSON.
    pub fn post(&self, target: &str, body: &Value) -> Request {
        Request::new(*self, Method::POST, target).json(body)
    }

    /// Any request.
    pub fn request(&self, method: Method, target: &str) -> Request {
        Request::new(*self, method, target)
    }

    pub(crate) async fn send(&self, outgoing: Outgoing) -> Answer {
        let stream = TcpStream::connect(self.address).await.expect("a server that listens");
        stream.set_nodelay(true).expect("a socket");
        let alpn = if outgoing.http2 { "h2" } else { "http/1.1" };
        let stream: Box<dyn Stream> = match self.trust {
            None => Box::new(stream),
            Some(trust) => {
                let tls = self.handshake(trust, stream, &[alpn]).await;
                assert_eq!(tls.get_ref().1.alpn_protocol(), Some(alpn.as_bytes()));
                Box::new(tls)
            }
        };
        let io = TokioIo::new(stream);
        let authority = self.address.to_string();
        let mut request = http::Request::new(Full::new(outgoing.body));
        *request.method_mut() = outgoing.method;
        *request.headers_mut() = outgoing.headers;
        if outgoing.http2 {
            let scheme = if self.trust.is_some() { "https" } else { "http" };
            let uri = format!("{scheme}://{authority}{}", outgoing.target);
            *request.uri_mut() = uri.parse().expect("a target");
            let (mut sender, connection) =
                http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
            tokio::spawn(connection);
            read(sender.send_request(request).await).await
        } else {
            *request.uri_mut() = outgoing.target.parse().expect("a target");
            let host = HeaderValue::try_from(authority).expect("an address");
            request.headers_mut().entry(HeaderName::from_static("host")).or_insert(host);
            let (mut sender, connection) = http1::handshake(io).await.expect("HTTP/1.1");
            tokio::spawn(connection);
            read(sender.send_request(request).await).await
        }
    }
}

async fn read(answer: hyper::Result<http::Response<hyper::body::Incoming>>) -> Answer {
    let (head, body) = answer.expect("an answer").into_parts();
    let body = body.collect().await.expect("the whole of an answer").to_bytes();
    Answer { status: head.status, headers: head.headers, body }
}
