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

/// Everything of the app that is sealed.
pub fn sealed_in(app: &App) -> impl Iterator<Item = &Sealed> {
    let ios = app.ios.as_ref().map(|side| match &side.auth {
        IosAuth::Key { key_id: _, team_id: _, p8 } => p8,
        IosAuth::Certificate { facts: _, pem } => pem,
    });
    let android = app.android.as_ref().map(|side| &side.service_account);
    let old = app.old_webhook_secret.as_ref().map(|old| &old.secret);
    [Some(&app.webhook_secret), ios, android, old].into_iter().flatten()
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pushroll_domain::{
        CertificateEnvironments, CertificateFacts, HostKey, IosMode, Secret, Timestamp,
    };

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

    /// Writes its number and the field before the text, and opens what is for the same field.
    struct Numbered(u8);

    impl Sealer for Numbered {
        fn seal(&self, context: SealContext<'_>, plain: &[u8]) -> Sealed {
            Sealed([&[self.0], context.field.as_bytes(), b"=", plain].concat())
        }

        fn open(&self, context: SealContext<'_>, sealed: &Sealed) -> Result<Secret, SealFault> {
            let rest = sealed.0[1..].strip_prefix(context.field.as_bytes());
            let plain = rest.and_then(|rest| rest.strip_prefix(b"=")).ok_or(SealFault::Damaged)?;
            Ok(Secret::new(plain.to_vec()))
        }
    }

    fn sealed(number: u8, field: &str) -> Sealed {
        let (org, app) = (OrgId::from_bytes([1; 16]), AppId::from_bytes([2; 16]));
        Numbered(number).seal(SealContext { org, app, field }, b"secret")
    }

    /// With everything in it that can be sealed, by this number.
    fn app(number: u8, auth: IosAuth) -> App {
        App {
            id: AppId::from_bytes([2; 16]),
            org: OrgId::from_bytes([1; 16]),
            name: "Shop".to_owned(),
            description: String::new(),
            ios: Some(IosSide {
                mode: IosMode::Production,
                bundle_id: "com.example.shop".to_owned(),
                auth,
            }),
            android: Some(AndroidSide {
                project_id: "shop-1".to_owned(),
                client_email: "push@shop-1".to_owned(),
                service_account: sealed(number, SERVICE_ACCOUNT),
            }),
            webhook_secret: sealed(number, WEBHOOK_SECRET),
            old_webhook_secret: Some(OldWebhookSecret {
                secret: sealed(number, WEBHOOK_SECRET),
                ends_at: NOW,
            }),
            callback_retries: None,
            created_at: NOW,
            updated_at: NOW,
            deleted_at: None,
        }
    }

    fn by_key(number: u8) -> IosAuth {
        let (key_id, team_id) = ("KEY".to_owned(), "TEAM".to_owned());
        IosAuth::Key { key_id, team_id, p8: sealed(number, APNS_KEY) }
    }

    fn by_certificate(number: u8) -> IosAuth {
        let facts = CertificateFacts {
            name: "Apple Push Services".to_owned(),
            topics: vec!["com.example.shop".to_owned()],
            environments: CertificateEnvironments::Both,
            begins_at: NOW,
            expires_at: NOW.plus(Duration::from_secs(1)),
        };
        IosAuth::Certificate { facts, pem: sealed(number, APNS_CERTIFICATE) }
    }

    #[test]
    fn everything_of_an_app_that_is_sealed_is_sealed_anew_and_nothing_else_changes() {
        for auth in [by_key, by_certificate] {
            let anew = app_sealed_anew(&app(1, auth(1)), &Numbered(2)).unwrap();
            assert_eq!(anew, app(2, auth(2)));
            assert_eq!(sealed_in(&anew).count(), 4);
            assert!(sealed_in(&anew).all(|sealed| sealed.0[0] == 2));
        }
        let bare = App { ios: None, android: None, ..app(1, by_key(1)) };
        let expected = App { ios: None, android: None, ..app(2, by_key(2)) };
        assert_eq!(app_sealed_anew(&bare, &Numbered(2)).unwrap(), expected);
    }

    #[test]
    fn the_headers_of_an_order_are_sealed_anew_if_there_are_any() {
        let order = |headers| CallbackOrder {
            url: "https://example.com/".to_owned(),
            host: HostKey([3; 8]),
            signature: "signature".to_owned(),
            headers,
        };
        let (org, app) = (OrgId::from_bytes([1; 16]), AppId::from_bytes([2; 16]));
        let anew = |order| order_sealed_anew(org, app, &order, &Numbered(2)).unwrap();
        let with = |number| order(Some(sealed(number, CALLBACK_HEADERS)));
        assert_eq!(anew(with(1)), with(2));
        assert_eq!(anew(order(None)), order(None));
        let damaged = order(Some(sealed(1, APNS_KEY)));
        assert!(order_sealed_anew(org, app, &damaged, &Numbered(2)).is_err());
    }
}
