//! Traces for an OpenTelemetry collector, by OTLP over HTTP. Off without `[traces] endpoint`, and then there is
//! nothing: no task, no queue, no span.
//!
//! A collector that is slow, down or gone never holds anything up: spans wait in a bounded queue, and what does
//! not fit, and what could not be sent, is dropped and counted. Nothing is sent twice.
//!
//! The messages are the published ones (`opentelemetry-proto`). The exporter of `opentelemetry-otlp` is not used: it
//! takes headers from the environment whatever the settings say, tries again by itself, and can't tell what
//! its queue dropped.

mod export;
mod message;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use metrics::Counter;
use pushroll_domain::{EndedSpan, Random, SpanSink, Tracer};
use thiserror::Error;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::client::{Client, ClientFault, Trust};
use crate::machine;
use crate::settings::Traces;
use export::Exporter;

/// Where a collector takes traces, if the settings name no other path.
const PATH: &str = "/v1/traces";
const DROPPED: &str = "pushroll_trace_spans_dropped_total";

/// Why there are no traces.
#[derive(Debug, Error)]
pub enum TracesError {
    /// The file with the headers can't be read.
    #[error("traces.headers_file: {file} can't be read: {cause}")]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// A line of it is no header.
    #[error(
        "traces.headers_file: line {line} of {file} is no header: each must be \"Name: value\""
    )]
    NoHeader {
        /// The file.
        file: PathBuf,
        /// The line's number.
        line: usize,
    },
    /// The collector's address or the authorities can't be used.
    #[error("traces: {0}")]
    Collector(#[from] ClientFault),
}

