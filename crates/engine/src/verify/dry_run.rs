//! The dry run of one registration: asking the provider, and finding the step that follows.

use std::sync::Arc;
use std::time::Duration;

use pushroll_domain::{
    ApnsCredentials, App, BusyScope, ClaimedToken, Credentials, DeviceToken, DryRunReport, Ending,
    Environment, FailureReason, IosMode, Permit, Platform, Provider, ProviderAnswer, Registration,
    RegistrationId, Signal, Span, SpanKind, Step, Timestamp, Verdict, after_dry_run,
};
use tracing::{debug, warn};

use super::carry_on::{Next, unasked};
use super::lane::LaneState;
use crate::meters::verdict_name;
use crate::service::Service;
use crate::symptom::Symptom;

/// For how long a lane is left alone when its provider asks for it without saying how long.
const HOLD: Duration = Duration::from_secs(60);

/// What came of asking, with the environment that is to be stored if the token was accepted.
struct Asked {
    report: DryRunReport,
    environment: Option<Environment>,
}

impl Service {
    /// Asks the provider, unless it is known already what would come of it.
    pub(super) async fn ask_provider(
        &self,
        registration: &Arc<Registration>,
        lane: &Arc<LaneState>,
        span: &Span,
    ) -> Next {
        let ClaimedToken::Present(token) = &registration.claimed else {
            return Next::fail(FailureReason::DeviceTokenTooLong, None, registration.tries);
        };
        if token.platform() == Platform::Ios && !token.is_hexadecimal() {
            if let Some(symptom) = Symptom::of_token(token) {
                lane.note(symptom, self.clock.now());
            }
            let detail = "an APNs device token has hexadecimal characters only";
            let answer = unasked(Provider::Apns, "not asked", Some(detail.to_owned()));
            return fail_for_its_token(registration, answer);
        }
        let Ok(_slot) = lane.dry_runs.acquire().await else { return Next::Leave };
        if self.stop.is_cancelled() {
            return Next::Leave;
        }
        // Looked up now, and not before the wait: a token may have been revoked since.
        let Some(app) = self.still_authorized(registration) else {
            let reason = FailureReason::ApiTokenNotValid;
            return Next::fail(reason, None, registration.tries);
        };
        let (generation, credentials) = lane.credentials(self, &app);
        let credentials = match credentials {
            Ok(Some(credentials)) => credentials,
            Ok(None) => return no_such_side(registration, token.platform()),
            Err(fault) => {
                warn!(app = %app.id, fault, "the app's stored credentials can't be used");
                lane.note(Symptom::CredentialsUnreadable, self.clock.now());
                let provider = provider_of(token.platform());
                let answer = unasked(provider, "stored credentials unusable", Some(fault));
                let reason = FailureReason::DryRunSendingFailed;
                return Next::fail(reason, Some(answer), registration.tries);
            }
        };
        let now = self.clock.now();
        let probe = match lane.permit(generation, now) {
            Permit::Go { probe } => probe,
            Permit::Fail(answer) => {
                let reason = FailureReason::DryRunSendingFailed;
                return Next::fail(reason, Some(answer), registration.tries);
            }
            Permit::Wait(until) => return self.wait(registration, lane, until, now),
        };
        let tries = registration.tries.and_one(now, self.run);
        let mut part = span.part("dry run", SpanKind::Client);
        let asked = self.ask(registration, lane, &app, &credentials, token).await;
        tell_answer(&mut part, &asked.report);
        drop(part);
        lane.meters.count_answer(&asked.report);
        let Asked { report: DryRunReport { verdict, answer }, environment } = asked;
        let now = self.clock.now();
        let of_token = || (verdict == Verdict::TokenRejected).then(|| Symptom::of_token(token));
        let symptom = Symptom::of_dry_run(&verdict, &answer).or_else(|| of_token().flatten());
        let said = signal(&verdict, &answer, now);
        lane.record(generation, now, probe, said, &answer, symptom);
        let backoff = &self.settings.verification.backoff;
        match after_dry_run(&verdict, &tries, backoff, now, self.random.u64()) {
            Step::Store => {
                let ending = Ending::Verified { environment, answer: Some(answer) };
                Next::End { ending, tries, token_at_fault: false }
            }
            Step::Fail(reason) => {
                if let Some(asked) = environment_at_fault(&verdict, &app) {
                    self.look_for_hint(registration, lane, &credentials, token, asked);
                }
                let token_at_fault = is_token_at_fault(&verdict);
                let ending = Ending::Failed { reason, answer: Some(answer) };
                Next::End { ending, tries, token_at_fault }
            }
            Step::RetryAt(due) => Next::Retry { due, tries, last_answer: answer },
        }
    }

