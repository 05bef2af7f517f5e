//! What the simulator has seen, for tests to assert on: counters, requests by device token, and
//! the newest requests whole. All of it is bounded.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::request::Parts;
use parking_lot::Mutex;
use serde::Serialize;

use crate::newest::NewestMap;

/// The most bytes of a body that are kept with a recent request.
pub const MAX_RECORDED_BODY_BYTES: usize = 8 * 1024;
/// The most provider tokens that are told apart.
pub const MAX_PROVIDER_TOKENS_SEEN: usize = 10_000;

/// The counters of one provider since the start or the last reset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ProviderStatistics {
    /// Requests seen, whatever became of them.
    pub requests: u64,
    /// Answers by status; requests that were never answered are not among them.
    pub answers: BTreeMap<u16, u64>,
    /// Answers by reason (APNs), error code (FCM) or error (OAuth).
    pub reasons: BTreeMap<String, u64>,
    /// Device tokens seen, up to the limit that is remembered.
    pub device_tokens: usize,
    /// Connections whose TLS handshake ended well. FCM counts those of the token endpoint too.
    pub connections_opened: u64,
    /// Connections open now.
    pub connections_open: u64,
    /// The most streams under way at once on one connection.
    pub highest_concurrent_streams: u64,
    /// Streams refused because they were over the limit.
    pub streams_refused: u64,
    /// GOAWAY frames sent.
    pub goaways_sent: u64,
    /// Different provider tokens that were good (APNs).
    pub provider_tokens_seen: usize,
    /// Requests on connections with a client certificate, good or not (APNs).
    pub requests_with_certificate: u64,
    /// Access tokens issued (OAuth).
    pub access_tokens_issued: u64,
}

/// One request as it came.
#[derive(Debug, Clone, Serialize)]
pub struct RecordedRequest {
    /// When it came, by the simulator's clock, in milliseconds.
    pub at_ms: i64,
    /// Number of the connection, counted from 1 at the port.
    pub connection: u64,
    /// `POST`, …
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers in lower case, in their order; a value that is not text is shown lossily.
    pub headers: Vec<(String, String)>,
    /// The beginning of the body, at most 8 KiB, lossily as text.
    pub body: String,
    /// The status answered, if it was answered.
    pub status: Option<u16>,
}

impl RecordedRequest {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// A request that is over, as it is handed to [`Tally::record`].
pub(crate) struct Seen<'a> {
    pub(crate) device: Option<&'a str>,
    pub(crate) status: Option<u16>,
    pub(crate) reason: Option<&'a str>,
    /// The connection had a client certificate.
    pub(crate) with_certificate: bool,
}

#[derive(Debug)]
struct Recent {
    at_ms: i64,
    connection: u64,
    head: Parts,
    body: Bytes,
    status: Option<u16>,
}

pub(crate) struct Tally {
    counted: Mutex<Counted>,
    recent: Mutex<VecDeque<Recent>>,
    recent_limit: usize,
    connections_opened: AtomicU64,
    connections_open: AtomicU64,
    highest_concurrent_streams: AtomicU64,
    streams_refused: AtomicU64,
    goaways_sent: AtomicU64,
    access_tokens_issued: AtomicU64,
}

struct Counted {
    requests: u64,
    requests_with_certificate: u64,
    answers: BTreeMap<u16, u64>,
    reasons: BTreeMap<String, u64>,
    by_device: NewestMap<u64>,
    provider_tokens: NewestMap<()>,
}

/// Reasons told apart; a script can invent any number of them.
const MAX_REASONS: usize = 256;

impl Tally {
    pub(crate) fn new(device_tokens: usize, recent_limit: usize) -> Self {
        Self {
            counted: Mutex::new(Counted {
                requests: 0,
                requests_with_certificate: 0,
                answers: BTreeMap::new(),
                reasons: BTreeMap::new(),
                by_device: NewestMap::new(device_tokens),
                provider_tokens: NewestMap::new(MAX_PROVIDER_TOKENS_SEEN),
            }),
            recent: Mutex::new(VecDeque::new()),
            recent_limit,
            connections_opened: AtomicU64::new(0),
            connections_open: AtomicU64::new(0),
            highest_concurrent_streams: AtomicU64::new(0),
            streams_refused: AtomicU64::new(0),
            goaways_sent: AtomicU64::new(0),
            access_tokens_issued: AtomicU64::new(0),
        }
    }

