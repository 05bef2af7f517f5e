//! A connection to an address that was judged, and one exchange on it.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::StatusCode;
use http::header::{CONNECTION, HeaderMap, HeaderValue, RETRY_AFTER};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use socket2::{SockRef, Socket};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use crate::failure::{Failure, Phase};
use crate::request::CallbackRequest;
use crate::settings::{CallbackSettings, CallbackSettingsFault};
use crate::target::TargetHost;

/// How many addresses of a name are tried.
const MAX_ADDRESSES: usize = 4;
/// How long an address has to take the connection when there is another to try.
const ADDRESS_TIMEOUT: Duration = Duration::from_millis(2500);
/// The longest head of an answer.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// The most headers of an answer.
const MAX_ANSWER_HEADERS: usize = 100;

/// When a callback has to be over, and how to say so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    pub(crate) timeout: Duration,
}

impl Deadline {
    pub(crate) async fn during<F: Future>(
        self,
        phase: Phase,
        work: F,
    ) -> Result<F::Output, Failure> {
        let Self { at, timeout } = self;
        timeout_at(at, work).await.map_err(|_| Failure::TimedOut { timeout, during: phase })
    }
}

/// Opens connections.
pub(crate) struct Connector {
    tls: TlsConnector,
    /// How long a connection lives, even if nobody comes for it any more.
    longest_life: Duration,
}

impl Connector {
    pub(crate) fn new(settings: &CallbackSettings) -> Result<Self, CallbackSettingsFault> {
        let mut roots = RootCertStore::empty();
        let native = rustls_native_certs::load_native_certs();
        for error in &native.errors {
            tracing::warn!(%error, "a certificate of the system's can't be used");
        }
        roots.add_parsable_certificates(native.certs);
        if let Some(path) = &settings.extra_ca_file {
            add_file(&mut roots, path)?;
        }
        if roots.is_empty() {
            tracing::warn!("no certificate authority is known: no https callback can succeed");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let longest_life = settings.max_connection_age.saturating_add(settings.timeout);
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), longest_life })
    }

    /// Connects to the first of these addresses that takes the connection.
    pub(crate) async fn open(
        &self,
        host: &TargetHost,
        tls: bool,
        addresses: &[SocketAddr],
        deadline: Deadline,
    ) -> Result<Connection, Failure> {
        let tcp = deadline.during(Phase::Connect, connect_to_one_of(addresses)).await??;
        // A request is one write; nothing is gained by waiting for more.
        let _ = tcp.set_nodelay(true);
        // Without one, the connection is merely not kept.
        let socket = SockRef::from(&tcp).try_clone().ok().map(Arc::new);
        if !tls {
            return Connection::over(tcp, socket, self.longest_life).await;
        }
        let name = server_name(host)?;
        let handshake = self.tls.connect(name, tcp);
        match deadline.during(Phase::Tls, handshake).await? {
            Ok(stream) => Connection::over(stream, socket, self.longest_life).await,
            Err(error) => Err(Failure::of_handshake(&error)),
        }
    }
}

async fn connect_to_one_of(addresses: &[SocketAddr]) -> Result<TcpStream, Failure> {
    let count = addresses.len().min(MAX_ADDRESSES);
    let mut last = Failure::Lost;
    for (index, &address) in addresses.iter().take(count).enumerate() {
        let attempt = TcpStream::connect(address);
        let connected = if index + 1 == count {
            attempt.await
        } else {
            match timeout(ADDRESS_TIMEOUT, attempt).await {
                Ok(connected) => connected,
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            }
        };
        match connected {
            Ok(stream) => return Ok(stream),
            Err(cause) => last = Failure::Connect { address, cause },
        }
    }
    Err(last)
}

fn server_name(host: &TargetHost) -> Result<ServerName<'static>, Failure> {
    match host {
        TargetHost::Address(address) => Ok(ServerName::IpAddress((*address).into())),
        TargetHost::Name(name) => ServerName::try_from(name.clone())
            .map_err(|_| Failure::Tls("no certificate can be for this host's name".to_owned())),
    }
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), CallbackSettingsFault> {
    let fault = |reason: String| CallbackSettingsFault::ExtraCa { path: path.to_owned(), reason };
    let certificates = CertificateDer::pem_file_iter(path).map_err(|e| fault(e.to_string()))?;
    let mut count = 0;
    for certificate in certificates {
        let certificate = certificate.map_err(|e| fault(e.to_string()))?;
        roots.add(certificate).map_err(|e| fault(e.to_string()))?;
        count += 1;
    }
    if count == 0 {
        return Err(fault("it holds no certificate".to_owned()));
    }
    Ok(())
}

