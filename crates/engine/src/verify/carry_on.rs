//! Carrying one registration on, from its acceptance to its outcome or its next try.
//!
//! The checks come in the order in which the outcomes are defined: the API token, the length of the
//! device token, a duplicate, the dry run. Each ends the registration, if it applies.

use std::sync::Arc;
use std::time::Duration;

use pushroll_domain::{
    App, ClaimedToken, Ending, FailureReason, Finish, Finished, Outcome, Postpone, Provider,
    ProviderAnswer, Registration, RegistrationId, Span, SpanKind, Standing, StoreError, Timestamp,
    Tries,
};
use tokio::sync::oneshot;
use tracing::{Instrument, debug, debug_span, error};

use super::equal::{Lead, Leader, Place, Told};
use super::lane::LaneState;
use super::{CameFrom, Hold, may_be_verified};
use crate::service::Service;

/// A registration that waits for an equal one which is due already looks again after this time.
const AFTER_ITS_EQUAL: Duration = Duration::from_millis(1);

/// What is to be done with a registration now.
pub(super) enum Next {
    /// End it.
    End { ending: Ending, tries: Tries, token_at_fault: bool },
    /// Ask the provider again then.
    Retry { due: Timestamp, tries: Tries, last_answer: ProviderAnswer },
    /// Look again then: an equal registration that was accepted before comes first. `older` is that one,
    /// if this one has not waited for it yet.
    WaitFor { older: Option<RegistrationId>, due: Timestamp },
    /// Give it back as it is: its lane is held back.
    GiveBack,
    /// Nothing: the process stops, and the store has it.
    Leave,
}

impl Next {
    /// It fails, and nothing follows from that for its equals.
    pub(super) fn fail(
        reason: FailureReason,
        answer: Option<ProviderAnswer>,
        tries: Tries,
    ) -> Self {
        Self::End { ending: Ending::Failed { reason, answer }, tries, token_at_fault: false }
    }
}

impl Service {
    /// Carries a registration on in a task of its own.
    pub(crate) fn carry_on(&self, registration: Arc<Registration>, hold: Hold, from: CameFrom) {
        self.tasks.spawn(self.carrying_on(registration, hold, from));
    }

    /// What carries a registration on. Equal ones have their places in the order of the calls,
    /// whichever of what is returned runs first.
    pub(crate) fn carrying_on(
        &self,
        registration: Arc<Registration>,
        hold: Hold,
        from: CameFrom,
    ) -> impl Future<Output = ()> + Send + use<> {
        let service = self.clone();
        // Only where somebody looks into it: made and entered for each registration, a span of the log costs
        // microseconds. What is told at other levels says itself which registration it is about.
        let log = debug_span!("registration", id = %registration.id, app = %registration.app);
        let span = self.begin_verify(&registration, from);
        // What ends anyhow does so whatever its equals do.
        let place =
            may_be_verified(&registration).then(|| self.verification.equal.join(&registration));
        async move {
            let lane = Arc::clone(&hold.lane);
            service.verify(&registration, &lane, place, &span).await;
            drop((hold, span));
        }
        .instrument(log)
    }

    /// The span of carrying a registration on: a part of the request's, or a trace of its own if it waited
    /// in the store.
    fn begin_verify(&self, registration: &Registration, from: CameFrom) -> Span {
        if !self.tracer.is_on() {
            return Span::none();
        }
        let mut span = match from {
            CameFrom::Request(request) => {
                self.tracer.part_of(request, "verify", SpanKind::Internal)
            }
            CameFrom::Store => {
                let before = self.traced.take(registration.id);
                self.tracer.later(before, "verify", SpanKind::Consumer)
            }
        };
        span.tell(|details| {
            details.set("pushroll.registration.id", registration.id.to_string());
            details.set("pushroll.app.id", registration.app.to_string());
            details.set("pushroll.platform", registration.claimed.platform().name());
            details.set("pushroll.attempts_before", u64::from(registration.tries.attempts));
        });
        span
    }

