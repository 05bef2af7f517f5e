//! The control endpoint over HTTP: each of its routes reaches its method, and wrong input is told
//! what is wrong with it.

use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use pushroll_simulator::{Provider, Simulator};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::client::authority_of;
use crate::setup::{a_simulator, dry_run};

async fn call(simulator: &Simulator, line: &str, body: Value) -> (u16, Value) {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    call_with(simulator, line, text).await
}

async fn call_with(simulator: &Simulator, line: &str, body: String) -> (u16, Value) {
    let (method, path) = line.split_once(' ').expect("method and path");
    let authority = authority_of(simulator.control_url());
    let tcp = TcpStream::connect(&authority).await.expect("listens");
    let (mut send, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.expect("HTTP/1.1");
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(path).header("host", authority);
    let request = request.body(Full::new(bytes::Bytes::from(body))).expect("a request");
    let answer = send.send_request(request).await.expect("answered");
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.expect("read").to_bytes();
    (status, serde_json::from_slice(&body).expect("JSON"))
}

#[tokio::test]
async fn the_page_about_the_simulator_names_every_route() {
    let world = a_simulator().await;
    let (_, body) = call(&world.simulator, "GET /", Value::Null).await;
    let page = include_str!("../../../../docs/SIMULATOR.md");
    for route in body["routes"].as_array().expect("routes") {
        let route = route.as_str().expect("a route");
        assert!(page.contains(&format!("`{route}`")), "{route}");
    }
}

#[tokio::test]
async fn the_overview_says_where_everything_is_and_lists_the_routes() {
    let world = a_simulator().await;
    let (status, body) = call(&world.simulator, "GET /", Value::Null).await;
    assert_eq!(status, 200);
    assert_eq!(body["apns_production"], world.simulator.apns_production_url());
    assert_eq!(body["token_uri"], world.simulator.token_uri());
    assert!(body["routes"].as_array().expect("routes").len() > 5);
    let (_, app) = call(&world.simulator, "GET /app", Value::Null).await;
    assert_eq!(app["ios"], world.simulator.app_body("x")["ios"]);
}

#[tokio::test]
async fn replies_and_faults_are_set_over_http() {
    let world = a_simulator().await;
    let simulator = &world.simulator;
    let client = world.production().await;
    let bearer = world.bearer();
    let replies = json!({
        "device_token": "ab",
        "replies": [{"status": 429, "reason": "TooManyRequests", "headers": {"retry-after": "3"}}],
    });
    let line = "POST /providers/apns-production/replies";
    assert_eq!(call(simulator, line, replies).await, (200, json!({})));
    assert_eq!(dry_run(&client, &bearer, "ab").await.header("retry-after"), Some("3"));

    let line = "PATCH /providers/apns-production/faults";
    let faults = json!({
        "error_rate": {"rate": 1, "reply": {"status": 503}}, "stream_limit": 5, "latency_ms": 1,
    });
    assert_eq!(call(simulator, line, faults).await.0, 200);
    client.until(|told| told.stream_limit == 5).await;
    assert_eq!(dry_run(&client, &bearer, "ab").await.status, 503);
    let faults = json!({"error_rate": null, "reject_credentials": true});
    assert_eq!(call(simulator, line, faults).await.0, 200);
    assert_eq!(dry_run(&client, &bearer, "ab").await.status, 403);
    assert_eq!(call(simulator, "POST /reset", Value::Null).await.0, 200);
    client.until(|told| told.stream_limit == 1000).await;
    assert_eq!(dry_run(&client, &bearer, "ab").await.status, 200);

    let line = "POST /providers/apns-production/goaway";
    assert_eq!(call(simulator, line, json!({"reason": "IdleTimeout"})).await.0, 200);
    client.ended().await;
    let client = world.production().await;
    let line = "POST /providers/apns-production/reset-connections";
    assert_eq!(call(simulator, line, Value::Null).await.0, 200);
    assert!(client.ended().await.contains("reset"));
}

#[tokio::test]
async fn statistics_requests_clock_and_access_tokens_are_reached_over_http() {
    let world = a_simulator().await;
    let simulator = &world.simulator;
    let google = world.google().await;
    let token = world.access_token(&google).await;
    world.send_to(&google, &token, "a:b+c").await;
    let (_, all) = call(simulator, "GET /statistics", Value::Null).await;
    assert_eq!(all["oauth"]["access_tokens_issued"], 1);
    assert_eq!(all["fcm"]["requests"], 1);
    let (_, one) = call(simulator, "GET /statistics/fcm", Value::Null).await;
    assert_eq!(one, all["fcm"]);
    for line in ["GET /statistics/fcm/devices/a:b+c", "GET /statistics/fcm/devices/a%3Ab%2Bc"] {
        assert_eq!(call(simulator, line, Value::Null).await.1, json!({"requests": 1}), "{line}");
    }
    let (_, requests) = call(simulator, "GET /requests/fcm?limit=5", Value::Null).await;
    assert_eq!(requests[0]["method"], "POST");

    call(simulator, "POST /expire-access-tokens", Value::Null).await;
    assert_eq!(world.send_to(&google, &token, "t").await.status, 401);
    let client = world.production().await;
    let bearer = world.bearer();
    call(simulator, "PUT /clock", json!({"offset_ms": 7_200_000})).await;
    assert_eq!(dry_run(&client, &bearer, "ab").await.reason(), "ExpiredProviderToken");
}

#[tokio::test]
async fn wrong_input_is_refused_with_its_reason_and_changes_nothing() {
    let world = a_simulator().await;
    let simulator = &world.simulator;
    let replies = "POST /providers/fcm/replies";
    let faults = "PATCH /providers/fcm/faults";
    let cases = [
        (replies, json!({}), 400, "replies"),
        (replies, json!({"replies": [{"status": 42}]}), 400, "replies[0].status"),
        (replies, json!({"replies": [{"sttus": 200}]}), 400, "sttus"),
        (replies, json!({"replies": [{"action": "explode"}]}), 400, "explode"),
        (replies, json!({"device_token": "", "replies": []}), 400, "device_token"),
        (faults, json!({"latency": 3}), 400, "latency"),
        (faults, json!({"latency_ms": 1, "stream_limit": 1_000_000}), 400, "stream_limit"),
        (faults, json!({"error_rate": {"rate": 2, "reply": {}}}), 400, "error_rate.rate"),
        (faults, json!({"silence": "loud"}), 400, "loud"),
        ("PATCH /providers/oauth/faults", json!({"stream_limit": 1}), 400, "oauth"),
        ("POST /providers/oauth/goaway", Value::Null, 400, "oauth"),
        ("POST /providers/fcm/goaway", json!({"error_code": -1}), 400, "-1"),
        ("PUT /clock", json!({"offset_ms": 9e18 as i64}), 400, "offset_ms"),
        ("GET /requests/fcm?limit=x", Value::Null, 400, "limit"),
        ("POST /providers/xyz/replies", json!({"replies": []}), 404, "xyz"),
        ("GET /nowhere", Value::Null, 404, "/nowhere"),
        ("GET /reset", Value::Null, 405, "POST"),
    ];
    for (line, body, status, word) in cases {
        let (answered, answer) = call(simulator, line, body.clone()).await;
        let error = answer["error"].as_str().unwrap_or_default();
        assert_eq!(answered, status, "{line} {body}: {answer}");
        assert!(error.contains(word), "{line} {body}: {error}");
    }
    for body in ["{", "[]", "\u{0}", "nul"] {
        let (status, _) = call_with(simulator, replies, body.to_owned()).await;
        assert_eq!(status, 400, "{body}");
    }
    let google = world.google().await;
    assert_eq!(google.stream_limit(), 100);
    let token = world.access_token(&google).await;
    assert_eq!(world.send_to(&google, &token, "t").await.status, 200);
    assert_eq!(simulator.statistics(Provider::Fcm).requests, 1);
}
