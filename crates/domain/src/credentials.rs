//! Credentials in the clear, as a provider client uses them. Only [`crate::Providers`] makes them,
//! from what an operator entered, and says what is wrong with it.

use std::sync::Arc;

use thiserror::Error;

use crate::certificate::CertificateFacts;
use crate::device::Environment;
use crate::ids::AppId;
use crate::secret::Secret;

/// Tells credentials apart: provider tokens and access tokens belong to one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 16]);

/// What APNs wants for requests of one app.
#[derive(Debug, Clone)]
pub struct ApnsCredentials {
    /// The bundle id.
    pub topic: String,
    /// How it is shown that the topic is ours.
    pub proof: ApnsProof,
    /// Of the proof; apps of one team may share it.
    pub fingerprint: Fingerprint,
    /// The app that uses them. Apps with the same credentials share the provider token, but no connection:
    /// one's flood must not keep the others waiting.
    pub app: Option<AppId>,
}

/// How APNs is shown that it may be asked for a topic.
#[derive(Debug, Clone)]
pub enum ApnsProof {
    /// A provider token in each request, signed with a key of the team.
    Key(ApnsKey),
    /// A certificate of the app, shown when a connection is made.
    Certificate(Arc<ApnsCertificate>),
}

/// A key of a developer team, good for all of its apps.
#[derive(Debug, Clone)]
pub struct ApnsKey {
    /// The key's id.
    pub key_id: String,
    /// The developer team's id.
    pub team_id: String,
    /// The private key, PKCS#8 in DER.
    pub private_key: Secret,
}

/// A push certificate with its key.
#[derive(Debug)]
pub struct ApnsCertificate {
    /// What it says about itself.
    pub facts: CertificateFacts,
    /// The certificate and those that lead to its authority, in DER.
    pub chain: Vec<Vec<u8>>,
    /// The private key, PKCS#8 in DER.
    pub private_key: Secret,
}

impl ApnsCredentials {
    /// Whether they are meant for this environment.
    #[must_use]
    pub fn are_for(&self, environment: Environment) -> bool {
        match &self.proof {
            ApnsProof::Key(_) => true,
            ApnsProof::Certificate(certificate) => {
                certificate.facts.environments.include(environment)
            }
        }
    }
}

/// What FCM wants for requests of one app.
#[derive(Debug, Clone)]
pub struct FcmCredentials {
    /// The Firebase project.
    pub project_id: String,
    /// The service account's address.
    pub client_email: String,
    /// The id of the service account's key.
    pub private_key_id: Option<String>,
    /// The private key, PKCS#8 in DER.
    pub private_key: Secret,
    /// Where access tokens come from.
    pub token_uri: String,
    /// Of all of the above.
    pub fingerprint: Fingerprint,
    /// The app that uses them. Apps with the same credentials share the access token, but no connection.
    pub app: Option<AppId>,
}

/// Why something entered as a credential is none, and what to enter instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct CredentialFault {
    /// The field of the admin API (`ios.key.p8`).
    pub field: &'static str,
    /// For the operator; never holds any of the secret.
    pub message: String,
}
