//! What an operator's machinery asks: is the process up, can it serve, how is it doing.

use bytes::Bytes;
use http::StatusCode;
use pushroll_engine::Service;

use crate::reply::{self, Reply};
use crate::site::MetricsText;

/// `/healthz`: the process is up.
pub(crate) fn health() -> Reply {
    reply::not_cached(reply::of_type(StatusCode::OK, reply::TEXT, Bytes::from_static(b"ok\n")))
}

/// `/readyz`: requests can be served, or why not.
pub(crate) async fn ready(service: &Service) -> Reply {
    match service.ready().await {
        Ok(()) => reply::admin_json(StatusCode::OK, &serde_json::json!({ "ready": true })),
        Err(reason) => reply::admin_json(
            StatusCode::SERVICE_UNAVAILABLE,
            &serde_json::json!({ "ready": false, "reasons": [reason] }),
        ),
    }
}

/// `/metrics`, in the text format of Prometheus.
pub(crate) fn metrics(text: &MetricsText) -> Reply {
    const PROMETHEUS: http::HeaderValue =
        http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    reply::not_cached(reply::of_type(StatusCode::OK, PROMETHEUS, text().into()))
}
