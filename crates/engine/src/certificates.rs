//! The push certificates of all apps, and when to warn of their end.

use std::time::Duration;

use pushroll_domain::{AppId, CertificateFacts, IosAuth, OrgId, Timestamp};

use crate::service::Service;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How many days before its end a certificate is warned of, the last first.
const NOTICES_DAYS: [u32; 6] = [0, 1, 3, 7, 14, 30];

/// An app's push certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateReport {
    /// The organization.
    pub org: OrgId,
    /// The app.
    pub app: AppId,
    /// The app's name.
    pub app_name: String,
    /// What the certificate says about itself.
    pub facts: CertificateFacts,
}

/// How close the end of a certificate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExpiryNotice {
    /// So many days or fewer are left: 30, 14, 7, 3 or 1.
    Within(u32),
    /// It has come.
    Expired,
}

impl CertificateReport {
    /// Whether its end is close enough to say so; each is worth saying once.
    #[must_use]
    pub fn notice(&self, now: Timestamp) -> Option<ExpiryNotice> {
        let left = self.facts.expires_at.since(now);
        let days = NOTICES_DAYS.into_iter().find(|days| left <= DAY * *days)?;
        Some(if days == 0 { ExpiryNotice::Expired } else { ExpiryNotice::Within(days) })
    }
}

impl Service {
    /// The push certificates of all apps that have one.
    #[must_use]
    pub fn certificates(&self) -> Vec<CertificateReport> {
        let directory = self.directory();
        let apps = directory.orgs().into_iter().flat_map(|org| directory.apps_of(org.id));
        let with_certificate = apps.filter_map(|app| match &app.ios.as_ref()?.auth {
            IosAuth::Key { .. } => None,
            IosAuth::Certificate { facts, .. } => Some(CertificateReport {
                org: app.org,
                app: app.id,
                app_name: app.name.clone(),
                facts: facts.clone(),
            }),
        });
        with_certificate.collect()
    }
}

#[cfg(test)]
mod tests {
    use pushroll_domain::CertificateEnvironments;

    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_told_30_14_7_3_and_1_days_before_and_when_it_has_come() {
        let end = Timestamp::from_millis(1_800_000_000_000);
        let report = CertificateReport {
            org: OrgId::from_bytes([1; 16]),
            app: AppId::from_bytes([2; 16]),
            app_name: "Shop".into(),
            facts: CertificateFacts {
                name: "Apple Push Services: com.example.app".into(),
                topics: vec![],
                environments: CertificateEnvironments::Both,
                begins_at: Timestamp::default(),
                expires_at: end,
            },
        };
        let days_before = |days: u32| report.notice(end.minus(DAY * days));
        assert_eq!(days_before(31), None);
        for (days, notice) in [(30, 30), (15, 30), (14, 14), (7, 7), (4, 7), (3, 3), (2, 3), (1, 1)]
        {
            assert_eq!(days_before(days), Some(ExpiryNotice::Within(notice)), "{days}");
        }
        assert_eq!(report.notice(end.minus(Duration::from_secs(1))), Some(ExpiryNotice::Within(1)));
        assert_eq!(report.notice(end), Some(ExpiryNotice::Expired));
        assert_eq!(report.notice(end.plus(DAY)), Some(ExpiryNotice::Expired));
    }
}
