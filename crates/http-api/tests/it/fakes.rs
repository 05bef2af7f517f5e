//! Small fakes of the domain's ports.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use pushroll_domain::*;

/// A store in memory that records what it is asked.
#[derive(Default)]
pub struct FakeStore {
    pub accepted: Mutex<Vec<Registration>>,
    pub cleaned: Mutex<Vec<CleanUp>>,
    pub outcomes: Mutex<HashMap<RegistrationId, Outcome>>,
    pub ended: Mutex<Vec<Ended>>,
    pub devices: Mutex<Vec<Device>>,
    /// The delivery log of any app, newest first.
    pub log: Mutex<Vec<DeliveryRecord>>,
    /// Where backups were made.
    pub backups: Mutex<Vec<PathBuf>>,
    /// The audit list, newest first.
    pub audit: Mutex<Vec<AuditEntry>>,
    /// Whether writes fail.
    pub is_down: AtomicBool,
    /// Held, accepts wait.
    pub gate: tokio::sync::Mutex<()>,
    /// Accepts that have begun.
    pub begun: AtomicUsize,
    /// Registrations of any app that are said to wait.
    pub waiting: AtomicU64,
    /// The next accept panics.
    pub panics: AtomicBool,
    orgs: Mutex<Vec<Org>>,
    apps: Mutex<Vec<App>>,
    tokens: Mutex<Vec<TokenRecord>>,
}

impl FakeStore {
    fn write(&self) -> Result<(), StoreError> {
        if self.is_down.load(Ordering::Relaxed) {
            let retry_after = Duration::from_millis(2_500);
            return Err(StoreError::Unavailable { reason: "it is down".to_owned(), retry_after });
        }
        Ok(())
    }
}

fn put<T>(rows: &Mutex<Vec<T>>, row: T, is_same: impl Fn(&T) -> bool) {
    let mut rows = rows.lock();
    rows.retain(|other| !is_same(other));
    rows.push(row);
}

