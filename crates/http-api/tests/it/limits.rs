//! Limits: of sources, connections, requests at once and headers.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::process::Stdio;

use pushroll_engine::RateLimit;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::raw::{Raw, request};
use crate::running::{Running, Setup, running, running_with, until};

async fn with_few_bad_tokens(trusted_proxies: &[&str]) -> Running {
    let mut setup = Setup::default();
    let one = NonZeroU32::MIN;
    let burst = NonZeroU32::new(3).unwrap();
    setup.engine.requests.bad_tokens_by_source = RateLimit { per_second: one, burst };
    setup.http.trusted_proxies = trusted_proxies.iter().map(|net| net.parse().unwrap()).collect();
    setup.run().await
}

#[tokio::test]
async fn a_source_with_bad_tokens_is_429_over_its_limit_and_a_good_token_never_is() {
    let server = with_few_bad_tokens(&[]).await;
    let mut refused = 0;
    for _ in 0..10 {
        let answer = server.post("devices", &server.badly_authorized()).await;
        if answer.status == 429 {
            answer.problem(429);
            answer.retry_after();
            refused += 1;
        } else {
            assert_eq!(answer.status, 202);
        }
    }
    assert!(refused >= 5, "{refused}");
    for _ in 0..10 {
        assert_eq!(server.post("devices", &server.registration()).await.status, 202);
    }
}

#[tokio::test]
async fn a_form_that_is_wrong_does_not_count_and_is_told_before_the_token_is_looked_at() {
    let server = with_few_bad_tokens(&[]).await;
    let mut body = server.badly_authorized();
    body["UserId"] = json!(1);
    for _ in 0..10 {
        server.post("devices", &body).await.problem(400);
    }
    assert_eq!(server.post("devices", &server.badly_authorized()).await.status, 202);
}

#[tokio::test]
async fn guesses_of_the_admin_token_are_429_over_the_limit_and_the_right_one_never_is() {
    let server = with_few_bad_tokens(&[]).await;
    let mut statuses = Vec::new();
    for _ in 0..10 {
        let headers = [("authorization", "Bearer guess")];
        statuses.push(server.ask("GET", "/admin/v1/orgs", &headers, "").await.status);
    }
    assert!(statuses[..3].iter().all(|status| *status == 401), "{statuses:?}");
    assert!(statuses[3..].contains(&429), "{statuses:?}");
    assert_eq!(server.admin("GET", "/orgs", None).await.status, 200);
}

#[tokio::test]
async fn a_trusted_proxy_says_for_whom_it_speaks_and_nobody_else_may() {
    for (trusted, is_believed) in [(&["127.0.0.0/8"][..], true), (&[], false)] {
        let server = with_few_bad_tokens(trusted).await;
        let mut refused = 0;
        for n in 0..10 {
            let source = format!("192.0.2.{n}");
            let headers = [("x-forwarded-for", source.as_str())];
            let answer = server.post_with("devices", &headers, &server.badly_authorized()).await;
            refused += u32::from(answer.status == 429);
        }
        assert_eq!(refused == 0, is_believed, "{refused}");
    }
}

#[tokio::test]
async fn a_connection_over_the_limit_is_told_and_closed() {
    let server = running_with(|http| http.connections = 1).await;
    let mut first = server.connect().await;
    first.send(server.registering(&[])).await;
    assert_eq!(first.answer().await.status, 202);
    let mut second = server.connect().await;
    second.send(server.registering(&[])).await;
    let answer = second.answer().await;
    assert_eq!(answer.problem(503)["rule"], "overloaded");
    assert_eq!(answer.retry_after(), 1);
    drop(second);
    first.send(server.registering(&[])).await;
    assert_eq!(first.answer().await.status, 202);
    drop(first);
    loop {
        let mut next = server.connect().await;
        next.send(server.registering(&[])).await;
        if next.answer().await.status == 202 {
            return;
        }
    }
}

