//! The listener: accepts connections, bounds them in number, size and time, and stops in good order.

mod connection;
mod handshake;
mod watch;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::settings::HttpSettings;
use crate::site::{Server, Site};
use crate::tls::ServerTls;

pub(crate) use watch::Busy;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: u32 = 4_096;
/// The least and the longest wait after accepting has failed, as it does when the process is out of
/// file descriptors.
const ACCEPT_PAUSES: [Duration; 2] = [Duration::from_millis(5), Duration::from_secs(1)];
/// Connections over the limit that are told so, at once; others are only closed.
const FAREWELLS: usize = 256;
/// How long such a connection may take to hear it.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);
const FAREWELL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
content-type: application/problem+json\r\ncontent-length: 169\r\n\r\n\
{\"type\":\"urn:pushroll:problem:overloaded\",\"title\":\"Too many requests at once\",\"status\":503,\
\"detail\":\"The server has no room for another connection.\",\"rule\":\"overloaded\"}";

/// Opens a listener. An address of IPv6 `[::]` takes IPv4 too where the system does so by default.
///
/// # Errors
/// When the address can't be bound.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves a site in clear text until `stop` is cancelled; then accepts nothing more, lets the requests
/// under way finish and returns. Who does not want to wait for that drops the future, and the
/// connections with it.
pub async fn serve(
    listener: TcpListener,
    site: Arc<Site>,
    settings: HttpSettings,
    stop: CancellationToken,
) {
    accept(listener, None, site, settings, stop).await;
}

/// As [`serve`], under TLS.
pub async fn serve_tls(
    listener: TcpListener,
    tls: ServerTls,
    site: Arc<Site>,
    settings: HttpSettings,
    stop: CancellationToken,
) {
    accept(listener, Some(tls), site, settings, stop).await;
}

async fn accept(
    listener: TcpListener,
    tls: Option<ServerTls>,
    site: Arc<Site>,
    settings: HttpSettings,
    stop: CancellationToken,
) {
    let mut door = Door::new(tls, site, settings, stop.clone());
    let mut pause = ACCEPT_PAUSES[0];
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = door.tasks.join_next() => {
                note_end(ended);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = ACCEPT_PAUSES[0];
                door.admit(stream, peer);
            }
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                warn!(%error, pause_ms = pause.as_millis(), "connections can't be accepted");
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = sleep(pause) => {}
                }
                pause = (pause * 2).min(ACCEPT_PAUSES[1]);
            }
        }
    }
    drop(listener);
    debug!(connections = door.tasks.len(), "accepting no more; requests under way are finished");
    while let Some(ended) = door.tasks.join_next().await {
        note_end(ended);
    }
}

/// Lets connections in, as many as there is room for.
struct Door {
    tls: Option<ServerTls>,
    server: Arc<Server>,
    builder: Arc<auto::Builder<TokioExecutor>>,
    stop: CancellationToken,
    /// Aborted when dropped.
    tasks: JoinSet<()>,
    room: Arc<Semaphore>,
    farewells: Arc<Semaphore>,
    open: metrics::Gauge,
    accepted_total: metrics::Counter,
    refused_total: metrics::Counter,
}

impl Door {
    fn new(
        tls: Option<ServerTls>,
        site: Arc<Site>,
        settings: HttpSettings,
        stop: CancellationToken,
    ) -> Self {
        Self {
            tls,
            room: Arc::new(Semaphore::new(settings.connections.min(Semaphore::MAX_PERMITS))),
            farewells: Arc::new(Semaphore::new(FAREWELLS)),
            builder: Arc::new(protocols(&settings)),
            server: Arc::new(Server::new(site, settings)),
            stop,
            tasks: JoinSet::new(),
            open: metrics::gauge!("pushroll_http_connections"),
            accepted_total: metrics::counter!("pushroll_http_connections_accepted_total"),
            refused_total: metrics::counter!("pushroll_http_connections_refused_total"),
        }
    }

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr) {
        // An answer is one small write: waiting for more would only delay it.
        let _ = stream.set_nodelay(true);
        let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() else {
            self.refused_total.increment(1);
            // Under TLS that would be no word that anybody understands.
            if self.tls.is_none()
                && let Ok(permit) = Arc::clone(&self.farewells).try_acquire_owned()
            {
                self.tasks.spawn(async move {
                    let mut stream = stream;
                    let farewell = say_and_hang_up(&mut stream, FAREWELL);
                    let _ = timeout(FAREWELL_TIMEOUT, farewell).await;
                    drop(permit);
                });
            }
            return;
        };
        self.accepted_total.increment(1);
        self.open.increment(1);
        let closed = Closed(self.open.clone());
        let server = Arc::clone(&self.server);
        let builder = Arc::clone(&self.builder);
        let tls = self.tls.clone();
        // A child of its own: polling it takes no lock that other connections take.
        let stop = self.stop.child_token();
        self.tasks.spawn(async move {
            match tls {
                None => connection::run(stream, peer, &builder, server, stop).await,
                Some(tls) => {
                    let shaken = handshake::shake(stream, peer, &tls, &server.settings, &stop);
                    if let Some(stream) = shaken.await {
                        connection::run(stream, peer, &builder, server, stop).await;
                    }
                }
            }
            drop((closed, permit));
        });
    }
}

/// Counts a connection out, however it ended.
struct Closed(metrics::Gauge);

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

fn note_end(ended: Result<(), tokio::task::JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        metrics::counter!("pushroll_http_panics_total").increment(1);
        warn!("a connection ended in a panic");
    }
}

/// Faults of the connection that was to be accepted; the next may be good.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

/// Tells a peer something, and waits for it to hang up: closing with its request unread would take the
/// answer away. The caller limits the time.
async fn say_and_hang_up(stream: &mut TcpStream, word: &[u8]) -> io::Result<()> {
    stream.write_all(word).await?;
    stream.shutdown().await?;
    let mut thrown_away = [0; 1024];
    while stream.read(&mut thrown_away).await? > 0 {}
    Ok(())
}

/// HTTP/1.1, and HTTP/2 with prior knowledge, on one port. Header and idle time-outs are
/// [`connection`]'s: those of the library would close connections that wait for their next request. Its
/// `pipeline_flush` stays off: it keeps an answer back while there are bytes of a next request.
fn protocols(settings: &HttpSettings) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    let mut http1 = builder.http1();
    http1
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .half_close(true)
        .max_buf_size(settings.header_bytes.max(8 * 1024));
    // Set, the library keeps headers on the heap; its own limit is the default.
    if settings.header_count != HttpSettings::default().header_count {
        http1.max_headers(settings.header_count);
    }
    let limits = &settings.http2;
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.concurrent_streams)
        .initial_stream_window_size(limits.stream_window_bytes)
        .initial_connection_window_size(limits.connection_window_bytes)
        .max_send_buf_size(limits.send_buffer_bytes)
        .max_header_list_size(u32::try_from(settings.header_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(limits.reset_streams_waiting)
        .max_local_error_reset_streams(limits.reset_streams_for_faults)
        .keep_alive_interval(limits.ping_interval)
        .keep_alive_timeout(limits.ping_timeout);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_to_a_connection_over_the_limit_is_a_problem_document_of_the_length_it_says() {
        let text = str::from_utf8(FAREWELL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["status"], 503);
    }
}
