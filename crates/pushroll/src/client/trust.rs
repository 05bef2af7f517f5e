//! Whom the client believes to be the server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::TlsConnector;

use super::ClientFault;

/// Whom the client believes to be the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Whoever the system's authorities vouch for.
    System,
    /// Also whoever the authorities in this file (PEM) vouch for.
    Authorities(PathBuf),
    /// Whoever holds the key of the first certificate in this file (PEM), by whatever name: the server's own
    /// certificate, read on its own machine.
    Certificate(PathBuf),
}

impl Trust {
    pub(super) fn connector(&self) -> Result<TlsConnector, ClientFault> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|cause| ClientFault::Tls(cause.to_string()))?;
        let config = match self {
            Self::System => config.with_root_certificates(roots(None)?).with_no_client_auth(),
            Self::Authorities(file) => {
                config.with_root_certificates(roots(Some(file))?).with_no_client_auth()
            }
            Self::Certificate(file) => {
                let certificates = read(file)?;
                let known = certificates.into_iter().next().ok_or_else(|| none_in(file))?;
                let pinned = Arc::new(Pinned { known, provider });
                config.dangerous().with_custom_certificate_verifier(pinned).with_no_client_auth()
            }
        };
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, ClientFault> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = file {
        let certificates = read(file)?;
        if certificates.is_empty() {
            return Err(none_in(file));
        }
        for certificate in certificates {
            roots.add(certificate).map_err(|cause| fault(file, &cause))?;
        }
    }
    Ok(roots)
}

fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>, ClientFault> {
    let certificates = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    certificates.map_err(|cause| fault(file, &cause))
}

fn fault(file: &Path, cause: &dyn std::fmt::Display) -> ClientFault {
    ClientFault::CaFile { file: file.to_owned(), cause: cause.to_string() }
}

fn none_in(file: &Path) -> ClientFault {
    fault(file, &"it holds no certificate in PEM")
}

/// Believes whoever holds the key of one certificate.
#[derive(Debug)]
struct Pinned {
    known: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if end_entity.as_ref() == self.known.as_ref() {
            return Ok(ServerCertVerified::assertion());
        }
        let words = "it shows another certificate than the one in tls.certificate_file";
        Err(rustls::Error::General(words.to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