    /// What to do while the lane's provider is left alone.
    fn wait(
        &self,
        registration: &Registration,
        lane: &LaneState,
        until: Timestamp,
        now: Timestamp,
    ) -> Next {
        let backoff = &self.settings.verification.backoff;
        if backoff.is_over(&registration.tries, self.run, now) {
            let reason = FailureReason::DryRunSendingFailed;
            return Next::fail(reason, registration.last_answer.clone(), registration.tries);
        }
        lane.hold_back(until);
        Next::GiveBack
    }

    async fn ask(
        &self,
        registration: &Registration,
        lane: &LaneState,
        app: &App,
        credentials: &Credentials,
        token: &DeviceToken,
    ) -> Asked {
        let apns = match credentials {
            Credentials::Apns(apns) => apns,
            Credentials::Fcm(fcm) => {
                let report = self.providers.fcm(fcm, token).await;
                return Asked { report, environment: None };
            }
        };
        let first = match app.ios.as_ref().map_or(IosMode::Production, |ios| ios.mode) {
            IosMode::Production => Environment::Production,
            IosMode::Sandbox => Environment::Sandbox,
            IosMode::Auto => return self.ask_either(registration.id, lane, apns, token).await,
        };
        let report = self.providers.apns(apns, first, token, registration.id).await;
        Asked { report, environment: Some(first) }
    }

    /// Asks the likelier environment first, and the other only if the token or the credentials may belong
    /// there.
    async fn ask_either(
        &self,
        id: RegistrationId,
        lane: &LaneState,
        apns: &Arc<ApnsCredentials>,
        token: &DeviceToken,
    ) -> Asked {
        let likelier = lane.likelier();
        let first = self.ask_in(likelier, id, lane, apns, token).await;
        if !matches!(first.report.verdict, Verdict::WrongEnvironment { .. }) {
            return first;
        }
        let second = self.ask_in(likelier.other(), id, lane, apns, token).await;
        if matches!(second.report.verdict, Verdict::WrongEnvironment { .. }) {
            return both_refuse(first, second);
        }
        second
    }

    async fn ask_in(
        &self,
        environment: Environment,
        id: RegistrationId,
        lane: &LaneState,
        apns: &Arc<ApnsCredentials>,
        token: &DeviceToken,
    ) -> Asked {
        let report = self.providers.apns(apns, environment, token, id).await;
        if report.verdict == Verdict::Accepted {
            lane.accepted_by(environment);
        }
        Asked { report, environment: Some(environment) }
    }

    /// Asks the other environment about a token that was refused, only to tell the operator. It never
    /// delays the outcome.
    fn look_for_hint(
        &self,
        registration: &Arc<Registration>,
        lane: &Arc<LaneState>,
        credentials: &Credentials,
        token: &DeviceToken,
        asked: Environment,
    ) {
        let Credentials::Apns(apns) = credentials else { return };
        // A certificate may be for the one environment only.
        if !apns.are_for(asked.other()) {
            return;
        }
        if !lane.may_hint(self.clock.now()) {
            return;
        }
        let (service, lane) = (self.clone(), Arc::clone(lane));
        let (apns, token) = (Arc::clone(apns), token.clone());
        let registration = Arc::clone(registration);
        self.tasks.spawn(async move {
            let (id, app) = (registration.id, registration.app);
            let report = service.providers.apns(&apns, asked.other(), &token, id).await;
            if report.verdict != Verdict::Accepted {
                return;
            }
            lane.note(Symptom::TokenOfOtherEnvironment, service.clock.now());
            let (other, asked) = (asked.other().name(), asked.name());
            let hint = format!("this is a {other} token, the app is set to {asked}");
            warn!(%app, registration = %id, hint, "a device token of the other environment");
            metrics::counter!("pushroll_wrong_environment_total", "app" => app.to_string())
                .increment(1);
            if let Err(cause) = service.add_hint(&registration, hint).await {
                debug!(%cause, "a hint was not kept");
            }
        });
    }
}

