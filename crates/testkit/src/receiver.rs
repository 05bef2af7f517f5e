//! A receiver of callbacks: it records what comes and answers as a test dictates.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;
use pushroll_simulator::ServerCertificate;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::runtime::{runtime, there};
use crate::until::eventually;

/// A callback as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// `POST`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// What a receiver answers.
#[derive(Debug, Clone)]
pub struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Answer,
    Silence,
    HangUp,
    Garbage,
}

/// A receiver of callbacks on 127.0.0.1, until it is dropped.
pub struct Receiver {
    address: SocketAddr,
    scheme: &'static str,
    state: Arc<State>,
    stop: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    received: Mutex<Vec<Received>>,
    script: Mutex<VecDeque<Response>>,
    at_once: Mutex<AtOnce>,
    connections: AtomicUsize,
    gate: watch::Sender<bool>,
}

#[derive(Default)]
struct AtOnce {
    now: usize,
    most: usize,
}

impl Received {
    /// A header as text; `None` if it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a header that is text"))
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a body that is JSON")
    }
}

impl Response {
    /// An empty answer with this status.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new(), what: What::Answer }
    }

    /// With one more header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// None, and the connection stays open.
    #[must_use]
    pub fn silence() -> Self {
        Self { what: What::Silence, ..Self::status(200) }
    }

    /// None, and the connection is closed.
    #[must_use]
    pub fn hang_up() -> Self {
        Self { what: What::HangUp, ..Self::status(200) }
    }

    /// Something that is not HTTP.
    #[must_use]
    pub fn garbage() -> Self {
        Self { what: What::Garbage, ..Self::status(200) }
    }
}

impl Receiver {
    /// A receiver of plain HTTP.
    pub async fn start() -> Self {
        Self::listen(None).await
    }

    /// A receiver of HTTPS with this certificate.
    pub async fn start_with_tls(certificate: &ServerCertificate) -> Self {
        Self::listen(Some(TlsAcceptor::from(Arc::new(server_config(certificate))))).await
    }

    async fn listen(tls: Option<TlsAcceptor>) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (stop, stopped) = watch::channel(false);
        let state = Arc::new(State { gate: watch::Sender::new(true), ..State::default() });
        let serving = Arc::clone(&state);
        let address = there(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("an address");
            tokio::spawn(accept(listener, tls, serving, stopped));
            address
        })
        .await;
        Self { address, scheme, state, stop }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A URL of it with this path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// A URL of it with this name for a host.
    #[must_use]
    pub fn url_at(&self, host: &str, path: &str) -> String {
        format!("{}://{host}:{}{path}", self.scheme, self.address.port())
    }

    /// What to answer next, in this order; 200 after that.
    pub fn answers(&self, script: impl IntoIterator<Item = Response>) {
        self.state.script.lock().extend(script);
    }

    /// Answers nobody until [`Receiver::answer_all`].
    pub fn hold_all(&self) {
        self.state.gate.send_replace(false);
    }

    /// Answers those who wait, and whoever comes.
    pub fn answer_all(&self) {
        self.state.gate.send_replace(true);
    }

    /// Everything that has come so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.state.received.lock().clone()
    }

    /// The most callbacks that were under way at once.
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        self.state.at_once.lock().most
    }

    /// Waits until no sender is connected any more: then everything is there that those who were killed had sent.
    ///
    /// # Panics
    /// When one is still connected after half a minute.
    pub async fn wait_until_left(&self) {
        eventually("all senders hang up", async || {
            (self.state.connections.load(Ordering::Relaxed) == 0).then_some(())
        })
        .await;
    }

    /// Waits for so many callbacks in all.
    ///
    /// # Panics
    /// When they have not come within half a minute.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        eventually(&format!("{count} callbacks"), async || {
            Some(self.received()).filter(|all| all.len() >= count)
        })
        .await
    }

    /// Waits for the callback of this registration.
    ///
    /// # Panics
    /// When it has not come within half a minute.
    pub async fn callback_of(&self, id: &str) -> Received {
        eventually(&format!("the callback of {id}"), async || {
            self.received().into_iter().find(|one| one.header("webhook-id") == Some(id))
        })
        .await
    }

    /// Waits for the one callback at this path.
    ///
    /// # Panics
    /// When it has not come within half a minute.
    pub async fn callback_at(&self, target: &str) -> Received {
        eventually(&format!("a callback at {target}"), async || {
            self.received().into_iter().find(|one| one.target == target)
        })
        .await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    state: Arc<State>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.expect("a connection").0,
            _ = stopped.changed() => return,
        };
        let (state, stopped, tls) = (Arc::clone(&state), stopped.clone(), tls.clone());
        state.connections.fetch_add(1, Ordering::Relaxed);
        runtime().spawn(async move {
            connection(stream, tls, Arc::clone(&state), stopped).await;
            state.connections.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

async fn connection(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    state: Arc<State>,
    stopped: watch::Receiver<bool>,
) {
    match tls {
        None => converse(stream, state, stopped).await,
        Some(tls) => {
            // A client that does not trust the certificate hangs up here.
            if let Ok(stream) = tls.accept(stream).await {
                converse(stream, state, stopped).await;
            }
        }
    }
}

/// HTTP/1.1 by hand: a receiver must be able to answer what no server library would.
async fn converse<S>(stream: S, state: Arc<State>, mut stopped: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = BufStream::new(stream);
    let conversation = async {
        while let Some(received) = read_request(&mut stream).await {
            let response = state.answer_to(received).await;
            if write_response(&mut stream, response).await.is_none() {
                return;
            }
        }
    };
    tokio::select! {
        () = conversation => {}
        _ = stopped.changed() => {}
    }
}

impl State {
    async fn answer_to(&self, received: Received) -> Response {
        {
            let mut at_once = self.at_once.lock();
            at_once.now += 1;
            at_once.most = at_once.most.max(at_once.now);
        }
        self.received.lock().push(received);
        // It lasts as long as the state.
        let _ = self.gate.subscribe().wait_for(|open| *open).await;
        self.at_once.lock().now -= 1;
        self.script.lock().pop_front().unwrap_or_else(|| Response::status(200))
    }
}

/// The next request; `None` when the peer has hung up.
async fn read_request(stream: &mut (impl AsyncBufRead + Unpin)) -> Option<Received> {
    let first = read_line(stream).await?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HeaderMap::new();
    loop {
        let line = read_line(stream).await?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_str(value.trim()).ok()?);
    }
    let length = headers.get("content-length")?.to_str().ok()?.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Received { method, target, headers, body: body.into() })
}

async fn read_line(stream: &mut (impl AsyncBufRead + Unpin)) -> Option<String> {
    let mut line = String::new();
    let read = stream.read_line(&mut line).await.ok()?;
    (read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
}

/// `None` when the conversation is over.
async fn write_response(stream: &mut (impl AsyncWrite + Unpin), response: Response) -> Option<()> {
    match response.what {
        What::Answer => {}
        What::Silence => std::future::pending().await,
        What::HangUp => return None,
        What::Garbage => {
            stream.write_all(b"\x00\x16\x03 no HTTP at all\r\n\r\n").await.ok()?;
            stream.shutdown().await.ok()?;
            return None;
        }
    }
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", response.status);
    for (name, value) in &response.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", response.body.len()));
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(&response.body).await.ok()?;
    stream.flush().await.ok()
}

fn server_config(certificate: &ServerCertificate) -> ServerConfig {
    let chain = CertificateDer::pem_slice_iter(certificate.cert_chain_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .expect("certificates");
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate with its key")
}
