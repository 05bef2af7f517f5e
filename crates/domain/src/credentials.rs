//! Credentials in the clear, as a provider client uses them. Only [`crate::Providers`] makes them,
//! from what an operator entered, and says what is wrong with it.

use thiserror::Error;

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
    /// The key's id.
    pub key_id: String,
    /// The developer team's id.
    pub team_id: String,
    /// The private key, PKCS#8 in DER.
    pub private_key: Secret,
    /// Of key, key id and team id; apps of one team may share it.
    pub fingerprint: Fingerprint,
    /// The app that uses them. Apps with the same credentials share the provider token, but no connection:
    /// one's flood must not keep the others waiting.
    pub app: Option<AppId>,
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
