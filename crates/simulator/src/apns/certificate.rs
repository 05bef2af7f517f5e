//! Client certificates: "Establishing a certificate-based connection to APNs". TLS takes any that its
//! owner can sign with; whether it is good, each request is told.

use std::sync::Arc;

use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::parse_der;

use super::answer::Refusal;
use crate::provider::Provider;
use crate::push_certificate::{DEVELOPMENT, PRODUCTION, TOPICS, USER_ID};
use crate::world::World;

/// The certificate that a connection was opened with.
#[derive(Debug)]
pub(crate) struct ClientCertificate {
    chain: Vec<CertificateDer<'static>>,
    topics: Vec<String>,
    production: bool,
    sandbox: bool,
}

impl ClientCertificate {
    pub(crate) fn of_chain(chain: &[CertificateDer<'static>]) -> Option<Self> {
        let leaf = chain.first()?;
        let parsed = x509_parser::parse_x509_certificate(leaf).ok();
        let read = |oid: u64| parsed.as_ref().and_then(|(_, leaf)| extension(leaf, oid));
        let mut topics: Vec<String> = Vec::new();
        if let Some((_, leaf)) = &parsed {
            let user_id = dotted(&USER_ID);
            let attributes = leaf.subject().iter_attributes();
            let of_user = attributes.filter(|a| a.attr_type().to_id_string() == user_id);
            topics.extend(of_user.filter_map(|a| a.as_str().ok()).map(str::to_owned));
        }
        for topic in read(TOPICS).map(strings_in).unwrap_or_default() {
            if !topics.contains(&topic) {
                topics.push(topic);
            }
        }
        let (production, sandbox) = (read(PRODUCTION).is_some(), read(DEVELOPMENT).is_some());
        Some(Self { chain: chain.to_vec(), topics, production, sandbox })
    }

    /// Whether it is good at this environment now.
    pub(super) fn check(
        &self,
        provider: Provider,
        world: &World,
        now_ms: i64,
    ) -> Result<(), Refusal> {
        let (Some((leaf, others)), Some(verifier)) =
            (self.chain.split_first(), &world.push_certificates)
        else {
            return Err(Refusal::BAD_CERTIFICATE);
        };
        let secs = u64::try_from(now_ms.div_euclid(1000)).unwrap_or(0);
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(secs));
        let trusted: &Arc<dyn ClientCertVerifier> = verifier;
        trusted.verify_client_cert(leaf, others, now).map_err(|_| Refusal::BAD_CERTIFICATE)?;
        let fits = match provider {
            Provider::ApnsProduction => self.production,
            Provider::ApnsSandbox => self.sandbox,
            Provider::Fcm | Provider::Oauth => false,
        };
        if fits { Ok(()) } else { Err(Refusal::BAD_CERTIFICATE_ENVIRONMENT) }
    }

    pub(super) fn topics(&self) -> &[String] {
        &self.topics
    }
}

fn extension<'a>(certificate: &'a X509Certificate<'_>, last: u64) -> Option<&'a [u8]> {
    let oid = dotted(&[1, 2, 840, 113_635, 100, 6, 3, last]);
    let found = certificate.extensions().iter().find(|e| e.oid.to_id_string() == oid);
    found.map(|extension| extension.value)
}

fn strings_in(extension: &[u8]) -> Vec<String> {
    let parsed = parse_der(extension).ok();
    let items = parsed.as_ref().and_then(|(_, list)| list.as_sequence().ok());
    let items = items.map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| item.as_str().ok()).map(str::to_owned).collect()
}

fn dotted(oid: &[u64]) -> String {
    oid.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}
