//! The configuration of a world.

use pushroll_domain::{
    Actor, App, AppId, AuditAction, AuditEntry, Org, OrgId, Sealed, StoreError, Timestamp,
    TokenHash, TokenId, TokenRecord,
};

use super::World;

impl World {
    /// The world's organization, as it was put.
    #[must_use]
    pub fn an_org(&self) -> Org {
        Org { id: self.org, name: "Contoso".into(), created_at: self.now }
    }

    /// An app, as it is put.
    #[must_use]
    pub fn an_app(&self, id: AppId) -> App {
        App {
            id,
            org: self.org,
            name: "Shop".into(),
            description: String::new(),
            ios: None,
            android: None,
            webhook_secret: Sealed(vec![1, 2, 3]),
            old_webhook_secret: None,
            callback_retries: None,
            created_at: self.now,
            updated_at: self.now,
            deleted_at: None,
        }
    }

    /// The id of an app that is not in the store.
    #[must_use]
    pub fn new_app_id(&self) -> AppId {
        self.ids.app(self.now, self.draw())
    }

    /// An API token of an app.
    #[must_use]
    pub fn a_token(&self, app: AppId) -> TokenRecord {
        TokenRecord {
            id: self.ids.token(self.now, self.draw()),
            org: self.org,
            app,
            hash: TokenHash::of(&format!("token {}", self.draw())),
            name: "for tests".into(),
            created_at: self.now,
            expires_at: None,
            revoked_at: None,
        }
    }

    /// An entry of the audit list about the world's app.
    #[must_use]
    pub fn an_entry(&self, action: AuditAction) -> AuditEntry {
        AuditEntry {
            id: self.ids.audit(self.now, self.draw()),
            at: self.now,
            actor: Actor { by: "admin-token 01020304".into(), source: Some([192, 0, 2, 1].into()) },
            action,
            org: Some(self.org),
            app: Some(self.app),
            token: None,
            name: "Shop".into(),
            fields: vec!["ios.key".into()],
        }
    }

    /// Adds or replaces an organization.
    ///
    /// # Errors
    /// Those of the store, as of the next.
    pub async fn put_org(&self, org: Org) -> Result<(), StoreError> {
        let entry = AuditEntry { app: None, ..self.an_entry(AuditAction::OrgCreated) };
        self.store.put_org(org, entry).await
    }

    /// Adds or replaces an app.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn put_app(&self, app: App) -> Result<(), StoreError> {
        self.store.put_app(app, self.an_entry(AuditAction::AppChanged)).await
    }

    pub(crate) async fn put_token(&self, token: TokenRecord) -> Result<(), StoreError> {
        self.store.put_token(token, self.an_entry(AuditAction::TokenCreated)).await
    }

    pub(crate) async fn revoke_token(
        &self,
        app: AppId,
        token: TokenId,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let entry = self.an_entry(AuditAction::TokenRevoked);
        self.store.revoke_token(app, token, at, entry).await
    }

    pub(crate) async fn delete_app(
        &self,
        org: OrgId,
        app: AppId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.store.delete_app(org, app, at, self.an_entry(AuditAction::AppDeleted)).await
    }
}
