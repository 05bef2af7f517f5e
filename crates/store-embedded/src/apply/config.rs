//! Changing the configuration, and removing deleted apps.

use pushroll_domain::{
    App, AppId, AuditEntry, DeletedApp, Org, OrgId, StoreError, Timestamp, TokenId, TokenRecord,
};

use crate::audit::Audit;
use crate::columns::Column;
use crate::group::Group;
use crate::keys;
use crate::rows;

pub(crate) fn put_meta(group: &mut Group<'_>, key: &'static [u8], value: Vec<u8>) {
    group.put(Column::Meta, key, value);
}

pub(crate) fn put_org(
    group: &mut Group<'_>,
    org: &Org,
    audit: &Audit<'_>,
    entry: &AuditEntry,
) -> Result<(), StoreError> {
    group.put(Column::Config, keys::org(org.id), rows::encode_org(org));
    audit.add(group, entry)
}

fn app(group: &mut Group<'_>, id: AppId) -> Result<Option<App>, StoreError> {
    group.find(Column::Config, &keys::app(id), |row| rows::decode_app(id, row))
}

fn token(group: &mut Group<'_>, id: TokenId) -> Result<Option<TokenRecord>, StoreError> {
    group.find(Column::Config, &keys::token(id), |row| rows::decode_token(id, row))
}

/// A deleted app stays deleted, and a purged one does not come back.
pub(crate) fn put_app(
    group: &mut Group<'_>,
    mut app: App,
    audit: &Audit<'_>,
    entry: &AuditEntry,
) -> Result<(), StoreError> {
    if group.has(Column::Config, &keys::purged(app.id))? {
        return Ok(());
    }
    if let Some(stored) = self::app(group, app.id)? {
        app.deleted_at = stored.deleted_at.or(app.deleted_at);
    }
    group.put(Column::Config, keys::app(app.id), rows::encode_app(&app));
    audit.add(group, entry)
}

/// A token that comes too late for its app is revoked from the start.
pub(crate) fn put_token(
    group: &mut Group<'_>,
    mut token: TokenRecord,
    audit: &Audit<'_>,
    entry: &AuditEntry,
) -> Result<(), StoreError> {
    let gone = match app(group, token.app)? {
        Some(app) => app.deleted_at,
        None => {
            let purged = group.has(Column::Config, &keys::purged(token.app))?;
            purged.then_some(token.created_at)
        }
    };
    token.revoked_at = token.revoked_at.or(gone);
    group.put(Column::Config, keys::token(token.id), rows::encode_token(&token));
    audit.add(group, entry)
}

pub(crate) fn revoke_token(
    group: &mut Group<'_>,
    app: AppId,
    id: TokenId,
    at: Timestamp,
    audit: &Audit<'_>,
    entry: &AuditEntry,
) -> Result<bool, StoreError> {
    let is_revoked = revoke(group, app, id, at)?;
    if is_revoked {
        audit.add(group, entry)?;
    }
    Ok(is_revoked)
}

/// Whether the token was there and good until now.
fn revoke(
    group: &mut Group<'_>,
    app: AppId,
    id: TokenId,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let Some(mut token) = token(group, id)? else { return Ok(false) };
    if token.app != app || token.revoked_at.is_some() {
        return Ok(false);
    }
    token.revoked_at = Some(at);
    group.put(Column::Config, keys::token(id), rows::encode_token(&token));
    Ok(true)
}

pub(crate) fn delete_app(
    group: &mut Group<'_>,
    org: OrgId,
    id: AppId,
    at: Timestamp,
    audit: &Audit<'_>,
    entry: &AuditEntry,
) -> Result<(), StoreError> {
    let Some(mut app) = app(group, id)?.filter(|app| app.org == org) else { return Ok(()) };
    for token in tokens_of(group, id)? {
        revoke(group, id, token, at)?;
    }
    if app.deleted_at.is_none() {
        app.deleted_at = Some(at);
        group.put(Column::Config, keys::app(id), rows::encode_app(&app));
        audit.add(group, entry)?;
    }
    Ok(())
}

/// The ids of an app's tokens, those put in this group among them.
fn tokens_of(group: &mut Group<'_>, app: AppId) -> Result<Vec<TokenId>, StoreError> {
    let mut of_app = Vec::new();
    for id in group.ids_in_config(keys::TOKEN)?.into_iter().map(TokenId::from_bytes) {
        if token(group, id)?.is_some_and(|token| token.app == app) {
            of_app.push(id);
        }
    }
    Ok(of_app)
}

/// One step suffices: ranges are deleted whole, whatever they hold.
pub(crate) fn purge(group: &mut Group<'_>, id: AppId) -> Result<DeletedApp, StoreError> {
    let Some(app) = app(group, id)? else { return Ok(DeletedApp { purged: true }) };
    if app.deleted_at.is_none() || group.is_app_pending(id)? {
        return Ok(DeletedApp { purged: false });
    }
    let from = id.as_bytes().to_vec();
    for column in
        [Column::Devices, Column::Outcomes, Column::History, Column::Marks, Column::Deliveries]
    {
        // Only the app with the very last id has no key after it; no id is made of 0xff bytes.
        let to = keys::after_prefix(&from).unwrap_or_else(|| vec![0xff; 64]);
        group.delete_range(column, from.clone(), to);
    }
    group.delete(Column::Config, keys::app(id));
    group.put(Column::Config, keys::purged(id), Vec::new());
    Ok(DeletedApp { purged: true })
}
