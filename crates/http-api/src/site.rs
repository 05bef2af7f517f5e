//! What a listener serves, and the way of every request through it: route, limits, answer, count.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use http::header::{CONNECTION, HeaderName};
use http::request::Parts;
use http::{Method, Request, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use pushroll_domain::{Actor, BackUp, CallbackSender, CallersTrace, Span, SpanContext, TokenHash};
use pushroll_engine::{Service, Source};
use tokio::time::Instant;
use tracing::{debug, error};
use url::Url;

use crate::admin::developer_information::Base;
use crate::body::{self, BodyMemory, RequestBody};
use crate::problem::{Problem, Rule};
use crate::reply::Reply;
use crate::route::{Route, Step};
use crate::serve::Busy;
use crate::settings::HttpSettings;
use crate::{admin, compatible, meters, openapi, operations, source};

/// The header by which a caller's trace goes on here (W3C Trace Context).
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// Makes the text of `/metrics`.
pub type MetricsText = Arc<dyn Fn() -> String + Send + Sync>;

/// What a listener serves. `/healthz` and `/readyz` are served by all.
pub struct Site {
    /// The engine.
    pub service: Service,
    /// The device registration API, if it is served here.
    pub public: Option<PublicRoutes>,
    /// Administration and metrics, if they are served here.
    pub operator: Option<OperatorRoutes>,
}

/// The device registration API.
pub struct PublicRoutes {
    /// Where callbacks may go.
    pub callbacks: CallbackRules,
}

/// Which callback URLs are refused when they are given.
pub struct CallbackRules {
    /// Whether `http` is allowed beside `https`.
    pub allow_http: bool,
    /// Knows which literal addresses are refused.
    pub sender: Arc<dyn CallbackSender>,
}

/// Administration and metrics.
pub struct OperatorRoutes {
    /// The hash of the admin token.
    pub admin_token: TokenHash,
    /// The metrics.
    pub metrics: MetricsText,
    /// Who makes backups; `None` with a store that has means of its own.
    pub backup: Option<Arc<dyn BackUp>>,
    /// Where callers reach the device registration API.
    pub public_url: PublicUrl,
}

/// Where callers reach the device registration API.
#[derive(Debug, Clone)]
pub enum PublicUrl {
    /// Here.
    Set(Url),
    /// Perhaps where the administration was called, for both are served there.
    AsCalled {
        /// Whether over TLS.
        is_tls: bool,
    },
    /// Nobody has said.
    Unknown,
}

/// A site at work.
pub(crate) struct Server {
    pub(crate) settings: HttpSettings,
    site: Arc<Site>,
    in_flight: AtomicUsize,
    body_memory: BodyMemory,
    meters: meters::Meters,
}

/// A place among the requests under way.
struct Place<'s>(&'s AtomicUsize);