#[async_trait]
impl Store for FakeStore {
    async fn accept(&self, batch: Vec<Accept>) -> Result<(), StoreError> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let _open = self.gate.lock().await;
        assert!(!self.panics.swap(false, Ordering::Relaxed), "asked to panic");
        self.write()?;
        let registrations =
            batch.into_iter().map(|accept| Registration::clone(&accept.registration));
        self.accepted.lock().extend(registrations);
        Ok(())
    }

    async fn take_due(
        &self,
        _: Lane,
        _: Timestamp,
        _: usize,
    ) -> Result<Vec<Registration>, StoreError> {
        Ok(Vec::new())
    }

    async fn postpone(&self, _: Vec<Postpone>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn give_back(&self, _: Vec<Arc<Registration>>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn standings(&self, batch: &[Arc<Registration>]) -> Result<Vec<Standing>, StoreError> {
        Ok(vec![Standing::Free; batch.len()])
    }

    async fn finish(&self, batch: Vec<Finish>) -> Result<Vec<Finished>, StoreError> {
        Ok(vec![Finished::NotPending; batch.len()])
    }

    async fn clean_up(&self, batch: Vec<CleanUp>) -> Result<(), StoreError> {
        self.write()?;
        self.cleaned.lock().extend(batch);
        Ok(())
    }

    async fn lanes(&self) -> Result<Vec<LaneLoad>, StoreError> {
        Ok(Vec::new())
    }

    fn waiting(&self, _: AppId) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    async fn statuses(
        &self,
        _: AppId,
        ids: &[RegistrationId],
        _: Timestamp,
    ) -> Result<Vec<Status>, StoreError> {
        self.write()?;
        let outcomes = self.outcomes.lock();
        let status =
            |id| outcomes.get(id).map_or(Status::Pending, |outcome| Status::Ended(*outcome));
        Ok(ids.iter().map(status).collect())
    }

    async fn add_hint(&self, _: AppId, _: RegistrationId, _: String) -> Result<(), StoreError> {
        Ok(())
    }

    async fn begin_deliveries(
        &self,
        _: DeliveryRoom,
        _: Timestamp,
    ) -> Result<Vec<Delivery>, StoreError> {
        Ok(Vec::new())
    }

    async fn end_deliveries(&self, _: Vec<DeliveryEnd>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn deliveries_waiting(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    fn deliveries_retrying(&self, _: AppId) -> u64 {
        0
    }

    async fn deliveries(
        &self,
        _: AppId,
        page: PageRequest,
        _: Timestamp,
    ) -> Result<Page<DeliveryRecord>, StoreError> {
        self.write()?;
        let log = self.log.lock();
        let first = page.after.map_or(0, |after| after.parse().unwrap_or(0));
        let next = (first + page.limit < log.len()).then(|| (first + page.limit).to_string());
        Ok(Page { items: log.iter().skip(first).take(page.limit).cloned().collect(), next })
    }

    async fn devices_of_user(
        &self,
        app: AppId,
        user: &UserId,
        page: PageRequest,
    ) -> Result<Page<Device>, StoreError> {
        self.write()?;
        let devices = self.devices.lock();
        let mut of_user: Vec<_> =
            devices.iter().filter(|d| d.app == app && d.user == *user).cloned().collect();
        let first = page.after.map_or(0, |after| after.parse().unwrap_or(0));
        let next = (first + page.limit < of_user.len()).then(|| (first + page.limit).to_string());
        of_user = of_user.into_iter().skip(first).take(page.limit).collect();
        Ok(Page { items: of_user, next })
    }

    async fn devices_of_app(
        &self,
        app: AppId,
        page: PageRequest,
    ) -> Result<Page<Device>, StoreError> {
        self.write()?;
        let devices = self.devices.lock();
        let of_app: Vec<_> = devices.iter().filter(|device| device.app == app).cloned().collect();
        let first = page.after.map_or(0, |after| after.parse().unwrap_or(0));
        let next = (first + page.limit < of_app.len()).then(|| (first + page.limit).to_string());
        let items = of_app.into_iter().skip(first).take(page.limit).collect();
        Ok(Page { items, next })
    }

    async fn registrations_of_user(
        &self,
        app: AppId,
        user: &UserId,
        _: PageRequest,
        _: Timestamp,
    ) -> Result<Page<RegistrationView>, StoreError> {
        let pending = self.accepted.lock().clone().into_iter();
        let pending = pending.filter(|r| r.app == app && r.user == *user);
        let ended = self.ended.lock().clone().into_iter();
        let ended = ended.filter(|e| e.app == app && e.user == *user);
        let items = pending
            .map(|r| RegistrationView::Pending(Box::new(r)))
            .chain(ended.map(|e| RegistrationView::Ended(Box::new(e))));
        Ok(Page { items: items.collect(), next: None })
    }

    async fn registration(
        &self,
        app: AppId,
        id: RegistrationId,
        _: Timestamp,
    ) -> Result<Option<RegistrationView>, StoreError> {
        let found = self.accepted.lock().iter().find(|r| r.app == app && r.id == id).cloned();
        Ok(found.map(|r| RegistrationView::Pending(Box::new(r))))
    }

    async fn directory(&self) -> Result<Directory, StoreError> {
        let rows = (self.orgs.lock().clone(), self.apps.lock().clone(), self.tokens.lock().clone());
        Ok(Directory::new(rows.0, rows.1, rows.2))
    }

    async fn put_org(&self, org: Org, entry: AuditEntry) -> Result<(), StoreError> {
        self.write()?;
        let id = org.id;
        put(&self.orgs, org, |other| other.id == id);
        self.audit.lock().insert(0, entry);
        Ok(())
    }

    async fn put_app(&self, app: App, entry: AuditEntry) -> Result<(), StoreError> {
        self.write()?;
        let id = app.id;
        put(&self.apps, app, |other| other.id == id);
        self.audit.lock().insert(0, entry);
        Ok(())
    }

    async fn put_token(&self, token: TokenRecord, entry: AuditEntry) -> Result<(), StoreError> {
        self.write()?;
        self.tokens.lock().push(token);
        self.audit.lock().insert(0, entry);
        Ok(())
    }

    async fn revoke_token(
        &self,
        _: AppId,
        id: TokenId,
        at: Timestamp,
        entry: AuditEntry,
    ) -> Result<bool, StoreError> {
        let mut tokens = self.tokens.lock();
        let token = tokens.iter_mut().find(|token| token.id == id && token.revoked_at.is_none());
        let is_revoked = token.map(|token| token.revoked_at = Some(at)).is_some();
        if is_revoked {
            self.audit.lock().insert(0, entry);
        }
        Ok(is_revoked)
    }

    async fn delete_app(
        &self,
        _: OrgId,
        id: AppId,
        at: Timestamp,
        entry: AuditEntry,
    ) -> Result<(), StoreError> {
        let mut apps = self.apps.lock();
        apps.iter_mut().filter(|app| app.id == id).for_each(|app| app.deleted_at = Some(at));
        self.audit.lock().insert(0, entry);
        Ok(())
    }

    async fn audit(
        &self,
        filter: AuditFilter,
        page: PageRequest,
    ) -> Result<Page<AuditEntry>, StoreError> {
        self.write()?;
        let audit = self.audit.lock();
        let first = page.after.map_or(0, |after| after.parse().unwrap_or(0));
        let taken: Vec<_> = audit.iter().filter(|entry| filter.takes(entry)).cloned().collect();
        let next = (first + page.limit < taken.len()).then(|| (first + page.limit).to_string());
        Ok(Page { items: taken.into_iter().skip(first).take(page.limit).collect(), next })
    }

    async fn purge(&self, _: AppId) -> Result<DeletedApp, StoreError> {
        Ok(DeletedApp { purged: true })
    }

    async fn expire(&self, _: Timestamp) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn bring_forward(&self, _: Timestamp, _: LongestWaits) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.write()
    }

    async fn close(&self) {}
}

#[async_trait]
impl BackUp for FakeStore {
    async fn back_up(&self, directory: PathBuf) -> Result<(), BackUpFault> {
        self.write()?;
        if self.backups.lock().contains(&directory) {
            return Err(BackUpFault::Taken { directory });
        }
        self.backups.lock().push(directory);
        Ok(())
    }
}

/// Reads any credential but those that say they are wrong.
pub struct FakeProviders;

fn answer(provider: Provider) -> DryRunReport {
    let reason = "not asked".to_owned();
    let (environment, status, detail, provider_id) = (None, None, None, None);
    let answer = ProviderAnswer { provider, environment, status, reason, detail, provider_id };
    DryRunReport { verdict: Verdict::Unreachable, answer }
}

#[async_trait]
impl DryRun for FakeProviders {
    async fn apns(
        &self,
        _: &Arc<ApnsCredentials>,
        _: Environment,
        _: &DeviceToken,
        _: RegistrationId,
    ) -> DryRunReport {
        answer(Provider::Apns)
    }

    async fn fcm(&self, _: &Arc<FcmCredentials>, _: &DeviceToken) -> DryRunReport {
        answer(Provider::Fcm)
    }
}

impl Providers for FakeProviders {
    fn read_apns_key(
        &self,
        bundle_id: &str,
        key_id: &str,
        team_id: &str,
        p8: &str,
    ) -> Result<ApnsCredentials, CredentialFault> {
        if p8.contains("wrong") {
            let message = "is not a .p8 key: upload the AuthKey file from Apple".to_owned();
            return Err(CredentialFault { field: "ios.key.p8", message });
        }
        Ok(ApnsCredentials {
            topic: bundle_id.to_owned(),
            proof: ApnsProof::Key(ApnsKey {
                key_id: key_id.to_owned(),
                team_id: team_id.to_owned(),
                private_key: Secret::new(p8.as_bytes().to_vec()),
            }),
            fingerprint: Fingerprint([0; 16]),
            app: None,
        })
    }

    fn open_p12(&self, p12_base64: &str, password: &str) -> Result<Secret, CredentialFault> {
        if password == "wrong" {
            let message = "is not that of this file".to_owned();
            return Err(CredentialFault { field: "ios.certificate.password", message });
        }
        Ok(Secret::new(p12_base64.as_bytes().to_vec()))
    }

    /// The text is the topic; it is for the sandbox if it says so.
    fn read_apns_certificate(
        &self,
        bundle_id: Option<&str>,
        pem: &str,
    ) -> Result<ApnsCredentials, CredentialFault> {
        if bundle_id.is_some_and(|bundle_id| bundle_id != pem) {
            let message = format!("is for {pem}");
            return Err(CredentialFault { field: "ios.certificate.p12_base64", message });
        }
        let facts = CertificateFacts {
            name: format!("Apple Push Services: {pem}"),
            topics: vec![pem.to_owned()],
            environments: if pem.contains("sandbox") {
                CertificateEnvironments::Sandbox
            } else {
                CertificateEnvironments::Both
            },
            begins_at: Timestamp::default(),
            expires_at: Timestamp::from_millis(1_800_000_000_000),
        };
        let (chain, private_key) = (vec![], Secret::new(b"a private key".to_vec()));
        Ok(ApnsCredentials {
            topic: pem.to_owned(),
            proof: ApnsProof::Certificate(Arc::new(ApnsCertificate { facts, chain, private_key })),
            fingerprint: Fingerprint([1; 16]),
            app: None,
        })
    }

    fn read_service_account(&self, json: &str) -> Result<FcmCredentials, CredentialFault> {
        let account: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
        let text = |name: &str| account[name].as_str().unwrap_or_default().to_owned();
        if text("type") != "service_account" {
            let message = "is no service account: upload the file from Google".to_owned();
            return Err(CredentialFault { field: "android.service_account", message });
        }
        Ok(FcmCredentials {
            project_id: text("project_id"),
            client_email: text("client_email"),
            private_key_id: None,
            private_key: Secret::new(text("private_key").into_bytes()),
            token_uri: text("token_uri"),
            fingerprint: Fingerprint([0; 16]),
            app: None,
        })
    }
}

/// Sends nothing, and refuses loopback addresses.
pub struct FakeCallbacks;

#[async_trait]
impl CallbackSender for FakeCallbacks {
    async fn send(&self, _: Callback) -> CallbackAnswer {
        let result = CallbackResult::Attempted;
        CallbackAnswer { result, retry_after: None, is_hopeless: true }
    }

    fn refuses_address(&self, address: IpAddr) -> Option<String> {
        address.is_loopback().then(|| format!("{address} is a loopback address"))
    }
}

/// Turns every bit around.
pub struct FakeSealer;

impl Sealer for FakeSealer {
    fn seal(&self, _: SealContext<'_>, plain: &[u8]) -> Sealed {
        Sealed(plain.iter().map(|byte| !byte).collect())
    }

    fn open(&self, _: SealContext<'_>, sealed: &Sealed) -> Result<Secret, SealFault> {
        Ok(Secret::new(sealed.0.iter().map(|byte| !byte).collect()))
    }
}

/// It is always the same moment.
pub struct StoppedClock;

impl StoppedClock {
    /// 2026-01-01T00:00:00Z
    pub const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);
}

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Self::NOW
    }
}

/// Counts.
#[derive(Default)]
pub struct Counting(AtomicU64);

impl Random for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        let count = self.0.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        for (byte, of_count) in bytes.iter_mut().zip(count.into_iter().cycle()) {
            *byte = of_count;
        }
    }
}
