//! The control endpoint: [`Controls`] over plain HTTP and JSON, for programs that do not run the
//! simulator inside themselves. `GET /` lists the routes.

mod routes;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::controls::Controls;
use crate::reply::InvalidScript;
use crate::simulator::Whereabouts;

/// The largest body that the control endpoint reads: ten thousand replies with room to spare.
const MAX_CONTROL_BODY_BYTES: usize = 8 * 1024 * 1024;
/// Connections to the control endpoint at once; more wait.
const MAX_CONTROL_CONNECTIONS: usize = 64;
/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// An answer that is not a success.
#[derive(Debug)]
enum Problem {
    BadInput(String),
    NoSuchPath(String),
    WrongMethod(&'static str),
    TooLarge,
}

impl From<InvalidScript> for Problem {
    fn from(why: InvalidScript) -> Self {
        Self::BadInput(why.to_string())
    }
}

impl Problem {
    fn into_response(self) -> Response<Full<Bytes>> {
        let (status, text, allow) = match self {
            Self::BadInput(text) => (400, text, None),
            Self::NoSuchPath(text) => (404, text, None),
            Self::WrongMethod(allow) => (405, format!("use {allow}"), Some(allow)),
            Self::TooLarge => {
                (413, format!("the body is larger than {MAX_CONTROL_BODY_BYTES} bytes"), None)
            }
        };
        let mut response = respond(status, &json!({ "error": text }));
        if let Some(allow) = allow {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

pub(crate) async fn serve(
    socket: TcpListener,
    controls: Controls,
    whereabouts: Arc<Whereabouts>,
    stop: CancellationToken,
    tracker: TaskTracker,
) {
    let places = Arc::new(Semaphore::new(MAX_CONTROL_CONNECTIONS));
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, socket.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = stop.cancelled() => return,
            accepted = accepted => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(why) => {
                tracing::warn!(error = %why, "can't accept a connection to the control endpoint");
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        let (controls, whereabouts) = (controls.clone(), Arc::clone(&whereabouts));
        let stop = stop.clone();
        tracker.spawn(async move {
            let _place = place;
            tokio::select! {
                () = stop.cancelled() => {}
                () = converse(stream, &controls, &whereabouts) => {}
            }
        });
    }
}

async fn converse(stream: TcpStream, controls: &Controls, whereabouts: &Whereabouts) {
    let service = service_fn(|request| answer(request, controls, whereabouts));
    let conversation = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(why) = conversation.await {
        tracing::debug!(error = %why, "a connection to the control endpoint ended");
    }
}

async fn answer(
    request: Request<Incoming>,
    controls: &Controls,
    whereabouts: &Whereabouts,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let answered = match Limited::new(body, MAX_CONTROL_BODY_BYTES).collect().await {
        Ok(body) => routes::answer(&head, &body.to_bytes(), controls, whereabouts).await,
        Err(_) => Err(Problem::TooLarge),
    };
    Ok(match answered {
        Ok(value) => respond(200, &value),
        Err(problem) => problem.into_response(),
    })
}

fn respond(status: u16, body: &Value) -> Response<Full<Bytes>> {
    let mut text = serde_json::to_string_pretty(body).unwrap_or_default();
    text.push('\n');
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
