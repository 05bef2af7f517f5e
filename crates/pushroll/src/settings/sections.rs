//! The tables of the settings file, setting by setting.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use pushroll_domain::{Secret, SignatureEncoding};
use pushroll_providers::Proxy;
use url::Url;

use super::kinds::{
    ADDRESS, BASE_URL, COLLECTOR, Choice, Flag, List, Optional, PATH, PUBLIC_URL, ProxyUrl, RANGE,
    Ratio, SecretText, TEXT, days, seconds, whole,
};
use super::table::section;
use super::{LogFormat, LogLevel};

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn rate(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => panic!("a rate of nothing"),
    }
}

fn https(text: &str) -> Url {
    Url::parse(text).expect("a constant URL")
}

section! {
    /// The listener, and what concerns everything.
    pub(super) struct TopSettings in "" {
        /// The address and port of the listener for the API and health, and for administration and metrics
        /// unless `admin.listen` moves them.
        "listen" listen: SocketAddr = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 8080), ADDRESS;
        /// Whether a request is answered 400 when its organization, app or API token is unknown; else
        /// it is answered 202 and forgotten. For setting things up.
        "strict_tokens" strict_tokens: bool = false, Flag;
        /// The address at which callers reach the API, as developers of mobile apps are told it:
        /// `https://push.example.com`. If not given, what the administration was called at is told.
        "public_url" public_url: Option<Url> = None, Optional(PUBLIC_URL);
    }
}

/// The stores that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoreKind {
    Embedded,
    Postgres,
}

section! {
    /// The store.
    pub(super) struct StoreChoice in "store" {
        /// Which store keeps everything: `embedded` is RocksDB in a directory of this machine, `postgres` a
        /// PostgreSQL database that any number of servers share.
        "kind" kind: StoreKind = StoreKind::Embedded,
            Choice(&[("embedded", StoreKind::Embedded), ("postgres", StoreKind::Postgres)]);
    }
}

section! {
    /// The embedded store.
    pub struct EmbeddedStore in "store" {
        /// The data directory; made if it is missing, and owned by one process.
        "path" path: PathBuf = PathBuf::from("./pushroll-data"), PATH;
        /// Memory for what is read of the tables, in bytes. The larger the fleet, the more of it pays.
        "block_cache_bytes" block_cache_bytes: usize = 256 * MIB as usize, whole(MIB, 1024 * GIB);
        /// Memory for what is committed and not yet in a table, in bytes.
        "write_buffer_bytes" write_buffer_bytes: usize = 64 * MIB as usize, whole(MIB, 64 * GIB);
        /// The longest write-ahead log, in bytes: what is read again at the start after a crash.
        "wal_bytes" wal_bytes: u64 = 256 * MIB, whole(MIB, 64 * GIB);
        /// How many bytes of the log are filled with zeros before they are needed: a sync that does not make the log
        /// longer takes about half of the time. Of no use on file systems that never write in place (btrfs, ZFS). 0 turns it off.
        "wal_ahead_bytes" wal_ahead_bytes: usize = MIB as usize, whole(0, 64 * MIB);
        /// The most table files held open; 0 for all that there are, with which look-ups are fastest: some 4 for each million devices.
        "open_files" open_files: u32 = 0, whole(0, 1_000_000);
        /// Threads that write and merge tables in the background.
        "background_jobs" background_jobs: u32 = 2, whole(1, 256);
        /// The most bytes written to tables in a second, the log not counted. Merging tables slows down the disk for
        /// everything else; less than twice what comes in makes callers wait.
        "table_bytes_per_second" table_bytes_per_second: u64 = 128 * MIB, whole(MIB, 1024 * GIB);
        /// The most registrations, finishes and cleanups that wait for a commit; over it requests are
        /// answered 503.
        "commit_queue" commit_queue: u32 = 65_536, whole(100, 16_777_216);
    }
}

/// How the connection to PostgreSQL is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TlsMode {
    Off,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

const TLS_MODES: &[(&str, TlsMode)] = &[
    ("off", TlsMode::Off),
    ("prefer", TlsMode::Prefer),
    ("require", TlsMode::Require),
    ("verify-ca", TlsMode::VerifyCa),
    ("verify-full", TlsMode::VerifyFull),
];

