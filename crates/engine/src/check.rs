//! Whether an app's credentials are good: its providers are asked about a device token that is well-formed
//! and made up. A provider that knows the credentials says that the token is none; one that does not, says
//! so. Nothing reaches any device.

use pushroll_domain::{
    App, AppId, Credentials, DeviceToken, DryRunReport, Environment, IosMode, OrgId, Platform,
    Provider, ProviderAnswer, Providers, RegistrationId, Sealer, UserId, Verdict,
};

use crate::configure::{ConfigureError, open_credentials};
use crate::service::Service;
use crate::symptom::Symptom;

/// 64 hexadecimal digits, as an APNs device token has them.
const APNS_DUMMY: &str = "bad0bad0bad0bad0bad0bad0bad0bad0bad0bad0bad0bad0bad0bad0bad0bad0";
/// The form of a registration token of FCM.
const FCM_DUMMY: &str =
    "bad-pushroll-checks-it:APA91bMadeUpByPushrollToSeeWhetherTheCredentialsAreGood";

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    Fine,
    /// Some registrations fail or wait, or will.
    Warning,
    /// Nothing can be verified.
    Fault,
}

impl Severity {
    /// All of them, the best first.
    pub const ALL: [Self; 3] = [Self::Fine, Self::Warning, Self::Fault];

    /// The name in the admin API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Warning => "warning",
            Self::Fault => "fault",
        }
    }
}

/// What a check of one side of an app found.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The side.
    pub platform: Platform,
    /// The APNs environment; `None` with FCM, and if nobody was asked.
    pub environment: Option<Environment>,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong; `None` if nothing is.
    pub symptom: Option<Symptom>,
    /// The provider's words.
    pub answer: Option<ProviderAnswer>,
    /// More of what is wrong, in our words.
    pub detail: Option<String>,
}

impl Service {
    /// Checks the credentials of an app now.
    ///
    /// # Errors
    /// When there is no such app.
    pub async fn check_app(&self, org: OrgId, id: AppId) -> Result<Vec<Finding>, ConfigureError> {
        let app = self.known_app(org, id)?;
        let nobody = UserId::parse("pushroll-check").map(|user| user.key_in(id));
        let nobody = nobody.map_err(|_| ConfigureError::NotFound { what: "app" })?;
        let request = self.ids.registration(self.clock.now(), &nobody, self.random.u64());
        Ok(check_credentials(&*self.providers, &*self.sealer, &app, request).await)
    }
}

/// Asks an app's providers about a made-up device token. `id` is the `apns-id` of the request.
pub async fn check_credentials(
    providers: &dyn Providers,
    sealer: &dyn Sealer,
    app: &App,
    id: RegistrationId,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for platform in Platform::ALL {
        match open_credentials(providers, sealer, app, platform) {
            Ok(None) => {}
            Ok(Some(Credentials::Fcm(fcm))) => {
                let Some(token) = dummy(platform) else { continue };
                let report = providers.fcm(&fcm, &token).await;
                findings.push(judge(platform, None, &report));
            }
            Ok(Some(Credentials::Apns(apns))) => {
                let Some(token) = dummy(platform) else { continue };
                let mode = app.ios.as_ref().map_or(IosMode::Auto, |ios| ios.mode);
                let mut of_ios = Vec::new();
                for environment in environments(mode) {
                    let report = providers.apns(&apns, *environment, &token, id).await;
                    of_ios.push(judge(platform, Some(*environment), &report));
                }
                soften(&mut of_ios);
                findings.append(&mut of_ios);
            }
            Err(fault) => findings.push(Finding {
                platform,
                environment: None,
                severity: Severity::Fault,
                symptom: Some(Symptom::CredentialsUnreadable),
                answer: None,
                detail: Some(fault),
            }),
        }
    }
    findings
}

const fn environments(mode: IosMode) -> &'static [Environment] {
    match mode {
        IosMode::Production => &[Environment::Production],
        IosMode::Sandbox => &[Environment::Sandbox],
        IosMode::Auto => &[Environment::Production, Environment::Sandbox],
    }
}

