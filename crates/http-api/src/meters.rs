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