section! {
    /// The store on PostgreSQL, before it is checked.
    pub(super) struct PostgresKeys in "store" {
        /// With `kind = "postgres"`: the database, `postgres://user@host:5432/database`; several hosts,
        /// separated by commas, for one that fails over.
        "url" url: Option<Secret> = None, Optional(SecretText);
        /// The file with the password, if it is not in the URL.
        "password_file" password_file: Option<PathBuf> = None, Optional(PATH);
        /// How the connection is encrypted. `verify-full` if not given, but `off` for a database on this
        /// machine; a `sslmode` in the URL counts, too.
        "tls" tls: Option<TlsMode> = None, Optional(Choice(TLS_MODES));
        /// The PEM file with the authorities that the database's certificate is verified by; this machine's if
        /// not given.
        "tls_ca_file" tls_ca_file: Option<PathBuf> = None, Optional(PATH);
        /// What this server is called in the database; the machine's name if not given.
        "node_name" node_name: Option<String> = None, Optional(TEXT);
        /// The most connections of this server to the database, but for one more for listening.
        "connections" connections: u32 = 16, whole(2, 10_000);
        /// How long a connection may take to be made.
        "connect_timeout_seconds" connect_timeout: Duration = secs(5), seconds(0.1, 300.0);
        /// How long a statement may take; after it a request is answered 503.
        "statement_timeout_seconds" statement_timeout: Duration = secs(10), seconds(0.5, 600.0);
        /// How long a server's part of the work waits for it when nothing is heard of it.
        "lease_seconds" lease: Duration = secs(15), seconds(5.0, 600.0);
    }
}

section! {
    /// The key that seals secrets at rest.
    pub(super) struct SealingKeys in "sealing" {
        /// The file with the key that seals credentials at rest: 32 random bytes in base64. Made, with
        /// mode 0600, at the first start with an empty store; `sealing.key` in the data directory if not given. Keep a copy of it elsewhere: without it, the credentials in the store are lost.
        "key_file" key_file: Option<PathBuf> = None, Optional(PATH);
        /// The key itself in place of a file; meant for the environment variable. While it is being changed, the
        /// new one and then the old one, with a space between.
        "key" key: Option<Secret> = None, Optional(SecretText);
    }
}

section! {
    /// TLS of the listeners.
    pub(super) struct TlsChoice in "tls" {
        /// The file with the server's certificate, followed by those that lead to its authority, in PEM.
        /// With it the listeners speak TLS; read again when it changes, without dropping a connection.
        "certificate_file" certificate_file: Option<PathBuf> = None, Optional(PATH);
        /// The file with the certificate's private key, in PEM.
        "key_file" key_file: Option<PathBuf> = None, Optional(PATH);
        /// How often the two files are looked at for a new certificate.
        "check_seconds" check_every: Duration = secs(10), seconds(0.05, 86_400.0);
    }
}

section! {
    /// The administration's own listener.
    pub(super) struct AdminPlace in "admin" {
        /// An address and port of their own for administration and metrics; then they are not
        /// served on `listen`.
        "listen" listen: Option<SocketAddr> = None, Optional(ADDRESS);
        /// Whether that address speaks TLS too, if `tls.certificate_file` is given.
        "tls" tls: bool = true, Flag;
    }
}

section! {
    /// The admin token.
    pub(super) struct AdminKeys in "admin" {
        /// The file with the token for `/admin/v1`. Made, with mode 0600, if it is not there;
        /// `admin-token` in the data directory if not given.
        "token_file" token_file: Option<PathBuf> = None, Optional(PATH);
        /// The token itself in place of a file, at least 16 characters; meant for the environment variable.
        "token" token: Option<Secret> = None, Optional(SecretText);
    }
}

section! {
    /// The audit list.
    pub struct Audit in "admin" {
        /// How many changes of organizations, apps, tokens and secrets the audit list keeps, the newest.
        "audit_entries" entries: u64 = 10_000, whole(1, 1_000_000);
    }
}

