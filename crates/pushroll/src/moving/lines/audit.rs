//! Entries of the audit list.

use pushroll_domain::{
    Actor, AppId, AuditAction, AuditEntry, AuditId, AuditRecord, OrgId, TokenId,
};
use serde::{Deserialize, Serialize};

use super::values::at;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditLine {
    place: u64,
    id: AuditId,
    at_ms: u64,
    by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    org: Option<OrgId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    app: Option<AppId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<TokenId>,
    name: String,
    fields: Vec<String>,
}

impl AuditLine {
    pub(super) fn of(audit: &AuditRecord) -> Self {
        let AuditRecord { place, entry } = audit;
        Self {
            place: *place,
            id: entry.id,
            at_ms: entry.at.as_millis(),
            by: entry.actor.by.clone(),
            source: entry.actor.source.map(|source| source.to_string()),
            action: entry.action.name().to_owned(),
            org: entry.org,
            app: entry.app,
            token: entry.token,
            name: entry.name.clone(),
            fields: entry.fields.clone(),
        }
    }

    pub(super) fn into_audit(self) -> Result<AuditRecord, String> {
        let source = self.source.map(|source| source.parse()).transpose();
        let entry = AuditEntry {
            id: self.id,
            at: at(self.at_ms),
            actor: Actor {
                by: self.by,
                source: source.map_err(|_| "source is no address".to_owned())?,
            },
            action: AuditAction::of_name(&self.action)
                .ok_or_else(|| "action is none that is known".to_owned())?,
            org: self.org,
            app: self.app,
            token: self.token,
            name: self.name,
            fields: self.fields,
        };
        Ok(AuditRecord { place: self.place, entry })
    }
}
