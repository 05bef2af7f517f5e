//! Organizations, apps and API tokens.

use std::time::Duration;

use pushroll_domain::{
    AndroidSide, App, AppId, CallbackRetries, CertificateFacts, IosAuth, IosSide, OldWebhookSecret,
    Org, OrgId, Sealed, StoreError, Timestamp, TokenHash, TokenId, TokenRecord,
};
use serde::{Deserialize, Serialize};

use super::{codes, corrupt, decode, decode_with_more, encode, encode_with_more};

#[derive(Serialize, Deserialize)]
struct OrgRow<'a> {
    name: &'a str,
    created_at: u64,
}

#[derive(Serialize, Deserialize)]
struct AppRow<'a> {
    org: [u8; 16],
    name: &'a str,
    description: &'a str,
    #[serde(borrow)]
    ios: Option<IosRow<'a>>,
    #[serde(borrow)]
    android: Option<AndroidRow<'a>>,
    webhook_secret: &'a [u8],
    created_at: u64,
    updated_at: u64,
    deleted_at: Option<u64>,
}

/// What an app has besides, if it has any of it or a push certificate, which version 1 does not know.
#[derive(Serialize, Deserialize)]
struct AppMore<'a> {
    #[serde(borrow)]
    old_webhook_secret: Option<OldSecretRow<'a>>,
    callback_retry_window_ms: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct OldSecretRow<'a> {
    secret: &'a [u8],
    ends_at: u64,
}

impl<'a> AppMore<'a> {
    fn of(app: &'a App) -> Option<Self> {
        let more = Self {
            old_webhook_secret: app.old_webhook_secret.as_ref().map(|old| OldSecretRow {
                secret: &old.secret.0,
                ends_at: old.ends_at.as_millis(),
            }),
            callback_retry_window_ms: app
                .callback_retries
                .map(|retries| u64::try_from(retries.window.as_millis()).unwrap_or(u64::MAX)),
        };
        let has_certificate =
            app.ios.as_ref().is_some_and(|side| matches!(side.auth, IosAuth::Certificate { .. }));
        let is_needed = has_certificate
            || more.old_webhook_secret.is_some()
            || more.callback_retry_window_ms.is_some();
        is_needed.then_some(more)
    }
}

#[derive(Serialize, Deserialize)]
struct IosRow<'a> {
    mode: u8,
    bundle_id: &'a str,
    #[serde(borrow)]
    auth: IosAuthRow<'a>,
}

#[derive(Serialize, Deserialize)]
enum IosAuthRow<'a> {
    Key {
        key_id: &'a str,
        team_id: &'a str,
        p8: &'a [u8],
    },
    /// Since version 2.
    Certificate {
        name: &'a str,
        #[serde(borrow)]
        topics: Vec<&'a str>,
        environments: u8,
        begins_at: u64,
        expires_at: u64,
        pem: &'a [u8],
    },
}

#[derive(Serialize, Deserialize)]
struct AndroidRow<'a> {
    project_id: &'a str,
    client_email: &'a str,
    service_account: &'a [u8],
}

#[derive(Serialize, Deserialize)]
struct TokenRow<'a> {
    org: [u8; 16],
    app: [u8; 16],
    hash: [u8; 32],
    name: &'a str,
    created_at: u64,
    expires_at: Option<u64>,
    revoked_at: Option<u64>,
}

pub(crate) fn encode_org(org: &Org) -> Vec<u8> {
    encode(&OrgRow { name: &org.name, created_at: org.created_at.as_millis() }, 64)
}

pub(crate) fn decode_org(id: OrgId, bytes: &[u8]) -> Result<Org, StoreError> {
    let row: OrgRow<'_> = decode("organization", bytes)?;
    Ok(Org { id, name: row.name.to_owned(), created_at: Timestamp::from_millis(row.created_at) })
}

