//! Sends spans to the collector, some at a time, one request after the other.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use metrics::Counter;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use pushroll_domain::EndedSpan;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{DROPPED, message};
use crate::client::Client;
use crate::settings::Traces;

/// The most spans in a request.
const BATCH: usize = 512;
const CONTENT_TYPE: &str = "application/x-protobuf";

/// Sends spans to the collector.
pub(super) struct Exporter {
    queue: Receiver<EndedSpan>,
    client: Client,
    headers: Vec<(HeaderName, HeaderValue)>,
    resource: Resource,
    /// How long a span waits for others at most.
    gather: Duration,
    /// For a request and its answer.
    timeout: Duration,
    /// Whether the last request was taken, so that only a change is worth a line in the log.
    works: bool,
    sent: Counter,
}

impl Exporter {
    pub(super) fn new(
        queue: Receiver<EndedSpan>,
        client: Client,
        headers: Vec<(HeaderName, HeaderValue)>,
        resource: Resource,
        settings: &Traces,
    ) -> Self {
        Self {
            queue,
            client,
            headers,
            resource,
            gather: settings.gather,
            timeout: settings.timeout,
            works: true,
            sent: metrics::counter!("pushroll_trace_spans_sent_total"),
        }
    }

    /// Sends until `stop` is cancelled, and then what is in the queue.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        while let Some(true) = stop.run_until_cancelled(self.gather(&mut batch)).await {
            self.send(&mut batch).await;
        }
        self.queue.close();
        loop {
            let room = BATCH - batch.len();
            if room > 0 {
                self.queue.recv_many(&mut batch, room).await;
            }
            if batch.is_empty() {
                return;
            }
            self.send(&mut batch).await;
        }
    }

    /// Waits for spans: until there are as many as go into a request, or the first has waited long enough.
    /// `false` when nobody is left who makes any.
    async fn gather(&mut self, batch: &mut Vec<EndedSpan>) -> bool {
        if batch.is_empty() && self.queue.recv_many(batch, BATCH).await == 0 {
            return false;
        }
        let until = Instant::now() + self.gather;
        while batch.len() < BATCH {
            let more = self.queue.recv_many(batch, BATCH - batch.len());
            match timeout_at(until, more).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        true
    }

    /// Sends these, and drops them if the collector does not take them.
    async fn send(&mut self, batch: &mut Vec<EndedSpan>) {
        let count = batch.len() as u64;
        let request = message::request(&self.resource, std::mem::take(batch));
        let body = Bytes::from(request.encode_to_vec());
        let sending = self.client.post_bytes(CONTENT_TYPE, &self.headers, body);
        let fault = match timeout(self.timeout, sending).await {
            Ok(Ok(answer)) if answer.status.is_success() => {
                self.note_taken(count, &answer.body);
                return;
            }
            Ok(Ok(answer)) => Fault::Refused(answer.status),
            Ok(Err(fault)) => Fault::Unreachable(fault.to_string()),
            Err(_) => Fault::TimedOut,
        };
        metrics::counter!(DROPPED, "reason" => fault.name()).increment(count);
        if self.works {
            warn!(cause = %fault.told(), "the collector does not take traces; they are dropped and counted");
        }
        self.works = false;
    }

    fn note_taken(&mut self, count: u64, answer: &[u8]) {
        let partial = ExportTraceServiceResponse::decode(answer).unwrap_or_default();
        let rejected = partial.partial_success.map_or(0, |partial| partial.rejected_spans);
        let rejected = u64::try_from(rejected).unwrap_or(0).min(count);
        if rejected > 0 {
            metrics::counter!(DROPPED, "reason" => "refused").increment(rejected);
        }
        self.sent.increment(count - rejected);
        if !self.works {
            info!("the collector takes traces again");
        }
        self.works = true;
    }
}

/// Why spans were not taken.
enum Fault {
    Refused(StatusCode),
    Unreachable(String),
    TimedOut,
}

impl Fault {
    const fn name(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Unreachable(_) => "unreachable",
            Self::TimedOut => "timed_out",
        }
    }

    fn told(&self) -> String {
        match self {
            Self::Refused(status) => format!("it answered {status}"),
            Self::Unreachable(cause) => cause.clone(),
            Self::TimedOut => "it did not answer in time".to_owned(),
        }
    }
}
