//! All organizations, apps and API tokens in memory: every request is authorized from here.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::app::{App, Org, TokenRecord};
use crate::ids::{AppId, OrgId, TokenId};
use crate::secret::TokenHash;
use crate::time::Timestamp;

/// A snapshot of the configuration, replaced as a whole when anything changes.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    orgs: HashMap<OrgId, Arc<Org>>,
    apps: HashMap<AppId, Arc<App>>,
    tokens: HashMap<TokenHash, Arc<TokenRecord>>,
    tokens_by_id: HashMap<TokenId, Arc<TokenRecord>>,
    with_callback_retries: Arc<HashSet<AppId>>,
}

/// What is not known of a request's organization, app and API token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// There is no such organization.
    Org,
    /// The organization has no such app.
    App,
    /// The organization has no such API token.
    Token,
}

/// Whether a request's API token is good.
#[derive(Debug, Clone)]
pub enum Authorization {
    /// It is good for the app.
    Good(Arc<App>, TokenId),
    /// The organization knows it, but it is of another app, expired or revoked.
    NotGood(Arc<App>),
    /// Organization, app or token is unknown, or the app or token is of another organization.
    Unknown(Unknown),
}

impl Directory {
    /// The snapshot of these rows.
    #[must_use]
    pub fn new(orgs: Vec<Org>, apps: Vec<App>, tokens: Vec<TokenRecord>) -> Self {
        let tokens: Vec<_> = tokens.into_iter().map(Arc::new).collect();
        let is_retried = |app: &&App| app.callback_retries.is_some() && app.deleted_at.is_none();
        let with_callback_retries = apps.iter().filter(is_retried).map(|app| app.id).collect();
        Self {
            with_callback_retries: Arc::new(with_callback_retries),
            orgs: orgs.into_iter().map(|org| (org.id, Arc::new(org))).collect(),
            apps: apps.into_iter().map(|app| (app.id, Arc::new(app))).collect(),
            tokens_by_id: tokens.iter().map(|t| (t.id, Arc::clone(t))).collect(),
            tokens: tokens.into_iter().map(|t| (t.hash, t)).collect(),
        }
    }

    /// Judges a request.
    #[must_use]
    pub fn authorize(
        &self,
        org: OrgId,
        app: AppId,
        token: &TokenHash,
        now: Timestamp,
    ) -> Authorization {
        if !self.orgs.contains_key(&org) {
            return Authorization::Unknown(Unknown::Org);
        }
        let Some(app) = self.app(app).filter(|known| known.org == org) else {
            return Authorization::Unknown(Unknown::App);
        };
        match self.tokens.get(token).filter(|known| known.org == org) {
            None => Authorization::Unknown(Unknown::Token),
            Some(known) if known.app == app.id && known.is_good(now) => {
                Authorization::Good(Arc::clone(app), known.id)
            }
            Some(_) => Authorization::NotGood(Arc::clone(app)),
        }
    }

    /// Whether a registration that was authorized by this token may still be verified: the app is
    /// there and the token is not revoked. Expiry was judged when the registration was accepted.
    #[must_use]
    pub fn still_authorized(&self, app: AppId, token: TokenId) -> Option<&Arc<App>> {
        let good = self.tokens_by_id.get(&token).is_some_and(|t| t.revoked_at.is_none());
        self.app(app).filter(|_| good)
    }

    /// The organization with this id.
    #[must_use]
    pub fn org(&self, id: OrgId) -> Option<&Arc<Org>> {
        self.orgs.get(&id)
    }

    /// The app with this id, unless it is deleted.
    #[must_use]
    pub fn app(&self, id: AppId) -> Option<&Arc<App>> {
        self.apps.get(&id).filter(|app| app.deleted_at.is_none())
    }

    /// The app with this id, deleted or not.
    #[must_use]
    pub fn app_even_if_deleted(&self, id: AppId) -> Option<&Arc<App>> {
        self.apps.get(&id)
    }

    /// The API token with this id.
    #[must_use]
    pub fn token(&self, id: TokenId) -> Option<&Arc<TokenRecord>> {
        self.tokens_by_id.get(&id)
    }

    /// All organizations, in the order of their ids, and so of their making.
    #[must_use]
    pub fn orgs(&self) -> Vec<Arc<Org>> {
        sorted(self.orgs.values(), |org| org.id)
    }

    /// The apps of an organization that are not deleted, in the order of their ids.
    #[must_use]
    pub fn apps_of(&self, org: OrgId) -> Vec<Arc<App>> {
        sorted(self.apps.values().filter(|app| app.org == org && app.deleted_at.is_none()), |app| {
            app.id
        })
    }

    /// The apps whose callbacks are tried again.
    #[must_use]
    pub fn apps_with_callback_retries(&self) -> Arc<HashSet<AppId>> {
        Arc::clone(&self.with_callback_retries)
    }

    /// The apps that are deleted and not purged yet.
    #[must_use]
    pub fn deleted_apps(&self) -> Vec<Arc<App>> {
        sorted(self.apps.values().filter(|app| app.deleted_at.is_some()), |app| app.id)
    }

    /// The API tokens of an app, in the order of their ids.
    #[must_use]
    pub fn tokens_of(&self, app: AppId) -> Vec<Arc<TokenRecord>> {
        sorted(self.tokens_by_id.values().filter(|token| token.app == app), |token| token.id)
    }
}

fn sorted<'a, T: 'a, K: Ord>(
    rows: impl Iterator<Item = &'a Arc<T>>,
    key: impl Fn(&T) -> K,
) -> Vec<Arc<T>> {
    let mut rows: Vec<_> = rows.cloned().collect();
    rows.sort_by_key(|row| key(row));
    rows
}

#[cfg(test)]
mod tests;
