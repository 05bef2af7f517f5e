//! The certificate authority that clients of the simulator trust instead of the public ones.

use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::directory::{Directory, Readable};

/// The authority's certificate, in PEM, for clients to trust.
pub const CA_FILE: &str = "ca.pem";
const CA_KEY_FILE: &str = "ca-key.pem";
/// The names that the simulator's own certificate is good for.
pub const SERVER_NAMES: [&str; 3] = ["127.0.0.1", "localhost", "::1"];

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    ca_pem: String,
}

/// A server certificate with its key, both in PEM.
#[derive(Clone)]
pub struct ServerCertificate {
    /// The certificate followed by the authority's.
    pub cert_chain_pem: String,
    /// The private key (PKCS#8).
    pub key_pem: String,
}

impl std::fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerCertificate")
    }
}

impl Authority {
    /// The directory's authority; made if the directory has none.
    pub(crate) fn open(directory: &Directory) -> Result<Self> {
        match (directory.read(CA_FILE)?, directory.read(CA_KEY_FILE)?) {
            (Some(ca_pem), Some(key_pem)) => {
                let key = KeyPair::from_pem(&key_pem).with_context(|| {
                    format!("{} is damaged", directory.path(CA_KEY_FILE).display())
                })?;
                Ok(Self { issuer: Issuer::new(ca_params(), key), ca_pem })
            }
            _ => {
                let key = KeyPair::generate()?;
                let ca_pem = ca_params().self_signed(&key)?.pem();
                // The key goes first: a certificate without its key is made anew.
                directory.write(CA_KEY_FILE, key.serialize_pem(), Readable::ByOwner)?;
                directory.write(CA_FILE, &ca_pem, Readable::ByAll)?;
                Ok(Self { issuer: Issuer::new(ca_params(), key), ca_pem })
            }
        }
    }

    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    pub(crate) fn issue(&self, names: &[&str]) -> Result<ServerCertificate> {
        anyhow::ensure!(!names.is_empty(), "a server certificate needs a name");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names.clone())?;
        params.distinguished_name.push(DnType::CommonName, names[0].clone());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(ServerCertificate {
            cert_chain_pem: format!("{}{}", certificate.pem(), self.ca_pem),
            key_pem: key.serialize_pem(),
        })
    }

    pub(crate) fn sign(&self, params: CertificateParams, key: &KeyPair) -> Result<Certificate> {
        Ok(params.signed_by(key, &self.issuer)?)
    }

    /// Tells client certificates that this authority has signed, and that are good at the time.
    pub(crate) fn client_verifier(&self) -> Result<Arc<dyn ClientCertVerifier>> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.ca_pem.as_bytes()) {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        Ok(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?)
    }

    /// TLS 1.2 and 1.3 with a certificate for [`SERVER_NAMES`] and the given ALPN protocols; with
    /// `clients` it asks for client certificates too.
    pub(crate) fn server_config(
        &self,
        protocols: &[&[u8]],
        clients: Option<Arc<dyn ClientCertVerifier>>,
    ) -> Result<Arc<ServerConfig>> {
        let issued = self.issue(&SERVER_NAMES)?;
        let chain = CertificateDer::pem_slice_iter(issued.cert_chain_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .context("the certificate just issued can't be read")?;
        let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes())
            .context("the key just made can't be read")?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let builder = match clients {
            Some(clients) => builder.with_client_cert_verifier(clients),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key)?;
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Arc::new(config))
    }
}

/// The same for every directory: only the key tells two authorities apart, and the issuer of a
/// restarted simulator is rebuilt from it.
fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Pushroll simulator CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2125, 1, 1);
    params
}
