//! Callbacks that wait, and the log of those that were made.

use pushroll_domain::{
    AppId, CallbackRecord, Delivery, DeliveryRecord, LoggedDelivery, OrgId, RegistrationId,
    Timestamp,
};
use serde::{Deserialize, Serialize};

use super::values::{OrderPart, ReportPart, at, check_id, outcome};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallbackLine {
    id: RegistrationId,
    org: OrgId,
    app: AppId,
    order: OrderPart,
    outcome: String,
    ended_at_ms: u64,
    /// If it was attempted before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attempted: Option<AttemptedPart>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AttemptedPart {
    attempts: u32,
    first_attempt_at_ms: u64,
    due_ms: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeliveryLine {
    app: AppId,
    place: u64,
    id: RegistrationId,
    receiver: String,
    outcome: String,
    attempt: u32,
    report: ReportPart,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_at_ms: Option<u64>,
}

impl CallbackLine {
    pub(super) fn of(callback: &CallbackRecord) -> Self {
        let CallbackRecord { delivery, due } = callback;
        Self {
            id: delivery.id,
            org: delivery.org,
            app: delivery.app,
            order: OrderPart::of(&delivery.order),
            outcome: delivery.outcome.name().to_owned(),
            ended_at_ms: delivery.ended_at.as_millis(),
            attempted: due.map(|due| AttemptedPart {
                attempts: delivery.attempt,
                first_attempt_at_ms: delivery.first_attempt_at.as_millis(),
                due_ms: due.as_millis(),
            }),
        }
    }

    pub(super) fn into_callback(self) -> Result<CallbackRecord, String> {
        check_id(self.id, None)?;
        let attempted = self.attempted;
        if attempted.as_ref().is_some_and(|attempted| attempted.attempts == 0) {
            return Err("attempts is 0 of a callback that was attempted".to_owned());
        }
        let delivery = Delivery {
            id: self.id,
            org: self.org,
            app: self.app,
            order: self.order.into_order()?,
            outcome: outcome(&self.outcome)?,
            ended_at: at(self.ended_at_ms),
            attempt: attempted.as_ref().map_or(0, |attempted| attempted.attempts),
            first_attempt_at: attempted
                .as_ref()
                .map_or(at(self.ended_at_ms), |attempted| at(attempted.first_attempt_at_ms)),
            again_at: None,
        };
        Ok(CallbackRecord { delivery, due: attempted.map(|attempted| at(attempted.due_ms)) })
    }
}

impl DeliveryLine {
    pub(super) fn of(logged: &LoggedDelivery) -> Self {
        let record = &logged.record;
        Self {
            app: logged.app,
            place: logged.place,
            id: record.id,
            receiver: record.receiver.clone(),
            outcome: record.outcome.name().to_owned(),
            attempt: record.attempt,
            report: ReportPart::of(&record.report),
            retry_at_ms: record.retry_at.map(Timestamp::as_millis),
        }
    }

    pub(super) fn into_logged(self) -> Result<LoggedDelivery, String> {
        check_id(self.id, None)?;
        Ok(LoggedDelivery {
            app: self.app,
            place: self.place,
            record: DeliveryRecord {
                id: self.id,
                receiver: self.receiver,
                outcome: outcome(&self.outcome)?,
                attempt: self.attempt,
                report: self.report.into_report(),
                retry_at: self.retry_at_ms.map(at),
            },
        })
    }
}
