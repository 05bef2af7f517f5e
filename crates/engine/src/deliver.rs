//! Callbacks: once a registration has ended, its caller is told.
//!
//! The store's queue is the truth. An attempt is on record before it is made, so a crash can't make it
//! twice. The callbacks of an app with retries are kept until they are taken or the app's window is
//! over; after a crash in the middle of an attempt they come back. Deliveries under way are bounded, in
//! all and for each host, and retries to half of them; the rest waits in the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pushroll_domain::{
    Callback, CallbackAnswer, CallbackReport, CallbackResult, CallerHeaders, Delivery, DeliveryEnd,
    DeliveryRoom, FailureReason, HostKey, Outcome, SealContext, Secret, Span, SpanKind, StoreError,
    Timestamp,
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
/// The header by which the receiver's spans join the trace (W3C Trace Context), unless the caller set it.
const TRACE_PARENT: &str = "traceparent";

/// The deliveries under way, and the worker's alarm clock.
#[derive(Default)]
pub(crate) struct Deliveries {
    wake: Notify,
    under_way: Mutex<UnderWay>,
}

#[derive(Default)]
struct UnderWay {
    by_host: HashMap<HostKey, usize>,
    retries: usize,
}

impl Deliveries {
    /// There is a callback to make, or room for one.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    fn room(&self, most: usize, per_host: usize) -> DeliveryRoom {
        let under_way = self.under_way.lock();
        let free = most.saturating_sub(under_way.by_host.values().sum());
        // What was attempted before may be on its way to receivers that are down, and a first
        // attempt is not to wait for them.
        let most_retries = most.div_ceil(2);
        DeliveryRoom {
            limit: free.min(BEGUN_AT_ONCE),
            retries: most_retries.saturating_sub(under_way.retries),
            per_host,
            under_way: under_way.by_host.iter().map(|(host, count)| (*host, *count)).collect(),
            ..DeliveryRoom::default()
        }
    }

    fn begin(&self, delivery: &Delivery) {
        let mut under_way = self.under_way.lock();
        *under_way.by_host.entry(delivery.order.host).or_default() += 1;
        under_way.retries += usize::from(delivery.attempt > 1);
    }

    fn end(&self, delivery: &Delivery) {
        let mut under_way = self.under_way.lock();
        under_way.retries -= usize::from(delivery.attempt > 1);
        let host = delivery.order.host;
        if let Some(count) = under_way.by_host.get_mut(&host) {
            *count -= 1;
            if *count == 0 {
                under_way.by_host.remove(&host);
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
        let now = self.clock.now();
        let room = DeliveryRoom {
            with_retries: self.directory().apps_with_callback_retries(),
            again_at: now.plus(limits.lost_after),
            ..room
        };
        let begun = self.store.begin_deliveries(room, now).await?;
        let count = begun.len();
        for delivery in begun {
            self.deliveries.begin(&delivery);
            let service = self.clone();
            self.tasks.spawn(async move { service.deliver_one(Arc::new(delivery)).await });
        }
        Ok(count)
    }

    async fn deliver_one(self, delivery: Arc<Delivery>) {
        let at = self.clock.now();
        let mut span = self.begin_attempt(&delivery);
        let answer = match self.open(&delivery, &span) {
            Ok(callback) => self.callbacks.send(callback).await,
            Err(reason) => {
                let result = CallbackResult::Failed { reason };
                // Whoever runs this may put it right: another key, say.
                CallbackAnswer { result, retry_after: None, is_hopeless: false }
            }
        };
        let now = self.clock.now();
        let retry_at = self.next_attempt(&delivery, &answer, now);
        note(&delivery, &answer.result, retry_at.is_some());
        tell_result(&mut span, &answer.result);
        if retry_at.is_some() {
            self.traced.keep(delivery.id, span.context());
        }
        drop(span);
        let report = CallbackReport { result: answer.result, at, took: now.since(at) };
        let end = DeliveryEnd { delivery: Arc::clone(&delivery), report, retry_at };
        self.end_delivery(end).await;
        self.deliveries.end(&delivery);
        self.deliveries.wake();
    }

    /// The span of an attempt: a part of the trace that led to it, or one of its own if that was some time ago.
    fn begin_attempt(&self, delivery: &Delivery) -> Span {
        if !self.tracer.is_on() {
            return Span::none();
        }
        let before = self.traced.take(delivery.id);
        let mut span = match before {
            Some(before) if delivery.attempt <= 1 => {
                self.tracer.part_of(Some(before), "callback", SpanKind::Client)
            }
            before => self.tracer.later(before, "callback", SpanKind::Client),
        };
        span.tell(|details| {
            details.set("pushroll.registration.id", delivery.id.to_string());
            details.set("pushroll.app.id", delivery.app.to_string());
            details.set("pushroll.outcome", delivery.outcome.name());
            details.set("pushroll.callback.attempt", u64::from(delivery.attempt));
        });
        span
    }

    /// When the app wants it tried again.
    fn next_attempt(
        &self,
        delivery: &Delivery,
        answer: &CallbackAnswer,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let retries = self.directory().app(delivery.app)?.callback_retries?;
        let limits = &self.settings.callbacks;
        let random = self.random.u64();
        let next = delivery.next_attempt(answer, retries, limits.retry_waits, now, random)?;
        // It counts itself.
        if self.store.deliveries_retrying(delivery.app) > limits.retrying_per_app {
            metrics::counter!("pushroll_callback_retries_dropped_total").increment(1);
            warn!(
                registration = %delivery.id, app = %delivery.app,
                "callback given up: too many of the app wait for another attempt"
            );
            return None;
        }
        Some(next)
    }

    /// Opens what is sealed.
    fn open(&self, delivery: &Delivery, span: &Span) -> Result<Callback, String> {
        let mut headers = match &delivery.order.headers {
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
        if let Some(context) = span.context()
            && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(TRACE_PARENT))
        {
            let value = Secret::new(context.traceparent().into_bytes());
            headers.push((TRACE_PARENT.to_owned(), value));
        }
        Ok(Callback {
            id: delivery.id,
            url: delivery.order.url.clone(),
            headers,
            outcome: delivery.outcome,
            signature: delivery.order.signature.clone(),
            webhook_secrets: self.signing_secrets(delivery)?,
            at: self.clock.now(),
        })
    }

    /// The app's secrets; none when the caller had no good token for the app, or the app is gone.
    fn signing_secrets(&self, delivery: &Delivery) -> Result<Vec<Secret>, String> {
        if delivery.outcome == Outcome::Failed(FailureReason::ApiTokenNotValid) {
            return Ok(Vec::new());
        }
        let directory = self.directory();
        let app = directory.app_even_if_deleted(delivery.app);
        app.map_or(Ok(Vec::new()), |app| self.webhook_secrets(app, self.clock.now()))
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

/// Tells the trace what became of an attempt. Why one failed may name the receiver, which is the log's.
fn tell_result(span: &mut Span, result: &CallbackResult) {
    span.tell(|details| match result {
        CallbackResult::Delivered { status } => {
            details.set("http.response.status_code", u64::from(*status));
        }
        CallbackResult::Answered { status } => {
            details.set("http.response.status_code", u64::from(*status));
            details.fail("not taken");
        }
        CallbackResult::Failed { .. } | CallbackResult::Attempted => {
            details.fail("no answer");
        }
    });
}

/// Tells metrics and the log what became of an attempt.
fn note(delivery: &Delivery, result: &CallbackResult, again: bool) {
    let name = match result {
        CallbackResult::Attempted => "attempted",
        CallbackResult::Delivered { .. } => "delivered",
        CallbackResult::Answered { .. } => "refused",
        CallbackResult::Failed { .. } => "failed",
    };
    metrics::counter!("pushroll_callbacks_total", "result" => name).increment(1);
    if delivery.attempt > 1 {
        metrics::counter!("pushroll_callback_retries_total", "result" => name).increment(1);
    }
    let Delivery { id, app, attempt, .. } = delivery;
    match result {
        CallbackResult::Delivered { .. } | CallbackResult::Attempted => {}
        CallbackResult::Answered { status } => {
            warn!(registration = %id, %app, attempt, again, status, "callback not taken");
        }
        CallbackResult::Failed { reason } => {
            warn!(registration = %id, %app, attempt, again, reason, "callback failed");
        }
    }
}
