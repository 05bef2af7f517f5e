//! Moving everything that a store holds to another store, of whatever kind: what there is to move, record by
//! record, and the ports to get it out and in.
//!
//! A record says what it means and nothing of how its store keeps it. So the same content gives the same
//! records from every store, and two stores can be compared by them.

use async_trait::async_trait;

use crate::app::{App, Org, TokenRecord};
use crate::audit::AuditEntry;
use crate::delivery::{Delivery, DeliveryRecord};
use crate::device::Device;
use crate::ids::AppId;
use crate::ports::StoreError;
use crate::registration::{Ended, Registration};
use crate::time::Timestamp;

/// A kind of record. What is moved is in the order of these: what others refer to comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKind {
    /// An organization.
    Org,
    /// A mobile app, deleted ones that are not purged yet among them.
    App,
    /// The id of an app of which nothing but its tokens' hashes is left: it must not come back.
    PurgedApp,
    /// An API token, which is its hash; revoked ones and those of deleted apps among them.
    Token,
    /// A device.
    Device,
    /// A registration that is pending.
    Pending,
    /// A registration that has ended and is kept for those who ask.
    Outcome,
    /// A callback that waits, for its first attempt or for another.
    Callback,
    /// An entry of an app's delivery log.
    Delivery,
    /// An entry of the audit list.
    Audit,
}

impl RecordKind {
    /// All of them, in their order.
    pub const ALL: [Self; 10] = [
        Self::Org,
        Self::App,
        Self::PurgedApp,
        Self::Token,
        Self::Device,
        Self::Pending,
        Self::Outcome,
        Self::Callback,
        Self::Delivery,
        Self::Audit,
    ];

    /// The name in files and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Org => "org",
            Self::App => "app",
            Self::PurgedApp => "purged_app",
            Self::Token => "token",
            Self::Device => "device",
            Self::Pending => "pending",
            Self::Outcome => "outcome",
            Self::Callback => "callback",
            Self::Delivery => "delivery",
            Self::Audit => "audit",
        }
    }
}

/// A pending registration, and what its place in the order of commits meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRecord {
    /// The registration, with its tries and the time at which it is due.
    pub registration: Registration,
    /// Whether a cleanup came after it and covers it: it may succeed, and leaves no device.
    pub covered: bool,
}

/// A callback that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackRecord {
    /// The callback: [`Delivery::attempt`] is the number of attempts begun so far, and
    /// [`Delivery::again_at`] is empty, for whoever made the last attempt is gone.
    pub delivery: Delivery,
    /// When it is due for another attempt; `None` if it was never attempted.
    pub due: Option<Timestamp>,
}

/// An entry of an app's delivery log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedDelivery {
    /// The app.
    pub app: AppId,
    /// Its place in the log: 1 is the newest.
    pub place: u64,
    /// The attempt.
    pub record: DeliveryRecord,
}

/// An entry of the audit list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its place in the list: 1 is the newest.
    pub place: u64,
    /// The entry.
    pub entry: AuditEntry,
}

/// What is moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// See [`RecordKind::Org`].
    Org(Org),
    /// See [`RecordKind::App`].
    App(Box<App>),
    /// See [`RecordKind::PurgedApp`].
    PurgedApp(AppId),
    /// See [`RecordKind::Token`].
    Token(TokenRecord),
    /// See [`RecordKind::Device`].
    Device(Box<Device>),
    /// See [`RecordKind::Pending`].
    Pending(Box<PendingRecord>),
    /// See [`RecordKind::Outcome`].
    Outcome(Box<Ended>),
    /// See [`RecordKind::Callback`].
    Callback(Box<CallbackRecord>),
    /// See [`RecordKind::Delivery`].
    Delivery(Box<LoggedDelivery>),
    /// See [`RecordKind::Audit`].
    Audit(Box<AuditRecord>),
}