section! {
    /// What callers may ask for.
    pub struct Limits in "limits" {
        /// The largest body of a request, in bytes; over it a request is answered 413.
        "body_bytes" body_bytes: usize = MIB as usize, whole(1024, GIB);
        /// The largest request line and headers together, in bytes.
        "header_bytes" header_bytes: usize = 32 * 1024, whole(8192, MIB);
        /// The most connections at once.
        "connections" connections: usize = 16_384, whole(1, 10_000_000);
        /// The most requests under way at once; over it a request is answered 503.
        "in_flight_requests" in_flight_requests: usize = 1_024, whole(1, 1_000_000);
        /// From the beginning of a connection to the end of its TLS handshake.
        "tls_handshake_timeout_seconds" tls_handshake_timeout: Duration = secs(10), seconds(0.1, 3600.0);
        /// From the first byte of a request to the end of its headers.
        "header_timeout_seconds" header_timeout: Duration = secs(10), seconds(0.1, 3600.0);
        /// From the end of the headers to the end of the body.
        "body_timeout_seconds" body_timeout: Duration = secs(30), seconds(0.1, 3600.0);
        /// How long a caller may take to read an answer.
        "write_timeout_seconds" write_timeout: Duration = secs(60), seconds(0.1, 3600.0);
        /// How long a connection may be quiet between two requests.
        "idle_timeout_seconds" idle_timeout: Duration = secs(75), seconds(0.1, 86_400.0);
        /// Load balancers and reverse proxies whose `Forwarded` and `X-Forwarded-For` headers tell the
        /// caller's address: the rightmost in them that is no such proxy itself.
        "trusted_proxies" trusted_proxies: Vec<IpNet> = Vec::new(), List(RANGE);
        /// Requests a second whose API token or admin token is not good, from one address (IPv6: /64), in the long run; over it they are answered 429.
        "bad_tokens_per_second" bad_tokens_per_second: NonZeroU32 = rate(100), whole(1, 1_000_000);
        /// Such requests at once.
        "bad_tokens_burst" bad_tokens_burst: NonZeroU32 = rate(1_000), whole(1, 1_000_000);
        /// The most addresses that are told apart for this; those beyond share one limit.
        "bad_tokens_addresses" bad_tokens_addresses: usize = 100_000, whole(1, 10_000_000);
        /// Requests a second of one organization with a good token, in the long run; no limit if not given.
        "by_organization_per_second" by_organization_per_second: Option<NonZeroU32> = None, Optional(whole(1, 10_000_000));
        /// Such requests at once; as many as a second's if not given.
        "by_organization_burst" by_organization_burst: Option<NonZeroU32> = None, Optional(whole(1, 10_000_000));
        /// The most registrations of an app that wait for their verification; over it a request is answered 429.
        "waiting_per_app" waiting_per_app: u64 = 2_000_000, whole(1, 1_000_000_000);
        /// The most devices of a user in an app; over it a registration ends as `FailedToStoreDevice`.
        "devices_per_user" devices_per_user: u32 = 100, whole(1, 100_000);
        /// The most characters of an APNs device token; over it a registration ends as `DeviceTokenTooLong`.
        "apns_token_chars" apns_token_chars: usize = 64, whole(1, 4_096);
        /// The most characters of an FCM device token; over it a registration ends as `DeviceTokenTooLong`.
        "fcm_token_chars" fcm_token_chars: usize = 4_096, whole(1, 65_536);
    }
}

section! {
    /// How device tokens are verified by dry runs.
    pub struct Verification in "verification" {
        /// Whether verification is stopped: everything is accepted, and waits.
        "paused" paused: bool = false, Flag;
        /// The most registrations in memory; the rest waits in the store.
        "in_memory" in_memory: usize = 16_384, whole(64, 10_000_000);
        /// The most registrations in memory of one app on one platform.
        "in_memory_per_app" in_memory_per_app: usize = 2_048, whole(1, 10_000_000);
        /// With more requests than this waiting for their registrations to be kept, the server is busy for a second: verification
        /// gives way, and what is accepted waits in the store until there are fewer.
        "busy_requests" busy_requests: usize = 256, whole(0, 1_000_000);
        /// While the server is busy, no registration is taken into memory beside so many.
        "in_memory_when_busy" in_memory_when_busy: usize = 256, whole(64, 10_000_000);
        /// The most dry runs under way for one app on one platform.
        "dry_runs_per_app" dry_runs_per_app: usize = 1_000, whole(1, 1_000_000);
        /// The longest wait before the first retry; doubled from retry to retry.
        "retry_base_seconds" retry_base: Duration = secs(1), seconds(0.001, 3600.0);
        /// The longest wait before any retry, but for a provider's `Retry-After`.
        "retry_longest_seconds" retry_longest: Duration = secs(60), seconds(0.001, 86_400.0);
        /// For how long after the first dry run a registration is tried again before it fails.
        "retry_window_seconds" retry_window: Duration = secs(3600), seconds(0.0, 2_592_000.0);
    }
}

