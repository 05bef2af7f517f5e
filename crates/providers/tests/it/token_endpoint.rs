//! The token endpoint, on good days and bad.

use std::sync::Arc;
use std::time::Duration;

use pushroll_domain::{BusyScope, DryRunReport, FcmCredentials, Provider as Asked, Verdict};
use pushroll_simulator::{FcmFate, Provider, Reply, tokens};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::stage::{Stage, settings_for, stage, stage_with};

const OAUTH: Provider = Provider::Oauth;

async fn ask(stage: &Stage) -> DryRunReport {
    stage.ask_fcm(&tokens::fcm(1, FcmFate::Accepted)).await
}

#[tokio::test]
async fn a_refusal_answers_all_who_wait_and_for_a_moment_those_who_come_after() {
    let stage = stage().await;
    let asked = || stage.simulator.statistics(OAUTH).requests;
    stage.simulator.reject_credentials(OAUTH, true);
    for report in stage.ask_fcm_at_once(50).await {
        assert_eq!(report.verdict, Verdict::CredentialsRefused, "{report:?}");
        assert_eq!(report.answer.provider, Asked::OAuth);
        assert_eq!(report.answer.reason, "invalid_grant");
        assert!(report.answer.detail.is_some());
    }
    assert_eq!(asked(), 1);
    stage.simulator.reject_credentials(OAUTH, false);
    assert_eq!(ask(&stage).await.verdict, Verdict::CredentialsRefused);
    assert_eq!(asked(), 1);
    stage.advance(Duration::from_secs(6));
    assert_eq!(ask(&stage).await.verdict, Verdict::Accepted);
    assert_eq!(stage.simulator.statistics(Provider::Fcm).requests, 1);
}

#[tokio::test]
async fn a_refusal_is_not_kept_for_longer_when_the_clock_was_set_back() {
    let stage = stage().await;
    stage.simulator.reject_credentials(OAUTH, true);
    assert_eq!(ask(&stage).await.verdict, Verdict::CredentialsRefused);
    stage.simulator.reject_credentials(OAUTH, false);
    stage.go_back(Duration::from_secs(60));
    assert_eq!(ask(&stage).await.verdict, Verdict::Accepted);
}

#[tokio::test]
async fn its_429_and_5xx_are_a_reason_to_wait() {
    let stage = stage().await;
    let wait = Some(Duration::from_secs(3));
    for (status, scope) in [(429, BusyScope::App), (503, BusyScope::Provider)] {
        let reply = Reply::status(status).with_header("retry-after", "3");
        stage.simulator.script(OAUTH, None, [reply]).unwrap();
        let report = ask(&stage).await;
        assert_eq!(report.verdict, Verdict::Busy { retry_after: wait, scope });
        assert_eq!((report.answer.provider, report.answer.status), (Asked::OAuth, Some(status)));
    }
    assert_eq!(ask(&stage).await.verdict, Verdict::Accepted);
}

#[tokio::test]
async fn its_silence_times_out_and_is_forgotten() {
    let stage = stage_with(|settings| settings.dry_run_timeout = Duration::from_secs(2)).await;
    stage.simulator.script(OAUTH, None, [Reply::silence()]).unwrap();
    let report = ask(&stage).await;
    assert_eq!(report.verdict, Verdict::Unreachable);
    assert_eq!(report.answer.provider, Asked::OAuth);
    assert_eq!(report.answer.reason, "timed out");
    assert_eq!(ask(&stage).await.verdict, Verdict::Accepted);
}

#[tokio::test]
async fn a_service_account_that_names_another_endpoint_is_never_asked_for() {
    let stage = stage().await;
    let elsewhere = FcmCredentials {
        token_uri: "https://127.0.0.1:9/token".to_owned(),
        ..FcmCredentials::clone(&stage.android)
    };
    let stage = stage.with_android(elsewhere);
    let report = ask(&stage).await;
    assert_eq!(report.verdict, Verdict::CredentialsRefused);
    assert_eq!(report.answer.reason, "the token_uri is not allowed");
}

/// A token endpoint that speaks HTTP/1.1 only and answers the first request with `answer`; gives
/// that request's head.
async fn http1_endpoint(stage: &Stage, answer: &'static str) -> (String, JoinHandle<String>) {
    let issued = stage.simulator.issue_server_certificate(&["127.0.0.1"]).unwrap();
    let chain = CertificateDer::pem_slice_iter(issued.cert_chain_pem.as_bytes());
    let chain: Vec<_> = chain.map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("https://{}/token", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut tls = TlsAcceptor::from(Arc::new(config)).accept(tcp).await.unwrap();
        let mut request = Vec::new();
        while !request.windows(10).any(|window| window == b"assertion=") {
            assert_ne!(tls.read_buf(&mut request).await.unwrap(), 0);
        }
        tls.write_all(answer.as_bytes()).await.unwrap();
        let _ = tls.shutdown().await;
        let text = String::from_utf8(request).unwrap();
        text.split("\r\n\r\n").next().unwrap().to_ascii_lowercase()
    });
    (uri, served)
}

/// The same account with another token endpoint, and clients that allow it.
fn moved_to(stage: Stage, uri: &str) -> Stage {
    let mut settings = settings_for(&stage.simulator);
    settings.token_uris.push(uri.to_owned());
    let credentials =
        FcmCredentials { token_uri: uri.to_owned(), ..FcmCredentials::clone(&stage.android) };
    stage.with_clients(&settings).with_android(credentials)
}

#[tokio::test]
async fn it_may_speak_http_1_1() {
    let stage = stage().await;
    let answer = "HTTP/1.1 503 Busy\r\nretry-after: 9\r\ncontent-length: 0\r\n\r\n";
    let (uri, served) = http1_endpoint(&stage, answer).await;
    let stage = moved_to(stage, &uri);
    let report = ask(&stage).await;
    let nine = Some(Duration::from_secs(9));
    let expected = Verdict::Busy { retry_after: nine, scope: BusyScope::Provider };
    assert_eq!(report.verdict, expected, "{report:?}");
    let head = served.await.unwrap();
    let authority = uri.trim_start_matches("https://").trim_end_matches("/token");
    assert!(head.starts_with("post /token http/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nhost: {authority}\r\n")), "{head}");
}

#[tokio::test]
async fn its_redirects_are_not_followed() {
    let stage = stage().await;
    let answer =
        "HTTP/1.1 307 Elsewhere\r\nlocation: https://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n";
    let (uri, _served) = http1_endpoint(&stage, answer).await;
    let stage = moved_to(stage, &uri);
    let report = ask(&stage).await;
    assert_eq!((report.verdict, report.answer.status), (Verdict::Unreachable, Some(307)));
}
