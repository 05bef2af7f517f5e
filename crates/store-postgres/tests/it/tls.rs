//! The modes of encryption against a server that offers it, one that does not, and one that pretends.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pushroll_domain::{Secret, Store};
use pushroll_store_postgres::{
    Authorities, ConnectionUrl, Migration, PostgresSettings, PostgresStore, Tls, migrate,
};
use pushroll_testkit_postgres::{Options, PostgresServer};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::bad_days::run;
use crate::place::{OffClock, node};

const PASSWORD: &str = "the-password-of-the-user";

/// A server with encryption whose certificate is for `localhost`; everybody needs a password, and the user `encrypted`
/// gets in with encryption only.
struct Place {
    server: Arc<PostgresServer>,
    database: String,
    dir: TempDir,
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

impl Place {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (ours, foreign) = (authority(), authority());
        std::fs::write(dir.path().join("ours.pem"), ours.pem()).unwrap();
        std::fs::write(dir.path().join("foreign.pem"), foreign.pem()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &ours).unwrap().pem();
        let key = key.serialize_pem();
        let (server, database) = run(move || {
            let server = PostgresServer::start(Options::default());
            let database = server.create_database();
            server.psql(
                "postgres",
                &format!(
                    "set password_encryption = 'scram-sha-256';
                     create role encrypted login password '{PASSWORD}';
                     create role anyhow login password '{PASSWORD}';
                     grant all on database {database} to encrypted, anyhow;"
                ),
            );
            let (certificate, key) =
                (server.put_file("server.crt", &certificate), server.put_file("server.key", &key));
            server.set("ssl", "on");
            server.set("ssl_cert_file", certificate.to_str().unwrap());
            server.set("ssl_key_file", key.to_str().unwrap());
            let rules = "host all postgres all trust\n\
                         hostssl all encrypted all scram-sha-256\n\
                         host all anyhow all scram-sha-256\n";
            let rules = server.put_file("pg_hba.conf", rules);
            server.set("hba_file", rules.to_str().unwrap());
            server.stop(pushroll_testkit_postgres::Stop::Fast);
            server.boot();
            (Arc::new(server), database)
        })
        .await;
        Self { server, database, dir }
    }

    fn authorities(&self, name: &str) -> Authorities {
        Authorities::File(self.dir.path().join(name))
    }

    fn settings(&self, user: &str, host: &str, query: &str, tls: Tls) -> PostgresSettings {
        let url =
            format!("postgres://{user}@{host}:{}/{}{query}", self.server.port(), self.database);
        let url: ConnectionUrl = url.parse().unwrap();
        PostgresSettings {
            tls,
            password: Some(Secret::new(PASSWORD.as_bytes().to_vec())),
            connections: 2,
            ..PostgresSettings::new(url)
        }
    }

    /// How the connections of this user are encrypted now.
    async fn encryption_of(&self, user: &str) -> String {
        let (server, user) = (Arc::clone(&self.server), user.to_owned());
        run(move || {
            let sql = format!(
                "select distinct s.ssl from pg_stat_ssl s join pg_stat_activity a using (pid)
                 where a.usename = '{user}'"
            );
            server.psql("postgres", &sql)
        })
        .await
    }

    async fn migrated(self) -> Self {
        let settings = self.settings("postgres", "localhost", "", Tls::Off);
        migrate(&settings, Migration { shards: Some(1), citus: false }).await.unwrap();
        let (server, database) = (Arc::clone(&self.server), self.database.clone());
        run(move || {
            server.psql(
                &database,
                "grant all on schema pushroll to encrypted, anyhow;
                 grant all on all tables in schema pushroll to encrypted, anyhow;",
            )
        })
        .await;
        self
    }
}

