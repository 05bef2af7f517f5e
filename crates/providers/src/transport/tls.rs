//! Whom we trust: the system's certificates, and those that the operator adds.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pushroll_domain::ApnsCertificate;
use rustls::client::{WantsClientCert, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use thiserror::Error;
use tokio_rustls::TlsConnector;

/// Why there is nobody to trust.
#[derive(Debug, Error)]
pub(crate) enum TlsFault {
    #[error("can't read {path}: {source}")]
    ExtraCa { path: PathBuf, source: rustls_pki_types::pem::Error },
    #[error("{path} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")]
    EmptyExtraCa { path: PathBuf },
    #[error("{path} holds a certificate that is no authority: {source}")]
    UnfitExtraCa { path: PathBuf, source: rustls::Error },
    #[error(
        "the system has no trusted certificates: install the package ca-certificates, or name a file"
    )]
    NoRoots,
    #[error("TLS can't be set up: {0}")]
    SetUp(#[from] rustls::Error),
    #[error("TLS can't be set up: {0}")]
    Verifier(#[from] rustls::client::VerifierBuilderError),
}

/// TLS for the providers, by the protocols that are offered.
#[derive(Clone)]
pub(crate) struct Tls {
    /// HTTP/2 only.
    pub h2: TlsConnector,
    /// HTTP/2 or HTTP/1.1, as the peer likes.
    pub any_http: TlsConnector,
    provider: Arc<CryptoProvider>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl Tls {
    pub fn new(extra_ca_file: Option<&Path>) -> Result<Self, TlsFault> {
        let mut roots = RootCertStore::empty();
        let native = rustls_native_certs::load_native_certs();
        for fault in &native.errors {
            tracing::warn!(%fault, "some of the system's trusted certificates can't be read");
        }
        roots.add_parsable_certificates(native.certs);
        if let Some(path) = extra_ca_file {
            add_file(&mut roots, path)?;
        }
        if roots.is_empty() {
            return Err(TlsFault::NoRoots);
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()?;
        let with_protocols = |protocols: &[&[u8]]| {
            let mut config = trusting(&provider, &verifier)?.with_no_client_auth();
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            Ok::<_, TlsFault>(TlsConnector::from(Arc::new(config)))
        };
        Ok(Self {
            h2: with_protocols(&[b"h2"])?,
            any_http: with_protocols(&[b"h2", b"http/1.1"])?,
            provider,
            verifier,
        })
    }

    /// HTTP/2 only, showing this certificate to who asks for one.
    pub fn h2_with_certificate(
        &self,
        certificate: &ApnsCertificate,
    ) -> Result<TlsConnector, rustls::Error> {
        let chain = certificate.chain.iter().map(|der| CertificateDer::from(der.clone()));
        let key = PrivatePkcs8KeyDer::from(certificate.private_key.reveal().to_vec());
        let mut config = trusting(&self.provider, &self.verifier)?
            .with_client_auth_cert(chain.collect(), key.into())?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

fn trusting(
    provider: &Arc<CryptoProvider>,
    verifier: &Arc<WebPkiServerVerifier>,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, rustls::Error> {
    Ok(ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()?
        .with_webpki_verifier(Arc::clone(verifier)))
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), TlsFault> {
    let unreadable = |source| TlsFault::ExtraCa { path: path.to_owned(), source };
    let before = roots.len();
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        roots
            .add(certificate.map_err(unreadable)?)
            .map_err(|source| TlsFault::UnfitExtraCa { path: path.to_owned(), source })?;
    }
    if roots.len() == before {
        return Err(TlsFault::EmptyExtraCa { path: path.to_owned() });
    }
    Ok(())
}
