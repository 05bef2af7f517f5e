//! The ports: everything with an effect, as the engine sees it.
//!
//! A method of [`Store`] is one atomic intention; no row and no transaction crosses it. Methods take
//! slices, because requests that arrive together share a commit. What a method promises holds for
//! any number of processes on one database as well as for one process on an embedded engine.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;

use crate::app::{App, Org, TokenRecord};
use crate::audit::{AuditEntry, AuditFilter};
use crate::credentials::{ApnsCredentials, CredentialFault, FcmCredentials};
use crate::delivery::{CallbackAnswer, Delivery, DeliveryEnd, DeliveryRecord, DeliveryRoom};
use crate::device::{Device, DeviceToken, Environment, Lane};
use crate::directory::Directory;
use crate::ids::{AppId, OrgId, RegistrationId, TokenId};
use crate::registration::{
    Accept, CleanUp, Finish, Finished, LaneLoad, Outcome, Postpone, Registration, RegistrationView,
    Standing, Status,
};
use crate::secret::{Sealed, Secret};
use crate::time::Timestamp;
use crate::user::UserId;
use crate::verdict::DryRunReport;

/// The time of day.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Random numbers fit for secrets.
pub trait Random: Send + Sync {
    /// Fills the slice.
    fn fill(&self, bytes: &mut [u8]);

    /// 64 random bits.
    fn u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// Why a store did not do what was asked. After any of these nothing is promised: what was asked may
/// or may not be kept.
#[derive(Debug, Error)]
pub enum StoreError {
    /// It can't take it now, and will again by itself.
    #[error("the store can't take it now: {reason}")]
    Unavailable {
        /// Why, for the operator.
        reason: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// It is closed: the process is stopping.
    #[error("the store is closed")]
    Closed,
    /// What it read can't be right.
    #[error("the store holds something unreadable: {0}")]
    Corrupt(String),
}

/// A part of a list.
#[derive(Debug, Clone)]
pub struct PageRequest {
    /// The most items to return; at least 1.
    pub limit: usize,
    /// The [`Page::next`] of the part before.
    pub after: Option<String>,
}

/// A part of a list, and how to ask for the next.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// What to ask for the next part with; `None` at the end. Opaque, and safe in a URL.
    pub next: Option<String>,
}

/// An app that is deleted, and whose rows are being removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeletedApp {
    /// Whether nothing but its tokens' hashes is left.
    pub purged: bool,
}

/// The longest that anything is put off, counted from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LongestWaits {
    /// A registration.
    pub registration: Duration,
    /// A callback.
    pub callback: Duration,
}

