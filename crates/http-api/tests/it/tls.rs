//! The same listener under TLS.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use pushroll_http_api::ServerTls;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::raw::{PATIENCE, request};
use crate::running::{Running, Setup};

/// A certificate for `localhost` that signs itself, with its key, both in PEM.
fn made() -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn tls(made: &(String, String)) -> ServerTls {
    ServerTls::new(made.0.as_bytes(), made.1.as_bytes()).unwrap()
}

/// Runs under TLS, with the certificate to trust.
async fn running_tls(setup: Setup) -> (Running, ServerTls, String) {
    let made = made();
    let tls = tls(&made);
    (Setup { tls: Some(tls.clone()), ..setup }.run().await, tls, made.0)
}

const BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

async fn connect(
    server: &Running,
    trusted: &str,
    alpn: &[&str],
    versions: &[&'static SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    timeout(PATIENCE, TlsConnector::from(Arc::new(config)).connect(name, tcp)).await.unwrap()
}

type Http1 = http1::SendRequest<Full<Bytes>>;

async fn http1_client(stream: TlsStream<TcpStream>) -> Http1 {
    let (client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A registration over HTTP/1.1.
async fn registers(server: &Running, client: &mut Http1) {
    let body = server.registration().to_string();
    let request = Request::post(server.path("devices")).header("host", "localhost");
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    let answer = timeout(PATIENCE, client.send_request(request)).await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
}

#[tokio::test]
async fn http_2_and_http_1_1_are_chosen_by_alpn_and_http_1_1_is_spoken_without() {
    let (server, _, trusted) = running_tls(Setup::default()).await;
    for version in BOTH {
        let stream = connect(&server, &trusted, &["h2", "http/1.1"], &[version]).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (mut client, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let uri = format!("https://localhost{}", server.path("devices"));
        let body = Full::new(Bytes::from(server.registration().to_string()));
        let answer = client.send_request(Request::post(uri).body(body).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        assert!(answer.into_body().collect().await.unwrap().to_bytes().is_empty());

        for (alpn, chosen) in [(&["http/1.1"][..], Some(&b"http/1.1"[..])), (&[], None)] {
            let stream = connect(&server, &trusted, alpn, &[version]).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), chosen);
            registers(&server, &mut http1_client(stream).await).await;
        }
        let refused = connect(&server, &trusted, &["spdy/3"], &[version]).await.unwrap_err();
        assert!(refused.to_string().contains("NoApplicationProtocol"), "{refused}");
    }
    assert_eq!(server.store.accepted.lock().len(), 6);
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections_and_those_that_are_open_stay() {
    let (server, tls, trusted) = running_tls(Setup::default()).await;
    let mut open = http1_client(connect(&server, &trusted, &[], &BOTH).await.unwrap()).await;
    registers(&server, &mut open).await;
    let (certificate, key) = made();
    tls.replace(certificate.as_bytes(), key.as_bytes()).unwrap();
    registers(&server, &mut open).await;
    let stream = connect(&server, &certificate, &[], &BOTH).await.unwrap();
    registers(&server, &mut http1_client(stream).await).await;
    connect(&server, &trusted, &[], &BOTH).await.unwrap_err();
    registers(&server, &mut open).await;
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_cut_off() {
    let mut setup = Setup::default();
    setup.http.tls_handshake_timeout = Duration::from_millis(100);
    let (server, ..) = running_tls(setup).await;
    for beginning in [&b""[..], &[22, 3, 1], &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]] {
        let mut connection = server.connect().await;
        connection.send(beginning).await;
        assert!(connection.closed().await.is_empty(), "{beginning:?}");
    }
}

#[tokio::test]
async fn a_handshake_that_is_under_way_counts_as_a_connection_until_it_is_cut_off() {
    let mut setup = Setup::default();
    setup.http.connections = 1;
    setup.http.tls_handshake_timeout = Duration::from_millis(300);
    let (server, _, trusted) = running_tls(setup).await;
    let mut silent = server.connect().await;
    let mut refused = server.connect().await;
    assert!(refused.closed().await.is_empty(), "closed without a word that is no TLS");
    assert!(silent.closed().await.is_empty());
    let again = async {
        // The place is free once the server has seen the end of the connection.
        loop {
            if let Ok(stream) = connect(&server, &trusted, &[], &BOTH).await {
                return stream;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let stream = timeout(PATIENCE, again).await.unwrap();
    registers(&server, &mut http1_client(stream).await).await;
}

#[tokio::test]
async fn who_speaks_http_in_clear_text_is_told_to_use_https() {
    let (server, ..) = running_tls(Setup::default()).await;
    let answer = server.ask("GET", "/healthz", &[], "").await;
    let problem = answer.problem(400);
    assert!(problem["detail"].as_str().unwrap().contains("https://"), "{problem}");
}

#[tokio::test]
async fn what_is_no_tls_ends_the_connection_and_no_other() {
    let (server, _, trusted) = running_tls(Setup::default()).await;
    for garbage in [&[22, 3, 1, 0, 5, 1, 2, 3, 4, 5][..], &[22; 300], &[22, 3, 1, 255, 255]] {
        let mut connection = server.connect().await;
        connection.send(garbage).await;
        connection.stream.shutdown().await.unwrap();
        connection.closed().await;
    }
    let stream = connect(&server, &trusted, &[], &BOTH).await.unwrap();
    registers(&server, &mut http1_client(stream).await).await;
}

#[tokio::test]
async fn a_stop_answers_what_is_under_way_and_waits_for_no_handshake() {
    let (server, _, trusted) = running_tls(Setup::default()).await;
    let gate = server.store.gate.lock().await;
    let mut under_way = http1_client(connect(&server, &trusted, &[], &BOTH).await.unwrap()).await;
    let body = Full::new(Bytes::from(server.registration().to_string()));
    let post = Request::post(server.path("devices")).header("host", "x").body(body).unwrap();
    let answer = tokio::spawn(async move { under_way.send_request(post).await.unwrap().status() });
    crate::running::until("the accept", || {
        server.store.begun.load(std::sync::atomic::Ordering::Relaxed) == 1
    })
    .await;
    let mut silent = server.connect().await;
    server.stop.cancel();
    assert!(silent.closed().await.is_empty());
    drop(gate);
    assert_eq!(answer.await.unwrap(), StatusCode::ACCEPTED);
    timeout(PATIENCE, server.served).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_peer_that_does_not_read_its_answers_is_cut_off_under_tls_too() {
    let mut setup = Setup::default();
    setup.http.write_timeout = Duration::from_millis(200);
    let (server, _, trusted) = running_tls(setup).await;
    let mut stream = connect(&server, &trusted, &[], &BOTH).await.unwrap();
    // Answers of some 100 bytes each, until neither kernel nor TLS takes more.
    let pipeline = request("GET", "/healthz", &[], "").repeat(1000);
    let flood = async {
        while stream.write_all(pipeline.as_bytes()).await.is_ok() && stream.flush().await.is_ok() {}
    };
    timeout(PATIENCE, flood).await.expect("cut off");
}
