//! Receivers that hang, flood, redirect and answer garbage.

use std::net::{Ipv4Addr, SocketAddr};

use pushroll_domain::{CallbackResult, CallbackSender};
use pushroll_webhook::{CallbackClient, CallbackSettings};
use tokio::net::TcpSocket;

use crate::name_server::{NameServer, at};
use crate::receiver::{Behaviour, Receiver};
use crate::{a_callback, a_client, an_impatient_client, failure, settings};

async fn result_of(behaviour: Behaviour) -> CallbackResult {
    let receiver = Receiver::plain(behaviour).await;
    a_client().await.send(a_callback(receiver.url())).await.result
}

async fn failure_of(behaviour: Behaviour) -> String {
    let receiver = Receiver::plain(behaviour).await;
    failure(&a_client().await, receiver.url()).await
}

#[tokio::test]
async fn any_2xx_counts_as_delivered() {
    for (answer, status) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200),
        ("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", 202),
        ("HTTP/1.1 204 No Content\r\n\r\n", 204),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", 204),
        ("HTTP/1.1 299 \r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 299),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200),
    ] {
        let result = result_of(Behaviour::answers(answer)).await;
        assert_eq!(result, CallbackResult::Delivered { status }, "{answer:?}");
    }
    for answer in ["HTTP/1.0 200 OK\r\n\r\nok", "HTTP/1.1 200 OK\r\n\r\nok"] {
        let result = result_of(Behaviour::closes_after(answer)).await;
        assert_eq!(result, CallbackResult::Delivered { status: 200 }, "{answer:?}");
    }
}

#[tokio::test]
async fn any_other_status_is_an_answer_and_no_delivery() {
    for status in [101, 300, 304, 400, 401, 404, 429, 500, 503, 599, 999] {
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
        let result = result_of(Behaviour::closes_after(&answer)).await;
        assert_eq!(result, CallbackResult::Answered { status }, "{answer:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut elsewhere = Receiver::plain(Behaviour::answers("")).await;
    for status in [301, 302, 303, 307, 308] {
        let answer = format!(
            "HTTP/1.1 {status} Moved\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n",
            elsewhere.url()
        );
        let result = result_of(Behaviour::answers(&answer)).await;
        assert_eq!(result, CallbackResult::Answered { status });
    }
    assert_eq!((elsewhere.connections(), elsewhere.unexpected_requests()), (0, 0));
}

#[tokio::test]
async fn once_there_is_a_status_nothing_that_follows_changes_it() {
    for (answer, more) in [
        ("HTTP/1.1 200 OK\r\n\r\n", "endless"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "endless"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\nhello\r\n"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "no chunk"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "X: y\r\n"),
    ] {
        let mut receiver = Receiver::plain(Behaviour::floods(answer, more)).await;
        let result = a_client().await.send(a_callback(receiver.url())).await.result;
        assert_eq!(result, CallbackResult::Delivered { status: 200 }, "{answer:?}");
        receiver.closed().await;
    }
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort";
    let result = result_of(Behaviour::closes_after(short)).await;
    assert_eq!(result, CallbackResult::Delivered { status: 200 });
}

#[tokio::test]
async fn a_slow_body_is_cut_and_the_status_counts() {
    for behaviour in [
        Behaviour::drips("HTTP/1.1 200 OK\r\n\r\n", "x"),
        Behaviour::hangs_after("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
    ] {
        let receiver = Receiver::plain(behaviour).await;
        let result = an_impatient_client().await.send(a_callback(receiver.url())).await.result;
        assert_eq!(result, CallbackResult::Delivered { status: 200 });
    }
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    for (answer, more) in [
        ("HTTP/1.1 200 ", "very ok "),
        ("HTTP/1.1 200 OK\r\n", "X: y\r\n"),
        ("HTTP/1.1 200 OK\r\nX: ", "yyyyyyyyyy"),
        ("HTTP/1.1 200 OK\r\nX", "XXXXXXXXXX"),
    ] {
        let reason = failure_of(Behaviour::floods(answer, more)).await;
        assert_eq!(reason, "the answer's head is longer than allowed", "{answer:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_refused() {
    for answer in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "hello\n",
        "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    ] {
        let reason = failure_of(Behaviour::closes_after(answer)).await;
        assert_eq!(reason, "the answer is not HTTP/1.1", "{answer:?}");
    }
}

#[tokio::test]
async fn a_connection_that_is_closed_without_an_answer_is_a_failure_and_not_tried_again() {
    for answer in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nX: y\r\n"] {
        let mut receiver = Receiver::plain(Behaviour::closes_after(answer)).await;
        let reason = failure(&a_client().await, receiver.url()).await;
        assert_eq!(reason, "the receiver closed the connection without an answer", "{answer:?}");
        assert_eq!((receiver.connections(), receiver.unexpected_requests()), (1, 1));
    }
}

#[tokio::test]
async fn a_receiver_that_never_answers_is_left_when_the_time_is_over() {
    for behaviour in [
        Behaviour::hangs_after(""),
        Behaviour::hangs_after("HTTP/1.1 200 OK\r\n"),
        Behaviour::drips("HTTP/1.1 200 OK\r\n", "X: y\r\n"),
        Behaviour::floods("", "HTTP/1.1 100 Continue\r\n\r\n"),
    ] {
        let mut receiver = Receiver::plain(behaviour).await;
        let reason = failure(&an_impatient_client().await, receiver.url()).await;
        assert_eq!(reason, "timed out after 1 s waiting for the answer");
        assert_eq!((receiver.connections(), receiver.unexpected_requests()), (1, 1));
    }
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_a_failure() {
    let (address, _socket) = deaf_port(Ipv4Addr::LOCALHOST, 0).unwrap();
    let reason = failure(&a_client().await, format!("http://{address}/")).await;
    assert_eq!(reason, format!("could not connect to {address}: connection refused"));
}

#[tokio::test]
async fn when_an_address_does_not_take_the_connection_the_next_is_tried() {
    let other = Ipv4Addr::new(127, 0, 0, 3);
    let (mut receiver, _socket) = loop {
        let answer = Behaviour::closes_after("HTTP/1.1 204 X\r\n\r\n");
        let receiver = Receiver::at((other, 0).into(), None, answer).await;
        // Somebody else's port there is no reason to fail.
        if let Ok((_, socket)) = deaf_port(Ipv4Addr::LOCALHOST, receiver.address.port()) {
            break (receiver, socket);
        }
    };
    let names = NameServer::knowing([("two.example", at(&["127.0.0.1", "127.0.0.3"]))]).await;
    let allowed_hosts = vec!["two.example".to_owned()];
    let client =
        CallbackClient::new(CallbackSettings { allowed_hosts, ..settings(&names) }).unwrap();
    let url = format!("http://two.example:{}/", receiver.address.port());
    let result = client.send(a_callback(url)).await.result;
    assert_eq!(result, CallbackResult::Delivered { status: 204 });
    assert_eq!(receiver.unexpected_requests(), 1);
}

/// A port that is taken and where nobody listens.
fn deaf_port(address: Ipv4Addr, port: u16) -> std::io::Result<(SocketAddr, TcpSocket)> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((address, port).into())?;
    Ok((socket.local_addr()?, socket))
}