/// Where registrations, devices, outcomes, callbacks and the configuration are kept.
///
/// When a method that changes something returns `Ok`, the change is on stable storage.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    // --- registrations ---

    /// Puts registrations into their queues. The slice is one transaction (on a cluster of
    /// databases one per shard). Their order within a lane is that of their ids. An id is accepted
    /// once: a caller who is not told that it was kept asks again with a new one, so that a store
    /// need not look whether it knows it.
    async fn accept(&self, batch: Vec<Accept>) -> Result<(), StoreError>;

    /// Whether this process works on what is pending of the user whose bits are in this id. What others work
    /// on is accepted all the same, and must not be carried on here. Asked for each request, so it must
    /// neither wait nor read.
    fn works_on(&self, _id: RegistrationId) -> bool {
        true
    }

    /// Hands out up to `limit` registrations of a lane that are due, oldest due time first. Each is
    /// in the hands of one taker at a time, until it is finished, postponed or given back, or the
    /// taker's process ends.
    async fn take_due(
        &self,
        lane: Lane,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Registration>, StoreError>;

    /// Gives registrations that were taken back, due later and with the tries made so far.
    /// Nothing happens to those that are no longer pending.
    async fn postpone(&self, batch: Vec<Postpone>) -> Result<(), StoreError>;

    /// Gives registrations that were taken back as they are. Needs not be durable.
    async fn give_back(&self, batch: Vec<Arc<Registration>>) -> Result<(), StoreError>;

    /// What stands in the way of verifying each of these registrations, in their order.
    async fn standings(&self, batch: &[Arc<Registration>]) -> Result<Vec<Standing>, StoreError>;

    /// Ends registrations. For each, if it is still pending, in one atomic step: see whether a device
    /// with its key is stored (its own id: success; another's: `DuplicateExists`, which refreshes
    /// `last_seen_at` and nothing else), whether a later cleanup covers it (success, nothing
    /// stored), whether the user has too many devices in the app (`FailedToStoreDevice`), else store the device;
    /// record the outcome if it failed or is tracked, enqueue its callback if it has one, and
    /// remove it from its queue. Nothing happens to those that are no longer pending. A failure is
    /// recorded as it is given, without a look at the devices; a device was last seen when the newest of
    /// its registrations was accepted.
    async fn finish(&self, batch: Vec<Finish>) -> Result<Vec<Finished>, StoreError>;

    /// Removes devices, and sees to it that registrations accepted before, by the order of commits,
    /// leave none behind. The slice is one transaction (on a cluster of databases one per shard).
    async fn clean_up(&self, batch: Vec<CleanUp>) -> Result<(), StoreError>;

    /// The lanes in which registrations are pending.
    async fn lanes(&self) -> Result<Vec<LaneLoad>, StoreError>;

    /// How many registrations of an app are pending: exact for one process, some seconds old in a
    /// cluster. Asked for each request, so it must neither wait nor read.
    fn waiting(&self, app: AppId) -> u64;

    /// What a status query says of each id, in their order. `now` decides what has expired.
    async fn statuses(
        &self,
        app: AppId,
        ids: &[RegistrationId],
        now: Timestamp,
    ) -> Result<Vec<Status>, StoreError>;

    /// Adds a hint for the operator to the outcome of a registration, if there is one.
    async fn add_hint(
        &self,
        app: AppId,
        id: RegistrationId,
        hint: String,
    ) -> Result<(), StoreError>;

    // --- callbacks ---

    /// Hands out callbacks to be made, and records their attempts before it returns. Of each host those
    /// that were never attempted come first, then the oldest; hosts take turns.
    ///
    /// A callback of an app with retries is kept: it is handed out again at `room.again_at`, with the
    /// caller's headers and the same id, unless the end of this attempt is noted before. One of any other
    /// app is never handed out again, and its headers are forgotten.
    async fn begin_deliveries(
        &self,
        room: DeliveryRoom,
        now: Timestamp,
    ) -> Result<Vec<Delivery>, StoreError>;

    /// Takes note of what became of attempts, with the outcome and in the app's delivery log. A
    /// callback that was kept is due at `retry_at`, or is over and its headers are forgotten; but if it
    /// has been handed out again meanwhile (its `again_at` is another), it stays as it is.
    async fn end_deliveries(&self, batch: Vec<DeliveryEnd>) -> Result<(), StoreError>;

    /// How many callbacks wait, those that are kept for another attempt among them.
    async fn deliveries_waiting(&self) -> Result<u64, StoreError>;

    /// How many callbacks of an app are kept for another attempt: exact for one process, some seconds
    /// old in a cluster. It must neither wait nor read.
    fn deliveries_retrying(&self, app: AppId) -> u64;

    /// The attempts of an app that have ended, newest first: those of the time for which outcomes are
    /// kept, and of these as many of the newest as the store's settings say.
    async fn deliveries(
        &self,
        app: AppId,
        page: PageRequest,
        now: Timestamp,
    ) -> Result<Page<DeliveryRecord>, StoreError>;

    // --- what operators ask ---

    /// The devices of a user in an app, in a fixed order.
    async fn devices_of_user(
        &self,
        app: AppId,
        user: &UserId,
        page: PageRequest,
    ) -> Result<Page<Device>, StoreError>;

    /// The devices of an app in the order of their [`DevicePlace`](crate::DevicePlace)s, of which
    /// [`Page::next`] is one. A device that is there all the while is listed once.
    async fn devices_of_app(
        &self,
        app: AppId,
        page: PageRequest,
    ) -> Result<Page<Device>, StoreError>;

    /// The registrations of a user in an app that are pending, failed or tracked, newest first.
    async fn registrations_of_user(
        &self,
        app: AppId,
        user: &UserId,
        page: PageRequest,
        now: Timestamp,
    ) -> Result<Page<RegistrationView>, StoreError>;

    /// A registration of an app that is pending, failed or tracked.
    async fn registration(
        &self,
        app: AppId,
        id: RegistrationId,
        now: Timestamp,
    ) -> Result<Option<RegistrationView>, StoreError>;

    // --- configuration ---

    /// All of the configuration.
    async fn directory(&self) -> Result<Directory, StoreError>;

    /// Resolves when another process may have changed the configuration, which is then to be read again.
    async fn configuration_changed(&self) {
        std::future::pending().await
    }

    /// How many processes share the work.
    fn nodes(&self) -> u32 {
        1
    }

    // Each change takes its entry of the audit list, which is put in the same commit; if nothing changes, none is.
    // The list is bounded in number: the oldest go.

    /// Adds or replaces an organization.
    async fn put_org(&self, org: Org, entry: AuditEntry) -> Result<(), StoreError>;

    /// Adds or replaces an app. A deleted app stays deleted.
    async fn put_app(&self, app: App, entry: AuditEntry) -> Result<(), StoreError>;

    /// Adds an API token.
    async fn put_token(&self, token: TokenRecord, entry: AuditEntry) -> Result<(), StoreError>;

    /// Revokes an API token; whether there is such a token of this app that was not revoked.
    async fn revoke_token(
        &self,
        app: AppId,
        token: TokenId,
        at: Timestamp,
        entry: AuditEntry,
    ) -> Result<bool, StoreError>;

    /// Deletes an app: revokes its tokens and marks it deleted, in one step.
    async fn delete_app(
        &self,
        org: OrgId,
        app: AppId,
        at: Timestamp,
        entry: AuditEntry,
    ) -> Result<(), StoreError>;

    /// The changes of the configuration, newest first.
    async fn audit(
        &self,
        filter: AuditFilter,
        page: PageRequest,
    ) -> Result<Page<AuditEntry>, StoreError>;

    /// Removes what is left of a deleted app, in bounded steps: call again until it is purged. Its
    /// devices go when none of its registrations is pending any more; its tokens' hashes stay.
    async fn purge(&self, app: AppId) -> Result<DeletedApp, StoreError>;

    // --- the store itself ---

    /// Drops outcomes whose time is over, in bounded steps; `true` when there is nothing left to do
    /// for now.
    async fn expire(&self, now: Timestamp) -> Result<bool, StoreError>;

    /// Makes due now what is due later than anybody can have asked for: it was put there by a clock that
    /// has gone back since. In bounded steps; `true` when there is nothing left to do for now.
    async fn bring_forward(
        &self,
        now: Timestamp,
        longest: LongestWaits,
    ) -> Result<bool, StoreError>;

    /// Whether it can take a write now.
    async fn ready(&self) -> Result<(), StoreError>;

    /// Writes what is in hand and closes. Everything asked for afterwards fails with
    /// [`StoreError::Closed`].
    async fn close(&self);
}

