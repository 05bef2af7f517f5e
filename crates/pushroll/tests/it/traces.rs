//! Traces: what a collector is sent of a registration, and that a collector in trouble holds nothing up.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;
use pushroll_simulator::Reply;
use pushroll_testkit::{
    Fate, Received, Receiver, Response, Status, TestServer, a_device, a_server, eventually,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{CALLER}-{flags}")
}

async fn a_server_with_a_collector(collector: &Receiver) -> TestServer {
    a_server()
        .with("traces.endpoint", collector.url(""))
        .with("traces.gather_seconds", 0.02)
        .start()
        .await
}

fn request_of(received: &Received) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest::decode(received.body.clone()).unwrap()
}

/// Everything that has come so far.
fn spans(collector: &Receiver) -> Vec<Span> {
    let requests = collector.received().into_iter().map(|received| request_of(&received));
    let scopes =
        requests.flat_map(|request| request.resource_spans).flat_map(|one| one.scope_spans);
    scopes.flat_map(|scope| scope.spans).collect()
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{key}: {other:?}"),
    }
}

fn is_of(span: &Span, registration: &str) -> bool {
    text(&span.attributes, "pushroll.registration.id").as_deref() == Some(registration)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Waits for the first span of this name that is so.
async fn span(collector: &Receiver, name: &str, is_it: impl Fn(&Span) -> bool) -> Span {
    eventually(&format!("a span {name}"), async || {
        spans(collector).into_iter().find(|span| span.name == name && is_it(span))
    })
    .await
}

/// Waits for the part of this name.
async fn part(collector: &Receiver, whole: &Span, name: &str) -> Span {
    let part = span(collector, name, |span| span.parent_span_id == whole.span_id).await;
    assert_eq!(part.trace_id, whole.trace_id);
    assert!(part.start_time_unix_nano >= whole.start_time_unix_nano);
    assert!(part.end_time_unix_nano >= part.start_time_unix_nano);
    part
}

async fn dropped(server: &TestServer, reason: &str) -> f64 {
    let reason = format!("reason=\"{reason}\"");
    server.host().metric("pushroll_trace_spans_dropped_total", &[&reason]).await
}

#[tokio::test]
async fn a_registration_is_one_trace_from_the_callers_span_to_the_callback() {
    let collector = Receiver::start().await;
    let server = a_server_with_a_collector(&collector).await;
    let receiver = Receiver::start().await;
    let phone = a_device().on_ios().build();
    let request = server.register(&phone).callback(&receiver.url("/told"));
    let answer = request.tracked().header("traceparent", &traceparent("01")).await;
    let registered = answer.registration_id();

    let is_ours = |span: &Span| hex(&span.parent_span_id) == CALLER;
    let request = span(&collector, "devices", is_ours).await;
    assert_eq!(hex(&request.trace_id), TRACE);
    assert_eq!(request.kind, SpanKind::Server as i32);
    assert_eq!(text(&request.attributes, "http.route").unwrap(), "devices");
    assert_eq!(text(&request.attributes, "http.request.method").unwrap(), "POST");
    assert_eq!(text(&request.attributes, "http.response.status_code").unwrap(), "202");
    let accept = part(&collector, &request, "accept").await;
    assert_eq!(text(&accept.attributes, "pushroll.registrations").unwrap(), "1");
    assert_eq!(text(&accept.attributes, "pushroll.app.id").unwrap(), server.id);
    let verify = part(&collector, &request, "verify").await;
    assert!(is_of(&verify, &registered));
    assert_eq!(text(&verify.attributes, "pushroll.platform").unwrap(), "ios");
    let dry_run = part(&collector, &verify, "dry run").await;
    assert_eq!(dry_run.kind, SpanKind::Client as i32);
    assert_eq!(text(&dry_run.attributes, "pushroll.provider").unwrap(), "apns");
    assert_eq!(text(&dry_run.attributes, "pushroll.verdict").unwrap(), "accepted");
    assert_eq!(text(&dry_run.attributes, "http.response.status_code").unwrap(), "200");
    assert_eq!(dry_run.status, None);
    let finish = part(&collector, &verify, "finish").await;
    assert_eq!(text(&finish.attributes, "pushroll.outcome").unwrap(), "Success");
    let callback = part(&collector, &verify, "callback").await;
    assert_eq!(callback.kind, SpanKind::Client as i32);
    assert_eq!(text(&callback.attributes, "http.response.status_code").unwrap(), "200");
    assert!(is_of(&callback, &registered));
    // The receiver's own spans can go on from there.
    let told = receiver.callback_at("/told").await;
    let going_on = format!("00-{TRACE}-{}-01", hex(&callback.span_id));
    assert_eq!(told.header("traceparent"), Some(going_on.as_str()));

    let first = &collector.received()[0];
    assert_eq!((first.method.as_str(), first.target.as_str()), ("POST", "/v1/traces"));
    assert_eq!(first.header("content-type"), Some("application/x-protobuf"));
    let resource = request_of(first).resource_spans.remove(0).resource.unwrap();
    assert_eq!(text(&resource.attributes, "service.name").unwrap(), "pushroll");
}

#[tokio::test]
async fn what_a_provider_refuses_and_a_receiver_does_not_take_is_an_error_of_its_span() {
    let collector = Receiver::start().await;
    let server = a_server_with_a_collector(&collector).await;
    let receiver = Receiver::start().await;
    receiver.answers([Response::status(500)]);
    let dead = a_device().on_android().with_fate(Fate::Dead).build();
    let registered = server.register_calling(&dead, &receiver.url("/")).await.id;

    let verify = span(&collector, "verify", |span| is_of(span, &registered)).await;
    let dry_run = part(&collector, &verify, "dry run").await;
    assert_eq!(text(&dry_run.attributes, "pushroll.provider.reason").unwrap(), "UNREGISTERED");
    assert_eq!(dry_run.status.unwrap().message, "UNREGISTERED");
    let finish = part(&collector, &verify, "finish").await;
    assert_eq!(text(&finish.attributes, "pushroll.outcome").unwrap(), "DryRunSendingFailed");
    let callback = part(&collector, &verify, "callback").await;
    assert_eq!(callback.status.unwrap().message, "not taken");
}

#[tokio::test]
async fn a_retry_that_waited_in_the_store_is_a_trace_of_its_own_that_names_the_one_before() {
    let collector = Receiver::start().await;
    let server = a_server()
        .with("traces.endpoint", collector.url("/v1/traces"))
        .with("traces.gather_seconds", 0.02)
        .with("verification.retry_base_seconds", 0.01)
        .start()
        .await;
    let phone = a_device().on_ios().build();
    server.answers(&phone, [Reply::busy(), Reply::accepted()]);
    let registered = phone.registered(&server).await.id;
    assert_eq!(server.status_of_id(&registered).await, Status::Success);

    let first = span(&collector, "verify", |span| {
        is_of(span, &registered) && !span.parent_span_id.is_empty()
    });
    let first = first.await;
    let second =
        span(&collector, "verify", |span| is_of(span, &registered) && !span.links.is_empty());
    let second = second.await;
    assert_eq!(second.links[0].trace_id, first.trace_id);
    assert_eq!(second.links[0].span_id, first.span_id);
    assert_ne!(second.trace_id, first.trace_id);
    assert_eq!(second.kind, SpanKind::Consumer as i32);
    assert_eq!(text(&second.attributes, "pushroll.attempts_before").unwrap(), "1");
}

#[tokio::test]
async fn nothing_secret_and_nothing_of_the_caller_is_in_a_trace() {
    let collector = Receiver::start().await;
    let server = a_server_with_a_collector(&collector).await;
    let receiver = Receiver::start().await;
    let url = receiver.url("/path-that-may-hold-a-key?key=sesame");
    let phone = a_device().on_ios().build();
    let headers = r#"{"X-Key": "opensesame"}"#;
    let request = server.register(&phone).callback(&url).tracked();
    let answer = request.header("x-ms-callback-url-headers", headers).await;
    let registered = answer.registration_id();
    span(&collector, "callback", |span| is_of(span, &registered)).await;
    for received in collector.received() {
        let body = String::from_utf8_lossy(&received.body).into_owned();
        for secret in
            [&server.token, &phone.token, "sesame", "X-Key", &server.webhook_secret, "127.0.0.1"]
        {
            assert!(!body.contains(secret), "{secret} in {body}");
        }
    }
}

#[tokio::test]
async fn a_caller_who_does_not_record_its_trace_gets_none_and_probes_are_none() {
    let collector = Receiver::start().await;
    let server = a_server_with_a_collector(&collector).await;
    let unrecorded = a_device().build();
    let request = server.register(&unrecorded).tracked();
    let unrecorded = request.header("traceparent", &traceparent("00")).await.registration_id();
    server.status_of_id(&unrecorded).await;
    assert_eq!(server.host().client().get("/healthz").await.status, 200);
    let recorded = a_device().registered(&server).await.id;
    span(&collector, "verify", |span| is_of(span, &recorded)).await;
    // What a server has left is sent when it stops.
    server.stop().await;
    let spans = spans(&collector);
    assert!(!spans.iter().any(|span| is_of(span, &unrecorded) || hex(&span.trace_id) == TRACE));
    assert!(!spans.iter().any(|span| span.name == "healthz"));
}

#[tokio::test]
async fn what_is_in_the_queue_is_sent_when_the_server_stops() {
    let collector = Receiver::start().await;
    let server = a_server()
        .with("traces.endpoint", collector.url(""))
        .with("traces.gather_seconds", 60)
        .start()
        .await;
    let registered = a_device().registered(&server).await;
    assert_eq!(server.status_of(&registered).await, Status::Success);
    server.stop().await;
    assert!(spans(&collector).iter().any(|span| is_of(span, &registered.id)));
}

#[tokio::test]
async fn a_collector_that_hangs_costs_traces_and_nothing_else() {
    let collector = Receiver::start().await;
    collector.hold_all();
    let server = a_server()
        .with("traces.endpoint", collector.url(""))
        .with("traces.gather_seconds", 0.02)
        .with("traces.queue_spans", 4)
        .with("traces.timeout_seconds", 300)
        .start()
        .await;
    let before = dropped(&server, "queue_full").await;
    for _ in 0..20 {
        let registered = a_device().registered(&server).await;
        assert_eq!(server.status_of(&registered).await, Status::Success);
    }
    // 20 registrations are over 80 spans; the queue has room for four.
    eventually("dropped spans", async || {
        (dropped(&server, "queue_full").await - before >= 8.0).then_some(())
    })
    .await;
    assert_eq!(collector.most_at_once(), 1);
    // It does not wait for the 300 seconds of the request under way.
    server.stop().await;
}

#[tokio::test]
async fn traces_that_a_collector_does_not_take_are_counted_and_later_ones_arrive() {
    let collector = Receiver::start().await;
    let server = a_server()
        .with("traces.endpoint", collector.url(""))
        .with("traces.gather_seconds", 0.02)
        .with("traces.timeout_seconds", 10)
        .start()
        .await;
    let before = [dropped(&server, "refused").await, dropped(&server, "unreachable").await];
    let came_before = collector.received().len();
    collector.answers([Response::status(503), Response::hang_up()]);
    eventually("a trace that arrives", async || {
        let registered = a_device().registered(&server).await;
        assert_eq!(server.status_of(&registered).await, Status::Success);
        (collector.received().len() > came_before + 3).then_some(())
    })
    .await;
    assert!(dropped(&server, "refused").await > before[0]);
    assert!(dropped(&server, "unreachable").await > before[1]);
}

#[tokio::test]
async fn a_vendors_key_comes_from_a_file_and_is_sent_with_every_request() {
    let collector = Receiver::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("headers");
    std::fs::write(&file, "Authorization: Bearer of-the-vendor\n").unwrap();
    let server = a_server()
        .with("traces.endpoint", collector.url("/otlp/traces"))
        .with("traces.headers_file", file.display())
        .with("traces.gather_seconds", 0.02)
        .start()
        .await;
    a_device().registered(&server).await;
    let first = collector.wait_for(1).await.remove(0);
    assert_eq!(first.target, "/otlp/traces");
    assert_eq!(first.header("authorization"), Some("Bearer of-the-vendor"));
}
