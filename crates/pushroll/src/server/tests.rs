//! The life of a server in this process.

use pushroll_domain::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::commands::Exit;
use crate::sealing::SealingKey;
use crate::sealing::key_file;
use crate::settings::{SealingKeySource, Store};

fn settings(directory: &Path) -> Settings {
    let mut settings = Settings::default();
    settings.listen.set_port(0);
    let Store::Embedded(store) = &mut settings.store else { unreachable!("it is the default") };
    store.path = directory.join("data");
    settings
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[track_caller]
fn refused(started: Result<Server, StartError>) -> StartError {
    match started {
        Ok(_) => panic!("it started"),
        Err(fault) => fault,
    }
}

#[tokio::test]
async fn a_server_is_ready_when_it_has_started_and_gone_when_it_has_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(settings(dir.path())).await.unwrap();
    let address = server.local_addr();
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
    assert!(get(address, "/metrics").await.contains("pushroll_http_requests_total"));
    assert!(server.admin_token_file().is_some_and(Path::is_file));
    server.stop().await;
    assert!(TcpStream::connect(address).await.is_err());
    // The data is let go of: another server has it.
    Server::start(settings(dir.path())).await.unwrap().stop().await;
}

#[tokio::test]
async fn two_servers_on_one_data_directory_are_one_too_many() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(settings(dir.path())).await.unwrap();
    let fault = refused(Server::start(settings(dir.path())).await);
    assert_eq!(fault.exit(), Exit::InUse, "{fault}");
    server.stop().await;
}

#[tokio::test]
async fn a_store_that_was_sealed_starts_with_its_own_key_only() {
    let dir = tempfile::tempdir().unwrap();
    Server::start(settings(dir.path())).await.unwrap().stop().await;
    let file = dir.path().join("data").join(key_file::KEY_FILE);
    let key = Secret::new(std::fs::read(&file).unwrap());
    std::fs::remove_file(&file).unwrap();

    let fault = refused(Server::start(settings(dir.path())).await);
    assert_eq!(fault.exit(), Exit::Secrets);
    assert!(fault.to_string().contains(&file.display().to_string()), "{fault}");
    let with = |key| Settings { sealing_key: SealingKeySource::Given(key), ..settings(dir.path()) };
    let fault = refused(Server::start(with(SealingKey::generate().to_text())).await);
    assert_eq!(fault.exit(), Exit::Secrets);
    Server::start(with(key)).await.unwrap().stop().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_told_and_the_data_let_go_of() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut on_taken = settings(dir.path());
    on_taken.listen = taken.local_addr().unwrap();
    let fault = refused(Server::start(on_taken).await);
    assert_eq!(fault.exit(), Exit::Listen, "{fault}");
    Server::start(settings(dir.path())).await.unwrap().stop().await;
}

#[tokio::test]
async fn a_fault_of_the_settings_leaves_no_data_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut faulty = settings(dir.path());
    faulty.providers.ca_file = Some(dir.path().join("missing.pem"));
    let fault = refused(Server::start(faulty).await);
    assert_eq!(fault.exit(), Exit::Usage, "{fault}");
    assert!(!dir.path().join("data").exists());
}
