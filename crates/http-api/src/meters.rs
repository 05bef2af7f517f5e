//! Counts of requests, by route and status. The handles are kept, so that counting looks nothing up.

use std::sync::OnceLock;
use std::time::Duration;

use http::StatusCode;
use metrics::{Counter, Histogram};

use crate::route::RouteName;

/// The statuses that are told apart; any other counts as the last.
const STATUSES: [u16; 15] =
    [200, 201, 202, 204, 400, 401, 404, 405, 408, 413, 429, 431, 503, 500, 0];

/// The handles of all routes.
pub(crate) struct Meters {
    routes: [RouteMeters; RouteName::ALL.len()],
}

#[derive(Default)]
struct RouteMeters {
    /// Made when they first count, so that nothing is shown that never happened.
    statuses: [OnceLock<Counter>; STATUSES.len()],
    bodies: OnceLock<BodyMeters>,
}

struct BodyMeters {
    seconds: Histogram,
    received: Counter,
    sent: Counter,
}

impl Meters {
    pub(crate) fn new() -> Self {
        Self { routes: std::array::from_fn(|_| RouteMeters::default()) }
    }

    /// Counts a request.
    pub(crate) fn count(
        &self,
        route: RouteName,
        status: StatusCode,
        took: Duration,
        received: u64,
        sent: u64,
    ) {
        let meters = &self.routes[route as usize];
        let route = route.label();
        let position = STATUSES.iter().position(|known| *known == status.as_u16());
        let position = position.unwrap_or(STATUSES.len() - 1);
        let counter = meters.statuses[position].get_or_init(|| {
            let status = match STATUSES[position] {
                0 => "other".to_owned(),
                known => known.to_string(),
            };
            metrics::counter!("pushroll_http_requests_total", "route" => route, "status" => status)
        });
        counter.increment(1);
        let bodies = meters.bodies.get_or_init(|| BodyMeters {
            seconds: metrics::histogram!("pushroll_http_request_seconds", "route" => route),
            received: metrics::counter!("pushroll_http_request_body_bytes_total", "route" => route),
            sent: metrics::counter!("pushroll_http_answer_body_bytes_total", "route" => route),
        });
        bodies.seconds.record(took);
        bodies.received.increment(received);
        bodies.sent.increment(sent);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use metrics::{Gauge, Key, KeyName, Metadata, Recorder, SharedString, Unit};

    use super::*;

    /// Writes down what is counted.
    #[derive(Default)]
    struct Names(Mutex<Vec<String>>);

    impl Names {
        fn note(&self, key: &Key) {
            let labels = key.labels().map(|label| format!("{}={}", label.key(), label.value()));
            let labels: Vec<_> = labels.collect();
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
    fn requests_are_counted_by_route_and_status_and_handles_are_made_once() {
        let names = Names::default();
        metrics::with_local_recorder(&names, || {
            let meters = Meters::new();
            for status in [StatusCode::ACCEPTED, StatusCode::ACCEPTED, StatusCode::IM_A_TEAPOT] {
                meters.count(RouteName::Register, status, Duration::ZERO, 0, 0);
            }
        });
        let names = names.0.into_inner().unwrap();
        assert_eq!(
            names,
            [
                "pushroll_http_requests_total route=devices status=202",
                "pushroll_http_request_seconds route=devices",
                "pushroll_http_request_body_bytes_total route=devices",
                "pushroll_http_answer_body_bytes_total route=devices",
                "pushroll_http_requests_total route=devices status=other",
            ]
        );
    }

    #[test]
    fn every_route_has_handles_of_its_own() {
        for (position, route) in RouteName::ALL.into_iter().enumerate() {
            assert_eq!(route as usize, position);
        }
    }
}