/// What sends spans to the collector.
pub struct Export {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Export {
    /// Sends what is in the queue, and stops; what is not sent within this time is dropped.
    pub async fn close(mut self, within: Duration) {
        self.stop.cancel();
        if tokio::time::timeout(within, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

/// Begins to export traces, if the settings say so.
///
/// # Errors
/// When the settings name files or an address that can't be used.
pub fn start(
    settings: &Traces,
    random: Arc<dyn Random>,
) -> Result<(Tracer, Option<Export>), TracesError> {
    let Some((client, headers)) = collector(settings)? else {
        return Ok((Tracer::default(), None));
    };
    let (sender, receiver) = mpsc::channel(settings.queue_spans);
    let stop = CancellationToken::new();
    let resource = message::resource(&settings.service_name, &*random);
    let exporter = Exporter::new(receiver, client, headers, resource, settings);
    let task = tokio::spawn(exporter.run(stop.clone()));
    let queue = Queue {
        sender,
        random,
        sampled_below: sampled_below(settings.sample_ratio),
        follows_callers: settings.follow_callers,
        overflowed: metrics::counter!(DROPPED, "reason" => "queue_full"),
    };
    Ok((Tracer::to(Arc::new(queue)), Some(Export { task, stop })))
}

/// Whether the files and the address that the settings name can be used.
///
/// # Errors
/// Why not.
pub fn check(settings: &Traces) -> Result<(), TracesError> {
    collector(settings).map(|_| ())
}

type Headers = Vec<(HeaderName, HeaderValue)>;

/// Who takes the traces, and with which headers; `None` if there is nobody.
fn collector(settings: &Traces) -> Result<Option<(Client, Headers)>, TracesError> {
    let Some(endpoint) = &settings.endpoint else { return Ok(None) };
    let headers = match &settings.headers_file {
        Some(file) => read_headers(file)?,
        None => Vec::new(),
    };
    let mut url = endpoint.clone();
    if url.path() == "/" {
        url.set_path(PATH);
    }
    let trust = settings.ca_file.clone().map_or(Trust::System, Trust::Authorities);
    Ok(Some((Client::new(&url, None, &trust)?, headers)))
}

/// A header a line; empty lines and those that begin with `#` are none.
fn read_headers(file: &Path) -> Result<Headers, TracesError> {
    let text = std::fs::read_to_string(file)
        .map_err(|cause| TracesError::Unreadable { file: file.to_owned(), cause })?;
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(line, text)| {
            let header = text.split_once(':').and_then(|(name, value)| {
                let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
                let mut value = HeaderValue::from_str(value.trim()).ok()?;
                value.set_sensitive(true);
                Some((name, value))
            });
            header.ok_or_else(|| TracesError::NoHeader { file: file.to_owned(), line })
        })
        .collect()
}

/// The spans that wait to be sent.
struct Queue {
    sender: mpsc::Sender<EndedSpan>,
    random: Arc<dyn Random>,
    /// Of the last 63 bits of a trace's id.
    sampled_below: u64,
    follows_callers: bool,
    overflowed: Counter,
}

/// As OpenTelemetry's samplers by ratio do it, so that services with one ratio record the same traces.
fn sampled_below(ratio: f64) -> u64 {
    const ALL: u64 = 1 << 63;
    (ratio * ALL as f64) as u64
}

impl SpanSink for Queue {
    fn now_ns(&self) -> u64 {
        machine::now_ns()
    }

    fn random(&self) -> u64 {
        self.random.u64()
    }

    fn wants(&self, trace: [u8; 16], caller: Option<bool>) -> bool {
        match caller {
            Some(recorded) if self.follows_callers => recorded,
            Some(_) | None => (u128::from_be_bytes(trace) as u64) >> 1 < self.sampled_below,
        }
    }

    fn take(&self, span: EndedSpan) {
        match self.sender.try_send(span) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.overflowed.increment(1),
            Err(TrySendError::Closed(_)) => {
                metrics::counter!(DROPPED, "reason" => "stopped").increment(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::SystemRandom;

    fn queue(ratio: f64, follows_callers: bool) -> Queue {
        Queue {
            sender: mpsc::channel(1).0,
            random: Arc::new(SystemRandom),
            sampled_below: sampled_below(ratio),
            follows_callers,
            overflowed: Counter::noop(),
        }
    }

    fn ids() -> impl Iterator<Item = [u8; 16]> {
        let step = u128::from(u64::MAX) / 1_000;
        (0..1_000u128).map(move |n| (n << 64 | (n * step + step / 2)).to_be_bytes())
    }

    #[test]
    fn a_ratio_of_the_traces_is_recorded_and_which_depends_on_their_ids_alone() {
        for (ratio, expected) in [(0.0, 0), (0.25, 250), (1.0, 1_000)] {
            let wanted = |_| ids().filter(|id| queue(ratio, true).wants(*id, None)).count();
            assert_eq!([(), ()].map(wanted), [expected; 2], "{ratio}");
        }
    }

    #[test]
    fn what_the_caller_does_decides_unless_the_settings_say_no() {
        let id = [0; 16];
        assert!(queue(0.0, true).wants(id, Some(true)));
        assert!(!queue(1.0, true).wants(id, Some(false)));
        assert!(!queue(0.0, false).wants(id, Some(true)));
        assert!(queue(1.0, false).wants(id, Some(false)));
    }

    #[test]
    fn headers_stand_one_a_line_and_a_line_that_is_none_is_named_without_being_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("headers");
        std::fs::write(&file, "# of the vendor\n\nAuthorization: Bearer a:b\nX-Scope: 7\n")
            .unwrap();
        let headers = read_headers(&file).unwrap();
        assert_eq!(headers.len(), 2);
        assert_eq!(headers[0], ("authorization".parse().unwrap(), "Bearer a:b".parse().unwrap()));
        assert!(!format!("{headers:?}").contains("a:b"));
        std::fs::write(&file, "X-Scope: 7\nsesame\n").unwrap();
        let fault = read_headers(&file).unwrap_err().to_string();
        assert!(fault.contains("line 2") && !fault.contains("sesame"), "{fault}");
        let fault = read_headers(&dir.path().join("none")).unwrap_err().to_string();
        assert!(fault.contains("traces.headers_file"), "{fault}");
    }
}
