//! The audit list: who changed the configuration, when, from where, and what. Never a secret, nor what a field was
//! changed to: only which fields were given.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::ids::{AppId, AuditId, OrgId, TokenId};
use crate::secret::TokenHash;
use crate::time::Timestamp;

/// Who changes the configuration, and from where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// What he is known by: `admin-token 1a2b3c4d` with the beginning of the token's SHA-256, or `command line`.
    pub by: String,
    /// Where the request came from, if it was one.
    pub source: Option<IpAddr>,
}

impl Actor {
    /// Whoever holds this admin token.
    #[must_use]
    pub fn with_admin_token(token: &TokenHash, source: IpAddr) -> Self {
        let first = &token.as_bytes()[..4];
        let by = first.iter().fold("admin-token ".to_owned(), |by, byte| format!("{by}{byte:02x}"));
        Self { by, source: Some(source) }
    }

    /// Whoever runs a command on the server's own machine.
    #[must_use]
    pub fn at_the_machine() -> Self {
        Self { by: "command line".to_owned(), source: None }
    }
}

/// What was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AuditAction {
    /// An organization was made.
    OrgCreated,
    /// An app was made.
    AppCreated,
    /// An app was changed.
    AppChanged,
    /// An app was deleted, and its tokens revoked.
    AppDeleted,
    /// An API token was made.
    TokenCreated,
    /// An API token was revoked.
    TokenRevoked,
    /// An app was given a new webhook secret.
    WebhookSecretRotated,
    /// An app's old webhook secret was ended before its time.
    OldWebhookSecretEnded,
    /// It was begun to seal everything anew under another key.
    SealingKeyRotated,
}

impl AuditAction {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::OrgCreated,
        Self::AppCreated,
        Self::AppChanged,
        Self::AppDeleted,
        Self::TokenCreated,
        Self::TokenRevoked,
        Self::WebhookSecretRotated,
        Self::OldWebhookSecretEnded,
        Self::SealingKeyRotated,
    ];

    /// The name in the admin API and in stores, for ever.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OrgCreated => "organization.create",
            Self::AppCreated => "app.create",
            Self::AppChanged => "app.change",
            Self::AppDeleted => "app.delete",
            Self::TokenCreated => "token.create",
            Self::TokenRevoked => "token.revoke",
            Self::WebhookSecretRotated => "webhook-secret.rotate",
            Self::OldWebhookSecretEnded => "webhook-secret.end-old",
            Self::SealingKeyRotated => "sealing-key.rotate",
        }
    }

    /// The action of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

/// A change of the configuration, as the audit list keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its id.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What.
    pub action: AuditAction,
    /// The organization that was made, or whose app it was.
    pub org: Option<OrgId>,
    /// The app.
    pub app: Option<AppId>,
    /// The API token.
    pub token: Option<TokenId>,
    /// The name of what was made or changed, as it was then.
    pub name: String,
    /// Which fields were given, in the admin API's dotted form.
    pub fields: Vec<String>,
}

/// Which entries are asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of this organization and its apps.
    pub org: Option<OrgId>,
    /// Of this app.
    pub app: Option<AppId>,
}

impl AuditFilter {
    /// Whether an entry is one of those.
    #[must_use]
    pub fn takes(&self, entry: &AuditEntry) -> bool {
        self.org.is_none_or(|org| entry.org == Some(org))
            && self.app.is_none_or(|app| entry.app == Some(app))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_is_known_by_the_beginning_of_the_token_s_hash_and_never_by_the_token() {
        let hash = TokenHash::of("an admin token of some length");
        let actor = Actor::with_admin_token(&hash, IpAddr::from([10, 0, 0, 1]));
        let first = u32::from_be_bytes(hash.as_bytes()[..4].try_into().unwrap());
        assert_eq!(actor.by, format!("admin-token {first:08x}"));
    }

    #[test]
    fn every_action_has_a_name_of_its_own_and_is_found_by_it() {
        for action in AuditAction::ALL {
            assert_eq!(AuditAction::of_name(action.name()), Some(action));
        }
        assert_eq!(AuditAction::of_name("app.creat"), None);
    }
}
