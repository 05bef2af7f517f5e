//! Starting, stopping and starting again from the same directory; TLS and what it issues.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use pushroll_simulator::{Simulator, SimulatorSettings};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::client::{Client, PATIENCE, authority_of, connect_tls, tls_config};
use crate::setup::{World, a_simulator, a_simulator_with, dry_run, provider_token};

fn mode_of(path: &Path) -> u32 {
    std::fs::metadata(path).expect("is there").permissions().mode() & 0o777
}

#[tokio::test]
async fn a_restart_keeps_authority_keys_and_ports_so_that_a_posted_app_stays_good() {
    let dir = tempfile::tempdir().expect("a directory");
    let start = || Simulator::start(SimulatorSettings::new(dir.path()));
    let first = start().await.expect("starts");
    let (ca_pem, app) = (first.ca_pem().to_owned(), first.app_body("app"));
    let bearer = provider_token(first.apns_key(), crate::setup::now_s());
    let url = first.apns_production_url().to_owned();
    let client = Client::connect(&url, &ca_pem).await;
    first.shutdown().await;
    client.ended().await;
    assert!(TcpStream::connect(authority_of(&url)).await.is_err(), "the port is closed");

    let second = start().await.expect("starts again");
    assert_eq!(second.ca_pem(), ca_pem);
    assert_eq!(second.app_body("app"), app, "token_uri too");
    let client = Client::connect(&url, &ca_pem).await;
    assert_eq!(dry_run(&client, &bearer, "ab").await.status, 200);
}

#[tokio::test]
async fn two_simulators_on_one_directory_get_ports_of_their_own() {
    let world = a_simulator().await;
    let other = Simulator::start(SimulatorSettings::new(world.dir.path())).await.expect("starts");
    assert_ne!(other.fcm_url(), world.simulator.fcm_url());
}

#[tokio::test]
async fn the_directory_has_the_app_and_the_authority_and_private_keys_are_private() {
    let world = a_simulator().await;
    let file = |name: &str| world.dir.path().join(name);
    let app = std::fs::read_to_string(file("app.json")).expect("is there");
    let app: serde_json::Value = serde_json::from_str(&app).expect("JSON");
    assert_eq!(app["ios"]["mode"], "production");
    assert_eq!(app["ios"]["bundle_id"], "com.example.pushroll");
    let key = &app["ios"]["key"];
    assert_eq!(key["key_id"].as_str().expect("an id").len(), 10);
    assert_eq!(key["team_id"].as_str().expect("an id").len(), 10);
    assert!(key["p8"].as_str().expect("a key").starts_with("-----BEGIN PRIVATE KEY-----\n"));
    let account = &app["android"]["service_account"];
    assert_eq!(account["type"], "service_account");
    assert_eq!(account["token_uri"], world.simulator.token_uri());
    let pem = std::fs::read_to_string(world.simulator.ca_pem_path()).expect("is there");
    assert_eq!(pem, world.simulator.ca_pem());
    let known = format!("AuthKey_{}.p8", world.simulator.apns_key().key_id);
    for private in ["app.json", "credentials.json", "ca-key.pem", "service-account.json", &known] {
        assert_eq!(mode_of(&file(private)), 0o600, "{private}");
    }
}

#[tokio::test]
async fn a_damaged_file_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("credentials.json"), "{").expect("writes");
    let Err(why) = Simulator::start(SimulatorSettings::new(dir.path())).await else {
        panic!("must not start");
    };
    assert!(format!("{why:#}").contains("credentials.json"), "{why:#}");
}

#[tokio::test]
async fn apns_speaks_http2_only_and_google_both() {
    let world = a_simulator().await;
    let ca_pem = world.simulator.ca_pem();
    let apns = world.simulator.apns_production_url();
    assert!(connect_tls(apns, ca_pem, &[b"http/1.1"]).await.is_err(), "no common protocol");

    let tls = connect_tls(world.simulator.fcm_url(), ca_pem, &[b"http/1.1"]).await.expect("TLS");
    let (mut send, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.expect("HTTP/1.1");
    tokio::spawn(connection);
    let assertion = world.assertion(|_| {});
    let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let request = Request::post("/token")
        .header("host", authority_of(world.simulator.fcm_url()))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::new(bytes::Bytes::from(format!("grant_type={grant}&assertion={assertion}"))))
        .expect("a request");
    let answer = send.send_request(request).await.expect("answered");
    assert_eq!(answer.status(), 200);
    let body = answer.into_body().collect().await.expect("read").to_bytes();
    assert!(body.starts_with(b"{\"access_token\":\"ya29."), "{body:?}");
}

#[tokio::test]
async fn connections_over_the_limit_are_reset_and_taken_again_when_there_is_room() {
    let world = a_simulator_with(|settings| settings.limits.connections = 1).await;
    let (url, ca_pem) = (world.simulator.apns_production_url(), world.simulator.ca_pem());
    let first = Client::connect(url, ca_pem).await;
    assert!(connect_tls(url, ca_pem, &[b"h2"]).await.is_err());
    drop(first);
    let again = async { while connect_tls(url, ca_pem, &[b"h2"]).await.is_err() {} };
    tokio::time::timeout(PATIENCE, again).await.expect("room in time");
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_clients_that_say_nothing() {
    let World { simulator, dir: _dir } = a_simulator().await;
    let address = authority_of(simulator.apns_production_url());
    let _tcp = TcpStream::connect(&address).await.expect("connects");
    let (url, ca_pem) = (simulator.apns_production_url(), simulator.ca_pem());
    let _tls = connect_tls(url, ca_pem, &[b"h2"]).await.expect("TLS");
    let _http2 = Client::connect(url, ca_pem).await;
    let _http1 = connect_tls(simulator.fcm_url(), ca_pem, &[b"http/1.1"]).await.expect("TLS");
    let began = Instant::now();
    simulator.shutdown().await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test]
async fn the_certificate_is_good_for_localhost_too_and_for_nobody_without_the_authority() {
    let world = a_simulator().await;
    let port = world.simulator.fcm_url().rsplit_once(':').expect("a port").1.to_owned();
    let url = format!("https://localhost:{port}");
    connect_tls(&url, world.simulator.ca_pem(), &[b"h2"]).await.expect("TLS");
    let stranger = a_simulator().await;
    let refused = connect_tls(world.simulator.fcm_url(), stranger.simulator.ca_pem(), &[b"h2"]);
    assert!(refused.await.is_err());
}

#[tokio::test]
async fn the_authority_issues_certificates_for_other_servers() {
    let world = a_simulator().await;
    let issued = world
        .simulator
        .issue_server_certificate(&["hooks.example.com", "127.0.0.1"])
        .expect("issued");
    let chain: Vec<_> = CertificateDer::pem_slice_iter(issued.cert_chain_pem.as_bytes())
        .collect::<Result<_, _>>()
        .expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).expect("PEM");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (tcp, _) = listener.accept().await.expect("accepts");
        acceptor.accept(tcp).await.map(drop)
    });
    let tcp = TcpStream::connect(address).await.expect("connects");
    let name = ServerName::try_from("hooks.example.com").expect("a name");
    let connector = TlsConnector::from(tls_config(world.simulator.ca_pem(), None, &[]));
    connector.connect(name, tcp).await.expect("TLS");
    server.await.expect("no panic").expect("TLS");
    assert!(world.simulator.issue_server_certificate(&[]).is_err());
}