fn dummy(platform: Platform) -> Option<DeviceToken> {
    let text = match platform {
        Platform::Ios => APNS_DUMMY,
        Platform::Android => FCM_DUMMY,
    };
    DeviceToken::parse(platform, text).ok()
}

/// What the answer about a made-up token tells of the credentials.
fn judge(platform: Platform, environment: Option<Environment>, report: &DryRunReport) -> Finding {
    let DryRunReport { verdict, answer } = report;
    let symptom = match verdict {
        Verdict::Accepted => Some(Symptom::MadeUpTokenAccepted),
        // Whatever is said of the token, it was said to somebody who may ask; but it is nobody's, so it is not
        // another app's either, unless the bundle id is unknown.
        Verdict::TokenRejected => Symptom::of_dry_run(verdict, answer)
            .filter(|symptom| *symptom == Symptom::TokenOfOtherApp),
        Verdict::WrongEnvironment { .. }
        | Verdict::RequestRefused
        | Verdict::CredentialsRefused
        | Verdict::Busy { .. }
        | Verdict::Unreachable => Symptom::of_dry_run(verdict, answer),
    };
    let severity = match symptom {
        None => Severity::Fine,
        Some(symptom) if symptom.stops_everything() => Severity::Fault,
        Some(_) => Severity::Warning,
    };
    // An answer that never was is no word of the provider's.
    let answered = answer.status.is_some() || answer.provider == Provider::OAuth;
    let detail = (!answered).then(|| answer.detail.clone()).flatten();
    Finding { platform, environment, severity, symptom, answer: Some(answer.clone()), detail }
}

/// With mode `auto`, credentials that are good in one environment only leave the other one's tokens out.
fn soften(findings: &mut [Finding]) {
    if findings.iter().all(|finding| finding.severity == Severity::Fault) {
        return;
    }
    for finding in findings {
        finding.severity = finding.severity.min(Severity::Warning);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(severity: Severity) -> Finding {
        Finding {
            platform: Platform::Ios,
            environment: None,
            severity,
            symptom: None,
            answer: None,
            detail: None,
        }
    }

    fn softened(severities: &[Severity]) -> Vec<Severity> {
        let mut findings: Vec<_> = severities.iter().map(|one| finding(*one)).collect();
        soften(&mut findings);
        findings.iter().map(|one| one.severity).collect()
    }

    #[test]
    fn credentials_that_are_good_in_one_environment_are_worth_a_warning_about_the_other() {
        use Severity::{Fault, Fine, Warning};
        assert_eq!(softened(&[Fine, Fault]), [Fine, Warning]);
        assert_eq!(softened(&[Fault, Fault]), [Fault, Fault]);
        assert_eq!(softened(&[Fault]), [Fault]);
        assert_eq!(softened(&[Fine]), [Fine]);
    }

    #[test]
    fn made_up_tokens_have_the_form_of_tokens() {
        let ios = dummy(Platform::Ios).unwrap();
        assert!(ios.is_hexadecimal() && ios.chars() == 64);
        assert_eq!(Symptom::of_token(&ios), None);
        let android = dummy(Platform::Android).unwrap();
        assert_eq!(Symptom::of_token(&android), None);
        assert!(android.reveal().starts_with("bad-"));
    }

    #[test]
    fn an_answer_about_the_token_is_good_news_about_the_credentials() {
        let answer = ProviderAnswer {
            provider: Provider::Apns,
            environment: None,
            status: Some(400),
            reason: "BadDeviceToken".to_owned(),
            detail: None,
            provider_id: None,
        };
        let severity = |verdict| {
            let report = DryRunReport { verdict, answer: answer.clone() };
            judge(Platform::Ios, None, &report).severity
        };
        assert_eq!(severity(Verdict::WrongEnvironment { credentials: false }), Severity::Fine);
        assert_eq!(severity(Verdict::TokenRejected), Severity::Fine);
        assert_eq!(severity(Verdict::Accepted), Severity::Fault);
        assert_eq!(severity(Verdict::CredentialsRefused), Severity::Fault);
        let busy = Verdict::Busy { retry_after: None, scope: pushroll_domain::BusyScope::App };
        assert_eq!(severity(busy), Severity::Warning);
    }
}
