//! The way to the providers through an HTTP proxy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pushroll_domain::{DryRunReport, Verdict};
use pushroll_providers::Proxy;
use pushroll_simulator::{ApnsFate, FcmFate, Provider, tokens};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::stage::stage_with;

/// How a proxy behaves.
#[derive(Debug, Clone, Copy)]
pub enum Manner {
    Tunnels,
    Answers(&'static str),
    Closes,
    IsSilent,
}

/// A proxy that notes what it is asked.
pub struct TestProxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

pub async fn a_proxy(manner: Manner) -> TestProxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, manner, Arc::clone(&noted)));
        }
    });
    TestProxy { address, heads }
}

impl TestProxy {
    /// The setting for it; `who` is `user:password@` or nothing.
    pub fn setting(&self, who: &str) -> Proxy {
        Proxy::parse(&format!("http://{who}{}", self.address)).unwrap()
    }

    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().clone()
    }
}

async fn serve(mut stream: TcpStream, manner: Manner, heads: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.split(' ').nth(1).unwrap().to_owned();
    heads.lock().push(head);
    match manner {
        Manner::Tunnels => {
            let mut server = TcpStream::connect(target).await.unwrap();
            let established = b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n";
            stream.write_all(established).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
        }
        Manner::Answers(answer) => {
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Manner::Closes => {}
        Manner::IsSilent => std::future::pending().await,
    }
}

#[tokio::test]
async fn apns_fcm_and_the_token_endpoint_are_all_reached_through_the_proxy() {
    let proxy = a_proxy(Manner::Tunnels).await;
    let setting = proxy.setting("");
    let stage = stage_with(|settings| settings.proxy = Some(setting)).await;
    let token = tokens::apns(1, ApnsFate::Accepted);
    assert_eq!(stage.ask_apns(&token).await.verdict, Verdict::Accepted);
    let [apns] = proxy.heads().try_into().unwrap();
    let authority = stage.simulator.apns_production_url().trim_start_matches("https://");
    assert_eq!(apns, format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n"));
    let token = tokens::fcm(1, FcmFate::Accepted);
    assert_eq!(stage.ask_fcm(&token).await.verdict, Verdict::Accepted);
    let google = stage.simulator.fcm_url().trim_start_matches("https://");
    let heads = proxy.heads();
    assert_eq!(heads.len(), 3, "one more for the access token and one for FCM: {heads:?}");
    for head in &heads[1..] {
        assert!(head.starts_with(&format!("CONNECT {google} ")), "{head}");
    }
}

#[tokio::test]
async fn a_user_and_password_are_told_to_the_proxy() {
    let proxy = a_proxy(Manner::Tunnels).await;
    let setting = proxy.setting("user:s3cret@");
    let stage = stage_with(|settings| settings.proxy = Some(setting)).await;
    let token = tokens::apns(1, ApnsFate::Accepted);
    assert_eq!(stage.ask_apns(&token).await.verdict, Verdict::Accepted);
    // user:s3cret
    assert!(proxy.heads()[0].contains("\r\nProxy-Authorization: Basic dXNlcjpzM2NyZXQ=\r\n"));
}

#[tokio::test]
async fn a_proxy_that_makes_no_connection_is_told_with_its_reason_and_without_the_password() {
    let endless: &'static str =
        Box::leak(format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(20_000)).into_boxed_str());
    for (manner, words) in [
        (Manner::Answers("HTTP/1.1 407 No\r\n\r\n"), "refuses the user or password (407)"),
        (Manner::Answers("HTTP/1.1 403 Forbidden\r\n\r\n"), "forbids the connection (403)"),
        (Manner::Answers("HTTP/1.1 502 Bad Gateway\r\n\r\n"), "it answered 502 Bad Gateway"),
        (Manner::Answers("220 mail.example ESMTP\r\n\r\n"), "does not speak HTTP/1.1"),
        (Manner::Answers(endless), "has no end"),
        (Manner::Closes, "without an answer"),
    ] {
        let proxy = a_proxy(manner).await;
        let setting = proxy.setting("user:s3cret@");
        let stage = stage_with(|settings| settings.proxy = Some(setting)).await;
        let report = stage.ask_apns(&tokens::apns(1, ApnsFate::Accepted)).await;
        said_of_the_proxy(&report, words);
        assert!(report.answer.detail.unwrap().contains(&proxy.address.to_string()));
        let report = stage.ask_fcm(&tokens::fcm(1, FcmFate::Accepted)).await;
        said_of_the_proxy(&report, words);
        assert_eq!(stage.simulator.statistics(Provider::ApnsProduction).connections_opened, 0);
    }
}

#[track_caller]
fn said_of_the_proxy(report: &DryRunReport, words: &str) {
    assert_eq!(report.verdict, Verdict::Unreachable, "{report:?}");
    assert_eq!(report.answer.reason, "the proxy made no connection");
    let detail = report.answer.detail.as_deref().unwrap();
    assert!(detail.contains(words), "{detail}");
    assert!(!detail.contains("s3cret") && !detail.contains("dXNl"), "{detail}");
}

#[tokio::test]
async fn a_proxy_that_is_not_there_or_says_nothing_is_unreachable() {
    let silent = a_proxy(Manner::IsSilent).await.setting("");
    let stage = stage_with(|settings| {
        settings.proxy = Some(silent);
        settings.connect_timeout = Duration::from_millis(200);
    })
    .await;
    let token = tokens::apns(1, ApnsFate::Accepted);
    let report = stage.ask_apns(&token).await;
    assert_eq!(report.verdict, Verdict::Unreachable);
    assert_eq!(report.answer.reason, "connecting timed out");
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let gone = Proxy::parse(&gone).unwrap();
    let stage = stage_with(|settings| settings.proxy = Some(gone)).await;
    said_of_the_proxy(&stage.ask_apns(&token).await, "can't connect");
}
