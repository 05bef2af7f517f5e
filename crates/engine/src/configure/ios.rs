//! The iOS side of an app: by an APNs key, or by a certificate.

use std::sync::Arc;

use pushroll_domain::{
    ApnsCredentials, ApnsProof, AppId, CredentialFault, IosAuth, IosMode, IosSide, OrgId,
    Providers, SealContext, Sealed, Secret,
};

use super::{ConfigureError, invalid, text_of};
use crate::service::Service;

/// The field names that sealed credentials are bound to.
pub(crate) const APNS_KEY: &str = "ios.key.p8";
pub(crate) const APNS_CERTIFICATE: &str = "ios.certificate";

/// An APNs key as it is entered.
#[derive(Debug, Clone)]
pub struct ApnsKeyInput {
    /// The key's id.
    pub key_id: String,
    /// The developer team's id.
    pub team_id: String,
    /// The text of the .p8 file.
    pub p8: Secret,
}

/// A push certificate as it is entered.
#[derive(Debug, Clone)]
pub struct ApnsCertificateInput {
    /// The .p12 file in base64.
    pub p12_base64: Secret,
    /// The file's password; empty if it has none.
    pub password: Secret,
}

/// What is shown to APNs, as it is entered.
#[derive(Debug, Clone)]
pub enum ApnsAuthInput {
    /// A key.
    Key(ApnsKeyInput),
    /// A certificate.
    Certificate(ApnsCertificateInput),
}

/// The iOS side of an app as it is entered.
#[derive(Debug, Clone)]
pub struct IosInput {
    /// Which environment.
    pub mode: IosMode,
    /// The bundle id; a certificate may say it.
    pub bundle_id: Option<String>,
    /// Key or certificate.
    pub auth: ApnsAuthInput,
}

/// A change of an app's iOS side. What is absent stays; an app that had none needs all three.
#[derive(Debug, Clone, Default)]
pub struct IosChange {
    /// Which environment.
    pub mode: Option<IosMode>,
    /// The bundle id.
    pub bundle_id: Option<String>,
    /// Key or certificate, whichever it was before.
    pub auth: Option<ApnsAuthInput>,
}

impl Service {
    pub(super) async fn ios_side(
        &self,
        org: OrgId,
        app: AppId,
        ios: IosInput,
    ) -> Result<IosSide, ConfigureError> {
        let IosInput { mode, bundle_id, auth } = ios;
        let seal = |field, plain: &[u8]| self.sealer.seal(SealContext { org, app, field }, plain);
        match auth {
            ApnsAuthInput::Key(ApnsKeyInput { key_id, team_id, p8 }) => {
                let bundle_id = bundle_id.ok_or_else(|| {
                    invalid("ios.bundle_id", "is missing: only a certificate can stand in for it")
                })?;
                let text = text_of(APNS_KEY, &p8)?;
                self.providers.read_apns_key(&bundle_id, &key_id, &team_id, text)?;
                let p8 = seal(APNS_KEY, text.as_bytes());
                Ok(IosSide { mode, bundle_id, auth: IosAuth::Key { key_id, team_id, p8 } })
            }
            ApnsAuthInput::Certificate(certificate) => {
                let pem = self.opened_p12(certificate).await?;
                let text = text_of(APNS_CERTIFICATE, &pem)?;
                let read = self.providers.read_apns_certificate(bundle_id.as_deref(), text)?;
                let facts = facts_in(&read.proof)?;
                facts.check(mode, self.clock.now())?;
                let auth = IosAuth::Certificate {
                    facts: facts.clone(),
                    pem: seal(APNS_CERTIFICATE, text.as_bytes()),
                };
                Ok(IosSide { mode, bundle_id: read.topic, auth })
            }
        }
    }

