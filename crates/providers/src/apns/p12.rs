//! Takes certificate and private key out of a PKCS #12 file (RFC 7292), or says what somebody has
//! uploaded instead of one.
//!
//! What Keychain Access and older openssl write is encrypted with RC2 and triple DES, which no
//! library of TLS has any more; what newer ones write, with AES.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use p12_keystore::Pkcs12Archive;
use p12_keystore::error::Error;
use pushroll_domain::{CredentialFault, Secret};
use rustls::crypto::aws_lc_rs;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::certificate::{is_push_certificate, name_of, pem_of};
use crate::key_file::KeyFile;

const P12: &str = "ios.certificate.p12_base64";
const PASSWORD: &str = "ios.certificate.password";

/// A push certificate with its key takes 3 to 10 KB.
const MAX_P12_BYTES: usize = 128 * 1024;
/// What to do instead.
pub(super) const UPLOAD: &str = "in Keychain Access, under \"My Certificates\", choose the push \
                                 certificate with its private key, export it as .p12, and upload \
                                 that file in base64";

/// Certificate, chain and private key in PEM.
pub(crate) fn open_p12(p12_base64: &str, password: &str) -> Result<Secret, CredentialFault> {
    let fault = |message| CredentialFault { field: P12, message };
    let file = decode(p12_base64).map_err(fault)?;
    let archive = Pkcs12Archive::from_pkcs12(&file, password)
        .map_err(|cause| why_not_opened(&cause, password))?;
    let keys: Vec<_> = archive.keys.iter().map(|bag| bag.key.as_der()).collect();
    let certificates: Vec<_> = archive.certs.iter().map(|bag| bag.cert.as_der()).collect();
    let (leaf, key) = choose(&certificates, &keys).map_err(fault)?;
    let chain = chain_from(leaf, &certificates);
    Ok(pem_of(&chain, key))
}

/// The bytes of the file.
fn decode(text: &str) -> Result<Vec<u8>, String> {
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Err(format!("No certificate was entered; {UPLOAD}."));
    }
    let compact: String = text.split_whitespace().collect();
    if compact.len() / 4 * 3 > MAX_P12_BYTES {
        return Err(format!(
            "This is too much for a certificate with its key (at most {MAX_P12_BYTES} bytes): \
             export the one item only; {UPLOAD}."
        ));
    }
    if let Ok(file) = STANDARD.decode(&compact)
        && is_pfx(&file)
    {
        return Ok(file);
    }
    Err(match KeyFile::read(text) {
        KeyFile::Pkcs8(_) | KeyFile::Sec1(_) => format!(
            "This is a private key, perhaps an APNs key (.p8), which is entered as ios.key with its \
             key id and team id. For a certificate, {UPLOAD}."
        ),
        KeyFile::Pkcs1(_) | KeyFile::Encrypted => {
            format!("This is a private key without its certificate; {UPLOAD}.")
        }
        KeyFile::PublicKey => format!("This is a public key; {UPLOAD}."),
        KeyFile::Certificate if text.starts_with("-----") || text.contains("-----BEGIN ") => {
            format!(
                "This is PEM text. Make a .p12 of it and its key with \"openssl pkcs12 -export -in \
                 certificate.pem -inkey key.pem -out certificate.p12\", or {UPLOAD}."
            )
        }
        KeyFile::Certificate => format!(
            "This is a certificate without its private key (.cer), as it is downloaded from Apple. \
             The key is on the machine where it was requested: {UPLOAD}."
        ),
        KeyFile::CertificateRequest => {
            format!("This is a certificate signing request, not the certificate; {UPLOAD}.")
        }
        KeyFile::Json => format!(
            "This is JSON, perhaps a Google service account, which belongs to the app's Android \
             side; {UPLOAD}."
        ),
        KeyFile::Binary | KeyFile::Damaged | KeyFile::Unknown | KeyFile::Empty => format!(
            "This is no .p12 file in base64 (the output of \"base64 < certificate.p12\"); \
             {UPLOAD}."
        ),
        KeyFile::Pkcs12 => format!("This .p12 file is damaged or cut off; {UPLOAD}."),
    })
}

/// Whether DER is PKCS #12 as a whole: a sequence that begins with version 3 and ends where the bytes
/// do.
fn is_pfx(der: &[u8]) -> bool {
    let Some([0x30, first, rest @ ..]) = der.get(..) else { return false };
    let more = if *first < 0x80 { 0 } else { usize::from(*first & 0x7f) };
    if *first == 0x80 || more > 4 || rest.len() < more {
        return false;
    }
    let (length, content) = rest.split_at(more);
    let length = match more {
        0 => usize::from(*first),
        _ => length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
    };
    length == content.len() && content.starts_with(&[0x02, 0x01, 0x03])
}