impl Record {
    /// Nothing is due later than this, in the year 2286: a store may have no room for times beyond.
    pub const LATEST_DUE: Timestamp = Timestamp::from_millis(10_000_000_000_000);

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> RecordKind {
        match self {
            Self::Org(_) => RecordKind::Org,
            Self::App(_) => RecordKind::App,
            Self::PurgedApp(_) => RecordKind::PurgedApp,
            Self::Token(_) => RecordKind::Token,
            Self::Device(_) => RecordKind::Device,
            Self::Pending(_) => RecordKind::Pending,
            Self::Outcome(_) => RecordKind::Outcome,
            Self::Callback(_) => RecordKind::Callback,
            Self::Delivery(_) => RecordKind::Delivery,
            Self::Audit(_) => RecordKind::Audit,
        }
    }

    /// A pending registration as it is moved.
    #[must_use]
    pub fn pending(mut registration: Registration, covered: bool) -> Self {
        registration.due = registration.due.min(Self::LATEST_DUE);
        Self::Pending(Box::new(PendingRecord { registration, covered }))
    }

    /// A callback as it is moved. `due` says nothing of one that was never attempted.
    #[must_use]
    pub fn callback(delivery: Delivery, due: Timestamp) -> Self {
        let due = (delivery.attempt > 0).then_some(due.min(Self::LATEST_DUE));
        let first_attempt_at =
            if due.is_some() { delivery.first_attempt_at } else { delivery.ended_at };
        let delivery = Delivery { again_at: None, first_attempt_at, ..delivery };
        Self::Callback(Box::new(CallbackRecord { delivery, due }))
    }
}

/// What of a store counts, whenever it drops the rest: two stores are alike if they are alike in this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MovingView {
    /// Outcomes that ended then or before, and attempts that were begun then or before, are over.
    pub ended_after: Timestamp,
    /// Of each app's delivery log so many of the newest.
    pub logged_per_app: u64,
    /// Of the audit list so many of the newest.
    pub audited: u64,
}

impl MovingView {
    /// All that is there.
    pub const EVERYTHING: Self = Self {
        ended_after: Timestamp::from_millis(0),
        logged_per_app: i64::MAX as u64,
        audited: i64::MAX as u64,
    };
}

/// Some records of a kind.
#[derive(Debug, Clone)]
pub struct Records {
    /// The records, in an order that is the store's own and always the same.
    pub records: Vec<Record>,
    /// Where to go on; `None` at the end of the kind. Only the store that gave it understands it.
    pub next: Option<String>,
}

/// Gets everything out of a store that nobody changes meanwhile, or out of a state of it that stands still.
#[async_trait]
pub trait MoveOut: Send + Sync {
    /// The next records of a kind, no more than `limit` and a little. Of a kind that is not at its end
    /// there is at least one.
    async fn records(
        &self,
        kind: RecordKind,
        view: MovingView,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Records, StoreError>;
}

/// How far an import into a store has come; kept in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportProgress {
    /// The id of what is imported.
    pub export: [u8; 16],
    /// How many records of it are in the store for good.
    pub records: u64,
    /// SHA-256 of all that was read up to the last of these, by which what is imported is known again.
    pub digest: [u8; 32],
    /// When the import was begun.
    pub begun_at: Timestamp,
    /// When it was through, and found to be right. Before that nobody may work on the store.
    pub finished_at: Option<Timestamp>,
}

/// Puts everything into an empty store that nobody works on.
#[async_trait]
pub trait MoveIn: Send + Sync {
    /// How far an import has come; `None` if there never was one.
    async fn progress(&self) -> Result<Option<ImportProgress>, StoreError>;

    /// Puts records into the store and then, or in the same step, notes the progress: whenever the process
    /// dies, no record is missing that the progress counts. The same records may come again, and change
    /// nothing then.
    async fn put(&self, records: Vec<Record>, progress: ImportProgress) -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_in_the_list_once_and_in_order() {
        assert!(RecordKind::ALL.is_sorted_by(|a, b| a < b));
    }
}
