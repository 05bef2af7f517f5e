//! Receivers with TLS.

use std::path::PathBuf;
use std::time::Duration;

use pushroll_domain::{CallbackResult, CallbackSender};
use pushroll_webhook::{CallbackClient, CallbackSettings};
use tokio::net::TcpListener;

use crate::certificates::Authority;
use crate::name_server::{NameServer, at};
use crate::receiver::{Behaviour, Receiver};
use crate::{a_callback, failure, settings};

fn no_content() -> Behaviour {
    Behaviour::answers("HTTP/1.1 204 No Content\r\n\r\n")
}

async fn names() -> NameServer {
    NameServer::knowing([("hooks.example", at(&["127.0.0.1"]))]).await
}

fn trusting(authority: &Authority, names: &NameServer) -> CallbackClient {
    let extra_ca_file = Some(authority.file.path().to_owned());
    CallbackClient::new(CallbackSettings { extra_ca_file, ..settings(names) }).unwrap()
}

#[tokio::test]
async fn a_certificate_of_the_extra_authority_for_the_urls_name_is_accepted() {
    let (authority, names) = (Authority::new(), names().await);
    let mut receiver = Receiver::tls(authority.acceptor_for("hooks.example"), no_content()).await;
    let authority_of_url = format!("hooks.example:{}", receiver.address.port());
    for url in [
        format!("https://{authority_of_url}/x"),
        format!("https://HOOKS.example.:{}/x", receiver.address.port()),
    ] {
        let result = trusting(&authority, &names).send(a_callback(url)).await.result;
        assert_eq!(result, CallbackResult::Delivered { status: 204 });
    }
    assert_eq!(receiver.request().await.header("host"), Some(authority_of_url.as_str()));
}

#[tokio::test]
async fn a_certificate_for_the_urls_address_is_accepted() {
    let (authority, names) = (Authority::new(), names().await);
    let receiver = Receiver::tls(authority.acceptor_for("127.0.0.1"), no_content()).await;
    let url = format!("https://{}/", receiver.address);
    let result = trusting(&authority, &names).send(a_callback(url)).await.result;
    assert_eq!(result, CallbackResult::Delivered { status: 204 });
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_and_nothing_is_sent() {
    let (authority, names) = (Authority::new(), names().await);
    let mut receiver = Receiver::tls(authority.acceptor_for("other.example"), no_content()).await;
    let url = format!("https://hooks.example:{}/", receiver.address.port());
    let reason = failure(&trusting(&authority, &names), url).await;
    assert_eq!(reason, "certificate not accepted: it is for another name");
    receiver.closed().await;
    assert_eq!(receiver.unexpected_requests(), 0);
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let (authority, names) = (Authority::new(), names().await);
    let acceptor = authority.expired_acceptor_for("hooks.example");
    let receiver = Receiver::tls(acceptor, no_content()).await;
    let url = format!("https://hooks.example:{}/", receiver.address.port());
    let reason = failure(&trusting(&authority, &names), url).await;
    assert_eq!(reason, "certificate not accepted: it has expired");
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let (authority, names) = (Authority::new(), names().await);
    for (issuer, expected) in [
        (Authority::named("Unknown"), "certificate not accepted: its issuer is not trusted"),
        // One that only says that it is the trusted one.
        (Authority::new(), "certificate not accepted: its signature is wrong"),
    ] {
        let acceptor = issuer.acceptor_for("hooks.example");
        let receiver = Receiver::tls(acceptor, no_content()).await;
        let url = format!("https://hooks.example:{}/", receiver.address.port());
        assert_eq!(failure(&trusting(&authority, &names), url).await, expected);
    }
}

#[tokio::test]
async fn a_receiver_that_speaks_no_tls_is_refused() {
    let (authority, names) = (Authority::new(), names().await);
    let mut receiver = Receiver::plain(Behaviour::closes_after("")).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let greeter = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 mail.example ESMTP\r\n").await
    });
    let reason = failure(&trusting(&authority, &names), format!("https://{address}/")).await;
    assert!(reason.starts_with("TLS failed: "), "{reason}");
    greeter.await.unwrap().unwrap();
    assert_eq!(receiver.unexpected_requests(), 0);
}

#[tokio::test]
async fn a_receiver_that_never_shakes_hands_is_left_when_the_time_is_over() {
    let names = names().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let timeout = Duration::from_secs(1);
    let client = CallbackClient::new(CallbackSettings { timeout, ..settings(&names) }).unwrap();
    let reason = failure(&client, format!("https://{address}/")).await;
    assert_eq!(reason, "timed out after 1 s setting up TLS");
}

#[tokio::test]
async fn every_fault_of_the_settings_is_reported_at_once() {
    let names = names().await;
    let missing = PathBuf::from("/nowhere/ca.pem");
    let broken = CallbackSettings {
        extra_ca_file: Some(missing),
        allowed_hosts: vec!["https://x".to_owned(), "*".to_owned()],
        timeout: Duration::ZERO,
        ..settings(&names)
    };
    let faults = CallbackClient::new(broken).err().unwrap();
    assert_eq!(faults.0.len(), 4, "{faults}");
    assert!(faults.to_string().contains("/nowhere/ca.pem"), "{faults}");

    let empty = tempfile::NamedTempFile::new().unwrap();
    let extra_ca_file = Some(empty.path().to_owned());
    let broken = CallbackSettings { extra_ca_file, ..settings(&names) };
    let faults = CallbackClient::new(broken).err().unwrap();
    assert!(faults.to_string().ends_with("it holds no certificate"), "{faults}");
}
