//! TLS of a listener. The certificate can be replaced while connections are open: those that are keep
//! what they have, the next handshake gets the new one.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use pushroll_domain::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

/// TLS 1.2 and 1.3 with HTTP/2 and HTTP/1.1 by ALPN.
#[derive(Clone)]
pub struct ServerTls {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
}

/// Why a certificate and its key can't be used. The messages follow the name of a file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TlsFault {
    /// It is about the certificate.
    #[error("{0}")]
    Certificate(String),
    /// It is about the key.
    #[error("{0}")]
    Key(String),
}

struct Current {
    provider: Arc<CryptoProvider>,
    identity: ArcSwap<Identity>,
}

struct Identity {
    key: Arc<CertifiedKey>,
    expires_at: Timestamp,
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.identity.load().key))
    }
}

impl ServerTls {
    /// TLS with this certificate, followed by those that lead to its authority, and its key, all in
    /// PEM.
    ///
    /// # Errors
    /// When they can't be read or don't belong together.
    pub fn new(certificate_pem: &[u8], key_pem: &[u8]) -> Result<Self, TlsFault> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let identity = ArcSwap::from_pointee(read(&provider, certificate_pem, key_pem)?);
        let current = Arc::new(Current { provider: Arc::clone(&provider), identity });
        let set_up =
            |fault: rustls::Error| TlsFault::Certificate(format!("can't be used: {fault}"));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(set_up)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as _);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // So that callers who come again, however many, skip the costly part.
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(set_up)?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), current })
    }

    /// Uses another certificate and key from the next handshake on.
    ///
    /// # Errors
    /// When they can't be read or don't belong together; then those before stay.
    pub fn replace(&self, certificate_pem: &[u8], key_pem: &[u8]) -> Result<(), TlsFault> {
        let identity = read(&self.current.provider, certificate_pem, key_pem)?;
        self.current.identity.store(Arc::new(identity));
        Ok(())
    }

    /// From when on the certificate is no longer good.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.current.identity.load().expires_at
    }

    pub(crate) const fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }
}

fn read(
    provider: &CryptoProvider,
    certificate_pem: &[u8],
    key_pem: &[u8],
) -> Result<Identity, TlsFault> {
    let certificate = |words: String| TlsFault::Certificate(words);
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate_pem)
        .collect::<Result<_, _>>()
        .map_err(|fault| certificate(format!("is damaged: {fault}")))?;
    let leaf = chain.first().ok_or_else(|| {
        certificate("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)".to_owned())
    })?;
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf)
        .map_err(|fault| certificate(format!("holds a certificate that can't be read: {fault}")))?;
    let end = parsed.validity().not_after.timestamp();
    let expires_at = Timestamp::from_millis(u64::try_from(end).unwrap_or(0) * 1000);
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|fault| match fault {
        pem::Error::NoItemsFound if is_encrypted(key_pem) => TlsFault::Key(
            "holds a key under a passphrase: write it without one (openssl pkey -in … -out …)"
                .to_owned(),
        ),
        pem::Error::NoItemsFound => {
            TlsFault::Key("holds no private key in PEM (-----BEGIN PRIVATE KEY-----)".to_owned())
        }
        fault => TlsFault::Key(format!("is damaged: {fault}")),
    })?;
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|fault| TlsFault::Key(format!("holds a key that can't be used: {fault}")))?;
    let key = CertifiedKey::new(chain, key);
    key.keys_match().map_err(|_| {
        TlsFault::Key(
            "is not the key of the certificate (the first in its file must be the server's own)"
                .to_owned(),
        )
    })?;
    Ok(Identity { key: Arc::new(key), expires_at })
}

fn is_encrypted(key_pem: &[u8]) -> bool {
    String::from_utf8_lossy(key_pem).contains("ENCRYPTED")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned()];
        let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn fault(certificate: &str, key: &str) -> TlsFault {
        ServerTls::new(certificate.as_bytes(), key.as_bytes()).err().expect("a fault")
    }

    #[test]
    fn what_is_wrong_with_certificate_or_key_is_told() {
        let (certificate, key) = made();
        let (_, other_key) = made();
        for (words, told) in [
            ("holds no certificate", fault(&key, &key)),
            ("holds no certificate", fault("", &key)),
            ("is damaged", fault(&certificate.replace("END", "EMD"), &key)),
            (
                "can't be read",
                fault("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &key),
            ),
        ] {
            let TlsFault::Certificate(message) = &told else { panic!("{words}: {told:?}") };
            assert!(message.contains(words), "{words}: {message}");
        }
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let garbage = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        for (words, told) in [
            ("holds no private key", fault(&certificate, &certificate)),
            ("under a passphrase", fault(&certificate, &encrypted)),
            ("can't be used", fault(&certificate, garbage)),
            ("is not the key of the certificate", fault(&certificate, &other_key)),
        ] {
            let TlsFault::Key(message) = &told else { panic!("{words}: {told:?}") };
            assert!(message.contains(words), "{words}: {message}");
        }
    }

    #[test]
    fn what_can_not_be_used_replaces_nothing() {
        let (certificate, key) = made();
        let tls = ServerTls::new(certificate.as_bytes(), key.as_bytes()).unwrap();
        let before = Arc::clone(&tls.current.identity.load().key);
        tls.replace(certificate.as_bytes(), b"").unwrap_err();
        assert!(Arc::ptr_eq(&before, &tls.current.identity.load().key));
        let (certificate, key) = made();
        tls.replace(certificate.as_bytes(), key.as_bytes()).unwrap();
        assert!(!Arc::ptr_eq(&before, &tls.current.identity.load().key));
        assert_eq!(tls.expires_at().date(), "4096-01-01");
    }
}
