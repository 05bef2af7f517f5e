//! What an operator's machinery asks: is the process up, can it serve, how is it doing.

use bytes::Bytes;
use http::StatusCode;
use pushroll_engine::Service;
use serde_json::json;

use crate::openapi::describe::{Answer, Described, Tag};
use crate::openapi::schema;
use crate::reply::{self, Reply};
use crate::site::MetricsText;

/// What is told of these, by path.
pub(crate) fn described() -> [(&'static str, Described); 3] {
    let text = json!({ "type": "string" });
    let health = Answer::of(200, "It is up.", "text/plain", text.clone());
    let ready = schema::object(["ready"], [json!({ "const": true })], &["ready"]);
    let ready = Answer::of(200, "It can.", "application/json", ready);
    let names = ["ready", "reasons"];
    let reasons = json!({ "type": "array", "items": { "type": "string" } });
    let not_ready = schema::object(names, [json!({ "const": false }), reasons], &names);
    let not_ready = Answer::of(503, "Not now, and why.", "application/json", not_ready).told();
    let metrics = Answer::of(200, "The metrics.", "text/plain", text);
    [
        ("/healthz", Described::new("isUp", Tag::Server, "Whether the process is up", "", health)),
        (
            "/readyz",
            Described::new("isReady", Tag::Server, "Whether requests can be served", "", ready)
                .or(503, not_ready),
        ),
        (
            "/metrics",
            Described::new("metrics", Tag::Server, "Metrics, for Prometheus", "", metrics),
        ),
    ]
}

/// `/healthz`: the process is up.
pub(crate) fn health() -> Reply {
    reply::not_cached(reply::of_type(StatusCode::OK, reply::TEXT, Bytes::from_static(b"ok\n")))
}

/// `/readyz`: requests can be served, or why not. What a database says of itself is nothing for callers.
pub(crate) async fn ready(service: &Service, is_for_operators: bool) -> Reply {
    const ELSEWHERE: &str = "the listener for administration says why";
    match service.ready().await {
        Ok(()) => reply::admin_json(StatusCode::OK, &serde_json::json!({ "ready": true })),
        Err(reason) => {
            let reason = if is_for_operators { reason.as_str() } else { ELSEWHERE };
            let body = serde_json::json!({ "ready": false, "reasons": [reason] });
            reply::admin_json(StatusCode::SERVICE_UNAVAILABLE, &body)
        }
    }
}

/// `/metrics`, in the text format of Prometheus.
pub(crate) fn metrics(text: &MetricsText) -> Reply {
    const PROMETHEUS: http::HeaderValue =
        http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    reply::not_cached(reply::of_type(StatusCode::OK, PROMETHEUS, text().into()))
}