    async fn verify(
        &self,
        registration: &Arc<Registration>,
        lane: &Arc<LaneState>,
        mut place: Option<Place>,
        span: &Span,
    ) {
        loop {
            if let Some(next) = self.refused(registration) {
                drop(place);
                return self.take_step(registration, lane, next, None, span).await;
            }
            let equal = &self.verification.equal;
            let waits = match place.take().unwrap_or_else(|| equal.join(registration)) {
                Place::Waits(waits) => waits,
                Place::First(leader) => match self.lead(registration, lane, leader, span).await {
                    Some(waits) => waits,
                    None => return,
                },
            };
            let next = match waits.await {
                Ok(Told::Turn(leader)) => {
                    place = Some(Place::First(leader));
                    continue;
                }
                Ok(Told::Lead(Lead::Over)) | Err(_) => continue,
                Ok(Told::Lead(Lead::TokenAtFault(answer))) => {
                    let fails = || {
                        let reason = FailureReason::DryRunSendingFailed;
                        Next::fail(reason, answer, registration.tries)
                    };
                    self.refused(registration).unwrap_or_else(fails)
                }
                Ok(Told::Lead(Lead::Postponed(due))) => Next::WaitFor { older: None, due },
            };
            return self.take_step(registration, lane, next, None, span).await;
        }
    }

    /// Carries the first of equal registrations on. If one that was accepted before turns out to wait
    /// behind it, that one leads, and this one has to wait.
    async fn lead(
        &self,
        registration: &Arc<Registration>,
        lane: &Arc<LaneState>,
        mut leader: Leader,
        span: &Span,
    ) -> Option<oneshot::Receiver<Told>> {
        let next = self.find_next(registration, lane, span).await;
        if let Next::WaitFor { older: Some(older), .. } = next {
            leader = match leader.let_pass(older) {
                Ok(waits) => return Some(waits),
                Err(leader) => leader,
            };
        }
        self.take_step(registration, lane, next, Some(&mut leader), span).await;
        None
    }

    /// Whether the registration ends before anything else is looked at.
    fn refused(&self, registration: &Registration) -> Option<Next> {
        if self.still_authorized(registration).is_none() {
            let reason = FailureReason::ApiTokenNotValid;
            return Some(Next::fail(reason, None, registration.tries));
        }
        match registration.claimed {
            ClaimedToken::TooLong { .. } => {
                Some(Next::fail(FailureReason::DeviceTokenTooLong, None, registration.tries))
            }
            ClaimedToken::Present(_) => None,
        }
    }

    /// The app, if the registration's API token is still good for it.
    pub(super) fn still_authorized(&self, registration: &Registration) -> Option<Arc<App>> {
        let token = registration.authorized_by?;
        self.directory().still_authorized(registration.app, token).cloned()
    }

    async fn find_next(
        &self,
        registration: &Arc<Registration>,
        lane: &Arc<LaneState>,
        span: &Span,
    ) -> Next {
        let one = std::slice::from_ref(registration);
        let standing = match self.until_stored(registration, || self.store.standings(one)).await {
            Some(standings) => standings.into_iter().next().unwrap_or(Standing::Free),
            None => return Next::Leave,
        };
        match standing {
            Standing::Free => self.ask_provider(registration, lane, span).await,
            Standing::Stored(_) => Next::End {
                ending: Ending::Duplicate,
                tries: registration.tries,
                token_at_fault: false,
            },
            Standing::After { id, due } => {
                // Due together they are taken from the store together, the older one first.
                let soon = self.clock.now().plus(AFTER_ITS_EQUAL);
                Next::WaitFor { older: Some(id), due: due.max(soon) }
            }
        }
    }

    /// Does what is to be done. Those who wait for the leader are told when it is dropped, after the
    /// store has what they will look at.
    async fn take_step(
        &self,
        registration: &Arc<Registration>,
        lane: &Arc<LaneState>,
        mut next: Next,
        mut leader: Option<&mut Leader>,
        span: &Span,
    ) {
        loop {
            match next {
                Next::End { ending, tries, token_at_fault } => {
                    if let (true, Some(leader)) = (token_at_fault, leader.as_deref_mut()) {
                        leader.will_tell(Lead::TokenAtFault(answer_of(&ending)));
                    }
                    match self.finish(registration, lane, ending, tries, span).await {
                        // The device that stood in the way was cleaned up in between.
                        Some(Finished::NoDuplicate) => {
                            next = self.ask_provider(registration, lane, span).await;
                        }
                        Some(Finished::Ended(_) | Finished::NotPending) | None => return,
                    }
                }
                Next::Retry { due, tries, last_answer } => {
                    self.traced.keep(registration.id, span.context());
                    self.postpone(registration, due, tries, Some(last_answer)).await;
                    if let Some(leader) = leader {
                        leader.will_tell(Lead::Postponed(due));
                    }
                    return;
                }
                Next::WaitFor { older: _, due } => {
                    self.traced.keep(registration.id, span.context());
                    let last_answer = registration.last_answer.clone();
                    return self.postpone(registration, due, registration.tries, last_answer).await;
                }
                Next::GiveBack => {
                    self.traced.keep(registration.id, span.context());
                    let one = vec![Arc::clone(registration)];
                    if let Err(cause) = self.store.give_back(one).await {
                        let (id, app) = (registration.id, registration.app);
                        error!(%id, %app, %cause, "the registration waits for the next start: it can't be given back");
                    }
                    return;
                }
                Next::Leave => return,
            }
        }
    }

