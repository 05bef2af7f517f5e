//! Push certificates: what they say about themselves, as Apple writes it, and the form in which they
//! are kept with their keys.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pushroll_domain::{
    ApnsCertificate, ApnsCredentials, ApnsProof, CertificateEnvironments, CertificateFacts,
    CredentialFault, Secret, Timestamp,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::parse_der;
use zeroize::Zeroizing;

use super::credentials::check_bundle_id;
use super::p12::UPLOAD;
use crate::fingerprint::fingerprint;

const P12: &str = "ios.certificate.p12_base64";

/// Apple's extensions of certificates for services, by what they stand for.
const DEVELOPMENT: &str = "1.2.840.113635.100.6.3.1";
const PRODUCTION: &str = "1.2.840.113635.100.6.3.2";
const TOPICS: &str = "1.2.840.113635.100.6.3.6";
/// What all of those begin with.
const SERVICES: &str = "1.2.840.113635.100.6.3.";
/// The attribute "user id" of a subject (RFC 4519, 2.39): the bundle id.
const USER_ID: &str = "0.9.2342.19200300.100.1.1";

/// The most topics that are kept: Apple lists the bundle id and some suffixes of it.
const MAX_TOPICS: usize = 32;
const MAX_NAME_CHARS: usize = 200;

/// Reads what was taken out of a .p12 file.
pub(crate) fn read_certificate(
    bundle_id: Option<&str>,
    pem: &str,
) -> Result<ApnsCredentials, CredentialFault> {
    let fault = |message| CredentialFault { field: P12, message };
    let unreadable = || fault(format!("The certificate can't be read; {UPLOAD}."));
    let chain: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(|der| der.map(|der| der.to_vec()))
        .collect::<Result<_, _>>()
        .map_err(|_| unreadable())?;
    let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| unreadable())?;
    let private_key = Secret::new(key.secret_pkcs8_der().to_vec());
    let leaf = chain.first().ok_or_else(unreadable)?;
    let (_, certificate) = x509_parser::parse_x509_certificate(leaf).map_err(|_| unreadable())?;
    let facts = facts_of(&certificate);
    if !is_push(&certificate, &facts) {
        return Err(fault(format!(
            "The certificate {} is not for pushes: a certificate for signing apps does not do. \
             Make an \"Apple Push Notification service SSL (Sandbox & Production)\" certificate \
             for the app in \"Certificates, Identifiers & Profiles\"; then {UPLOAD}.",
            facts.name
        )));
    }
    let topic = topic(bundle_id, &facts)?;
    Ok(ApnsCredentials {
        topic,
        fingerprint: fingerprint(&[b"certificate", leaf]),
        app: None,
        proof: ApnsProof::Certificate(Arc::new(ApnsCertificate { facts, chain, private_key })),
    })
}

/// The topic to push to: the bundle id, if the certificate is for it.
fn topic(bundle_id: Option<&str>, facts: &CertificateFacts) -> Result<String, CredentialFault> {
    let Some(bundle_id) = bundle_id.map(str::trim) else {
        // The first is that of the subject: the bundle id.
        return facts.topics.first().cloned().ok_or_else(|| CredentialFault {
            field: P12,
            message: format!("The certificate {} names no topic; {UPLOAD}.", facts.name),
        });
    };
    check_bundle_id(bundle_id, "")?;
    if facts.topics.iter().any(|topic| topic == bundle_id) {
        return Ok(bundle_id.to_owned());
    }
    let message = format!(
        "The certificate {} is for {}, not for {bundle_id}: upload the one of {bundle_id}, or set \
         ios.bundle_id to the app that it is for.",
        facts.name,
        facts.topics.join(", ")
    );
    Err(CredentialFault { field: P12, message })
}

