//! The audit list: an entry for each change of the configuration, made here and put by the store in the commit of
//! the change. It says which fields were given, and never what they hold.

use pushroll_domain::{
    Actor, App, AppId, AuditAction, AuditEntry, AuditFilter, Org, OrgId, Page, PageRequest,
    TokenId, TokenRecord,
};

use crate::configure::{ApnsAuthInput, AppChange, Change, IosChange, NewApp};
use crate::inspect::InspectError;
use crate::service::Service;

/// What a change is of.
pub(crate) struct Of {
    org: OrgId,
    app: Option<AppId>,
    token: Option<TokenId>,
    name: String,
    fields: Vec<String>,
}

impl Of {
    pub(crate) fn org(org: &Org) -> Self {
        Self { org: org.id, app: None, token: None, name: org.name.clone(), fields: Vec::new() }
    }

    pub(crate) fn app(app: &App) -> Self {
        let name = app.name.clone();
        Self { org: app.org, app: Some(app.id), token: None, name, fields: Vec::new() }
    }

    pub(crate) fn token(token: &TokenRecord) -> Self {
        let name = token.name.clone();
        let (app, id) = (Some(token.app), Some(token.id));
        Self { org: token.org, app, token: id, name, fields: Vec::new() }
    }

    pub(crate) fn with(mut self, fields: Vec<&'static str>) -> Self {
        self.fields = fields.into_iter().map(str::to_owned).collect();
        self
    }
}

impl Service {
    /// The entry for a change that is about to be made.
    pub(crate) fn entry(&self, by: &Actor, action: AuditAction, of: Of) -> AuditEntry {
        let now = self.clock.now();
        AuditEntry {
            id: self.ids.audit(now, self.random.u64()),
            at: now,
            actor: by.clone(),
            action,
            org: Some(of.org),
            app: of.app,
            token: of.token,
            name: of.name,
            fields: of.fields,
        }
    }

    /// Who changed the configuration, newest first.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn audit(
        &self,
        filter: AuditFilter,
        page: PageRequest,
    ) -> Result<Page<AuditEntry>, InspectError> {
        Ok(self.store.audit(filter, page).await?)
    }
}

const fn auth_field(auth: &ApnsAuthInput) -> &'static str {
    match auth {
        ApnsAuthInput::Key(_) => "ios.key",
        ApnsAuthInput::Certificate(_) => "ios.certificate",
    }
}

impl NewApp {
    /// The fields that are given beside the name.
    pub(crate) fn fields(&self) -> Vec<&'static str> {
        let Self { name: _, description, ios, android, callback_retries } = self;
        let mut fields = Vec::new();
        if !description.is_empty() {
            fields.push("description");
        }
        if let Some(ios) = ios {
            fields.push("ios.mode");
            if ios.bundle_id.is_some() {
                fields.push("ios.bundle_id");
            }
            fields.push(auth_field(&ios.auth));
        }
        if android.is_some() {
            fields.push("android.service_account");
        }
        if callback_retries.is_some() {
            fields.push("callbacks.retries");
        }
        fields
    }
}

impl AppChange {
    /// The fields that are changed or removed.
    pub(crate) fn fields(&self) -> Vec<&'static str> {
        let Self { name, description, ios, android, callback_retries } = self;
        let mut fields = Vec::new();
        if name.is_some() {
            fields.push("name");
        }
        if is_change(description) {
            fields.push("description");
        }
        match ios {
            Change::Keep => {}
            Change::Remove => fields.push("ios"),
            Change::Set(IosChange { mode, bundle_id, auth }) => {
                let mode = mode.as_ref().map(|_| "ios.mode");
                let bundle_id = bundle_id.as_ref().map(|_| "ios.bundle_id");
                fields
                    .extend([mode, bundle_id, auth.as_ref().map(auth_field)].into_iter().flatten());
            }
        }
        match android {
            Change::Keep => {}
            Change::Remove => fields.push("android"),
            Change::Set(_) => fields.push("android.service_account"),
        }
        if is_change(callback_retries) {
            fields.push("callbacks.retries");
        }
        fields
    }
}

const fn is_change<T>(change: &Change<T>) -> bool {
    !matches!(change, Change::Keep)
}
