//! What an answer says about another attempt.

use std::time::Duration;

use pushroll_domain::{CallbackResult, CallbackSender};
use pushroll_webhook::CallbackClient;

use crate::name_server::{NameServer, at};
use crate::receiver::{Behaviour, Receiver};
use crate::{a_callback, a_client, settings};

async fn retry_after(status: u16, headers: &str) -> Option<Duration> {
    let text = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n{headers}\r\n");
    let receiver = Receiver::plain(Behaviour::answers(&text)).await;
    a_client().await.send(a_callback(receiver.url())).await.retry_after
}

#[tokio::test]
async fn retry_after_is_read_as_seconds_and_as_a_date() {
    // The callback is made at 2021-02-25 15:02:10.999.
    let date = "Retry-After: Thu, 25 Feb 2021 15:03:11 GMT\r\n";
    let minute = Duration::from_secs(60);
    assert_eq!(retry_after(503, "retry-after: 60\r\n").await, Some(minute));
    assert_eq!(retry_after(429, date).await, Some(Duration::from_millis(60_001)));
    assert_eq!(retry_after(503, "Retry-After: soon\r\n").await, None);
    assert_eq!(retry_after(503, "").await, None);
}

#[tokio::test]
async fn only_what_no_receiver_and_no_network_can_change_is_hopeless() {
    let names = NameServer::knowing([("inside.example", at(&["10.0.0.5"]))]).await;
    let client = CallbackClient::new(settings(&names)).unwrap();
    for (url, is_hopeless) in [
        ("ftp://example.com/", true),
        ("https://10.0.0.5/", true),
        // A name may be at another address tomorrow.
        ("https://inside.example/", false),
        ("https://nowhere.example/", false),
        ("http://127.0.0.1:1/", false),
    ] {
        let answer = client.send(a_callback(url)).await;
        assert!(matches!(answer.result, CallbackResult::Failed { .. }), "{url}: {answer:?}");
        assert_eq!(answer.is_hopeless, is_hopeless, "{url}: {answer:?}");
    }
    let receiver = Receiver::plain(Behaviour::answers("HTTP/1.1 500 X\r\n\r\n")).await;
    assert!(!a_client().await.send(a_callback(receiver.url())).await.is_hopeless);
}
