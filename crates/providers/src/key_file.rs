//! Finds out what kind of file somebody uploaded where a private key was asked for.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::{PemObject, SectionKind};

/// What an upload turns out to be. Keys are in DER.
pub(crate) enum KeyFile {
    /// A private key, PKCS #8.
    Pkcs8(Vec<u8>),
    /// An elliptic curve's private key (RFC 5915).
    Sec1(Vec<u8>),
    /// An RSA private key, PKCS #1.
    Pkcs1(Vec<u8>),
    /// Nothing.
    Empty,
    /// A private key under a passphrase.
    Encrypted,
    /// A public key.
    PublicKey,
    /// A certificate.
    Certificate,
    /// A certificate with its key in one file.
    Pkcs12,
    /// A request for a certificate.
    CertificateRequest,
    /// Some JSON.
    Json,
    /// Bytes that are no text.
    Binary,
    /// PEM that does not hold what it says.
    Damaged,
    /// None of these.
    Unknown,
}

/// The kind of a key in PKCS #8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// The curve that ES256 wants.
    P256,
    /// Any other elliptic curve.
    OtherCurve,
    /// RSA.
    Rsa,
    /// None of these.
    Unknown,
}

impl KeyFile {
    /// Looks at a text. White space around it, the kind of its line ends, a byte order mark and
    /// `\n` written out (as from a JSON string) make no difference.
    pub fn read(text: &str) -> Self {
        let text = text.trim_start_matches('\u{feff}').trim();
        let text = text.replace("\\r", "").replace("\\n", "\n").replace('\r', "");
        if text.is_empty() {
            return Self::Empty;
        }
        if text.starts_with('{') {
            return Self::Json;
        }
        if text
            .chars()
            .any(|c| c == char::REPLACEMENT_CHARACTER || (c.is_control() && c != '\n' && c != '\t'))
        {
            return Self::Binary;
        }
        if text.contains("-----BEGIN ") { Self::read_pem(&text) } else { Self::read_bare(&text) }
    }

    fn read_pem(text: &str) -> Self {
        let begins = |label: &str| text.contains(&format!("-----BEGIN {label}-----"));
        if begins("CERTIFICATE") || begins("TRUSTED CERTIFICATE") || begins("PKCS7") {
            return Self::Certificate;
        }
        if begins("CERTIFICATE REQUEST") || begins("NEW CERTIFICATE REQUEST") {
            return Self::CertificateRequest;
        }
        if begins("ENCRYPTED PRIVATE KEY") || text.contains("ENCRYPTED\n") {
            return Self::Encrypted;
        }
        if begins("PUBLIC KEY") || begins("RSA PUBLIC KEY") {
            return Self::PublicKey;
        }
        // A key on a curve may come after its parameters.
        let mut sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes());
        let key = sections.find_map(|section| match section {
            Ok((SectionKind::PrivateKey, der)) => Some(Self::Pkcs8(der)),
            Ok((SectionKind::EcPrivateKey, der)) => Some(Self::Sec1(der)),
            Ok((SectionKind::RsaPrivateKey, der)) => Some(Self::Pkcs1(der)),
            Ok(_) => None,
            Err(_) => Some(Self::Damaged),
        });
        key.unwrap_or(Self::Damaged)
    }

    /// Base64 without the lines around it.
    fn read_bare(text: &str) -> Self {
        let compact: String = text.split_whitespace().collect();
        let Ok(der) = STANDARD.decode(&compact) else {
            return Self::Unknown;
        };
        // The first element within the outermost sequence tells.
        match first_elements(&der) {
            Some([0x02, 0x01, 0x00, 0x30, ..]) => Self::Pkcs8(der),
            Some([0x02, 0x01, 0x00, ..]) => Self::Pkcs1(der),
            Some([0x02, 0x01, 0x01, ..]) => Self::Sec1(der),
            Some([0x02, 0x01, 0x03, ..]) => Self::Pkcs12,
            Some([0x30, 0x82, ..]) => Self::Certificate,
            Some(_) | None => Self::Unknown,
        }
    }
}

/// What is within the outermost sequence of DER.
fn first_elements(der: &[u8]) -> Option<&[u8]> {
    let (&tag, rest) = der.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let more = if length < 0x80 { 0 } else { usize::from(length & 0x7f) };
    (tag == 0x30).then_some(rest)?.get(more..)
}

/// The kind of key in PKCS #8, by the object identifiers at its head.
pub(crate) fn pkcs8_algorithm(der: &[u8]) -> Algorithm {
    const EC_PUBLIC_KEY: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    const RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    const HEAD_BYTES: usize = 40;
    let head = &der[..der.len().min(HEAD_BYTES)];
    let has = |oid: &[u8]| head.windows(oid.len()).any(|window| window == oid);
    if has(EC_PUBLIC_KEY) {
        if has(P256) { Algorithm::P256 } else { Algorithm::OtherCurve }
    } else if has(RSA) {
        Algorithm::Rsa
    } else {
        Algorithm::Unknown
    }
}
