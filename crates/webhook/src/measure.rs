//! What is counted about callbacks. Labels are of a fixed set: never a host, which strangers choose.

use std::time::Duration;

use http::StatusCode;
use metrics::{counter, histogram};

use crate::failure::Failure;

const ATTEMPTS: &str = "pushroll_callback_attempts_total";
const DURATION: &str = "pushroll_callback_duration_seconds";
const CONNECTIONS: &str = "pushroll_callback_connections_total";

pub(crate) fn attempt(result: Result<StatusCode, &Failure>, took: Duration) {
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use http::StatusCode;
    use metrics::{
        Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
        with_local_recorder,
    };

    use super::*;

    #[derive(Default)]
    struct Names(Mutex<Vec<String>>);

    impl Names {
        fn note(&self, key: &Key) {
            let labels: Vec<&str> = key.labels().map(|label| label.value()).collect();
            self.0.lock().unwrap().push(format!("{} {}", key.name(), labels.join(" ")));
        }
    }

    impl Recorder for Names {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            self.note(key);
            Counter::noop()
        }
        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            self.note(key);
            Gauge::noop()
        }
        fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
            self.note(key);
            Histogram::noop()
        }
    }

    #[test]
    fn attempts_are_counted_by_what_came_of_them() {
        let status = |code| Ok(StatusCode::from_u16(code).unwrap());
        for (result, label) in [
            (status(204), "delivered"),
            (status(101), "answered_other"),
            (status(302), "answered_3xx"),
            (status(410), "answered_4xx"),
            (status(503), "answered_5xx"),
            (status(999), "answered_other"),
            (Err(&Failure::Port(1)), "refused"),
            (Err(&Failure::Lost), "lost"),
        ] {
            let names = Names::default();
            with_local_recorder(&names, || attempt(result, Duration::from_secs(1)));
            let expected = [format!("{ATTEMPTS} {label}"), format!("{DURATION} {label}")];
            assert_eq!(*names.0.lock().unwrap(), expected);
        }
    }
}
