//! Register: from a request whose form is right to registrations on stable storage.

use std::sync::Arc;
use std::time::Duration;

use pushroll_domain::{
    Accept, ApiToken, AppId, Authorization, CallbackOrder, CallerHeaders, ClaimedToken,
    DeviceToken, HostKey, OrgId, Platform, Registration, RegistrationId, SealContext, Span,
    SpanContext, SpanKind, StoreError, TokenId, Tries, Unknown, UserId, callback_signature,
};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::limits::{LimitName, Source, Throttled};
use crate::service::Service;
use crate::verify::{CameFrom, Hold};

/// The field name that sealed callback headers are bound to.
pub(crate) const CALLBACK_HEADERS: &str = "callback-headers";

/// One registration of a request.
#[derive(Debug)]
pub struct RegisterItem {
    /// The app.
    pub app: AppId,
    /// The user.
    pub user: UserId,
    /// The API token.
    pub token: ApiToken,
    /// The device token.
    pub device: DeviceToken,
}

/// What the headers of a request say, for all of its items.
#[derive(Debug, Default)]
pub struct RegisterOptions {
    /// Whether the outcome can be asked for.
    pub tracked: bool,
    /// Whom to tell.
    pub callback: Option<RequestedCallback>,
    /// The span of the request, if there is one.
    pub span: Option<SpanContext>,
}

/// A callback that a request asks for. Its URL has been checked.
#[derive(Debug)]
pub struct RequestedCallback {
    /// The URL exactly as it was given.
    pub url: String,
    /// Its host and port.
    pub host: HostKey,
    /// The caller's headers.
    pub headers: Option<CallerHeaders>,
}

/// Why a request was not accepted.
#[derive(Debug, Error)]
pub enum RegisterError {
    /// Something is not known, and `strict_tokens` is on.
    #[error("item {index}: unknown {what:?}")]
    Unknown {
        /// The item.
        index: usize,
        /// What is not known.
        what: Unknown,
    },
    /// Too many.
    #[error(transparent)]
    Throttled(#[from] Throttled),
    /// The store can't take it now; it is not known whether anything was kept.
    #[error("the store can't take it now")]
    Unavailable {
        /// When to try again.
        retry_after: Duration,
        /// Why.
        #[source]
        cause: StoreError,
    },
}

/// When a caller should try again after the store failed.
pub(crate) fn retry_after(cause: &StoreError) -> Duration {
    match cause {
        StoreError::Unavailable { retry_after, .. } => *retry_after,
        StoreError::Closed => Duration::from_secs(5),
        StoreError::Corrupt(_) => Duration::from_secs(60),
    }
}

impl Service {
    /// Accepts registrations: when this returns `Ok`, they are on stable storage. The ids are in the
    /// order of the items.
    ///
    /// An item whose organization, app or API token is unknown gets an id like any other, and nothing else
    /// ever happens.
    ///
    /// # Errors
    /// When something is unknown and `strict_tokens` is on, the caller asks too often, too many
    /// registrations of an app wait, or the store can't take it. Then no item is known to be kept.
    pub async fn register(
        &self,
        source: Source,
        org: OrgId,
        items: Vec<RegisterItem>,
        options: RegisterOptions,
    ) -> Result<Vec<RegistrationId>, RegisterError> {
        let now = self.clock.now();
        let directory = self.directory();
        let mut authorized = Vec::with_capacity(items.len());
        let (mut bad, mut unknown) = (0, None);
        for (index, item) in items.iter().enumerate() {
            let by = match directory.authorize(org, item.app, &item.token.hash(), now) {
                Authorization::Good(_, token) => Some(Some(token)),
                Authorization::NotGood(_) => Some(None),
                Authorization::Unknown(what) => {
                    unknown.get_or_insert(RegisterError::Unknown { index, what });
                    None
                }
            };
            bad += u64::from(by.is_none_or(|by| by.is_none()));
            authorized.push(by);
        }
        if bad > 0 {
            let counted = self.count_bad_token(source);
            // A request with a good token is never refused by that limit.
            if bad == items.len() as u64 {
                counted?;
            }
        }
        if let Some(unknown) = unknown.filter(|_| self.settings.strict_tokens) {
            return Err(unknown);
        }
        // Whoever has no good token does not use up what the organization may.
        if bad < items.len() as u64 {
            self.limits.count_request(org, self.store.nodes())?;
        }
        let known = items.iter().zip(&authorized).filter(|(_, by)| by.is_some());
        self.leave_room(known.map(|(item, _)| item.app))?;

        let mut ids = Vec::with_capacity(items.len());
        let mut batch = Vec::with_capacity(items.len());
        for (item, by) in items.into_iter().zip(authorized) {
            let user_key = item.user.key_in(item.app);
            let id = self.ids.registration(now, &user_key, self.random.u64());
            ids.push(id);
            if let Some(by) = by {
                batch.push(self.registration(id, org, item, by, &options));
            }
        }
        if bad > 0 {
            self.meters.unauthorized.increment(bad);
        }
        if !batch.is_empty() {
            self.accept(batch, options.span).await?;
        }
        Ok(ids)
    }