/// Why there is no backup.
#[derive(Debug, Error)]
pub enum BackUpFault {
    /// Something is there already.
    #[error("{} is there already and is not an empty directory: name another", directory.display())]
    Taken {
        /// The directory.
        directory: PathBuf,
    },
    /// The path is not absolute, and the server's working directory is not the caller's.
    #[error("{} is not an absolute path", directory.display())]
    Relative {
        /// The directory.
        directory: PathBuf,
    },
    /// It can't be written.
    #[error("{} can't be written: {reason}", directory.display())]
    Write {
        /// The directory.
        directory: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// The store can't be read now.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Copies all that a store holds, while it is in use, to where a server can be started on it.
#[async_trait]
pub trait BackUp: Send + Sync + 'static {
    /// Makes a backup in this directory, which must not be there yet, or be empty. Everything that was
    /// on stable storage when this was called is in it; no key is.
    async fn back_up(&self, directory: PathBuf) -> Result<(), BackUpFault>;
}

/// Asks a provider, without delivering anything, whether a device token is good.
#[async_trait]
pub trait DryRun: Send + Sync + 'static {
    /// Asks APNs. `id` is the `apns-id`, the same on every try.
    async fn apns(
        &self,
        credentials: &Arc<ApnsCredentials>,
        environment: Environment,
        token: &DeviceToken,
        id: RegistrationId,
    ) -> DryRunReport;

