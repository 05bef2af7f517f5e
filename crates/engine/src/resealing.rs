//! What is sealed in an app and in a callback's order, all in one place: a new key must miss none of it.

use pushroll_domain::{
    AndroidSide, App, AppId, CallbackOrder, IosAuth, IosSide, OldWebhookSecret, OrgId, SealContext,
    SealFault, Sealed, Sealer,
};

use crate::configure::{APNS_CERTIFICATE, APNS_KEY, SERVICE_ACCOUNT};
use crate::register::CALLBACK_HEADERS;
use crate::webhook_secret::WEBHOOK_SECRET;

/// The app with everything sealed anew, under the key under which this sealer seals now.
///
/// # Errors
/// When something does not open.
pub fn app_sealed_anew(app: &App, sealer: &dyn Sealer) -> Result<App, SealFault> {
    let anew = |field, sealed: &Sealed| {
        let context = SealContext { org: app.org, app: app.id, field };
        let opened = sealer.open(context, sealed)?;
        Ok(sealer.seal(context, opened.reveal()))
    };
    let ios = match &app.ios {
        None => None,
        Some(side) => {
            let auth = match &side.auth {
                IosAuth::Key { key_id, team_id, p8 } => IosAuth::Key {
                    key_id: key_id.clone(),
                    team_id: team_id.clone(),
                    p8: anew(APNS_KEY, p8)?,
                },
                IosAuth::Certificate { facts, pem } => {
                    IosAuth::Certificate { facts: facts.clone(), pem: anew(APNS_CERTIFICATE, pem)? }
                }
            };
            Some(IosSide { auth, ..side.clone() })
        }
    };
    let android = match &app.android {
        None => None,
        Some(side) => {
            let service_account = anew(SERVICE_ACCOUNT, &side.service_account)?;
            Some(AndroidSide { service_account, ..side.clone() })
        }
    };
    let old_webhook_secret = match &app.old_webhook_secret {
        None => None,
        Some(old) => {
            let secret = anew(WEBHOOK_SECRET, &old.secret)?;
            Some(OldWebhookSecret { secret, ends_at: old.ends_at })
        }
    };
    let webhook_secret = anew(WEBHOOK_SECRET, &app.webhook_secret)?;
    Ok(App { ios, android, webhook_secret, old_webhook_secret, ..app.clone() })
}

/// The order with the caller's headers sealed anew.
///
/// # Errors
/// When they do not open.
pub fn order_sealed_anew(
    org: OrgId,
    app: AppId,
    order: &CallbackOrder,
    sealer: &dyn Sealer,
) -> Result<CallbackOrder, SealFault> {
    let context = SealContext { org, app, field: CALLBACK_HEADERS };
    let headers = match &order.headers {
        None => None,
        Some(sealed) => Some(sealer.seal(context, sealer.open(context, sealed)?.reveal())),
    };
    Ok(CallbackOrder { headers, ..order.clone() })
}
