//! Every metric that there is: its kind, its labels and what it means. What the parts count is described
//! from here, docs/METRICS.md is written from here, and tests hold the parts, the dashboard and the alert
//! rules to it.

use std::fmt::Write as _;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram};

/// What kind of metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, until the process starts anew.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Counts by size, as `_bucket`, `_sum` and `_count`.
    Histogram,
}

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, help }
}

const fn histogram(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Histogram, labels, help }
}

/// All of them, by subject.
pub const ALL: &[Metric] = &[
    gauge("pushroll_ready", &[], "1 while requests can be served, as /readyz says, else 0"),
    gauge("pushroll_build_info", &["version"], "1; the version is a label"),
    counter("pushroll_http_requests_total", &["route", "status"], "Requests answered"),
    histogram(
        "pushroll_http_request_seconds",
        &["route"],
        "From the end of a request's head to the answer",
    ),
    counter("pushroll_http_request_body_bytes_total", &["route"], "Bytes of bodies received"),
    counter("pushroll_http_answer_body_bytes_total", &["route"], "Bytes of bodies sent"),
    gauge("pushroll_http_connections", &[], "Connections of callers that are open"),
    counter(
        "pushroll_http_connections_accepted_total",
        &[],
        "Connections of callers that were opened",
    ),
    counter(
        "pushroll_http_connections_refused_total",
        &[],
        "Connections closed at once because there were too many",
    ),
    counter(
        "pushroll_http_timeouts_total",
        &["kind"],
        "Connections of callers closed because a time was over, by what was waited for",
    ),
    counter(
        "pushroll_http_tls_failures_total",
        &["kind"],
        "Connections of callers that ended in the TLS handshake",
    ),
    gauge(
        "pushroll_tls_certificate_expiry_timestamp_seconds",
        &[],
        "End of the server's own certificate, in seconds since 1970",
    ),
    counter("pushroll_http_panics_total", &[], "Requests that met a fault of the program"),
    counter("pushroll_bad_tokens_total", &[], "Requests whose API or admin token was not good"),
    counter("pushroll_throttled_total", &["limit"], "Requests answered 429"),
    counter("pushroll_registrations_accepted_total", &[], "Registrations answered 202 and kept"),
    counter(
        "pushroll_registrations_unauthorized_total",
        &[],
        "Registrations whose API token was not good",
    ),
    counter(
        "pushroll_registrations_ended_total",
        &["app", "platform", "outcome"],
        "Registrations that ended; the outcome is Success or the FailureReason",
    ),
    histogram(
        "pushroll_registration_seconds",
        &["platform", "outcome"],
        "From the acceptance of a registration to its end",
    ),
    counter(
        "pushroll_registrations_postponed_total",
        &[],
        "Registrations put off, to be verified later",
    ),
    counter(
        "pushroll_registrations_deferred_total",
        &[],
        "Registrations left in the store at first, because many requests waited for theirs to be kept",
    ),
    gauge(
        "pushroll_registrations_pending",
        &["app", "platform"],
        "Registrations that wait or are being verified",
    ),
    gauge("pushroll_registrations_in_memory", &["app", "platform"], "Registrations being verified"),
    counter("pushroll_cleanups_total", &[], "Cleanups answered 202 and done"),
    counter(
        "pushroll_dry_runs_total",
        &["app", "platform", "verdict", "reason"],
        "Answers to dry runs: what they mean, and the provider's reason",
    ),
    counter(
        "pushroll_wrong_environment_total",
        &["app"],
        "Device tokens that only the other APNs environment takes",
    ),
    gauge(
        "pushroll_breaker_open",
        &["app", "platform"],
        "1 while an app's dry runs are held back, else 0",
    ),
    gauge(
        "pushroll_breaker_state",
        &["app", "platform", "state"],
        "1 for the state that the circuit breaker is in, 0 for the others",
    ),
    gauge(
        "pushroll_apns_certificate_expiry_timestamp_seconds",
        &["app"],
        "End of an app's push certificate, in seconds since 1970; NaN once it has none any more",
    ),
    counter(
        "pushroll_provider_answers_total",
        &["provider", "environment", "reason"],
        "Answers of APNs, FCM and OAuth, also to the asking again for a hint",
    ),
    histogram(
        "pushroll_provider_request_seconds",
        &["provider", "environment"],
        "How long requests to providers took",
    ),
    gauge(
        "pushroll_provider_connections",
        &["provider", "environment"],
        "Connections to providers that are open",
    ),
    counter(
        "pushroll_provider_connections_closed_total",
        &["provider", "environment", "why"],
        "Connections to providers that ended",
    ),
    counter(
        "pushroll_provider_tokens_minted_total",
        &["provider"],
        "Provider tokens (APNs) and access tokens (OAuth) made",
    ),
    histogram("pushroll_store_commit_items", &[], "Changes that share a commit"),
    histogram(
        "pushroll_store_commit_prepare_seconds",
        &[],
        "How long the changes of a commit took to be collected",
    ),
    histogram(
        "pushroll_store_commit_write_seconds",
        &[],
        "How long a commit took to be written and synced",
    ),
    gauge("pushroll_store_commit_queue_items", &[], "Changes that wait for a commit"),
    gauge(
        "pushroll_store_shards_held",
        &[],
        "Shards that this server works on, with the cluster store",
    ),
    gauge(
        "pushroll_store_nodes",
        &[],
        "Servers that are alive, this one among them, with the cluster store",
    ),
    gauge("pushroll_store_callbacks_waiting", &[], "Callbacks that wait to be made"),
    counter(
        "pushroll_store_refused_total",
        &[],
        "Changes answered 503 because too many wait for a commit",
    ),
    counter("pushroll_store_write_failures_total", &[], "Commits that could not be written"),
    counter(
        "pushroll_store_reopens_total",
        &[],
        "Times that the store was opened again after a failed write",
    ),
    counter("pushroll_callbacks_total", &["result"], "Callbacks made, by what is kept of them"),
    counter(
        "pushroll_callback_attempts_total",
        &["result"],
        "Callbacks attempted, by what was answered or why there was no answer",
    ),
    histogram("pushroll_callback_duration_seconds", &["result"], "How long callbacks took"),
    counter(
        "pushroll_callback_connections_total",
        &["kind"],
        "Connections that carried callbacks, new or kept",
    ),
    counter(
        "pushroll_callback_retries_total",
        &["result"],
        "Callbacks made again, by what is kept of them",
    ),
    counter(
        "pushroll_callback_retries_dropped_total",
        &[],
        "Callbacks that are not tried again because too many of their app wait to be",
    ),
    counter("pushroll_clock_steps_back_total", &[], "Times that the machine's clock was set back"),
    counter("pushroll_trace_spans_sent_total", &[], "Spans of traces that the collector took"),
    counter(
        "pushroll_trace_spans_dropped_total",
        &["reason"],
        "Spans of traces that were dropped: the queue was full, or the collector did not take them",
    ),
    gauge("process_start_time_seconds", &[], "Start of the process, in seconds since 1970"),
    gauge("process_resident_memory_bytes", &[], "Memory of the process that is resident"),
    gauge("process_open_fds", &[], "Open files and connections"),
    gauge("process_max_fds", &[], "The most open files and connections that the system allows"),
];

/// Tells the recorder what the metrics are. Counters without labels are there from the start, at zero: a
/// rare fault whose series began with 1 would be no increase to an alert.
pub(super) fn describe() {
    for metric in ALL {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.help),
            Kind::Histogram => describe_histogram!(metric.name, metric.help),
        }
        if metric.kind == Kind::Counter && metric.labels.is_empty() {
            counter!(metric.name).increment(0);
        }
    }
}

/// The page docs/METRICS.md.
#[must_use]
pub fn page() -> String {
    let mut page = PREFACE.to_owned();
    for Metric { name, kind, labels, help } in ALL {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = labels.join(", ");
        let _ = writeln!(page, "| `{name}` | {kind} | {labels} | {help} |");
    }
    page
}

const PREFACE: &str = "\
# Metrics

What `/metrics` says, in the text format of Prometheus. It takes no token and holds no secret; ids of apps are in it, so let only
your monitoring reach it. A dashboard and alert rules are in [deploy/](../deploy/README.md).

A series with labels begins when something is first counted; counters without labels are there from the start. This page is written from
`crates/pushroll/src/metrics/catalogue.rs`, and a test compares them.

| metric | kind | labels | what it means |
| --- | --- | --- | --- |
";