fn why_not_opened(cause: &Error, password: &str) -> CredentialFault {
    match cause {
        Error::MacError(_) | Error::UnpadError | Error::Pkcs5Error(_) => CredentialFault {
            field: PASSWORD,
            message: if password.is_empty() {
                "This file has a password: enter the one that was given when it was exported."
                    .to_owned()
            } else {
                "The password is not that of this file: enter the one that was given when it was \
                 exported, or export it again."
                    .to_owned()
            },
        },
        Error::UnsupportedEncryptionScheme
        | Error::UnsupportedMacAlgorithm
        | Error::UnsupportedContentType
        | Error::UnsupportedCertificateType
        | Error::InvalidParameters => CredentialFault {
            field: P12,
            message: format!(
                "This .p12 file is encrypted in a way that is not supported ({cause}). Known are \
                 those of Keychain Access and openssl (AES, triple DES, RC2 with 40 bits): export \
                 it again there; {UPLOAD}."
            ),
        },
        Error::IoError(_)
        | Error::DerError(_)
        | Error::InvalidVersion
        | Error::X509Error(_)
        | Error::InvalidLength
        | Error::InvalidData
        | Error::InvalidPrivateKey => {
            CredentialFault { field: P12, message: format!("This .p12 file is damaged; {UPLOAD}.") }
        }
    }
}

/// The certificate that there is a private key for, and the key.
fn choose<'a>(
    certificates: &[&'a [u8]],
    keys: &[&'a [u8]],
) -> Result<(&'a [u8], &'a [u8]), String> {
    if certificates.is_empty() {
        return Err(format!("There is no certificate in this .p12 file; {UPLOAD}."));
    }
    if keys.is_empty() {
        return Err(format!(
            "There is no private key in this .p12 file, only a certificate. In Keychain Access the \
             certificate must be exported from \"My Certificates\", where it can be unfolded to \
             show its key: {UPLOAD}."
        ));
    }
    let mut pairs: Vec<(&[u8], &[u8])> = Vec::new();
    for key in keys {
        let Some(signer) = signer(key) else { continue };
        let theirs = certificates.iter().filter(|certificate| belongs(certificate, &signer));
        pairs.extend(theirs.map(|certificate| (*certificate, *key)));
    }
    pairs.dedup_by_key(|(certificate, _)| *certificate);
    if pairs.len() > 1 {
        let push = pairs.iter().filter(|(certificate, _)| is_push_certificate(certificate));
        let push: Vec<_> = push.copied().collect();
        if push.len() != 1 {
            let names: Vec<_> = pairs.iter().map(|(certificate, _)| name_of(certificate)).collect();
            return Err(format!(
                "There are several certificates with keys in this .p12 file ({}): export the push \
                 certificate of this app alone; {UPLOAD}.",
                names.join(", ")
            ));
        }
        pairs = push;
    }
    pairs.first().copied().ok_or_else(|| {
        format!(
            "The private key in this .p12 file is not that of its certificate, or of a kind that \
             is not supported; {UPLOAD}."
        )
    })
}

fn signer(key: &[u8]) -> Option<Arc<dyn SigningKey>> {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key)).clone_key();
    aws_lc_rs::default_provider().key_provider.load_private_key(key).ok()
}

fn belongs(certificate: &[u8], signer: &Arc<dyn SigningKey>) -> bool {
    let certificate = CertificateDer::from(certificate.to_vec());
    CertifiedKey::new(vec![certificate], Arc::clone(signer)).keys_match().is_ok()
}

/// The certificate and those that lead to its authority, without the authority's own.
fn chain_from<'a>(leaf: &'a [u8], certificates: &[&'a [u8]]) -> Vec<&'a [u8]> {
    let names = |der: &[u8]| {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        let (subject, issuer) = (certificate.subject(), certificate.issuer());
        Some((subject.as_raw().to_vec(), issuer.as_raw().to_vec()))
    };
    let mut chain = vec![leaf];
    while let Some((_, issuer)) = chain.last().and_then(|last| names(last)) {
        let next = certificates.iter().find(|der| {
            let named = names(der);
            named.is_some_and(|(subject, its_issuer)| subject == issuer && its_issuer != issuer)
        });
        match next {
            Some(next) if !chain.contains(next) => chain.push(next),
            Some(_) | None => break,
        }
    }
    chain
}

#[cfg(test)]
mod tests;
