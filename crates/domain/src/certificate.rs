//! What a push certificate of Apple's says about itself, and whether it is of use to an app.

use serde::{Deserialize, Serialize};

use crate::app::IosMode;
use crate::credentials::CredentialFault;
use crate::device::Environment;
use crate::time::Timestamp;

/// The environments of APNs that a certificate is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateEnvironments {
    /// The App Store's and TestFlight's only.
    Production,
    /// Xcode's only.
    Sandbox,
    /// Both: what Apple has given out since 2015.
    Both,
}

impl CertificateEnvironments {
    /// Whether the environment is among them.
    #[must_use]
    pub const fn include(self, environment: Environment) -> bool {
        match self {
            Self::Production => matches!(environment, Environment::Production),
            Self::Sandbox => matches!(environment, Environment::Sandbox),
            Self::Both => true,
        }
    }
}

/// What a push certificate says about itself. Nothing of it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateFacts {
    /// Its common name, for people.
    pub name: String,
    /// The topics that it may push to: bundle ids, some with a suffix such as `.voip`.
    pub topics: Vec<String>,
    /// The environments that it is good for.
    pub environments: CertificateEnvironments,
    /// From when on it is good.
    pub begins_at: Timestamp,
    /// From when on it is no longer good.
    pub expires_at: Timestamp,
}

/// Where a new certificate comes from.
const UPLOAD: &str = "make one in \"Certificates, Identifiers & Profiles\" (Apple Push Notification \
                      service SSL, Sandbox & Production) and upload its .p12";

impl CertificateFacts {
    /// Whether it is of use now to an app of this mode.
    ///
    /// # Errors
    /// Says what is wrong, and what to upload or set instead.
    pub fn check(&self, mode: IosMode, now: Timestamp) -> Result<(), CredentialFault> {
        let field = "ios.certificate.p12_base64";
        if now >= self.expires_at {
            let message = format!(
                "The certificate {} expired on {}; {UPLOAD}, or use an APNs key (.p8), which does \
                 not expire.",
                self.name,
                self.expires_at.date()
            );
            return Err(CredentialFault { field, message });
        }
        if now < self.begins_at {
            let message = format!(
                "The certificate {} is not good before {}; check this server's clock, or wait.",
                self.name,
                self.begins_at.date()
            );
            return Err(CredentialFault { field, message });
        }
        let (only, other_mode) = match (self.environments, mode) {
            (CertificateEnvironments::Both, _)
            | (CertificateEnvironments::Production, IosMode::Production)
            | (CertificateEnvironments::Sandbox, IosMode::Sandbox) => return Ok(()),
            (CertificateEnvironments::Production, IosMode::Sandbox | IosMode::Auto) => {
                ("production", "production")
            }
            (CertificateEnvironments::Sandbox, IosMode::Production | IosMode::Auto) => {
                ("development (the sandbox)", "sandbox")
            }
        };
        let message = format!(
            "The certificate {} is for {only} only, and the app's mode is {}: set ios.mode to \
             {other_mode}, or {UPLOAD}.",
            self.name,
            mode.name()
        );
        Err(CredentialFault { field, message })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BEGIN: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn facts(environments: CertificateEnvironments) -> CertificateFacts {
        CertificateFacts {
            name: "Apple Push Services: com.example.app".into(),
            topics: vec!["com.example.app".into()],
            environments,
            begins_at: BEGIN,
            expires_at: BEGIN.plus(Duration::from_secs(3600)),
        }
    }

    #[test]
    fn a_certificate_is_good_from_its_beginning_to_its_end() {
        let facts = facts(CertificateEnvironments::Both);
        let at = |secs: u64| facts.check(IosMode::Auto, BEGIN.plus(Duration::from_secs(secs)));
        assert_eq!(at(0), Ok(()));
        assert_eq!(at(3599), Ok(()));
        let expired = at(3600).unwrap_err();
        assert_eq!(expired.field, "ios.certificate.p12_base64");
        assert!(expired.message.contains("expired on 2023-11-14;"), "{expired}");
        assert!(expired.message.contains("upload its .p12"), "{expired}");
        let early = facts.check(IosMode::Auto, Timestamp::from_millis(0)).unwrap_err();
        assert!(early.message.contains("check this server's clock"), "{early}");
    }

    #[test]
    fn a_certificate_of_one_environment_is_for_the_mode_of_that_environment_only() {
        use CertificateEnvironments::{Both, Production, Sandbox};
        for (environments, mode, advice) in [
            (Both, IosMode::Production, None),
            (Both, IosMode::Sandbox, None),
            (Both, IosMode::Auto, None),
            (Production, IosMode::Production, None),
            (Sandbox, IosMode::Sandbox, None),
            (Production, IosMode::Sandbox, Some("set ios.mode to production")),
            (Production, IosMode::Auto, Some("set ios.mode to production")),
            (Sandbox, IosMode::Production, Some("set ios.mode to sandbox")),
            (Sandbox, IosMode::Auto, Some("set ios.mode to sandbox")),
        ] {
            let checked = facts(environments).check(mode, BEGIN);
            match (advice, checked) {
                (None, Ok(())) => {}
                (Some(advice), Err(fault)) => assert!(fault.message.contains(advice), "{fault}"),
                (_, checked) => panic!("{environments:?} with {mode:?}: {checked:?}"),
            }
        }
    }

    #[test]
    fn the_environments_of_a_certificate_are_those_that_it_may_ask() {
        use CertificateEnvironments::{Both, Production, Sandbox};
        for (environments, production, sandbox) in
            [(Both, true, true), (Production, true, false), (Sandbox, false, true)]
        {
            assert_eq!(environments.include(Environment::Production), production);
            assert_eq!(environments.include(Environment::Sandbox), sandbox);
        }
    }
}
