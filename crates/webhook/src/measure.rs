//! What is counted about callbacks. Labels are of a fixed set: never a host, which strangers choose.

use std::time::Duration;

use http::StatusCode;
use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

use crate::failure::Failure;

const ATTEMPTS: &str = "pushroll_callback_attempts_total";
const DURATION: &str = "pushroll_callback_duration_seconds";
const CONNECTIONS: &str = "pushroll_callback_connections_total";

pub(crate) fn describe() {
    describe_counter!(ATTEMPTS, Unit::Count, "Callbacks attempted, by result");
    describe_histogram!(DURATION, Unit::Seconds, "How long callbacks took, by result");
    describe_counter!(CONNECTIONS, Unit::Count, "Connections that carried callbacks, new or kept");
}

pub(crate) fn attempt(result: &Result<StatusCode, Failure>, took: Duration) {
    let label = match result {
        Ok(status) if status.is_success() => "delivered",
        Ok(status) if status.is_redirection() => "answered_3xx",
        Ok(status) if status.is_client_error() => "answered_4xx",
        Ok(status) if status.is_server_error() => "answered_5xx",
        Ok(_) => "answered_other",
        Err(failure) => failure.label(),
    };
    counter!(ATTEMPTS, "result" => label).increment(1);
    histogram!(DURATION, "result" => label).record(took);
}

pub(crate) fn connection(kept: bool) {
    counter!(CONNECTIONS, "kind" => if kept { "kept" } else { "new" }).increment(1);
}