    /// Takes a .p12 apart. The key of its encryption takes a while to compute, on purpose, so that is
    /// done where it holds nobody up.
    async fn opened_p12(&self, input: ApnsCertificateInput) -> Result<Secret, ConfigureError> {
        let providers = Arc::clone(&self.providers);
        let opened = tokio::task::spawn_blocking(move || {
            let p12 = text_of("ios.certificate.p12_base64", &input.p12_base64)?;
            let password = text_of("ios.certificate.password", &input.password)?;
            Ok(providers.open_p12(p12, password)?)
        });
        opened.await.unwrap_or_else(|_| {
            Err(invalid(
                "ios.certificate.p12_base64",
                "can't be read: export the certificate again",
            ))
        })
    }

    pub(super) async fn changed_ios(
        &self,
        org: OrgId,
        app: AppId,
        before: Option<IosSide>,
        change: IosChange,
    ) -> Result<IosSide, ConfigureError> {
        let missing = |field| invalid(field, "is missing: the app has no iOS side yet");
        let mode = change
            .mode
            .or(before.as_ref().map(|ios| ios.mode))
            .ok_or_else(|| missing("ios.mode"))?;
        let open = |field, sealed: &Sealed| {
            let opened = self.sealer.open(SealContext { org, app, field }, sealed);
            opened.map_err(|fault| invalid(field, &fault.to_string()))
        };
        let kept_bundle_id = before.as_ref().map(|ios| ios.bundle_id.clone());
        let bundle_id = change.bundle_id.or(kept_bundle_id);
        let auth = match (change.auth, before) {
            (Some(auth), _) => auth,
            (None, None) if bundle_id.is_none() => return Err(missing("ios.bundle_id")),
            (None, None) => return Err(missing("ios.key")),
            (None, Some(IosSide { auth: IosAuth::Key { key_id, team_id, p8 }, .. })) => {
                let p8 = open(APNS_KEY, &p8)?;
                ApnsAuthInput::Key(ApnsKeyInput { key_id, team_id, p8 })
            }
            // Already taken out of its file: it stays as it is, if it still does.
            (None, Some(IosSide { auth: IosAuth::Certificate { pem, .. }, .. })) => {
                let opened = open(APNS_CERTIFICATE, &pem)?;
                let text = text_of(APNS_CERTIFICATE, &opened)?;
                let read = self.providers.read_apns_certificate(bundle_id.as_deref(), text)?;
                let facts = facts_in(&read.proof)?.clone();
                facts.check(mode, self.clock.now())?;
                let auth = IosAuth::Certificate { facts, pem };
                return Ok(IosSide { mode, bundle_id: read.topic, auth });
            }
        };
        self.ios_side(org, app, IosInput { mode, bundle_id, auth }).await
    }
}

/// The credentials of an app's iOS side, opened and read.
pub(super) fn apns_credentials(
    providers: &dyn Providers,
    ios: &IosSide,
    open: impl Fn(&'static str, &Sealed) -> Result<Secret, String>,
) -> Result<ApnsCredentials, String> {
    let words = |fault: CredentialFault| fault.to_string();
    match &ios.auth {
        IosAuth::Key { key_id, team_id, p8 } => {
            let opened = open(APNS_KEY, p8)?;
            let text = String::from_utf8_lossy(opened.reveal());
            providers.read_apns_key(&ios.bundle_id, key_id, team_id, &text).map_err(words)
        }
        IosAuth::Certificate { facts: _, pem } => {
            let opened = open(APNS_CERTIFICATE, pem)?;
            let text = String::from_utf8_lossy(opened.reveal());
            providers.read_apns_certificate(Some(&ios.bundle_id), &text).map_err(words)
        }
    }
}

fn facts_in(proof: &ApnsProof) -> Result<&pushroll_domain::CertificateFacts, ConfigureError> {
    match proof {
        ApnsProof::Certificate(certificate) => Ok(&certificate.facts),
        ApnsProof::Key(_) => Err(invalid(APNS_CERTIFICATE, "is no certificate")),
    }
}
