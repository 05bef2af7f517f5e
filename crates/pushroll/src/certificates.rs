//! Watches the apps' push certificates: when each ends is a metric, and the log says it in time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use pushroll_domain::{AppId, Clock, Directory, Timestamp};
use pushroll_engine::{CertificateReport, ExpiryNotice, Service};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

/// How often it is looked whether the apps have changed.
const EVERY: Duration = Duration::from_secs(1);
/// How often the certificates are looked at though no app has changed.
const WITHOUT_CHANGE: Duration = Duration::from_secs(60);
const EXPIRY: &str = "pushroll_apns_certificate_expiry_timestamp_seconds";

/// Watches until `stop` is cancelled.
pub async fn watch(service: Service, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let mut watched = Watched::default();
    let mut looked: Option<(Arc<Directory>, Timestamp)> = None;
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let (directory, now) = (service.directory(), clock.now());
        let is_fresh = looked.as_ref().is_some_and(|(known, at)| {
            Arc::ptr_eq(known, &directory) && *at <= now && now.since(*at) < WITHOUT_CHANGE
        });
        if is_fresh {
            continue;
        }
        for change in watched.look(service.certificates(), now) {
            change.tell();
        }
        looked = Some((directory, now));
    }
}

/// What was told of which certificate.
#[derive(Default)]
struct Watched(HashMap<AppId, (Timestamp, Option<ExpiryNotice>)>);

/// Something to tell.
#[derive(Debug, PartialEq)]
enum Change {
    /// An app has a certificate with this end.
    Ends(AppId, Timestamp),
    /// An app has none any more.
    Gone(AppId),
    /// The end is near, or has come.
    Notice(CertificateReport, ExpiryNotice),
}

impl Watched {
    fn look(&mut self, certificates: Vec<CertificateReport>, now: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut gone = std::mem::take(&mut self.0);
        for report in certificates {
            let (app, end) = (report.app, report.facts.expires_at);
            let before = gone.remove(&app).filter(|(before, _)| *before == end);
            let notice = report.notice(now);
            if before.is_none() {
                changes.push(Change::Ends(app, end));
            }
            self.0.insert(app, (end, notice));
            if let Some(notice) = notice
                && before.and_then(|(_, told)| told) != Some(notice)
            {
                changes.push(Change::Notice(report, notice));
            }
        }
        let without = gone.into_keys().filter(|app| !self.0.contains_key(app));
        changes.extend(without.map(Change::Gone));
        changes
    }
}

impl Change {
    fn tell(self) {
        let set = |app: AppId, value: f64| gauge!(EXPIRY, "app" => app.to_string()).set(value);
        match self {
            Self::Ends(app, end) => set(app, end.as_secs() as f64),
            Self::Gone(app) => set(app, f64::NAN),
            Self::Notice(report, notice) => {
                let CertificateReport { org, app, app_name, facts } = report;
                let (name, end) = (facts.name, facts.expires_at.date());
                let what_to_do = "make a new one and enter it, or change to an APNs key (.p8)";
                match notice {
                    ExpiryNotice::Within(days) => warn!(
                        %org, %app, app_name, certificate = name, expires = end,
                        "a push certificate expires within {days} days: {what_to_do}"
                    ),
                    ExpiryNotice::Expired => error!(
                        %org, %app, app_name, certificate = name, expired = end,
                        "a push certificate has expired, and the app's registrations fail: \
                         {what_to_do}"
                    ),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pushroll_domain::{CertificateEnvironments, CertificateFacts, OrgId};

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);
    const END: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn certificate(app: u8, end: Timestamp) -> CertificateReport {
        CertificateReport {
            org: OrgId::from_bytes([1; 16]),
            app: AppId::from_bytes([app; 16]),
            app_name: "Shop".into(),
            facts: CertificateFacts {
                name: "Apple Push Services: com.example.app".into(),
                topics: vec![],
                environments: CertificateEnvironments::Both,
                begins_at: Timestamp::default(),
                expires_at: end,
            },
        }
    }

    #[test]
    fn the_end_is_told_once_and_again_when_it_changes_and_when_it_is_gone() {
        let app = AppId::from_bytes([7; 16]);
        let mut watched = Watched::default();
        let now = END.minus(DAY * 100);
        assert_eq!(watched.look(vec![certificate(7, END)], now), [Change::Ends(app, END)]);
        assert_eq!(watched.look(vec![certificate(7, END)], now), []);
        let renewed = END.plus(DAY);
        assert_eq!(watched.look(vec![certificate(7, renewed)], now), [Change::Ends(app, renewed)]);
        assert_eq!(watched.look(vec![], now), [Change::Gone(app)]);
        assert_eq!(watched.look(vec![], now), []);
    }

    #[test]
    fn each_notice_is_given_once_and_anew_for_another_certificate() {
        let mut watched = Watched::default();
        let notices = |watched: &mut Watched, end: Timestamp, days_before: u32| {
            let changes = watched.look(vec![certificate(7, end)], END.minus(DAY * days_before));
            let notices = changes.into_iter().filter_map(|change| match change {
                Change::Notice(_, notice) => Some(notice),
                Change::Ends(..) | Change::Gone(_) => None,
            });
            notices.collect::<Vec<_>>()
        };
        assert_eq!(notices(&mut watched, END, 31), []);
        assert_eq!(notices(&mut watched, END, 30), [ExpiryNotice::Within(30)]);
        assert_eq!(notices(&mut watched, END, 29), []);
        assert_eq!(notices(&mut watched, END, 0), [ExpiryNotice::Expired]);
        assert_eq!(notices(&mut watched, END, 0), []);
        assert_eq!(notices(&mut watched, END.plus(DAY), 0), [ExpiryNotice::Within(1)]);
    }
}