/// What a certificate says about itself.
fn facts_of(certificate: &X509Certificate<'_>) -> CertificateFacts {
    let has = |oid: &str| extension(certificate, oid).is_some();
    let name = common_name(certificate);
    let environments = match (has(PRODUCTION), has(DEVELOPMENT)) {
        (true, false) => CertificateEnvironments::Production,
        (false, true) => CertificateEnvironments::Sandbox,
        (true, true) => CertificateEnvironments::Both,
        // Without the marks the name tells: "Apple Development IOS Push Services: …".
        (false, false) if name.starts_with("Apple Development ") => {
            CertificateEnvironments::Sandbox
        }
        (false, false) if name.starts_with("Apple Production ") => {
            CertificateEnvironments::Production
        }
        (false, false) => CertificateEnvironments::Both,
    };
    let mut topics = Vec::new();
    let user_ids = certificate.subject().iter_attributes();
    for attribute in user_ids.filter(|a| a.attr_type().to_id_string() == USER_ID) {
        topics.extend(attribute.as_str().ok().map(str::to_owned));
    }
    for topic in extension(certificate, TOPICS).map(listed_topics).unwrap_or_default() {
        if !topics.contains(&topic) && topics.len() < MAX_TOPICS {
            topics.push(topic);
        }
    }
    let time = |secs: i64| Timestamp::from_millis(u64::try_from(secs).unwrap_or(0) * 1000);
    let validity = certificate.validity();
    CertificateFacts {
        name,
        topics,
        environments,
        begins_at: time(validity.not_before.timestamp()),
        expires_at: time(validity.not_after.timestamp()),
    }
}

/// Topics alternate with sequences that say what each is for: `app`, `voip`, `complication`.
fn listed_topics(extension: &[u8]) -> Vec<String> {
    let Ok((_, list)) = parse_der(extension) else { return Vec::new() };
    let Ok(items) = list.as_sequence() else { return Vec::new() };
    items.iter().filter_map(|item| item.as_str().ok()).map(str::to_owned).collect()
}

/// Whether it is one of Apple's for services, and not for signing apps.
fn is_push(certificate: &X509Certificate<'_>, facts: &CertificateFacts) -> bool {
    let of_services = certificate
        .extensions()
        .iter()
        .any(|extension| extension.oid.to_id_string().starts_with(SERVICES));
    of_services
        || ["Push Services", "Push ID", "Pass Type ID"].iter().any(|w| facts.name.contains(w))
}

fn extension<'a>(certificate: &'a X509Certificate<'_>, oid: &str) -> Option<&'a [u8]> {
    let extensions = certificate.extensions().iter();
    extensions.filter(|e| e.oid.to_id_string() == oid).map(|e| e.value).next()
}

fn common_name(certificate: &X509Certificate<'_>) -> String {
    let name = certificate.subject().iter_common_name().find_map(|name| name.as_str().ok());
    let name = name.unwrap_or("without a name").chars().filter(|c| !c.is_control());
    name.take(MAX_NAME_CHARS).collect()
}

/// Whether DER is a push certificate.
pub(super) fn is_push_certificate(der: &[u8]) -> bool {
    let parsed = x509_parser::parse_x509_certificate(der);
    parsed.is_ok_and(|(_, certificate)| is_push(&certificate, &facts_of(&certificate)))
}

/// The name of a certificate in DER, for people.
pub(super) fn name_of(der: &[u8]) -> String {
    let parsed = x509_parser::parse_x509_certificate(der);
    parsed.map_or_else(|_| "unreadable".to_owned(), |(_, certificate)| common_name(&certificate))
}

/// The form in which they are kept.
pub(super) fn pem_of(chain: &[&[u8]], key: &[u8]) -> Secret {
    // Made in one piece, so that no copies of the key are left behind.
    let length: usize = chain.iter().chain([&key]).map(|der| der.len() / 3 * 4 + 100).sum();
    let mut text = Vec::with_capacity(length * 66 / 64 + 100);
    let mut section = |label: &str, der: &[u8]| {
        let base64 = Zeroizing::new(STANDARD.encode(der));
        text.extend_from_slice(format!("-----BEGIN {label}-----\n").as_bytes());
        for line in base64.as_bytes().chunks(64) {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        text.extend_from_slice(format!("-----END {label}-----\n").as_bytes());
    };
    for certificate in chain {
        section("CERTIFICATE", certificate);
    }
    section("PRIVATE KEY", key);
    Secret::new(text)
}

#[cfg(test)]
pub(super) mod tests;
