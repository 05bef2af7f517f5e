//! Connections that are kept for the next callback.

use std::time::Duration;

use pushroll_domain::{CallbackResult, CallbackSender};
use pushroll_webhook::{CallbackClient, CallbackSettings};

use crate::certificates::Authority;
use crate::name_server::{NameServer, at};
use crate::receiver::{Behaviour, Receiver};
use crate::{a_callback, failure, settings};

const DELIVERED: CallbackResult = CallbackResult::Delivered { status: 200 };
const OK: &str = "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok";

/// A client that keeps connections for as long as a test on a slow machine may take.
async fn a_keeping_client() -> CallbackClient {
    keeping(settings(&NameServer::empty().await))
}

fn keeping(settings: CallbackSettings) -> CallbackClient {
    let hour = Duration::from_secs(3600);
    let settings = CallbackSettings { idle_timeout: hour, max_connection_age: hour, ..settings };
    CallbackClient::new(settings).unwrap()
}

#[tokio::test]
async fn callbacks_to_one_place_share_a_connection() {
    let authority = Authority::new();
    let names = NameServer::knowing([("hooks.example", at(&["127.0.0.1"]))]).await;
    let receiver =
        Receiver::tls(authority.acceptor_for("hooks.example"), Behaviour::answers(OK)).await;
    let extra_ca_file = Some(authority.file.path().to_owned());
    let client = keeping(CallbackSettings { extra_ca_file, ..settings(&names) });
    for path in ["a", "b", "c"] {
        let url = format!("https://hooks.example:{}/{path}", receiver.address.port());
        assert_eq!(client.send(a_callback(url)).await.result, DELIVERED);
    }
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn a_connection_serves_no_other_host_though_the_address_is_the_same() {
    let receiver = Receiver::plain(Behaviour::answers(OK)).await;
    let known = || at(&["127.0.0.1"]);
    let names = NameServer::knowing([("a.example", known()), ("b.example", known())]).await;
    let client = keeping(settings(&names));
    for host in ["a.example", "b.example", "127.0.0.1", "a.example"] {
        let url = format!("http://{host}:{}/", receiver.address.port());
        assert_eq!(client.send(a_callback(url)).await.result, DELIVERED);
    }
    assert_eq!(receiver.connections(), 3);
}

#[tokio::test]
async fn a_connection_that_the_receiver_closed_while_idle_costs_no_callback() {
    // It promises to keep the connection, and closes it.
    let mut receiver = Receiver::plain(Behaviour::closes_after(OK)).await;
    let client = a_keeping_client().await;
    for _ in 0..50 {
        assert_eq!(client.send(a_callback(receiver.url())).await.result, DELIVERED);
        receiver.request().await;
        receiver.closed().await;
    }
    assert_eq!((receiver.connections(), receiver.unexpected_requests()), (50, 0));
}

/// As above, but the client has no chance to notice the close before it sends: its only thread
/// waits here until the receiver has closed.
#[tokio::test]
async fn a_close_that_is_noticed_only_when_sending_costs_no_callback_either() {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (close, closing) = std::sync::mpsc::channel::<()>();
    let (closed, wait_for_close) = std::sync::mpsc::channel();
    let receiver = std::thread::spawn(move || {
        let mut requests = 0;
        for _ in 0..3 {
            let (mut stream, _) = listener.accept().unwrap();
            // A request here is one write.
            assert_ne!(stream.read(&mut [0; 8192]).unwrap(), 0);
            requests += 1;
            stream.write_all(OK.as_bytes()).unwrap();
            closing.recv().unwrap();
            drop(stream);
            closed.send(()).unwrap();
        }
        requests
    });
    let client = a_keeping_client().await;
    for _ in 0..3 {
        assert_eq!(client.send(a_callback(url.clone())).await.result, DELIVERED);
        close.send(()).unwrap();
        wait_for_close.recv().unwrap();
    }
    assert_eq!(receiver.join().unwrap(), 3);
}

#[tokio::test]
async fn a_callback_that_a_kept_connection_lost_on_its_way_is_not_sent_again() {
    let client = a_keeping_client().await;
    let once = OneAnswerOnly::start().await;
    assert_eq!(client.send(a_callback(once.url.clone())).await.result, DELIVERED);
    let reason = failure(&client, once.url.clone()).await;
    assert_eq!(reason, "the receiver closed the connection without an answer");
    assert_eq!(once.served().await, (1, 2));
}

#[tokio::test]
async fn an_answer_that_is_not_read_to_its_end_costs_the_connection() {
    let answer = |length: usize| {
        let head = format!("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nContent-Length: {length}");
        format!("{head}\r\n\r\n{}", "x".repeat(length))
    };
    let (long, whole) = (answer(4097), answer(4096));
    let closing = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok".to_owned();
    for (answer, connections) in [(long, 2), (whole, 1), (closing, 2)] {
        let receiver = Receiver::plain(Behaviour::answers(&answer)).await;
        let client = a_keeping_client().await;
        assert_eq!(client.send(a_callback(receiver.url())).await.result, DELIVERED);
        assert_eq!(client.send(a_callback(receiver.url())).await.result, DELIVERED);
        assert_eq!(receiver.connections(), connections);
    }
}

#[tokio::test]
async fn a_connection_is_kept_only_where_the_receiver_says_so() {
    for (header, connections) in [
        ("", 2),
        ("Connection: close\r\n", 2),
        ("Connection: Keep-Alive\r\n", 1),
        ("Connection: x, keep-alive\r\n", 1),
        ("Keep-Alive: timeout=5, max=100\r\n", 1),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{header}Content-Length: 2\r\n\r\nok");
        let receiver = Receiver::plain(Behaviour::answers(&answer)).await;
        let client = a_keeping_client().await;
        for _ in 0..2 {
            assert_eq!(client.send(a_callback(receiver.url())).await.result, DELIVERED);
        }
        assert_eq!(receiver.connections(), connections, "{header:?}");
    }
}

#[tokio::test]
async fn an_answer_before_the_question_is_never_taken_for_one() {
    let early = format!("{OK}HTTP/1.1 201 Forged\r\nContent-Length: 0\r\n\r\n");
    let receiver = Receiver::plain(Behaviour::answers(&early)).await;
    let client = a_keeping_client().await;
    for _ in 0..3 {
        assert_eq!(client.send(a_callback(receiver.url())).await.result, DELIVERED);
    }
}

#[tokio::test]
async fn no_more_are_kept_than_the_settings_say_and_none_for_longer() {
    let names = NameServer::empty().await;
    let zero = Duration::ZERO;
    for (most, idle_timeout, age, connections) in [
        (0, Duration::from_secs(3600), Duration::from_secs(3600), [2, 2]),
        (1, Duration::from_secs(3600), Duration::from_secs(3600), [2, 2]),
        (2, Duration::from_secs(3600), Duration::from_secs(3600), [1, 1]),
        (2, zero, Duration::from_secs(3600), [2, 2]),
        (2, Duration::from_secs(3600), zero, [2, 2]),
    ] {
        let settings = CallbackSettings {
            max_idle_connections: most,
            idle_timeout,
            max_connection_age: age,
            ..settings(&names)
        };
        let client = CallbackClient::new(settings).unwrap();
        let a = Receiver::plain(Behaviour::answers(OK)).await;
        let b = Receiver::plain(Behaviour::answers(OK)).await;
        for receiver in [&a, &b, &a, &b] {
            assert_eq!(client.send(a_callback(receiver.url())).await.result, DELIVERED);
        }
        assert_eq!([a.connections(), b.connections()], connections, "{most} {idle_timeout:?}");
    }
}

/// A receiver that answers the first request on a connection, and reads the second and closes.
struct OneAnswerOnly {
    url: String,
    task: tokio::task::JoinHandle<(usize, usize)>,
    stop: tokio::sync::oneshot::Sender<()>,
}

impl OneAnswerOnly {
    async fn start() -> Self {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let (mut connections, mut requests) = (0, 0);
            loop {
                let (mut stream, _) = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap(),
                    _ = &mut stopped => return (connections, requests),
                };
                connections += 1;
                let mut buffer = vec![0; 8192];
                for answer in [OK, ""] {
                    // A request here is one write.
                    if stream.read(&mut buffer).await.unwrap() == 0 {
                        break;
                    }
                    requests += 1;
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        });
        Self { url, task, stop }
    }

    /// Connections and requests so far.
    async fn served(self) -> (usize, usize) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap()
    }
}