section! {
    /// Apple's and Google's servers, and how much of them is used at a time.
    pub struct Providers in "providers" {
        /// APNs for apps from the App Store and TestFlight.
        "apns_production" apns_production: Url = https("https://api.push.apple.com"), BASE_URL;
        /// APNs for apps run from Xcode.
        "apns_sandbox" apns_sandbox: Url = https("https://api.sandbox.push.apple.com"), BASE_URL;
        /// FCM.
        "fcm" fcm: Url = https("https://fcm.googleapis.com"), BASE_URL;
        /// Where access tokens may be fetched: the `token_uri` of a service account must be one of these.
        "token_uris" token_uris: Vec<String> = vec![
            "https://oauth2.googleapis.com/token".to_owned(),
            "https://accounts.google.com/o/oauth2/token".to_owned(),
        ], List(TEXT);
        /// Certificates (PEM) of authorities that are trusted beside the system's.
        "ca_file" ca_file: Option<PathBuf> = None, Optional(PATH);
        /// An HTTP proxy through which APNs, FCM and the token endpoints are reached (CONNECT):
        /// `http://host:port`, or `http://user:password@host:port`. The environment's proxy variables make no difference.
        "proxy" proxy: Option<Proxy> = None, Optional(ProxyUrl);
        /// The most connections for one app's credentials to one provider.
        "connections_per_app" connections_per_app: usize = 4, whole(1, 1_000);
        /// The most connections in all.
        "connections" connections: usize = 2_000, whole(4, 1_000_000);
        /// How long opening a connection may take.
        "connect_timeout_seconds" connect_timeout: Duration = secs(5), seconds(0.05, 300.0);
        /// How long a dry run may take in all; then it is tried again later.
        "dry_run_timeout_seconds" dry_run_timeout: Duration = secs(10), seconds(0.05, 300.0);
        /// How long a connection may be silent with requests under way before it is asked for a sign of life.
        "ping_after_seconds" ping_after: Duration = secs(4), seconds(0.05, 300.0);
        /// How long that sign of life may take.
        "ping_timeout_seconds" ping_timeout: Duration = secs(3), seconds(0.05, 300.0);
        /// After this time without a request a connection is closed.
        "idle_close_seconds" idle_close: Duration = secs(300), seconds(0.05, 86_400.0);
    }
}

