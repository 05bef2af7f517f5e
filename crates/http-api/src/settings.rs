//! Every limit of the HTTP side, by name and with its unit.

use std::time::Duration;

use ipnet::IpNet;

/// The settings of a listener. The defaults suit a server that faces callers behind a load balancer
/// or directly.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Connections at once; one more is answered 503 and closed.
    pub connections: usize,
    /// Requests at once whose body has come and that are not answered; one more is answered 503.
    /// Requests for `/healthz`, `/readyz` and `/metrics` don't count.
    pub requests_in_flight: usize,
    /// Bytes of request line and headers together; at least 8192.
    pub header_bytes: usize,
    /// Header lines of a request.
    pub header_count: usize,
    /// From the beginning of a connection to the end of its TLS handshake.
    pub tls_handshake_timeout: Duration,
    /// From the first byte of a request to the end of its headers.
    pub header_timeout: Duration,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Bytes of all bodies together that come in several pieces; over it a request is answered 503.
    pub body_bytes_at_once: usize,
    /// From the end of the headers to the end of the body.
    pub body_timeout: Duration,
    /// For how long the rest of a body that was refused is read and thrown away.
    pub drain_timeout: Duration,
    /// How many bytes of such a body are read and thrown away.
    pub drain_bytes: usize,
    /// From the moment that an answer can't be sent on until all of it is sent.
    pub write_timeout: Duration,
    /// How long a connection may be quiet between requests, and before the first.
    pub idle_timeout: Duration,
    /// HTTP/2.
    pub http2: Http2Limits,
    /// Peers whose `Forwarded` and `X-Forwarded-For` headers are believed; none by default.
    pub trusted_proxies: Vec<IpNet>,
}

/// The limits of an HTTP/2 connection.
#[derive(Debug, Clone)]
pub struct Http2Limits {
    /// Requests at once on one connection.
    pub concurrent_streams: u32,
    /// Bytes that a stream may send ahead.
    pub stream_window_bytes: u32,
    /// Bytes that a connection may send ahead.
    pub connection_window_bytes: u32,
    /// Bytes of an answer that are buffered for one stream.
    pub send_buffer_bytes: usize,
    /// Streams that the peer reset before they were looked at; one more ends the connection
    /// (rapid reset, CVE-2023-44487).
    pub reset_streams_waiting: usize,
    /// Streams that were reset here for faults of the peer; one more ends the connection.
    pub reset_streams_for_faults: usize,
    /// How often a quiet peer is asked whether it is still there.
    pub ping_interval: Duration,
    /// How long it may take to say so.
    pub ping_timeout: Duration,
    /// How old a connection may become before it is closed in good order.
    pub connection_age: Duration,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            connections: 16_384,
            requests_in_flight: 1_024,
            header_bytes: 32 * 1024,
            header_count: 100,
            tls_handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            body_bytes: 1024 * 1024,
            body_bytes_at_once: 256 * 1024 * 1024,
            body_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(2),
            drain_bytes: 16 * 1024 * 1024,
            write_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(75),
            http2: Http2Limits::default(),
            trusted_proxies: Vec::new(),
        }
    }
}

impl Default for Http2Limits {
    fn default() -> Self {
        Self {
            concurrent_streams: 128,
            stream_window_bytes: 256 * 1024,
            connection_window_bytes: 1024 * 1024,
            send_buffer_bytes: 64 * 1024,
            reset_streams_waiting: 20,
            reset_streams_for_faults: 256,
            ping_interval: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(20),
            connection_age: Duration::from_secs(3600),
        }
    }
}
