//! Push certificates as Apple gives them out to developers, signed by the simulator's authority, and
//! the .p12 files in which they are exported with their keys.

use anyhow::Result;
use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    KeyPair, PKCS_RSA_SHA256, date_time_ymd,
};
use time::OffsetDateTime;

use crate::authority::Authority;
use crate::credentials::BUNDLE_ID;

/// The password of the .p12 files.
pub const P12_PASSWORD: &str = "simulator";
/// As openssl writes it.
const P12_ITERATIONS: u32 = 2048;

/// The last number of Apple's extensions of certificates for services, 1.2.840.113635.100.6.3.….
pub(crate) const DEVELOPMENT: u64 = 1;
pub(crate) const PRODUCTION: u64 = 2;
pub(crate) const TOPICS: u64 = 6;
/// The attribute "user id" of a subject: the bundle id.
pub(crate) const USER_ID: [u64; 7] = [0, 9, 2342, 19_200_300, 100, 1, 1];

/// A push certificate to be made.
#[derive(Debug, Clone)]
pub struct PushCertificateOrder {
    /// The app that it is for.
    pub bundle_id: String,
    /// Whether it is good for APNs' production environment.
    pub production: bool,
    /// Whether it is good for APNs' sandbox.
    pub sandbox: bool,
    /// From when on it is no longer good, in seconds since 1970; `None` is in the year 2125.
    pub expires_at_s: Option<i64>,
    /// Signed by an authority that the simulator does *not* know.
    pub by_a_stranger: bool,
}

impl Default for PushCertificateOrder {
    /// One of the simulator's app, good for both environments.
    fn default() -> Self {
        Self {
            bundle_id: BUNDLE_ID.to_owned(),
            production: true,
            sandbox: true,
            expires_at_s: None,
            by_a_stranger: false,
        }
    }
}

/// A push certificate with its key.
#[derive(Clone)]
pub struct PushCertificate {
    /// Both as a .p12 file, with [`P12_PASSWORD`].
    pub p12: Vec<u8>,
    /// The certificate.
    pub certificate_pem: String,
    /// The private key (PKCS#8).
    pub key_pem: String,
}

impl std::fmt::Debug for PushCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PushCertificate")
    }
}

/// Makes a certificate of this key (PKCS#8 in PEM), RSA as Apple's are.
pub(crate) fn issue(
    authority: &Authority,
    key_pem: &str,
    order: &PushCertificateOrder,
) -> Result<PushCertificate> {
    let name = match (order.production, order.sandbox) {
        (true, false) => "Apple Production IOS Push Services",
        (false, true) => "Apple Development IOS Push Services",
        _ => "Apple Push Services",
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let bundle_id = order.bundle_id.as_str();
    params.distinguished_name.push(DnType::CustomDnType(USER_ID.to_vec()), bundle_id);
    params.distinguished_name.push(DnType::CommonName, format!("{name}: {bundle_id}"));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = match order.expires_at_s {
        Some(at) => OffsetDateTime::from_unix_timestamp(at)?,
        None => date_time_ymd(2125, 1, 1),
    };
    if order.sandbox {
        params.custom_extensions.push(extension(DEVELOPMENT, &[5, 0]));
    }
    if order.production {
        params.custom_extensions.push(extension(PRODUCTION, &[5, 0]));
    }
    params.custom_extensions.push(extension(TOPICS, &topics(bundle_id)?));
    let key = KeyPair::from_pkcs8_pem_and_sign_algo(key_pem, &PKCS_RSA_SHA256)?;
    let certificate = if order.by_a_stranger {
        params.self_signed(&key)?
    } else {
        authority.sign(params, &key)?
    };
    Ok(PushCertificate {
        p12: p12(certificate.der(), &key.serialize_der())?,
        certificate_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
    })
}

fn extension(last: u64, content: &[u8]) -> CustomExtension {
    let oid = [1, 2, 840, 113_635, 100, 6, 3, last];
    CustomExtension::from_oid_content(&oid, content.to_vec())
}

/// The bundle id and what Apple derives from it, each followed by its kind.
fn topics(bundle_id: &str) -> Result<Vec<u8>> {
    let mut list = Vec::new();
    for (suffix, kind) in [("", "app"), (".voip", "voip"), (".complication", "complication")] {
        list.extend(der(0x0c, format!("{bundle_id}{suffix}").as_bytes())?);
        list.extend(der(0x30, &der(0x0c, kind.as_bytes())?)?);
    }
    der(0x30, &list)
}

/// An element of DER, of at most 65,535 bytes.
fn der(tag: u8, content: &[u8]) -> Result<Vec<u8>> {
    let length = u16::try_from(content.len())?;
    let [high, low] = length.to_be_bytes();
    let head = match length {
        0..128 => vec![tag, low],
        128..256 => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    Ok([&head, content].concat())
}

fn p12(certificate: &[u8], key: &[u8]) -> Result<Vec<u8>> {
    let key = PrivateKey::from_der(key)?;
    let chain = PrivateKeyChain::new("push", key, [Certificate::from_der(certificate)?]);
    let mut store = KeyStore::new();
    store.add_entry("push", KeyStoreEntry::PrivateKeyChain(chain));
    let writer = store.writer(P12_PASSWORD);
    Ok(writer.encryption_iterations(P12_ITERATIONS).mac_iterations(P12_ITERATIONS).write()?)
}