impl<'s> Place<'s> {
    fn take(in_flight: &'s AtomicUsize, most: usize) -> Option<Self> {
        let place = Self(in_flight);
        (in_flight.fetch_add(1, Ordering::Relaxed) < most).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Server {
    pub(crate) fn new(site: Arc<Site>, settings: HttpSettings) -> Self {
        Self {
            settings,
            site,
            in_flight: AtomicUsize::new(0),
            body_memory: BodyMemory::default(),
            meters: meters::Meters::new(),
        }
    }

    /// Answers a request, whatever happens.
    pub(crate) async fn answer(
        &self,
        peer: SocketAddr,
        request: Request<Incoming>,
        busy: Busy,
    ) -> Reply {
        let began = Instant::now();
        let (head, incoming) = request.into_parts();
        let route = Route::of(head.uri.path());
        let received = incoming.size_hint().lower();
        let body = RequestBody::new(&head, incoming, busy);
        let mut span = self.begin_span(route, &head);
        let answering = self.route(route, peer, &head, body, span.context());
        let answered = AssertUnwindSafe(answering).catch_unwind().await;
        let mut reply = match answered {
            Ok(Ok(reply)) => reply,
            Ok(Err(problem)) => problem.into_reply(),
            Err(_panic) => {
                metrics::counter!("pushroll_http_panics_total").increment(1);
                error!(route = route.name().label(), "answering a request ended in a panic");
                let detail = "The request met a fault of the service. It is not known to be kept.";
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, Rule::Internal, detail).into_reply()
            }
        };
        if head.version == Version::HTTP_2 {
            // HTTP/2 has no such header (RFC 9113, section 8.2.2).
            reply.headers_mut().remove(CONNECTION);
        }
        let (name, status, took) = (route.name(), reply.status(), began.elapsed());
        let sent = reply.body().size_hint().lower();
        self.meters.count(name, status, took, received, sent);
        span.tell(|details| {
            details.set("http.response.status_code", u64::from(status.as_u16()));
            if status.is_server_error() {
                details.fail(status.canonical_reason().unwrap_or_default());
            }
        });
        debug!(
            route = name.label(),
            method = %head.method,
            status = status.as_u16(),
            took_us = took.as_micros(),
            "answered"
        );
        reply
    }

    /// The span of a request. Probes and metrics are asked for without end and are none.
    fn begin_span(&self, route: Route<'_>, head: &Parts) -> Span {
        let tracer = self.site.service.tracer();
        if !tracer.is_on() {
            return Span::none();
        }
        let name = match route {
            Route::Compatible { .. } | Route::Admin(_) => route.name().label(),
            Route::Health | Route::Ready | Route::Metrics | Route::Description | Route::Nothing => {
                return Span::none();
            }
        };
        let callers = head.headers.get(TRACE_PARENT).and_then(|header| header.to_str().ok());
        let mut span = tracer.request(name, callers.and_then(CallersTrace::parse));
        span.tell(|details| {
            details.set("http.route", name);
            details.set("http.request.method", method(&head.method));
        });
        span
    }

    async fn route(
        &self,
        route: Route<'_>,
        peer: SocketAddr,
        head: &Parts,
        body: RequestBody,
        span: Option<SpanContext>,
    ) -> Result<Reply, Problem> {
        let answered = match (route, &self.site.public, &self.site.operator) {
            (Route::Compatible { org, step }, Some(public), _) => {
                let place = CompatiblePath { org, step };
                return self.compatible(public, place, peer, head, body, span).await;
            }
            (Route::Admin(path), _, Some(operator)) => {
                // Boxed: what administration needs is not to weigh on every registration.
                return Box::pin(self.admin(operator, path, peer, head, body)).await;
            }
            (Route::Description, Some(_), _) => get(head).map(|()| openapi::of_compatible()),
            (Route::Health, ..) => get(head).map(|()| operations::health()),
            (Route::Ready, _, operator) => match get(head) {
                Ok(()) => Ok(operations::ready(&self.site.service, operator.is_some()).await),
                Err(problem) => Err(problem),
            },
            (Route::Metrics, _, Some(operator)) => {
                get(head).map(|()| operations::metrics(&operator.metrics))
            }
            (Route::Compatible { .. } | Route::Description, None, _)
            | (Route::Admin(_) | Route::Metrics, _, None)
            | (Route::Nothing, ..) => Err(nothing_here()),
        };
        body.refuse(&self.settings);
        answered
    }

    async fn compatible(
        &self,
        public: &PublicRoutes,
        CompatiblePath { org, step }: CompatiblePath<'_>,
        peer: SocketAddr,
        head: &Parts,
        body: RequestBody,
        span: Option<SpanContext>,
    ) -> Result<Reply, Problem> {
        if head.method != Method::POST {
            body.refuse(&self.settings);
            return Err(Problem::method_not_allowed("POST"));
        }
        let received = body.receive(&self.settings, &self.body_memory).await?;
        let _place = self.place()?;
        let source = self.source(peer, head);
        let body = received.bytes.clone();
        let call = compatible::Call { org, step, head, body, source, span };
        compatible::answer(&self.site.service, &public.callbacks, call).await
    }

    async fn admin(
        &self,
        operator: &OperatorRoutes,
        path: &str,
        peer: SocketAddr,
        head: &Parts,
        body: RequestBody,
    ) -> Result<Reply, Problem> {
        let source = self.source(peer, head);
        let service = &self.site.service;
        let allowed = admin::authorize(service, &operator.admin_token, &head.headers, source);
        let found = allowed.and_then(|()| admin::Operation::of(&head.method, path));
        let operation = match found {
            Ok(operation) => operation,
            Err(problem) => {
                body.refuse(&self.settings);
                return Err(problem);
            }
        };
        let received = body.receive(&self.settings, &self.body_memory).await?;
        let _place = self.place()?;
        let call = admin::Call {
            operation,
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: head.headers.clone(),
            body: received.bytes.clone(),
            backup: operator.backup.clone(),
            base: Base::of(&operator.public_url, &head.uri, &head.headers),
            actor: Actor::with_admin_token(
                &operator.admin_token,
                source::address(peer.ip(), &head.headers, &self.settings.trusted_proxies),
            ),
        };
        admin::answer(service.clone(), call).await
    }

    /// Taken when the body is there: who sends it slowly keeps nobody out.
    fn place(&self) -> Result<Place<'_>, Problem> {
        let most = self.settings.requests_in_flight;
        Place::take(&self.in_flight, most).ok_or_else(body::overloaded)
    }

    fn source(&self, peer: SocketAddr, head: &Parts) -> Source {
        source::of(peer.ip(), &head.headers, &self.settings.trusted_proxies)
    }
}

/// Where in the device registration API a request goes.
struct CompatiblePath<'p> {
    org: &'p str,
    step: Step,
}

/// A method's name; callers may make up methods.
fn method(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}

fn get(head: &Parts) -> Result<(), Problem> {
    if head.method == Method::GET || head.method == Method::HEAD {
        return Ok(());
    }
    Err(Problem::method_not_allowed("GET, HEAD"))
}

fn nothing_here() -> Problem {
    let detail =
        "There is nothing at this path. Check its spelling: letter case makes a difference.";
    Problem::new(StatusCode::NOT_FOUND, Rule::UnknownPath, detail)
}
