//! Organizations, apps and API tokens.

use std::time::Duration;

use pushroll_domain::{
    AndroidSide, App, AppId, CallbackRetries, CertificateEnvironments, CertificateFacts, IosAuth,
    IosMode, IosSide, OldWebhookSecret, Org, OrgId, Timestamp, TokenHash, TokenId, TokenRecord,
};
use serde::{Deserialize, Serialize};

use super::values::{SealedText, at, from_hex, hex};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrgLine {
    id: OrgId,
    name: String,
    created_at_ms: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AppLine {
    id: AppId,
    org: OrgId,
    name: String,
    description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ios: Option<IosPart>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    android: Option<AndroidPart>,
    sealed_webhook_secret: SealedText,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    old_webhook_secret: Option<OldSecretPart>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    callback_retries_ms: Option<u64>,
    created_at_ms: u64,
    updated_at_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deleted_at_ms: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IosPart {
    mode: IosMode,
    bundle_id: String,
    auth: IosAuthPart,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum IosAuthPart {
    Key {
        key_id: String,
        team_id: String,
        sealed_p8: SealedText,
    },
    Certificate {
        name: String,
        topics: Vec<String>,
        environments: CertificateEnvironments,
        begins_at_ms: u64,
        expires_at_ms: u64,
        sealed_pem: SealedText,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AndroidPart {
    project_id: String,
    client_email: String,
    sealed_service_account: SealedText,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OldSecretPart {
    sealed_secret: SealedText,
    ends_at_ms: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenLine {
    id: TokenId,
    org: OrgId,
    app: AppId,
    sha256: String,
    name: String,
    created_at_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked_at_ms: Option<u64>,
}

impl OrgLine {
    pub(super) fn of(org: &Org) -> Self {
        Self { id: org.id, name: org.name.clone(), created_at_ms: org.created_at.as_millis() }
    }

    pub(super) fn into_org(self) -> Org {
        Org { id: self.id, name: self.name, created_at: at(self.created_at_ms) }
    }
}

impl IosAuthPart {
    fn of(auth: &IosAuth) -> Self {
        match auth {
            IosAuth::Key { key_id, team_id, p8 } => Self::Key {
                key_id: key_id.clone(),
                team_id: team_id.clone(),
                sealed_p8: SealedText::of(p8),
            },
            IosAuth::Certificate { facts, pem } => Self::Certificate {
                name: facts.name.clone(),
                topics: facts.topics.clone(),
                environments: facts.environments,
                begins_at_ms: facts.begins_at.as_millis(),
                expires_at_ms: facts.expires_at.as_millis(),
                sealed_pem: SealedText::of(pem),
            },
        }
    }

    fn into_auth(self) -> IosAuth {
        match self {
            Self::Key { key_id, team_id, sealed_p8 } => {
                IosAuth::Key { key_id, team_id, p8: sealed_p8.into_sealed() }
            }
            Self::Certificate {
                name,
                topics,
                environments,
                begins_at_ms,
                expires_at_ms,
                sealed_pem,
            } => {
                let (begins_at, expires_at) = (at(begins_at_ms), at(expires_at_ms));
                let facts = CertificateFacts { name, topics, environments, begins_at, expires_at };
                IosAuth::Certificate { facts, pem: sealed_pem.into_sealed() }
            }
        }
    }
}

impl AppLine {
    pub(super) fn of(app: &App) -> Self {
        Self {
            id: app.id,
            org: app.org,
            name: app.name.clone(),
            description: app.description.clone(),
            ios: app.ios.as_ref().map(|side| IosPart {
                mode: side.mode,
                bundle_id: side.bundle_id.clone(),
                auth: IosAuthPart::of(&side.auth),
            }),
            android: app.android.as_ref().map(|side| AndroidPart {
                project_id: side.project_id.clone(),
                client_email: side.client_email.clone(),
                sealed_service_account: SealedText::of(&side.service_account),
            }),
            sealed_webhook_secret: SealedText::of(&app.webhook_secret),
            old_webhook_secret: app.old_webhook_secret.as_ref().map(|old| OldSecretPart {
                sealed_secret: SealedText::of(&old.secret),
                ends_at_ms: old.ends_at.as_millis(),
            }),
            callback_retries_ms: app
                .callback_retries
                .map(|retries| u64::try_from(retries.window.as_millis()).unwrap_or(u64::MAX)),
            created_at_ms: app.created_at.as_millis(),
            updated_at_ms: app.updated_at.as_millis(),
            deleted_at_ms: app.deleted_at.map(Timestamp::as_millis),
        }
    }

    pub(super) fn into_app(self) -> App {
        App {
            id: self.id,
            org: self.org,
            name: self.name,
            description: self.description,
            ios: self.ios.map(|side| IosSide {
                mode: side.mode,
                bundle_id: side.bundle_id,
                auth: side.auth.into_auth(),
            }),
            android: self.android.map(|side| AndroidSide {
                project_id: side.project_id,
                client_email: side.client_email,
                service_account: side.sealed_service_account.into_sealed(),
            }),
            webhook_secret: self.sealed_webhook_secret.into_sealed(),
            old_webhook_secret: self.old_webhook_secret.map(|old| OldWebhookSecret {
                secret: old.sealed_secret.into_sealed(),
                ends_at: at(old.ends_at_ms),
            }),
            callback_retries: self
                .callback_retries_ms
                .map(|window| CallbackRetries { window: Duration::from_millis(window) }),
            created_at: at(self.created_at_ms),
            updated_at: at(self.updated_at_ms),
            deleted_at: self.deleted_at_ms.map(at),
        }
    }
}

impl TokenLine {
    pub(super) fn of(token: &TokenRecord) -> Self {
        Self {
            id: token.id,
            org: token.org,
            app: token.app,
            sha256: hex(token.hash.as_bytes()),
            name: token.name.clone(),
            created_at_ms: token.created_at.as_millis(),
            expires_at_ms: token.expires_at.map(Timestamp::as_millis),
            revoked_at_ms: token.revoked_at.map(Timestamp::as_millis),
        }
    }

    pub(super) fn into_token(self) -> Result<TokenRecord, String> {
        Ok(TokenRecord {
            id: self.id,
            org: self.org,
            app: self.app,
            hash: TokenHash::from_bytes(from_hex("sha256", &self.sha256)?),
            name: self.name,
            created_at: at(self.created_at_ms),
            expires_at: self.expires_at_ms.map(at),
            revoked_at: self.revoked_at_ms.map(at),
        })
    }
}