/// An open connection. Dropping it closes it.
pub(crate) struct Connection {
    sender: SendRequest<http_body_util::Full<bytes::Bytes>>,
    driver: JoinHandle<()>,
    /// Another handle to the same socket, to look at without reading. The driver owns it, so that
    /// the socket is closed when the driver ends.
    socket: Weak<Socket>,
    /// The receiver has said that it keeps the connection for another request.
    stays: bool,
    pub(crate) opened_at: Instant,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// What came of an exchange.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The `Retry-After` header.
    pub(crate) retry_after: Option<String>,
    /// Whether the answer was read to its end, so that the connection may carry another request.
    pub(crate) read_whole: bool,
}

/// An exchange that failed.
pub(crate) enum NoAnswer {
    /// Not a byte of the request was written; here it is again.
    Unsent(Box<CallbackRequest>, Failure),
    /// Some of it may have been.
    Sent(Failure),
}

impl Connection {
    async fn over<T>(
        stream: T,
        socket: Option<Arc<Socket>>,
        longest_life: Duration,
    ) -> Result<Self, Failure>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = Builder::new()
            .max_buf_size(MAX_HEAD_BYTES)
            .max_headers(MAX_ANSWER_HEADERS)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Failure::of_exchange(&error))?;
        let peeked = socket.as_ref().map_or_else(Weak::new, Arc::downgrade);
        // What goes wrong on the connection is told to whoever waits for the answer.
        let driver = tokio::spawn(async move {
            drop(timeout(longest_life, connection).await);
            drop(socket);
        });
        Ok(Self { sender, driver, socket: peeked, stays: false, opened_at: Instant::now() })
    }

    /// Sends the request and reads the answer, at most `max_answer_bytes` of its body. Once there is
    /// a status, nothing that follows it can change the result.
    pub(crate) async fn exchange(
        &mut self,
        request: CallbackRequest,
        max_answer_bytes: usize,
        deadline: Deadline,
    ) -> Result<Answer, NoAnswer> {
        let ready = deadline.during(Phase::Answer, self.sender.ready()).await;
        match ready {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let failure = Failure::of_exchange(&error);
                return Err(NoAnswer::Unsent(Box::new(request), failure));
            }
            Err(timed_out) => return Err(NoAnswer::Sent(timed_out)),
        }
        let sending = self.sender.try_send_request(request);
        let response = match deadline.during(Phase::Answer, sending).await {
            Ok(Ok(response)) => response,
            Ok(Err(mut error)) => {
                let failure = Failure::of_exchange(error.error());
                return Err(match error.take_message() {
                    Some(request) => NoAnswer::Unsent(Box::new(request), failure),
                    None => NoAnswer::Sent(failure),
                });
            }
            Err(timed_out) => return Err(NoAnswer::Sent(timed_out)),
        };
        let status = response.status();
        self.stays = says_that_it_stays(response.headers());
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let reading = read_whole(response.into_body(), max_answer_bytes);
        let read_whole = timeout_at(deadline.at, reading).await.unwrap_or(false);
        Ok(Answer { status, retry_after, read_whole })
    }

    /// Whether it may carry another request.
    pub(crate) fn is_open(&self) -> bool {
        self.stays && !self.sender.is_closed()
    }

    /// Whether nothing has come in since the last answer: neither a close nor something that nobody
    /// asked for. The driver finds that out too, but perhaps not before it has written a request.
    pub(crate) fn is_quiet(&self) -> bool {
        let peek = |socket: Arc<Socket>| socket.peek(&mut [MaybeUninit::uninit()]);
        match self.socket.upgrade().map(peek) {
            Some(Err(error)) => error.kind() == io::ErrorKind::WouldBlock,
            Some(Ok(_)) | None => false,
        }
    }
}

/// Whether the receiver says in so many words that it keeps the connection. HTTP/1.1 has it do so unless it
/// says otherwise, but many a small one closes after each answer without a word, and a callback that
/// crosses such a close on its way is lost.
fn says_that_it_stays(headers: &HeaderMap) -> bool {
    let keeps = |value: &HeaderValue| {
        let options = value.to_str().unwrap_or_default().split(',');
        options.into_iter().any(|option| option.trim().eq_ignore_ascii_case("keep-alive"))
    };
    headers.contains_key("keep-alive") || headers.get_all(CONNECTION).iter().any(keeps)
}

/// Reads a body and forgets it; whether it ended within the limit.
async fn read_whole(mut body: Incoming, max_bytes: usize) -> bool {
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        read += frame.data_ref().map_or(0, bytes::Bytes::len);
        if read > max_bytes {
            return false;
        }
    }
    true
}
