//! Callbacks: once a registration has ended, its caller is told.
//!
//! The store's queue is the truth. An attempt is on record before it is made, so a crash can't make it
//! twice. Deliveries under way are bounded, in all and for each host; the rest waits in the store.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use pushroll_domain::{
    Callback, CallbackReport, CallbackResult, CallerHeaders, Delivery, DeliveryEnd, DeliveryRoom,
    FailureReason, HostKey, Outcome, SealContext, StoreError,
};
use tokio::sync::Notify;
use tracing::{debug, error, warn};

use crate::register::CALLBACK_HEADERS;
use crate::service::Service;

/// How often the store is looked at when nothing woke the worker.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often it is looked at when it holds something unreadable.
const LOOK_EVERY_WHEN_CORRUPT: Duration = Duration::from_secs(10);
/// The most deliveries begun in one commit.
const BEGUN_AT_ONCE: usize = 128;
/// How often the end of a delivery is offered to a store that can't take it.
const END_TRIES: u32 = 5;

/// The deliveries under way, and the worker's alarm clock.
#[derive(Default)]
pub(crate) struct Deliveries {
    wake: Notify,
    under_way: Mutex<HashMap<HostKey, usize>>,
}

impl Deliveries {
    /// There is a callback to make, or room for one.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    fn room(&self, most: usize, per_host: usize) -> DeliveryRoom {
        let under_way = self.under_way.lock();
        let free = most.saturating_sub(under_way.values().sum());
        DeliveryRoom {
            limit: free.min(BEGUN_AT_ONCE),
            per_host,
            under_way: under_way.iter().map(|(host, count)| (*host, *count)).collect(),
        }
    }

    fn begin(&self, host: HostKey) {
        *self.under_way.lock().entry(host).or_default() += 1;
    }

    fn end(&self, host: HostKey) {
        let mut under_way = self.under_way.lock();
        if let Some(count) = under_way.get_mut(&host) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(&host);
            }
        }
    }
}

impl Service {
    pub(crate) async fn deliver(self) {
        loop {
            let begun = match self.begin_deliveries().await {
                Ok(begun) => begun,
                Err(cause @ (StoreError::Unavailable { .. } | StoreError::Closed)) => {
                    debug!(%cause, "callbacks can't be begun now");
                    0
                }
                Err(cause @ StoreError::Corrupt(_)) => {
                    error!(%cause, "callbacks can't be begun: see to the store");
                    self.rest(LOOK_EVERY_WHEN_CORRUPT).await;
                    0
                }
            };
            if self.stop.is_cancelled() {
                return;
            }
            if begun > 0 {
                continue;
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.deliveries.wake.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Waits, unless the service stops.
    async fn rest(&self, span: Duration) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(span) => {}
        }
    }

    /// Begins as many deliveries as there is room for.
    async fn begin_deliveries(&self) -> Result<usize, StoreError> {
        let limits = &self.settings.callbacks;
        let room = self.deliveries.room(limits.under_way, limits.under_way_per_host);
        if room.limit == 0 || self.store.deliveries_waiting().await? == 0 {
            return Ok(0);
        }
        let begun = self.store.begin_deliveries(room, self.clock.now()).await?;
        let count = begun.len();
        for delivery in begun {
            self.deliveries.begin(delivery.order.host);
            let service = self.clone();
            self.tasks.spawn(async move { service.deliver_one(delivery).await });
        }
        Ok(count)
    }

    async fn deliver_one(self, delivery: Delivery) {
        let at = self.clock.now();
        let result = match self.open(&delivery) {
            Ok(callback) => self.callbacks.send(callback).await,
            Err(reason) => CallbackResult::Failed { reason },
        };
        let took = self.clock.now().since(at);
        let name = match &result {
            CallbackResult::Attempted => "attempted",
            CallbackResult::Delivered { .. } => "delivered",
            CallbackResult::Answered { .. } => "refused",
            CallbackResult::Failed { .. } => "failed",
        };
        metrics::counter!("pushroll_callbacks_total", "result" => name).increment(1);
        match &result {
            CallbackResult::Delivered { .. } | CallbackResult::Attempted => {}
            CallbackResult::Answered { status } => {
                warn!(registration = %delivery.id, app = %delivery.app, status, "callback not taken");
            }
            CallbackResult::Failed { reason } => {
                warn!(registration = %delivery.id, app = %delivery.app, reason, "callback failed");
            }
        }
        let host = delivery.order.host;
        let report = CallbackReport { result, at, took };
        self.end_delivery(DeliveryEnd { id: delivery.id, app: delivery.app, host, report }).await;
        self.deliveries.end(host);
        self.deliveries.wake();
    }

    /// Opens what is sealed.
    fn open(&self, delivery: &Delivery) -> Result<Callback, String> {
        let headers = match &delivery.order.headers {
            None => Vec::new(),
            Some(sealed) => {
                let field = CALLBACK_HEADERS;
                let context = SealContext { org: delivery.org, app: delivery.app, field };
                let opened = self.sealer.open(context, sealed);
                let opened = opened.map_err(|fault| format!("the caller's headers: {fault}"))?;
                CallerHeaders::from_sealed_text(&opened)
                    .map_err(|fault| format!("the caller's headers: {fault}"))?
                    .into_headers()
            }
        };
        Ok(Callback {
            id: delivery.id,
            url: delivery.order.url.clone(),
            headers,
            outcome: delivery.outcome,
            signature: delivery.order.signature.clone(),
            webhook_secret: self.signing_secret(delivery)?,
            at: self.clock.now(),
        })
    }

    /// The app's secret; none when the caller had no good token for the app, or the app is gone.
    fn signing_secret(
        &self,
        delivery: &Delivery,
    ) -> Result<Option<pushroll_domain::Secret>, String> {
        if delivery.outcome == Outcome::Failed(FailureReason::ApiTokenNotValid) {
            return Ok(None);
        }
        let directory = self.directory();
        let app = directory.app_even_if_deleted(delivery.app);
        app.map(|app| self.webhook_secret(app)).transpose()
    }

    async fn end_delivery(&self, end: DeliveryEnd) {
        for _ in 0..END_TRIES {
            match self.store.end_deliveries(vec![end.clone()]).await {
                Ok(()) => return,
                Err(StoreError::Unavailable { retry_after, .. }) => {
                    self.rest(retry_after).await;
                    if self.stop.is_cancelled() {
                        return;
                    }
                }
                Err(cause @ (StoreError::Closed | StoreError::Corrupt(_))) => {
                    return debug!(%cause, "the end of a callback was not recorded");
                }
            }
        }
    }
}
