//! What is said of a callback that is not made.

use pushroll_domain::{CallbackSender, Secret};
use pushroll_webhook::CallbackClient;

use crate::name_server::{NameServer, at};
use crate::receiver::{Behaviour, Receiver};
use crate::{CALLERS_SECRET, a_callback, a_client, failure, settings};

#[tokio::test]
async fn an_examination_shows_the_request_with_secrets_masked_and_connects_to_nobody() {
    let mut receiver = Receiver::plain(Behaviour::answers("HTTP/1.1 200 OK\r\n\r\n")).await;
    let client = a_client().await;
    let mut callback = a_callback(receiver.url());
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    callback.webhook_secrets = vec![Secret::new(secret.into())];
    let examined = client.examine(&callback).await;
    assert_eq!(receiver.connections(), 0);
    assert_eq!((examined.refusal, examined.calls), (None, vec![receiver.address]));
    let shown = examined.request.unwrap();
    let header = |name: &str| {
        let found = shown.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    };
    assert_eq!(header("x-secret").as_deref(), Some("***"));
    assert!(!format!("{shown:?}").contains(CALLERS_SECRET));
    // It is what is sent.
    client.send(callback).await;
    let seen = receiver.request().await;
    assert_eq!((shown.start_line.as_str(), shown.body.as_str()), (&*seen.start_line, &*seen.body));
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature", "host", "user-agent"] {
        assert_eq!(header(name).as_deref(), seen.header(name), "{name}");
    }
}

#[tokio::test]
async fn the_rule_that_an_examination_names_is_the_one_that_refuses_the_callback() {
    let names = NameServer::knowing([("inside.example", at(&["10.0.0.5"]))]).await;
    let client = CallbackClient::new(settings(&names)).unwrap();
    for url in [
        "ftp://example.com/",
        "https://user@example.com/",
        "https://10.0.0.5/",
        "https://169.254.169.254/latest",
        "https://[::1]/",
        "https://inside.example/",
        "https://nowhere.example/",
    ] {
        let refusal = client.examine(&a_callback(url)).await.refusal;
        let reason = failure(&client, url).await;
        let reason = reason
            .strip_prefix("refused: the URL")
            .map_or(reason.clone(), |rest| format!("the URL{rest}"));
        assert_eq!(refusal, Some(reason), "{url}");
    }
}
