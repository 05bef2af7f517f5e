//! Bodies that are too large, too slow, cut short or in pieces.

use std::time::Duration;

use crate::raw::request;
use crate::running::{Running, running, running_with};

const MIB: usize = 1024 * 1024;

fn head(server: &Running, framing: &str) -> String {
    format!("POST {} HTTP/1.1\r\nhost: test\r\n{framing}\r\n\r\n", server.path("devices"))
}

/// A registration of exactly this length.
fn of_length(server: &Running, bytes: usize) -> String {
    let body = server.registration().to_string();
    let padding = " ".repeat(bytes - body.len());
    body + &padding
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_accepted_and_one_byte_more_is_413() {
    let server = running().await;
    let path = server.path("devices");
    let answer = server.ask("POST", &path, &[], &of_length(&server, MIB)).await;
    assert_eq!(answer.status, 202);
    let answer = server.ask("POST", &path, &[], &of_length(&server, MIB + 1)).await;
    assert_eq!(answer.problem(413)["rule"], "body-too-large");
    assert_eq!(server.store.accepted.lock().len(), 1);
}

#[tokio::test]
async fn a_client_that_reads_only_after_it_has_sent_5_mib_sees_413() {
    let server = running().await;
    let mut connection = server.connect().await;
    connection.send(head(&server, &format!("content-length: {}", 5 * MIB))).await;
    connection.send(vec![b' '; 5 * MIB]).await;
    let answer = connection.answer().await;
    answer.problem(413);
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(connection.closed().await.is_empty());
}

#[tokio::test]
async fn a_client_that_reads_only_after_it_has_sent_5_mib_in_chunks_sees_413() {
    let server = running().await;
    let mut connection = server.connect().await;
    connection.send(head(&server, "transfer-encoding: chunked")).await;
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    for _ in 0..80 {
        connection.send(&chunk).await;
    }
    connection.send("0\r\n\r\n").await;
    connection.answer().await.problem(413);
    assert!(connection.closed().await.is_empty());
}

#[tokio::test]
async fn an_over_long_body_is_refused_before_it_has_come_and_not_waited_for_for_ever() {
    let server = running_with(|http| http.drain_timeout = Duration::from_millis(100)).await;
    let mut connection = server.connect().await;
    connection.send(head(&server, "content-length: 1000000000")).await;
    connection.answer().await.problem(413);
    assert!(connection.closed().await.is_empty());
}

#[tokio::test]
async fn what_is_thrown_away_of_an_over_long_body_is_bounded() {
    let server = running_with(|http| http.drain_bytes = MIB).await;
    let mut connection = server.connect().await;
    connection.send(head(&server, "content-length: 1000000000")).await;
    let piece = vec![b' '; MIB];
    let mut sent = 0;
    while sent < 200 {
        let Ok(()) = tokio::io::AsyncWriteExt::write_all(&mut connection.stream, &piece).await
        else {
            return;
        };
        sent += 1;
    }
    panic!("the server read {sent} MiB");
}

#[tokio::test]
async fn who_asks_before_sending_too_much_is_told_without_the_body() {
    let server = running().await;
    let mut connection = server.connect().await;
    connection.send(head(&server, "content-length: 5242880\r\nexpect: 100-continue")).await;
    connection.answer().await.problem(413);
    assert!(connection.closed().await.is_empty());
}

#[tokio::test]
async fn who_asks_before_sending_is_told_to_go_on() {
    let server = running().await;
    let body = server.registration().to_string();
    let mut connection = server.connect().await;
    let framing = format!("content-length: {}\r\nexpect: 100-continue", body.len());
    connection.send(head(&server, &framing)).await;
    assert_eq!(connection.answer().await.status, 100);
    connection.send(body).await;
    assert_eq!(connection.answer().await.status, 202);
}

#[tokio::test]
async fn a_body_in_many_pieces_is_read_whole() {
    let server = running().await;
    let body = server.registration().to_string();
    let mut connection = server.connect().await;
    connection.send(head(&server, "transfer-encoding: chunked")).await;
    for piece in body.as_bytes().chunks(7) {
        connection.send(format!("{:x}\r\n", piece.len())).await;
        connection.send(piece).await;
        connection.send("\r\n").await;
    }
    connection.send("0\r\n\r\n").await;
    assert_eq!(connection.answer().await.status, 202);
    connection.send(head(&server, &format!("content-length: {}", body.len()))).await;
    for byte in body.as_bytes() {
        connection.send([*byte]).await;
    }
    assert_eq!(connection.answer().await.status, 202);
    assert_eq!(server.store.accepted.lock().len(), 2);
}

#[tokio::test]
async fn a_slow_body_is_408_and_the_connection_is_closed() {
    let server = running_with(|http| http.body_timeout = Duration::from_millis(50)).await;
    for framing in ["content-length: 100", "transfer-encoding: chunked"] {
        let mut connection = server.connect().await;
        connection.send(head(&server, framing)).await;
        let answer = connection.answer().await;
        assert_eq!(answer.problem(408)["rule"], "body-too-slow");
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(connection.closed().await.is_empty());
    }
}

#[tokio::test]
async fn a_body_that_is_cut_short_or_badly_framed_is_400() {
    let server = running().await;
    let mut connection = server.connect().await;
    connection.send(head(&server, "content-length: 100")).await;
    connection.send("{").await;
    connection.half_close().await;
    connection.answer().await.problem(400);
    let mut connection = server.connect().await;
    connection.send(head(&server, "transfer-encoding: chunked") + "nonsense\r\n").await;
    connection.answer().await.problem(400);
    assert!(server.store.accepted.lock().is_empty());
}

#[tokio::test]
async fn a_client_that_has_closed_its_direction_gets_its_answer() {
    let server = running().await;
    let mut connection = server.connect().await;
    connection.send(server.registering(&[])).await;
    connection.half_close().await;
    assert_eq!(connection.answer().await.status, 202);
    assert!(connection.closed().await.is_empty());
}

#[tokio::test]
async fn after_a_body_that_nobody_wanted_the_connection_goes_on() {
    let server = running().await;
    let mut connection = server.connect().await;
    connection.send(request("POST", "/nothing", &[], &" ".repeat(3 * MIB))).await;
    connection.answer().await.problem(404);
    connection.send(server.registering(&[])).await;
    assert_eq!(connection.answer().await.status, 202);
}

#[tokio::test]
async fn bodies_in_pieces_have_a_bounded_memory() {
    let server = running_with(|http| http.body_bytes_at_once = 64 * 1024).await;
    let answer = server.ask("POST", &server.path("devices"), &[], &of_length(&server, MIB)).await;
    assert_eq!(answer.problem(503)["rule"], "overloaded");
    answer.retry_after();
    assert_eq!(server.post("devices", &server.registration()).await.status, 202);
}