    /// Ends a registration; `None` when the process stops before.
    async fn finish(
        &self,
        registration: &Arc<Registration>,
        lane: &LaneState,
        ending: Ending,
        tries: Tries,
        span: &Span,
    ) -> Option<Finished> {
        let mut part = span.part("finish", SpanKind::Internal);
        if registration.callback.is_some() {
            // Before the commit: the callback may be begun the moment after.
            self.traced.keep(registration.id, span.context());
        }
        let finish = Finish {
            registration: Arc::clone(registration),
            ending,
            at: self.clock.now(),
            tries,
            devices_per_user: self.settings.requests.devices_per_user,
        };
        let finished = self
            .until_stored(registration, || self.store.finish(vec![finish.clone()]))
            .await?
            .into_iter()
            .next()?;
        part.tell(|details| {
            let outcome = match finished {
                Finished::Ended(outcome) => outcome.name(),
                Finished::NotPending => "had ended already",
                Finished::NoDuplicate => "no duplicate any more",
            };
            details.set("pushroll.outcome", outcome);
        });
        drop(part);
        match finished {
            Finished::Ended(outcome) => self.has_ended(registration, lane, outcome, finish.at),
            Finished::NotPending => debug!("it had ended already"),
            Finished::NoDuplicate => {}
        }
        Some(finished)
    }

    fn has_ended(
        &self,
        registration: &Registration,
        lane: &LaneState,
        outcome: Outcome,
        at: Timestamp,
    ) {
        lane.meters.count_end(outcome, at.since(registration.accepted_at).as_secs_f64());
        debug!(outcome = outcome.name(), "registration ended");
        if registration.callback.is_some() {
            self.deliveries.wake();
        }
    }

    async fn postpone(
        &self,
        registration: &Arc<Registration>,
        due: Timestamp,
        tries: Tries,
        last_answer: Option<ProviderAnswer>,
    ) {
        self.meters.postponed.increment(1);
        let postpone = Postpone { registration: Arc::clone(registration), due, tries, last_answer };
        self.until_stored(registration, || self.store.postpone(vec![postpone.clone()])).await;
    }

    /// Keeps a hint for the operator with the outcome.
    pub(super) async fn add_hint(
        &self,
        registration: &Registration,
        hint: String,
    ) -> Result<(), StoreError> {
        self.store.add_hint(registration.app, registration.id, hint).await
    }

    /// Asks the store until it can; `None` when the process stops before, and the store has everything
    /// that the next start needs.
    async fn until_stored<T, F>(
        &self,
        registration: &Registration,
        mut ask: impl FnMut() -> F,
    ) -> Option<T>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        loop {
            let retry_after = match ask().await {
                Ok(done) => return Some(done),
                Err(StoreError::Unavailable { retry_after, .. }) => retry_after,
                Err(StoreError::Closed) => return None,
                Err(cause @ StoreError::Corrupt(_)) => {
                    let (id, app) = (registration.id, registration.app);
                    error!(%id, %app, %cause, "the store can't carry a registration on");
                    return None;
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep(retry_after) => {}
            }
        }
    }
}

fn answer_of(ending: &Ending) -> Option<ProviderAnswer> {
    match ending {
        Ending::Verified { answer, .. } | Ending::Failed { answer, .. } => answer.clone(),
        Ending::Duplicate => None,
    }
}

/// Our own words where no provider was asked.
pub(super) fn unasked(provider: Provider, reason: &str, detail: Option<String>) -> ProviderAnswer {
    ProviderAnswer {
        provider,
        environment: None,
        status: None,
        reason: reason.to_owned(),
        detail,
        provider_id: None,
    }
}
