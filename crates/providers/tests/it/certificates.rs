//! APNs by client certificate.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pushroll_domain::{ApnsCredentials, DryRun, DryRunReport, Environment, Providers, Verdict};
use pushroll_simulator::{
    ApnsFate, P12_PASSWORD, Provider, PushCertificateOrder, Reply, Simulator, tokens,
};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::stage::{Stage, ios_token, settings_for, some_id, stage, stage_with};

const PRODUCTION: Provider = Provider::ApnsProduction;

fn good() -> String {
    tokens::apns(1, ApnsFate::Accepted)
}

impl Stage {
    fn certified(&self, order: &PushCertificateOrder) -> Arc<ApnsCredentials> {
        let push = self.simulator.issue_push_certificate(order).unwrap();
        let pem = self.clients.open_p12(&STANDARD.encode(&push.p12), P12_PASSWORD).unwrap();
        let pem = str::from_utf8(pem.reveal()).unwrap();
        Arc::new(self.clients.read_apns_certificate(None, pem).unwrap())
    }

    async fn ask_with(&self, ios: &Arc<ApnsCredentials>) -> DryRunReport {
        let environment = Environment::Production;
        self.clients.apns(ios, environment, &ios_token(&good()), some_id()).await
    }
}

#[tokio::test]
async fn a_certificate_is_shown_to_the_host_in_place_of_a_provider_token() {
    let stage = stage().await;
    let ios = stage.certified(&PushCertificateOrder::default());
    let report = stage.ask_with(&ios).await;
    assert_eq!(report.verdict, Verdict::Accepted, "{report:?}");
    let requests = stage.simulator.recent_requests(PRODUCTION, 10);
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!(request.header("authorization"), None);
    assert_eq!(request.header("apns-topic"), Some(stage.simulator.bundle_id()));
    assert_eq!(stage.simulator.statistics(PRODUCTION).requests_with_certificate, 1);
    assert_eq!(stage.simulator.statistics(PRODUCTION).provider_tokens_seen, 0);
}

#[tokio::test]
async fn each_certificate_has_connections_of_its_own() {
    let stage = stage().await;
    let order = PushCertificateOrder::default();
    let (one, two) = (stage.certified(&order), stage.certified(&order));
    let again = Arc::new(ApnsCredentials::clone(&one));
    for (ios, connections) in [(&one, 1), (&again, 1), (&two, 2), (&stage.ios, 3), (&one, 3)] {
        assert_eq!(stage.ask_with(ios).await.verdict, Verdict::Accepted);
        assert_eq!(stage.connections_opened(PRODUCTION), connections);
    }
}

#[tokio::test]
async fn what_apns_holds_against_a_certificate_is_said_of_the_credentials() {
    let stage = stage().await;
    let strange = PushCertificateOrder { by_a_stranger: true, ..PushCertificateOrder::default() };
    let sandbox = PushCertificateOrder { production: false, ..PushCertificateOrder::default() };
    for (order, reason) in [(strange, "BadCertificate"), (sandbox, "BadCertificateEnvironment")] {
        let report = stage.ask_with(&stage.certified(&order)).await;
        assert_eq!(report.verdict, Verdict::CredentialsRefused);
        assert_eq!((report.answer.status, report.answer.reason.as_str()), (Some(403), reason));
    }
}

#[tokio::test]
async fn a_certificate_that_has_expired_since_it_was_entered_is_not_shown_to_anybody() {
    let stage = stage().await;
    let ios = stage.certified(&PushCertificateOrder::default());
    assert_eq!(stage.ask_with(&ios).await.verdict, Verdict::Accepted);
    stage.advance(Duration::from_secs(100 * 366 * 24 * 3600));
    let report = stage.ask_with(&ios).await;
    assert_eq!(report.verdict, Verdict::CredentialsRefused);
    assert_eq!(report.answer.reason, "the certificate has expired");
    let detail = report.answer.detail.unwrap();
    assert!(detail.contains("expired on 2125-01-01"), "{detail}");
    assert_eq!(stage.simulator.statistics(PRODUCTION).requests, 1);
}

#[tokio::test]
async fn a_provider_token_that_was_never_sent_is_not_renewed() {
    let stage = stage().await;
    let ios = stage.certified(&PushCertificateOrder::default());
    let odd = Reply::refused(403, "ExpiredProviderToken");
    stage.simulator.script(PRODUCTION, None, [odd]).unwrap();
    assert_eq!(stage.ask_with(&ios).await.verdict, Verdict::CredentialsRefused);
    assert_eq!(stage.simulator.statistics(PRODUCTION).requests, 1);
}

/// A server that wants client certificates of an authority of its own, and breaks off TLS when it is
/// shown another.
async fn a_picky_server(
    simulator: &Simulator,
    version: &'static SupportedProtocolVersion,
) -> String {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let own = simulator.issue_server_certificate(&["127.0.0.1"]).unwrap();
    let chain = CertificateDer::pem_slice_iter(own.cert_chain_pem.as_bytes());
    let chain = chain.collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(own.key_pem.as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move { drop(acceptor.accept(stream).await) });
        }
    });
    url
}

#[tokio::test]
async fn a_certificate_that_tls_refuses_is_refused_credentials_and_nothing_to_try_again() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let stage = stage().await;
        let ios = stage.certified(&PushCertificateOrder::default());
        let mut settings = settings_for(&stage.simulator);
        let url = a_picky_server(&stage.simulator, version).await;
        settings.apns_production_url = url.parse().unwrap();
        let stage = stage.with_clients(&settings);
        let report = stage.ask_with(&ios).await;
        assert_eq!(report.verdict, Verdict::CredentialsRefused, "{version:?}: {report:?}");
        assert_eq!(report.answer.reason, "the certificate was refused");
        assert!(report.answer.detail.unwrap().contains("alert UnknownCA"));
        // Without a certificate it says nothing about the credentials.
        assert_eq!(stage.ask_with(&stage.ios).await.verdict, Verdict::Unreachable);
    }
}

#[tokio::test]
async fn a_dry_run_by_certificate_goes_through_a_proxy_too() {
    let proxy = crate::proxy::a_proxy(crate::proxy::Manner::Tunnels).await;
    let setting = proxy.setting("");
    let stage = stage_with(|settings| settings.proxy = Some(setting)).await;
    let ios = stage.certified(&PushCertificateOrder::default());
    assert_eq!(stage.ask_with(&ios).await.verdict, Verdict::Accepted);
    assert_eq!(proxy.heads().len(), 1);
}