#[tokio::test]
async fn a_request_over_those_that_may_be_under_way_is_503_at_once_and_health_is_still_told() {
    let server = running_with(|http| http.requests_in_flight = 1).await;
    let gate = server.store.gate.lock().await;
    let mut waiting = server.connect().await;
    waiting.send(server.registering(&[])).await;
    let begun = || server.store.begun.load(std::sync::atomic::Ordering::Relaxed) == 1;
    until("the first is under way", begun).await;
    let answer = server.post("devices", &server.registration()).await;
    assert_eq!(answer.problem(503)["rule"], "overloaded");
    answer.retry_after();
    server.admin("GET", "/orgs", None).await.problem(503);
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(server.ask("GET", path, &[], "").await.status, 200);
    }
    drop(gate);
    assert_eq!(waiting.answer().await.status, 202);
    assert_eq!(server.post("devices", &server.registration()).await.status, 202);
}

#[tokio::test]
async fn who_sends_his_body_slowly_keeps_nobody_out() {
    let server = running_with(|http| http.requests_in_flight = 1).await;
    let whole = server.registering(&[]);
    let (beginning, rest) = whole.split_at(whole.len() - 5);
    let mut slow = server.connect().await;
    slow.send(beginning).await;
    for _ in 0..3 {
        assert_eq!(server.post("devices", &server.registration()).await.status, 202);
    }
    slow.send(rest).await;
    assert_eq!(slow.answer().await.status, 202);
}

/// Tells the test below that it is the server's process.
const ROLE: &str = "PUSHROLL_TEST_SERVES_WITH_FEW_FILE_DESCRIPTORS";

#[tokio::test]
async fn a_server_that_runs_out_of_file_descriptors_goes_on_when_there_are_some_again() {
    if std::env::var_os(ROLE).is_some() {
        let server = running().await;
        eprintln!("\nlistens on {}", server.address);
        return server.served.await.unwrap();
    }
    let test = std::env::current_exe().unwrap();
    let name = std::thread::current().name().unwrap().to_owned();
    let mut process = tokio::process::Command::new("sh")
        .args(["-c", r#"ulimit -n 32; exec "$0" --exact "$1" --nocapture"#])
        .arg(test)
        .arg(name)
        .env(ROLE, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let address: SocketAddr = loop {
        let line = lines.next_line().await.unwrap().expect("an address");
        if let Some(address) = line.strip_prefix("listens on ") {
            break address.parse().unwrap();
        }
    };
    let mut connections = Vec::new();
    for _ in 0..64 {
        let mut connection = Raw::connect(address).await;
        connection.send(request("GET", "/healthz", &[], "")).await;
        connections.push(connection);
    }
    assert_eq!(connections[0].answer().await.status, 200);
    // The last is not accepted yet, and is when the others have made room.
    let mut last = connections.pop().unwrap();
    drop(connections);
    assert_eq!(last.answer().await.status, 200);
    process.kill().await.unwrap();
}

#[tokio::test]
async fn headers_that_are_too_long_or_too_many_are_431() {
    let server = running().await;
    let long = "x".repeat(64 * 1024);
    let many: Vec<_> = (0..200).map(|n| (format!("x-{n}"), "1")).collect();
    let many: Vec<_> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    for headers in [&[("x-long", long.as_str())][..], &many] {
        let mut connection = server.connect().await;
        connection.send(request("POST", &server.path("devices"), headers, "")).await;
        assert_eq!(connection.answer().await.status, 431);
        connection.closed().await;
    }
    let long_path = format!("/{}", "x".repeat(64 * 1024));
    let status = server.ask("GET", &long_path, &[], "").await.status;
    assert!(matches!(status, 414 | 431), "{status}");
    assert_eq!(server.post("devices", &server.registration()).await.status, 202);
}

#[tokio::test]
async fn the_number_of_headers_can_be_set() {
    let server = running_with(|http| http.header_count = 4).await;
    assert_eq!(
        server.post_with("devices", &[("a", "1")], &server.registration()).await.status,
        202
    );
    let headers = [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")];
    assert_eq!(server.post_with("devices", &headers, &server.registration()).await.status, 431);
}

#[tokio::test]
async fn what_is_no_http_is_400() {
    let server = running().await;
    for bytes in
        ["nonsense\r\n\r\n", "GET / HTTP/1.1\r\nbad header\r\n\r\n", "GET  / HTTP/1.1\r\n\r\n\r\n"]
    {
        let mut connection = server.connect().await;
        connection.send(bytes).await;
        assert_eq!(connection.answer().await.status, 400, "{bytes:?}");
        connection.closed().await;
    }
}