pub(crate) fn encode_app(app: &App) -> Vec<u8> {
    let row = AppRow {
        org: *app.org.as_bytes(),
        name: &app.name,
        description: &app.description,
        ios: app.ios.as_ref().map(|side| IosRow {
            mode: codes::ios_mode(side.mode),
            bundle_id: &side.bundle_id,
            auth: match &side.auth {
                IosAuth::Key { key_id, team_id, p8 } => {
                    IosAuthRow::Key { key_id, team_id, p8: &p8.0 }
                }
                IosAuth::Certificate { facts, pem } => IosAuthRow::Certificate {
                    name: &facts.name,
                    topics: facts.topics.iter().map(String::as_str).collect(),
                    environments: codes::environments(facts.environments),
                    begins_at: facts.begins_at.as_millis(),
                    expires_at: facts.expires_at.as_millis(),
                    pem: &pem.0,
                },
            },
        }),
        android: app.android.as_ref().map(|side| AndroidRow {
            project_id: &side.project_id,
            client_email: &side.client_email,
            service_account: &side.service_account.0,
        }),
        webhook_secret: &app.webhook_secret.0,
        created_at: app.created_at.as_millis(),
        updated_at: app.updated_at.as_millis(),
        deleted_at: app.deleted_at.map(Timestamp::as_millis),
    };
    match AppMore::of(app) {
        None => encode(&row, 512),
        Some(more) => encode_with_more(&row, &more, 512),
    }
}

pub(crate) fn decode_app(id: AppId, bytes: &[u8]) -> Result<App, StoreError> {
    let (row, more): (AppRow<'_>, Option<AppMore<'_>>) = decode_with_more("app", bytes)?;
    let (old_secret, retry_window) =
        more.map_or((None, None), |more| (more.old_webhook_secret, more.callback_retry_window_ms));
    Ok(App {
        id,
        org: OrgId::from_bytes(row.org),
        name: row.name.to_owned(),
        description: row.description.to_owned(),
        ios: match row.ios {
            None => None,
            Some(side) => Some(IosSide {
                mode: codes::ios_mode_of(side.mode).ok_or_else(|| corrupt("app"))?,
                bundle_id: side.bundle_id.to_owned(),
                auth: ios_auth(side.auth)?,
            }),
        },
        android: row.android.map(|side| AndroidSide {
            project_id: side.project_id.to_owned(),
            client_email: side.client_email.to_owned(),
            service_account: Sealed(side.service_account.to_vec()),
        }),
        webhook_secret: Sealed(row.webhook_secret.to_vec()),
        old_webhook_secret: old_secret.map(|old| OldWebhookSecret {
            secret: Sealed(old.secret.to_vec()),
            ends_at: Timestamp::from_millis(old.ends_at),
        }),
        callback_retries: retry_window
            .map(|millis| CallbackRetries { window: Duration::from_millis(millis) }),
        created_at: Timestamp::from_millis(row.created_at),
        updated_at: Timestamp::from_millis(row.updated_at),
        deleted_at: row.deleted_at.map(Timestamp::from_millis),
    })
}

fn ios_auth(row: IosAuthRow<'_>) -> Result<IosAuth, StoreError> {
    Ok(match row {
        IosAuthRow::Key { key_id, team_id, p8 } => IosAuth::Key {
            key_id: key_id.to_owned(),
            team_id: team_id.to_owned(),
            p8: Sealed(p8.to_vec()),
        },
        IosAuthRow::Certificate { name, topics, environments, begins_at, expires_at, pem } => {
            let facts = CertificateFacts {
                name: name.to_owned(),
                topics: topics.into_iter().map(str::to_owned).collect(),
                environments: codes::environments_of(environments).ok_or_else(|| corrupt("app"))?,
                begins_at: Timestamp::from_millis(begins_at),
                expires_at: Timestamp::from_millis(expires_at),
            };
            IosAuth::Certificate { facts, pem: Sealed(pem.to_vec()) }
        }
    })
}

pub(crate) fn encode_token(token: &TokenRecord) -> Vec<u8> {
    let row = TokenRow {
        org: *token.org.as_bytes(),
        app: *token.app.as_bytes(),
        hash: *token.hash.as_bytes(),
        name: &token.name,
        created_at: token.created_at.as_millis(),
        expires_at: token.expires_at.map(Timestamp::as_millis),
        revoked_at: token.revoked_at.map(Timestamp::as_millis),
    };
    encode(&row, 128)
}

pub(crate) fn decode_token(id: TokenId, bytes: &[u8]) -> Result<TokenRecord, StoreError> {
    let row: TokenRow<'_> = decode("API token", bytes)?;
    Ok(TokenRecord {
        id,
        org: OrgId::from_bytes(row.org),
        app: AppId::from_bytes(row.app),
        hash: TokenHash::from_bytes(row.hash),
        name: row.name.to_owned(),
        created_at: Timestamp::from_millis(row.created_at),
        expires_at: row.expires_at.map(Timestamp::from_millis),
        revoked_at: row.revoked_at.map(Timestamp::from_millis),
    })
}