    /// Asks FCM.
    async fn fcm(&self, credentials: &Arc<FcmCredentials>, token: &DeviceToken) -> DryRunReport;
}

/// The provider clients: dry runs, and reading credentials.
pub trait Providers: DryRun {
    /// Reads a .p8 key as Apple gives it out.
    ///
    /// # Errors
    /// Says what is wrong and what to enter instead.
    fn read_apns_key(
        &self,
        bundle_id: &str,
        key_id: &str,
        team_id: &str,
        p8: &str,
    ) -> Result<ApnsCredentials, CredentialFault>;

    /// Takes certificate and private key out of a .p12 file, given in base64. What comes out is what
    /// is to be sealed: PEM, without the file's password. May take a moment of computing.
    ///
    /// # Errors
    /// Says what is wrong and what to upload instead.
    fn open_p12(&self, p12_base64: &str, password: &str) -> Result<Secret, CredentialFault>;

    /// Reads what [`Providers::open_p12`] took out of a file. Without a bundle id the certificate's
    /// own is the topic. Whether the certificate is of use now is not asked.
    ///
    /// # Errors
    /// When it is no push certificate, or one for other topics; says what to upload instead.
    fn read_apns_certificate(
        &self,
        bundle_id: Option<&str>,
        pem: &str,
    ) -> Result<ApnsCredentials, CredentialFault>;

    /// Reads a service account file as Google gives it out (the text of the JSON).
    ///
    /// # Errors
    /// Says what is wrong and what to enter instead.
    fn read_service_account(&self, json: &str) -> Result<FcmCredentials, CredentialFault>;
}

/// An app's credentials for one platform.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// APNs.
    Apns(Arc<ApnsCredentials>),
    /// FCM.
    Fcm(Arc<FcmCredentials>),
}

/// A callback to send, with everything opened.
#[derive(Debug)]
pub struct Callback {
    /// The registration, and the `webhook-id`.
    pub id: RegistrationId,
    /// Where to, exactly as the caller gave it.
    pub url: String,
    /// The caller's own headers; they may be secrets.
    pub headers: Vec<(String, Secret)>,
    /// How the registration ended.
    pub outcome: Outcome,
    /// The body's `Signature`.
    pub signature: String,
    /// The app's secrets for Standard Webhooks signatures (`whsec_…`), the newest first; with none
    /// `webhook-signature` is left out.
    pub webhook_secrets: Vec<Secret>,
    /// The `webhook-timestamp`.
    pub at: Timestamp,
}

/// Sends callbacks, and only where they may go.
#[async_trait]
pub trait CallbackSender: Send + Sync + 'static {
    /// Sends it once. Never follows a redirect; ends within the configured time-out.
    async fn send(&self, callback: Callback) -> CallbackAnswer;

    /// Why a callback to this literal address would be refused; `None` if it would not.
    fn refuses_address(&self, address: IpAddr) -> Option<String>;
}

/// What a sealed value is bound to: opened for anything else, it does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealContext<'a> {
    /// The organization.
    pub org: OrgId,
    /// The app.
    pub app: AppId,
    /// The field.
    pub field: &'a str,
}

/// Why a sealed value does not open.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SealFault {
    /// It is under another key.
    #[error("it is sealed under another key ({0})")]
    OtherKey(String),
    /// It is damaged, or was sealed for another organization, app or field.
    #[error("it is damaged, or was sealed for something else")]
    Damaged,
}

/// Seals secrets at rest.
pub trait Sealer: Send + Sync {
    /// Seals.
    fn seal(&self, context: SealContext<'_>, plain: &[u8]) -> Sealed;

    /// Opens.
    ///
    /// # Errors
    /// When the value is damaged, under another key or sealed for something else.
    fn open(&self, context: SealContext<'_>, sealed: &Sealed) -> Result<Secret, SealFault>;
}