    /// Refuses a request that would let more registrations of an app wait than may.
    fn leave_room(&self, apps: impl Iterator<Item = AppId>) -> Result<(), Throttled> {
        let most = self.settings.requests.waiting_per_app;
        // A batch is small, and its items are mostly of one app.
        let mut wanted: Vec<(AppId, u64)> = Vec::with_capacity(1);
        for app in apps {
            match wanted.iter_mut().find(|(other, _)| *other == app) {
                Some((_, count)) => *count += 1,
                None => wanted.push((app, 1)),
            }
        }
        if wanted.iter().any(|(app, count)| self.store.waiting(*app) + count > most) {
            let limit = LimitName::WaitingPerApp;
            metrics::counter!("pushroll_throttled_total", "limit" => limit.name()).increment(1);
            return Err(Throttled { limit, retry_after: Duration::from_secs(10) });
        }
        Ok(())
    }

    fn registration(
        &self,
        id: RegistrationId,
        org: OrgId,
        item: RegisterItem,
        authorized_by: Option<TokenId>,
        options: &RegisterOptions,
    ) -> Registration {
        let callback = options.callback.as_ref().map(|requested| {
            let encoding = self.settings.callbacks.signature_encoding;
            let context = SealContext { org, app: item.app, field: CALLBACK_HEADERS };
            CallbackOrder {
                url: requested.url.clone(),
                host: requested.host,
                signature: callback_signature(&requested.url, &item.token, encoding),
                headers: requested
                    .headers
                    .as_ref()
                    .map(|headers| self.sealer.seal(context, headers.to_sealed_text().reveal())),
            }
        });
        let accepted_at = self.clock.now();
        Registration {
            id,
            org,
            app: item.app,
            user: item.user,
            claimed: self.claim(item.device),
            authorized_by,
            tracked: options.tracked,
            callback,
            accepted_at,
            due: accepted_at,
            tries: Tries::default(),
            last_answer: None,
        }
    }

    /// Keeps of a token that is too long only its length.
    fn claim(&self, device: DeviceToken) -> ClaimedToken {
        let limits = &self.settings.requests;
        let most = match device.platform() {
            Platform::Ios => limits.apns_token_chars,
            Platform::Android => limits.fcm_token_chars,
        };
        let chars = device.chars();
        if chars > most {
            let chars = u32::try_from(chars).unwrap_or(u32::MAX);
            return ClaimedToken::TooLong { platform: device.platform(), chars };
        }
        ClaimedToken::Present(device)
    }

    /// Commits, and hands what there is room for to verification. That runs as a task of its own: a
    /// caller that hangs up must not leave a registration in nobody's hands.
    async fn accept(
        &self,
        batch: Vec<Registration>,
        request: Option<SpanContext>,
    ) -> Result<(), RegisterError> {
        let count = batch.len() as u64;
        let (_waiting, is_busy) = self.verification.begin_accept();
        let mut span = self.tracer.part_of(request, "accept", SpanKind::Internal);
        span.tell(|details| {
            details.set("pushroll.app.id", batch[0].app.to_string());
            details.set("pushroll.registrations", count);
        });
        let mut taken: Vec<(Arc<Registration>, Hold)> = Vec::with_capacity(batch.len());
        let accepts = batch
            .into_iter()
            .map(|registration| {
                let registration = Arc::new(registration);
                let hold = if self.store.works_on(registration.id) {
                    self.verification.try_hold(&registration, is_busy)
                } else {
                    None
                };
                if hold.is_none() {
                    self.traced.keep(registration.id, request);
                }
                let accept =
                    Accept { registration: Arc::clone(&registration), taken: hold.is_some() };
                taken.extend(hold.map(|hold| (registration, hold)));
                accept
            })
            .collect();
        let in_hand = taken.len() as u64;
        let result = if taken.is_empty() {
            let result = self.store.accept(accepts).await;
            end_accept(span, &result);
            result
        } else {
            let service = self.clone();
            let (tell, committed) = oneshot::channel();
            self.tasks.spawn(async move {
                let result = service.store.accept(accepts).await;
                end_accept(span, &result);
                let mut first = None;
                if result.is_ok() {
                    let from = CameFrom::Request(request);
                    let mut taken = taken.into_iter();
                    first = taken.next().map(|(one, hold)| service.carrying_on(one, hold, from));
                    for (registration, hold) in taken {
                        service.carry_on(registration, hold, from);
                    }
                }
                // He may have hung up.
                drop(tell.send(result));
                // Of a single registration this is all: it needs no other task.
                if let Some(first) = first {
                    first.await;
                }
            });
            committed.await.unwrap_or(Err(StoreError::Closed))
        };
        result.map_err(|cause| RegisterError::Unavailable {
            retry_after: retry_after(&cause),
            cause,
        })?;
        self.meters.accepted.increment(count);
        if is_busy {
            self.meters.deferred.increment(count - in_hand);
        }
        Ok(())
    }
}

/// The commit is over.
fn end_accept(mut span: Span, result: &Result<(), StoreError>) {
    span.tell(|details| {
        if let Err(cause) = result {
            details.fail(cause.to_string());
        }
    });
}