section! {
    /// Callbacks: requests to URLs that callers choose, and so only where they may go.
    pub struct Callbacks in "callbacks" {
        /// Whether callback URLs may begin with `http://`.
        "allow_http" allow_http: bool = false, Flag;
        /// Hosts that callbacks may reach whatever their addresses are, on every port: `hooks.example.com`, or
        /// `*.example.com` for all names below it.
        "allow_hosts" allow_hosts: Vec<String> = Vec::new(), List(TEXT);
        /// Addresses that callbacks may reach although they are private, on every port.
        "allow_ranges" allow_ranges: Vec<IpNet> = Vec::new(), List(RANGE);
        /// Ports that callbacks may reach beside 443 (https) and 80 (http).
        "ports" ports: Vec<u16> = Vec::new(), List(whole(1, 65_535));
        /// How long a callback may take in all.
        "timeout_seconds" timeout: Duration = secs(10), seconds(0.05, 300.0);
        /// The most callbacks under way.
        "under_way" under_way: usize = 256, whole(1, 1_000_000);
        /// The most callbacks under way to one host and port.
        "under_way_per_host" under_way_per_host: usize = 32, whole(1, 1_000_000);
        /// In apps with retries: the longest wait before the first retry; doubled from retry to retry.
        "retry_base_seconds" retry_base: Duration = secs(10), seconds(0.001, 86_400.0);
        /// The longest wait before any retry, but for a receiver's `Retry-After`.
        "retry_longest_seconds" retry_longest: Duration = secs(3 * 3600), seconds(0.001, 259_200.0);
        /// The most callbacks of an app that wait for another attempt; those beyond are given up.
        "retrying_per_app" retrying_per_app: u64 = 100_000, whole(1, 1_000_000_000);
        /// The most attempts in an app's delivery log, kept no longer than outcomes.
        "logged_per_app" logged_per_app: u64 = 10_000, whole(1, 10_000_000);
        /// How the `Signature` of a callback is written.
        "signature_encoding" signature_encoding: SignatureEncoding = SignatureEncoding::Base64, Choice(&[
            ("base64", SignatureEncoding::Base64),
            ("hex", SignatureEncoding::Hex),
        ]);
        /// Certificates (PEM) of authorities that are trusted beside the system's.
        "ca_file" ca_file: Option<PathBuf> = None, Optional(PATH);
        /// The name server that callback hosts are looked up at; the system's if not given.
        "name_server" name_server: Option<SocketAddr> = None, Optional(ADDRESS);
    }
}

section! {
    /// What is kept of registrations that have ended.
    pub struct Outcomes in "outcomes" {
        /// For how long their outcomes are kept.
        "retention_days" retention: Duration = secs(7 * 86_400), days(0.001, 3_650.0);
    }
}

section! {
    /// The log, on standard error.
    pub struct Log in "log" {
        /// For people (`human`), or a JSON object a line (`json`).
        "format" format: LogFormat = LogFormat::Human, Choice(&[
            ("human", LogFormat::Human),
            ("json", LogFormat::Json),
        ]);
        /// The least weighty lines that are written.
        "level" level: LogLevel = LogLevel::Info, Choice(&[
            ("error", LogLevel::Error),
            ("warn", LogLevel::Warn),
            ("info", LogLevel::Info),
            ("debug", LogLevel::Debug),
            ("trace", LogLevel::Trace),
        ]);
    }
}

section! {
    /// Traces for an OpenTelemetry collector; off without an endpoint.
    pub struct Traces in "traces" {
        /// Where the collector takes OTLP over HTTP, in protobuf: `http://127.0.0.1:4318`. Without a path it is
        /// `/v1/traces`.
        "endpoint" endpoint: Option<Url> = None, Optional(COLLECTOR);
        /// The file with headers for the collector, `Name: value` a line: a vendor's key, say. Read at the start.
        "headers_file" headers_file: Option<PathBuf> = None, Optional(PATH);
        /// Certificates (PEM) of authorities that are trusted beside the system's.
        "ca_file" ca_file: Option<PathBuf> = None, Optional(PATH);
        /// Which part of the traces that begin here is recorded.
        "sample_ratio" sample_ratio: f64 = 1.0, Ratio;
        /// Whether a request that says by `traceparent` whether its caller records the trace is recorded if the
        /// caller does, whatever the ratio is.
        "follow_callers" follow_callers: bool = true, Flag;
        /// What this server is called in traces.
        "service_name" service_name: String = "pushroll".to_owned(), TEXT;
        /// The most spans that wait to be sent; those beyond are dropped and counted.
        "queue_spans" queue_spans: usize = 8_192, whole(1, 1_000_000);
        /// How long a span waits for others to be sent with it.
        "gather_seconds" gather: Duration = secs(1), seconds(0.01, 60.0);
        /// How long the collector may take for a request; its spans are dropped then.
        "timeout_seconds" timeout: Duration = secs(5), seconds(0.05, 300.0);
    }
}

section! {
    /// The end of the process.
    pub struct Shutdown in "shutdown" {
        /// How long work under way may go on after SIGTERM; what is not done by then is carried on by the
        /// next start.
        "deadline_seconds" deadline: Duration = secs(20), seconds(0.0, 3600.0);
    }
}