async fn open(settings: PostgresSettings) -> Result<PostgresStore, String> {
    let opened = PostgresStore::open(settings, Arc::new(OffClock(0)), node()).await;
    let opened = opened.map_err(|fault| fault.to_string());
    if let Err(said) = &opened {
        assert!(!said.contains(PASSWORD), "{said}");
    }
    opened
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mode_encrypts_and_verifies_what_it_says() {
    let place = Place::new().await.migrated().await;
    let (ours, foreign) = (place.authorities("ours.pem"), place.authorities("foreign.pem"));
    for (host, tls, expected) in [
        ("localhost", Tls::Prefer, None),
        ("127.0.0.1", Tls::Require, None),
        ("127.0.0.1", Tls::VerifyCa(ours.clone()), None),
        ("localhost", Tls::VerifyFull(ours.clone()), None),
        // The certificate is for another name.
        ("127.0.0.1", Tls::VerifyFull(ours), Some("not valid for name")),
        ("127.0.0.1", Tls::VerifyCa(foreign.clone()), Some("BadSignature")),
        ("localhost", Tls::VerifyFull(foreign), Some("BadSignature")),
        ("localhost", Tls::VerifyFull(Authorities::OfTheMachine), Some("UnknownIssuer")),
        // The server has a rule for this user with encryption only.
        ("localhost", Tls::Off, Some("no encryption")),
    ] {
        let what = format!("{host} {tls:?}");
        let opened = open(place.settings("encrypted", host, "", tls)).await;
        match (opened, expected) {
            (Ok(store), None) => {
                store.ready().await.unwrap();
                assert_eq!(place.encryption_of("encrypted").await, "t", "{what}");
                store.close().await;
            }
            (Err(said), Some(expected)) => assert!(
                said.contains(expected)
                    || expected == "BadSignature" && said.contains("UnknownIssuer"),
                "{what}: {said}"
            ),
            (Ok(_), Some(expected)) => panic!("{what} works, in place of {expected}"),
            (Err(said), None) => panic!("{what}: {said}"),
        }
    }
    let store = open(place.settings("anyhow", "localhost", "", Tls::Off)).await.unwrap();
    assert_eq!(place.encryption_of("anyhow").await, "f");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_password_is_bound_to_the_channel_where_that_is_demanded() {
    let place = Place::new().await.migrated().await;
    let full = || Tls::VerifyFull(place.authorities("ours.pem"));
    let bound = "?channel_binding=require";
    let store = open(place.settings("encrypted", "localhost", bound, full())).await.unwrap();
    store.ready().await.unwrap();
    store.close().await;
    // Without encryption there is nothing to bind it to; nor where no password is asked for.
    for (user, tls) in [("anyhow", Tls::Off), ("postgres", full())] {
        let said = open(place.settings(user, "localhost", bound, tls)).await.err().unwrap();
        assert!(said.contains("channel binding"), "{user}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_told_and_not_shown() {
    let place = Place::new().await.migrated().await;
    let right = place.settings("encrypted", "localhost", "", Tls::Require);
    let wrong =
        PostgresSettings { password: Some(Secret::new(b"hunter2".to_vec())), ..right.clone() };
    let said = open(wrong).await.err().unwrap();
    assert!(said.contains("password authentication failed") && !said.contains("hunter2"), "{said}");
    let none = PostgresSettings { password: None, ..right };
    let said = open(none).await.err().unwrap();
    assert!(said.contains("password missing"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_authorities_that_is_none_is_told_by_name() {
    let place = Place::new().await;
    for (name, text) in [("missing.pem", None), ("empty.pem", Some(""))] {
        let file: PathBuf = place.dir.path().join(name);
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let tls = Tls::VerifyFull(Authorities::File(file));
        let said = open(place.settings("encrypted", "localhost", "", tls)).await.err().unwrap();
        assert!(said.contains(name), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_encryption_learns_nothing_where_encryption_is_demanded() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    // It says that it has none, and asks for the password of whoever goes on all the same.
    let heard = tokio::spawn(async move {
        let mut all = Vec::new();
        for _ in 0..3 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = vec![0; 8];
            stream.read_exact(&mut heard).await.unwrap();
            stream.write_all(b"N").await.unwrap();
            stream.read_to_end(&mut heard).await.unwrap();
            all.push(heard);
        }
        all
    });
    let ours = Place::new().await;
    for tls in [
        Tls::Require,
        Tls::VerifyCa(ours.authorities("ours.pem")),
        Tls::VerifyFull(ours.authorities("ours.pem")),
    ] {
        let url = format!("postgres://me@{address}/roll").parse().unwrap();
        let settings = PostgresSettings {
            tls,
            password: Some(Secret::new(PASSWORD.as_bytes().to_vec())),
            ..PostgresSettings::new(url)
        };
        let said = open(settings).await.err().unwrap();
        assert!(said.contains("server does not support TLS"), "{said}");
    }
    let heard = tokio::time::timeout(Duration::from_secs(60), heard).await.unwrap().unwrap();
    // The request for encryption, and not a byte more: no name, no password.
    let request = [0, 0, 0, 8, 4, 210, 22, 47];
    assert!(heard.iter().all(|heard| *heard == request), "{heard:?}");
}
