//! Organizations, apps and API tokens: JSON, with what is sealed in base64. A field that is added later has
//! to have a default, so that what older versions wrote can still be read.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pushroll_domain::{
    AndroidSide, App, AppId, CallbackRetries, CertificateEnvironments, CertificateFacts, IosAuth,
    IosMode, IosSide, OldWebhookSecret, Org, OrgId, Sealed, StoreError, Timestamp, TokenHash,
    TokenId, TokenRecord,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::corrupt;

#[derive(Serialize, Deserialize)]
struct OrgDocument {
    name: String,
    created_at: u64,
}

#[derive(Serialize, Deserialize)]
struct AppDocument {
    name: String,
    description: String,
    ios: Option<IosPart>,
    android: Option<AndroidPart>,
    webhook_secret: SealedPart,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    old_webhook_secret: Option<OldSecretPart>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    callback_retries_ms: Option<u64>,
    created_at: u64,
    updated_at: u64,
}

#[derive(Serialize, Deserialize)]
struct OldSecretPart {
    secret: SealedPart,
    ends_at: u64,
}

#[derive(Serialize, Deserialize)]
struct IosPart {
    mode: IosMode,
    bundle_id: String,
    auth: IosAuthPart,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum IosAuthPart {
    Key { key_id: String, team_id: String, p8: SealedPart },
    Certificate { facts: FactsPart, pem: SealedPart },
}

#[derive(Serialize, Deserialize)]
struct FactsPart {
    name: String,
    topics: Vec<String>,
    environments: CertificateEnvironments,
    begins_at: u64,
    expires_at: u64,
}

#[derive(Serialize, Deserialize)]
struct AndroidPart {
    project_id: String,
    client_email: String,
    service_account: SealedPart,
}

#[derive(Serialize, Deserialize)]
struct TokenDocument {
    org: OrgId,
    name: String,
    created_at: u64,
    expires_at: Option<u64>,
}

struct SealedPart(Sealed);

impl Serialize for SealedPart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0.0))
    }
}

impl<'de> Deserialize<'de> for SealedPart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(serde::de::Error::custom)?;
        Ok(Self(Sealed(bytes)))
    }
}

fn encode(document: impl Serialize) -> Value {
    serde_json::to_value(document).expect("a document with string keys can be written")
}

fn decode<T: serde::de::DeserializeOwned>(
    kind: &'static str,
    document: Value,
) -> Result<T, StoreError> {
    serde_json::from_value(document).map_err(|_| corrupt(kind))
}

pub(crate) fn encode_org(org: &Org) -> Value {
    encode(OrgDocument { name: org.name.clone(), created_at: org.created_at.as_millis() })
}

pub(crate) fn decode_org(id: OrgId, document: Value) -> Result<Org, StoreError> {
    let document: OrgDocument = decode("organization", document)?;
    Ok(Org { id, name: document.name, created_at: Timestamp::from_millis(document.created_at) })
}

pub(crate) fn encode_app(app: &App) -> Value {
    encode(AppDocument {
        name: app.name.clone(),
        description: app.description.clone(),
        ios: app.ios.as_ref().map(|side| IosPart {
            mode: side.mode,
            bundle_id: side.bundle_id.clone(),
            auth: match &side.auth {
                IosAuth::Key { key_id, team_id, p8 } => IosAuthPart::Key {
                    key_id: key_id.clone(),
                    team_id: team_id.clone(),
                    p8: SealedPart(p8.clone()),
                },
                IosAuth::Certificate { facts, pem } => IosAuthPart::Certificate {
                    facts: FactsPart {
                        name: facts.name.clone(),
                        topics: facts.topics.clone(),
                        environments: facts.environments,
                        begins_at: facts.begins_at.as_millis(),
                        expires_at: facts.expires_at.as_millis(),
                    },
                    pem: SealedPart(pem.clone()),
                },
            },
        }),
        android: app.android.as_ref().map(|side| AndroidPart {
            project_id: side.project_id.clone(),
            client_email: side.client_email.clone(),
            service_account: SealedPart(side.service_account.clone()),
        }),
        webhook_secret: SealedPart(app.webhook_secret.clone()),
        old_webhook_secret: app.old_webhook_secret.as_ref().map(|old| OldSecretPart {
            secret: SealedPart(old.secret.clone()),
            ends_at: old.ends_at.as_millis(),
        }),
        callback_retries_ms: app
            .callback_retries
            .map(|retries| u64::try_from(retries.window.as_millis()).unwrap_or(u64::MAX)),
        created_at: app.created_at.as_millis(),
        updated_at: app.updated_at.as_millis(),
    })
}

pub(crate) fn decode_app(
    id: AppId,
    org: OrgId,
    deleted_at: Option<Timestamp>,
    document: Value,
) -> Result<App, StoreError> {
    let document: AppDocument = decode("app", document)?;
    Ok(App {
        id,
        org,
        name: document.name,
        description: document.description,
        ios: document.ios.map(|side| IosSide {
            mode: side.mode,
            bundle_id: side.bundle_id,
            auth: match side.auth {
                IosAuthPart::Key { key_id, team_id, p8 } => {
                    IosAuth::Key { key_id, team_id, p8: p8.0 }
                }
                IosAuthPart::Certificate { facts, pem } => IosAuth::Certificate {
                    facts: CertificateFacts {
                        name: facts.name,
                        topics: facts.topics,
                        environments: facts.environments,
                        begins_at: Timestamp::from_millis(facts.begins_at),
                        expires_at: Timestamp::from_millis(facts.expires_at),
                    },
                    pem: pem.0,
                },
            },
        }),
        android: document.android.map(|side| AndroidSide {
            project_id: side.project_id,
            client_email: side.client_email,
            service_account: side.service_account.0,
        }),
        webhook_secret: document.webhook_secret.0,
        old_webhook_secret: document.old_webhook_secret.map(|old| OldWebhookSecret {
            secret: old.secret.0,
            ends_at: Timestamp::from_millis(old.ends_at),
        }),
        callback_retries: document
            .callback_retries_ms
            .map(|window| CallbackRetries { window: Duration::from_millis(window) }),
        created_at: Timestamp::from_millis(document.created_at),
        updated_at: Timestamp::from_millis(document.updated_at),
        deleted_at,
    })
}

pub(crate) fn encode_token(token: &TokenRecord) -> Value {
    encode(TokenDocument {
        org: token.org,
        name: token.name.clone(),
        created_at: token.created_at.as_millis(),
        expires_at: token.expires_at.map(Timestamp::as_millis),
    })
}

pub(crate) fn decode_token(
    id: TokenId,
    app: AppId,
    hash: &[u8],
    revoked_at: Option<Timestamp>,
    document: Value,
) -> Result<TokenRecord, StoreError> {
    let unreadable = || corrupt("API token");
    let document: TokenDocument = decode("API token", document)?;
    Ok(TokenRecord {
        id,
        org: document.org,
        app,
        hash: TokenHash::from_bytes(hash.try_into().map_err(|_| unreadable())?),
        name: document.name,
        created_at: Timestamp::from_millis(document.created_at),
        expires_at: document.expires_at.map(Timestamp::from_millis),
        revoked_at,
    })
}