    pub(crate) fn record(&self, seen: &Seen<'_>) {
        let mut counted = self.counted.lock();
        counted.requests += 1;
        counted.requests_with_certificate += u64::from(seen.with_certificate);
        if let Some(status) = seen.status {
            *counted.answers.entry(status).or_default() += 1;
        }
        if let Some(reason) = seen.reason {
            if let Some(count) = counted.reasons.get_mut(reason) {
                *count += 1;
            } else if counted.reasons.len() < MAX_REASONS {
                counted.reasons.insert(reason.to_owned(), 1);
            }
        }
        if let Some(device) = seen.device {
            *counted.by_device.entry(device) += 1;
        }
    }

    pub(crate) fn keep(
        &self,
        at_ms: i64,
        connection: u64,
        head: Parts,
        mut body: Bytes,
        status: Option<u16>,
    ) {
        if self.recent_limit == 0 {
            return;
        }
        body.truncate(MAX_RECORDED_BODY_BYTES);
        let mut recent = self.recent.lock();
        let oldest = if recent.len() >= self.recent_limit { recent.pop_front() } else { None };
        recent.push_back(Recent { at_ms, connection, head, body, status });
        drop(recent);
        drop(oldest); // outside the lock
    }

    pub(crate) fn connection_opened(&self) -> u64 {
        self.connections_open.fetch_add(1, Ordering::Relaxed);
        self.connections_opened.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn connection_closed(&self) {
        self.connections_open.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn streams_under_way(&self, streams: usize) {
        let streams = streams as u64;
        if streams > self.highest_concurrent_streams.load(Ordering::Relaxed) {
            self.highest_concurrent_streams.fetch_max(streams, Ordering::Relaxed);
        }
    }

    pub(crate) fn stream_refused(&self) {
        self.streams_refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn goaway_sent(&self) {
        self.goaways_sent.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn access_token_issued(&self) {
        self.access_tokens_issued.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn provider_token_seen(&self, token: &str) {
        self.counted.lock().provider_tokens.entry(token);
    }

    pub(crate) fn requests_of(&self, device: &str) -> u64 {
        self.counted.lock().by_device.get(device).copied().unwrap_or(0)
    }

    /// The newest requests, oldest first, at most `limit`.
    pub(crate) fn recent(&self, limit: usize) -> Vec<RecordedRequest> {
        let recent = self.recent.lock();
        let skip = recent.len().saturating_sub(limit);
        recent.iter().skip(skip).map(Recent::shown).collect()
    }

    pub(crate) fn snapshot(&self) -> ProviderStatistics {
        let counted = self.counted.lock();
        ProviderStatistics {
            requests: counted.requests,
            requests_with_certificate: counted.requests_with_certificate,
            answers: counted.answers.clone(),
            reasons: counted.reasons.clone(),
            device_tokens: counted.by_device.len(),
            connections_opened: self.connections_opened.load(Ordering::Relaxed),
            connections_open: self.connections_open.load(Ordering::Relaxed),
            highest_concurrent_streams: self.highest_concurrent_streams.load(Ordering::Relaxed),
            streams_refused: self.streams_refused.load(Ordering::Relaxed),
            goaways_sent: self.goaways_sent.load(Ordering::Relaxed),
            provider_tokens_seen: counted.provider_tokens.len(),
            access_tokens_issued: self.access_tokens_issued.load(Ordering::Relaxed),
        }
    }

    /// Forgets everything but the connections that are open.
    pub(crate) fn clear(&self) {
        let mut counted = self.counted.lock();
        counted.requests = 0;
        counted.requests_with_certificate = 0;
        counted.answers.clear();
        counted.reasons.clear();
        counted.by_device.clear();
        counted.provider_tokens.clear();
        drop(counted);
        self.recent.lock().clear();
        for counter in [
            &self.connections_opened,
            &self.highest_concurrent_streams,
            &self.streams_refused,
            &self.goaways_sent,
            &self.access_tokens_issued,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
    }
}

impl Recent {
    fn shown(&self) -> RecordedRequest {
        RecordedRequest {
            at_ms: self.at_ms,
            connection: self.connection,
            method: self.head.method.to_string(),
            path: self.head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
            headers: self
                .head
                .headers
                .iter()
                .map(|(name, value)| {
                    (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
                })
                .collect(),
            body: String::from_utf8_lossy(&self.body).into_owned(),
            status: self.status,
        }
    }
}
