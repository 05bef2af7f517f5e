//! Making callbacks: what is handed out, what becomes of an attempt, and whether there is another.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::app::CallbackRetries;
use crate::backoff::{Backoff, Tries};
use crate::callback::{CallbackOrder, HostKey};
use crate::ids::{AppId, OrgId, RegistrationId};
use crate::registration::Outcome;
use crate::time::Timestamp;

/// A callback to be made now: the registration has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The registration, which is also the `webhook-id`.
    pub id: RegistrationId,
    /// The organization.
    pub org: OrgId,
    /// The app, whose secret makes the `webhook-signature`.
    pub app: AppId,
    /// Where to, and the caller's headers.
    pub order: CallbackOrder,
    /// How the registration ended.
    pub outcome: Outcome,
    /// When the registration ended.
    pub ended_at: Timestamp,
    /// Which attempt this is; 1 for the first.
    pub attempt: u32,
    /// When the first attempt was begun.
    pub first_attempt_at: Timestamp,
    /// When it is handed out again unless the end of this attempt is noted before. `None` if this is
    /// the last attempt, whatever becomes of it.
    pub again_at: Option<Timestamp>,
}

/// How much room there is for deliveries, and which are to be tried again.
#[derive(Debug, Clone, Default)]
pub struct DeliveryRoom {
    /// The most to hand out now.
    pub limit: usize,
    /// Of these, the most that were attempted before.
    pub retries: usize,
    /// The most that may be under way to one host.
    pub per_host: usize,
    /// What is under way already.
    pub under_way: Vec<(HostKey, usize)>,
    /// The apps whose callbacks are tried again.
    pub with_retries: Arc<HashSet<AppId>>,
    /// The [`Delivery::again_at`] of their callbacks.
    pub again_at: Timestamp,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallbackResult {
    /// The attempt was recorded, and its end is not known (yet).
    Attempted,
    /// The receiver answered with a status of 2xx.
    Delivered {
        /// The status.
        status: u16,
    },
    /// The receiver answered with another status.
    Answered {
        /// The status.
        status: u16,
    },
    /// There was no answer, or the address was refused; says why. Never a header of the caller's.
    Failed {
        /// Why, in at most 300 characters.
        reason: String,
    },
}

/// What came of sending a callback once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackAnswer {
    /// What became of it.
    pub result: CallbackResult,
    /// How long the receiver wants to be left alone (`Retry-After`).
    pub retry_after: Option<Duration>,
    /// Whether sending it again is bound to fail the same way: the URL itself is refused, or the
    /// request can't be made.
    pub is_hopeless: bool,
}

impl CallbackAnswer {
    /// The receiver wants no more of it (`410 Gone`, as Standard Webhooks has it).
    const GONE: u16 = 410;

    /// When to make the next attempt; `None` if this was the last. `tries` holds this attempt too;
    /// `waits` says how long to wait between attempts, and its window is that of the app.
    #[must_use]
    pub fn next_attempt(
        &self,
        tries: &Tries,
        waits: &Backoff,
        now: Timestamp,
        random: u64,
    ) -> Option<Timestamp> {
        match self.result {
            CallbackResult::Delivered { .. } | CallbackResult::Answered { status: Self::GONE } => {
                None
            }
            CallbackResult::Attempted
            | CallbackResult::Answered { .. }
            | CallbackResult::Failed { .. } => {
                if self.is_hopeless {
                    return None;
                }
                waits.next_due(tries, self.retry_after, now, random)
            }
        }
    }
}

impl Delivery {
    /// When it is tried again after this answer, in an app with these retries; `None` if never.
    #[must_use]
    pub fn next_attempt(
        &self,
        answer: &CallbackAnswer,
        retries: CallbackRetries,
        waits: Backoff,
        now: Timestamp,
        random: u64,
    ) -> Option<Timestamp> {
        self.again_at?;
        let tries = Tries {
            attempts: self.attempt,
            first_attempt_at: Some(self.first_attempt_at),
            last_run: None,
        };
        let window = retries.window.min(CallbackRetries::LONGEST_WINDOW);
        answer.next_attempt(&tries, &Backoff { window, ..waits }, now, random)
    }
}

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryEnd {
    /// The delivery as it was handed out.
    pub delivery: Arc<Delivery>,
    /// What became of it.
    pub report: CallbackReport,
    /// When it is to be handed out again; `None` if this was the last attempt.
    pub retry_at: Option<Timestamp>,
}

/// An attempt as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackReport {
    /// What became of it.
    pub result: CallbackResult,
    /// When it was begun.
    pub at: Timestamp,
    /// How long it took.
    pub took: Duration,
}

/// An entry of an app's delivery log: an attempt that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryRecord {
    /// The registration, which is also the `webhook-id`.
    pub id: RegistrationId,
    /// [`CallbackOrder::receiver`].
    pub receiver: String,
    /// How the registration ended.
    pub outcome: Outcome,
    /// Which attempt it was; 1 for the first.
    pub attempt: u32,
    /// What became of it.
    pub report: CallbackReport,
    /// When it is tried again; `None` if this was the last attempt.
    pub retry_at: Option<Timestamp>,
}

impl DeliveryEnd {
    /// Its entry in the app's delivery log.
    #[must_use]
    pub fn record(&self) -> DeliveryRecord {
        DeliveryRecord {
            id: self.delivery.id,
            receiver: self.delivery.order.receiver(),
            outcome: self.delivery.outcome,
            attempt: self.delivery.attempt,
            report: self.report.clone(),
            retry_at: self.retry_at.filter(|_| self.delivery.again_at.is_some()),
        }
    }
}

#[cfg(test)]
mod tests;