/// What the provider said: its status and its reason, and nothing of what it explains, which may quote.
fn tell_answer(span: &mut Span, report: &DryRunReport) {
    span.tell(|details| {
        let DryRunReport { verdict, answer } = report;
        details.set("pushroll.provider", answer.provider.name());
        details.set("pushroll.verdict", verdict_name(verdict));
        details.set("pushroll.provider.reason", answer.reason.as_str());
        if let Some(environment) = answer.environment {
            details.set("pushroll.apns.environment", environment.name());
        }
        if let Some(status) = answer.status {
            details.set("http.response.status_code", u64::from(status));
        }
        if *verdict != Verdict::Accepted {
            details.fail(answer.reason.as_str());
        }
    });
}

/// Both environments say that token or credentials are not theirs: if one of them means the token, it is
/// the token.
fn both_refuse(first: Asked, second: Asked) -> Asked {
    let about_token =
        |asked: &Asked| asked.report.verdict == Verdict::WrongEnvironment { credentials: false };
    let mut kept = if about_token(&second) && !about_token(&first) { second } else { first };
    let detail = &mut kept.report.answer.detail;
    detail.get_or_insert_with(|| "both environments were asked".to_owned());
    kept
}

fn signal(verdict: &Verdict, answer: &ProviderAnswer, now: Timestamp) -> Signal {
    match verdict {
        Verdict::Accepted
        | Verdict::TokenRejected
        | Verdict::WrongEnvironment { credentials: false }
        | Verdict::RequestRefused
        | Verdict::Busy { scope: BusyScope::Device, .. } => Signal::Fine,
        Verdict::Busy { scope: BusyScope::App, retry_after } => {
            Signal::Hold(now.plus(retry_after.unwrap_or(HOLD)))
        }
        Verdict::Busy { scope: BusyScope::Provider, .. } | Verdict::Unreachable => {
            Signal::ProviderFailed
        }
        Verdict::WrongEnvironment { credentials: true } | Verdict::CredentialsRefused => {
            Signal::CredentialsRefused(answer.clone())
        }
    }
}

/// Whether the device token itself is the reason of the failure, so that its equals fail too.
fn is_token_at_fault(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::TokenRejected | Verdict::WrongEnvironment { credentials: false } => true,
        Verdict::Accepted
        | Verdict::WrongEnvironment { credentials: true }
        | Verdict::RequestRefused
        | Verdict::CredentialsRefused
        | Verdict::Busy { .. }
        | Verdict::Unreachable => false,
    }
}

/// The environment that refused a token which the other may accept, if the app is set to one.
fn environment_at_fault(verdict: &Verdict, app: &App) -> Option<Environment> {
    if *verdict != (Verdict::WrongEnvironment { credentials: false }) {
        return None;
    }
    match app.ios.as_ref()?.mode {
        IosMode::Production => Some(Environment::Production),
        IosMode::Sandbox => Some(Environment::Sandbox),
        IosMode::Auto => None,
    }
}

fn fail_for_its_token(registration: &Registration, answer: ProviderAnswer) -> Next {
    let reason = FailureReason::DryRunSendingFailed;
    let ending = Ending::Failed { reason, answer: Some(answer) };
    Next::End { ending, tries: registration.tries, token_at_fault: true }
}

fn no_such_side(registration: &Registration, platform: Platform) -> Next {
    let (side, upload) = match platform {
        Platform::Ios => ("iOS", "an APNs key or certificate"),
        Platform::Android => ("Android", "a service account"),
    };
    let detail = format!("the app has no {side} side: give it {upload}");
    let answer = unasked(provider_of(platform), "not asked", Some(detail));
    Next::fail(FailureReason::DryRunSendingFailed, Some(answer), registration.tries)
}

const fn provider_of(platform: Platform) -> Provider {
    match platform {
        Platform::Ios => Provider::Apns,
        Platform::Android => Provider::Fcm,
    }
}
