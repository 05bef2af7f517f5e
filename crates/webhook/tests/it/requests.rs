//! What a receiver gets.

use pushroll_domain::{CallbackResult, CallbackSender, FailureReason, Outcome, Secret};
use pushroll_webhook::webhook_signature;

use crate::receiver::{Behaviour, Receiver};
use crate::{CALLERS_SECRET, a_callback, a_client};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[tokio::test]
async fn a_success_is_a_post_of_exactly_this_body_and_these_headers() {
    let mut receiver = Receiver::plain(Behaviour::answers(OK)).await;
    let sent = a_client().await.send(a_callback(receiver.url())).await.result;
    assert_eq!(sent, CallbackResult::Delivered { status: 200 });
    let seen = receiver.request().await;
    assert_eq!(seen.start_line, "POST /hook HTTP/1.1");
    assert_eq!(
        seen.body,
        r#"{"Status":"Success","Signature":"c2lnbmF0dXJl","FailureReason":null}"#
    );
    let mut headers = seen.headers.clone();
    headers.sort();
    let expected = [
        ("content-length", "68"),
        ("content-type", "application/json"),
        ("host", &receiver.address.to_string()),
        ("user-agent", concat!("Pushroll/", env!("CARGO_PKG_VERSION"))),
        ("webhook-id", "07070707-0707-0707-0707-070707070707"),
        ("webhook-timestamp", "1614265330"),
        ("x-secret", CALLERS_SECRET),
    ];
    assert_eq!(headers, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
}

#[tokio::test]
async fn a_failure_names_its_reason() {
    let mut receiver = Receiver::plain(Behaviour::answers(OK)).await;
    let client = a_client().await;
    for reason in FailureReason::ALL {
        let mut callback = a_callback(receiver.url());
        callback.outcome = Outcome::Failed(reason);
        client.send(callback).await;
        let expected = format!(
            r#"{{"Status":"Failed","Signature":"c2lnbmF0dXJl","FailureReason":"{}"}}"#,
            reason.name()
        );
        assert_eq!(receiver.request().await.body, expected);
    }
}

#[tokio::test]
async fn with_a_secret_the_callback_is_signed_as_standard_webhooks_says() {
    let mut receiver = Receiver::plain(Behaviour::answers(OK)).await;
    let mut callback = a_callback(receiver.url());
    callback.webhook_secrets = vec![Secret::new(SECRET.into())];
    a_client().await.send(callback).await;
    let seen = receiver.request().await;
    let id = seen.header("webhook-id").unwrap();
    let timestamp = seen.header("webhook-timestamp").unwrap().parse().unwrap();
    let expected =
        webhook_signature(SECRET.as_bytes(), id, timestamp, seen.body.as_bytes()).unwrap();
    assert_eq!(seen.header("webhook-signature"), Some(expected.as_str()));
}

#[tokio::test]
async fn with_two_secrets_there_are_two_signatures_with_a_space_between() {
    let mut receiver = Receiver::plain(Behaviour::answers(OK)).await;
    let mut callback = a_callback(receiver.url());
    let older = "whsec_+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s=";
    callback.webhook_secrets = [SECRET, older].map(|text| Secret::new(text.into())).to_vec();
    a_client().await.send(callback).await;
    let seen = receiver.request().await;
    let signed = |secret: &str| {
        let id = seen.header("webhook-id").unwrap();
        let timestamp = seen.header("webhook-timestamp").unwrap().parse().unwrap();
        webhook_signature(secret.as_bytes(), id, timestamp, seen.body.as_bytes()).unwrap()
    };
    let expected = format!("{} {}", signed(SECRET), signed(older));
    assert_eq!(seen.header("webhook-signature"), Some(expected.as_str()));
}

#[tokio::test]
async fn with_an_unreadable_secret_nothing_is_sent() {
    let receiver = Receiver::plain(Behaviour::answers(OK)).await;
    let mut callback = a_callback(receiver.url());
    callback.webhook_secrets = vec![Secret::new(b"hunter2".to_vec())];
    let result = a_client().await.send(callback).await.result;
    let reason = "the app's webhook secret must begin with whsec_".to_owned();
    assert_eq!(result, CallbackResult::Failed { reason });
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn a_callers_header_never_takes_the_place_of_ours() {
    let mut receiver = Receiver::plain(Behaviour::answers(OK)).await;
    let mut callback = a_callback(receiver.url());
    let names = [
        "Host",
        "content-length",
        "Content-Type",
        "Transfer-Encoding",
        "Connection",
        "Webhook-Id",
        "webhook-timestamp",
        "webhook-signature",
    ];
    for name in names {
        callback.headers.push((name.to_owned(), Secret::new(b"evil".to_vec())));
    }
    assert_eq!(
        a_client().await.send(callback).await.result,
        CallbackResult::Delivered { status: 200 }
    );
    let seen = receiver.request().await;
    assert!(seen.headers.iter().all(|(_, value)| value != "evil"), "{seen:?}");
    assert_eq!(seen.header("webhook-signature"), None);
    assert_eq!(seen.header("x-secret"), Some(CALLERS_SECRET));
}

#[tokio::test]
async fn a_callers_user_agent_is_sent_instead_of_ours() {
    let mut receiver = Receiver::plain(Behaviour::answers(OK)).await;
    let mut callback = a_callback(receiver.url());
    callback.headers.push(("User-Agent".to_owned(), Secret::new(b"Contoso/2".to_vec())));
    a_client().await.send(callback).await;
    assert_eq!(receiver.request().await.header("user-agent"), Some("Contoso/2"));
}

#[tokio::test]
async fn a_header_that_can_not_be_sent_fails_without_showing_its_value() {
    let receiver = Receiver::plain(Behaviour::answers(OK)).await;
    let mut callback = a_callback(receiver.url());
    callback.headers = vec![("X-A".to_owned(), Secret::new(b"hunter2\r\nX-B: c".to_vec()))];
    let result = a_client().await.send(callback).await.result;
    let reason = "header X-A can't be sent".to_owned();
    assert_eq!(result, CallbackResult::Failed { reason });
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn path_and_query_are_sent_and_the_fragment_is_not() {
    let mut receiver = Receiver::plain(Behaviour::answers(OK)).await;
    let url = format!("http://{}/a/../b c?d={{é}}&e=%2F#fragment", receiver.address);
    a_client().await.send(a_callback(url)).await;
    assert_eq!(receiver.request().await.start_line, "POST /b%20c?d={%C3%A9}&e=%2F HTTP/1.1");
}
