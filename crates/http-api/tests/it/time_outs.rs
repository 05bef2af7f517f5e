//! Clients that are slow, on purpose or not.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::raw::{PATIENCE, request};
use crate::running::running_with;

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(600);

#[tokio::test]
async fn headers_that_do_not_end_are_cut_off() {
    let server = running_with(|http| http.header_timeout = SHORT).await;
    for beginning in ["G", "POST / HTTP/1.1\r\nhost: test\r\nx-slow: ", "PRI * HTTP/2.0\r\n"] {
        let mut connection = server.connect().await;
        connection.send(beginning).await;
        assert!(connection.closed().await.is_empty(), "{beginning:?}");
    }
}

#[tokio::test]
async fn headers_that_drip_in_are_cut_off() {
    let server = running_with(|http| http.header_timeout = SHORT).await;
    let mut connection = server.connect().await;
    connection.send("POST / HTTP/1.1\r\n").await;
    let dripping = async {
        while connection.stream.write_all(b"x: y\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, dripping).await.expect("cut off");
}

#[tokio::test]
async fn the_next_requests_headers_have_their_own_time() {
    let server = running_with(|http| http.header_timeout = SHORT).await;
    let mut connection = server.connect().await;
    connection.send(server.registering(&[])).await;
    assert_eq!(connection.answer().await.status, 202);
    connection.send("POST / HTTP/1.1\r\n").await;
    assert!(connection.closed().await.is_empty());
}

#[tokio::test]
async fn a_connection_may_wait_for_its_next_request_longer_than_for_headers() {
    let server = running_with(|http| {
        http.header_timeout = SHORT;
        http.idle_timeout = LONG;
    })
    .await;
    let mut connection = server.connect().await;
    for _ in 0..2 {
        // That nothing happens can't be waited for but for a while.
        let silence = timeout(SHORT * 4, connection.stream.readable()).await;
        assert!(silence.is_err(), "closed");
        connection.send(server.registering(&[])).await;
        assert_eq!(connection.answer().await.status, 202);
    }
}

#[tokio::test]
async fn a_quiet_connection_is_closed() {
    let server = running_with(|http| http.idle_timeout = SHORT).await;
    let mut unused = server.connect().await;
    assert!(unused.closed().await.is_empty());
    let mut used = server.connect().await;
    used.send(server.registering(&[])).await;
    assert_eq!(used.answer().await.status, 202);
    assert!(used.closed().await.is_empty());
}

#[tokio::test]
async fn a_request_under_way_is_not_quiet() {
    let server = running_with(|http| {
        http.idle_timeout = SHORT;
        http.header_timeout = SHORT;
    })
    .await;
    let gate = server.store.gate.lock().await;
    let mut connection = server.connect().await;
    connection.send(server.registering(&[])).await;
    let silence = timeout(SHORT * 4, connection.stream.readable()).await;
    assert!(silence.is_err(), "closed");
    drop(gate);
    assert_eq!(connection.answer().await.status, 202);
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answers_is_cut_off() {
    let server = running_with(|http| http.write_timeout = SHORT).await;
    let ids = vec!["00aa00aa-bb11-cc22-dd33-44ee44ee44ee"; 1000];
    let body = json!({
        "RegistrationRequestIds": ids,
        "MobileAppId": server.app.to_string(),
        "ApiToken": server.token,
    });
    let asking = request("POST", &server.path("devices/status"), &[], &body.to_string());
    let mut connection = server.connect().await;
    let flooding = async { while connection.stream.write_all(asking.as_bytes()).await.is_ok() {} };
    timeout(PATIENCE, flooding).await.expect("cut off");
}
