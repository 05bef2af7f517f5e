//! The APNs client: one background push per dry run, that APNs neither stores nor shows.

mod certificate;
mod credentials;
mod judge;
mod p12;
mod provider_token;
mod reason;
mod request;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pushroll_domain::{
    ApnsCredentials, ApnsProof, Clock, DeviceToken, DryRunReport, Environment, Provider,
    RegistrationId, Verdict,
};
use tokio::time::{Instant, timeout};

use crate::answer::{ACCEPTED, Said, Silence, no_answer, timed_out};
use crate::meters::Meter;
use crate::retry_after;
use crate::transport::{Answer, ChannelKey, Host, Party, Pool, Purpose};

pub(crate) use certificate::read_certificate;
pub(crate) use credentials::read_key;
use judge::{Judgement, judge};
pub(crate) use p12::open_p12;
use provider_token::{ProviderToken, ProviderTokens};
use reason::{ApnsReason, ReasonBody};

/// Proves device tokens with APNs.
pub(crate) struct ApnsClient {
    pool: Arc<Pool>,
    clock: Arc<dyn Clock>,
    tokens: ProviderTokens,
    timeout: Duration,
    production: Meter,
    sandbox: Meter,
}

/// What one request came to.
enum Asked {
    Judged { judgement: Judgement, report: DryRunReport, class: &'static str },
    Silent(Silence),
}

impl ApnsClient {
    pub fn new(pool: Arc<Pool>, clock: Arc<dyn Clock>, timeout: Duration) -> Self {
        Self {
            pool,
            tokens: ProviderTokens::new(Arc::clone(&clock)),
            clock,
            timeout,
            production: Meter::new(Provider::Apns, Some(Environment::Production)),
            sandbox: Meter::new(Provider::Apns, Some(Environment::Sandbox)),
        }
    }

    pub async fn dry_run(
        &self,
        credentials: &ApnsCredentials,
        environment: Environment,
        token: &DeviceToken,
        id: RegistrationId,
    ) -> DryRunReport {
        if !token.is_hexadecimal() {
            return unasked(
                environment,
                Verdict::TokenRejected,
                "not hexadecimal",
                "An APNs device token has hexadecimal characters only; APNs was not asked.",
            );
        }
        let began = Instant::now();
        let asked = self.ask_at_most_twice(credentials, environment, token, id);
        let (report, class) = match timeout(self.timeout, asked).await {
            Ok(answered) => answered,
            Err(_) => {
                let silence = timed_out(Provider::Apns, Some(environment));
                (silence.report, silence.class)
            }
        };
        self.meter(environment).answered(class, began.elapsed());
        report
    }

    const fn meter(&self, environment: Environment) -> &Meter {
        match environment {
            Environment::Production => &self.production,
            Environment::Sandbox => &self.sandbox,
        }
    }

    /// A second time only after APNs has called the provider token expired.
    async fn ask_at_most_twice(
        &self,
        credentials: &ApnsCredentials,
        environment: Environment,
        token: &DeviceToken,
        id: RegistrationId,
    ) -> (DryRunReport, &'static str) {
        let mut renewed = false;
        loop {
            let authorization = match self.authorization(credentials, environment) {
                Ok(authorization) => authorization,
                Err(unasked) => return unasked,
            };
            let proof = authorization.as_ref();
            match self.ask(credentials, proof, environment, token, id).await {
                Asked::Silent(silence) => return (silence.report, silence.class),
                Asked::Judged { judgement: Judgement::Final(_), report, class } => {
                    return (report, class);
                }
                Asked::Judged { judgement: Judgement::HoldProviderToken { .. }, report, class } => {
                    self.tokens.hold(credentials.fingerprint);
                    return (report, class);
                }
                Asked::Judged { judgement: Judgement::RenewProviderToken, report, class } => {
                    let (ApnsProof::Key(key), Some(refused)) = (&credentials.proof, proof) else {
                        return (report, class);
                    };
                    if renewed {
                        return (report, class);
                    }
                    renewed = true;
                    self.tokens.expired(credentials.fingerprint, key, refused);
                }
            }
        }
    }

    /// The provider token to send along; a certificate is shown when the connection is made, and
    /// needs none.
    fn authorization(
        &self,
        credentials: &ApnsCredentials,
        environment: Environment,
    ) -> Result<Option<ProviderToken>, (DryRunReport, &'static str)> {
        let refused = |reason, detail: &str| {
            unasked(environment, Verdict::CredentialsRefused, reason, detail)
        };
        match &credentials.proof {
            ApnsProof::Key(key) => match self.tokens.current(credentials.fingerprint, key) {
                Ok(token) => Ok(Some(token)),
                Err(_) => {
                    let detail = "The stored .p8 key can't be used; APNs was not asked. Enter the \
                                  key again.";
                    let report = refused("the private key can't sign", detail);
                    Err((report, "no_provider_token"))
                }
            },
            ApnsProof::Certificate(certificate) => {
                let expires_at = certificate.facts.expires_at;
                if self.clock.now() < expires_at {
                    return Ok(None);
                }
                let detail = format!(
                    "The certificate {} expired on {}; APNs was not asked. Upload a new one, or \
                     use an APNs key (.p8).",
                    certificate.facts.name,
                    expires_at.date()
                );
                Err((refused("the certificate has expired", &detail), "certificate_expired"))
            }
        }
    }

    async fn ask(
        &self,
        credentials: &ApnsCredentials,
        authorization: Option<&ProviderToken>,
        environment: Environment,
        token: &DeviceToken,
        id: RegistrationId,
    ) -> Asked {
        let host = Host::Apns(environment);
        let authority = &self.pool.endpoint(host).authority;
        let Ok(request) = request::dry_run(authority, credentials, authorization, token, id) else {
            let report = unasked(
                environment,
                Verdict::RequestRefused,
                "not a request",
                "Bundle id or device token can't stand in an HTTP request; APNs was not asked.",
            );
            let judgement = Judgement::Final(report.verdict.clone());
            return Asked::Judged { judgement, report, class: "no_request" };
        };
        let key = ChannelKey {
            host,
            credential: credentials.fingerprint,
            app: credentials.app,
            purpose: Purpose::DryRun,
        };
        let certificate = match &credentials.proof {
            ApnsProof::Key(_) => None,
            ApnsProof::Certificate(certificate) => Some(certificate),
        };
        let body = Bytes::from_static(request::BODY);
        match self.pool.exchange(Party { key, certificate }, request, body, true).await {
            Ok(answer) => self.read(&answer, environment, token, id),
            Err(fault) => Asked::Silent(no_answer(Provider::Apns, Some(environment), &fault)),
        }
    }

    fn read(
        &self,
        answer: &Answer,
        environment: Environment,
        token: &DeviceToken,
        id: RegistrationId,
    ) -> Asked {
        let body = ReasonBody::read(&answer.body);
        let reason = body.as_ref().and_then(|body| ApnsReason::parse(&body.reason));
        let retry_after = retry_after::read(&answer.headers, self.clock.now());
        let judgement = judge(answer.status, reason, retry_after);
        let in_words = match (&body, answer.status) {
            (Some(body), _) => body.reason.as_ref(),
            (None, 200) => ACCEPTED,
            (None, _) => "no reason given",
        };
        let class = match (reason, &body, answer.status) {
            (Some(reason), ..) => reason.name(),
            (None, Some(_), _) => "other",
            (None, None, 200) => ACCEPTED,
            (None, None, _) => "none",
        };
        let echoed = answer.headers.get("apns-id").and_then(|value| value.to_str().ok());
        let sent = id.to_string();
        let timestamp = body.as_ref().and_then(ReasonBody::no_longer_valid_since);
        let said = Said {
            provider: Provider::Apns,
            environment: Some(environment),
            status: Some(answer.status),
            reason: in_words,
            detail: timestamp.as_deref(),
            provider_id: Some(echoed.unwrap_or(&sent)),
            secret: token.reveal(),
        };
        let report = DryRunReport { verdict: judgement.verdict(), answer: said.answer() };
        Asked::Judged { judgement, report, class }
    }
}

/// A report without APNs having been asked.
fn unasked(environment: Environment, verdict: Verdict, reason: &str, detail: &str) -> DryRunReport {
    let said = Said {
        provider: Provider::Apns,
        environment: Some(environment),
        status: None,
        reason,
        detail: Some(detail),
        provider_id: None,
        secret: "",
    };
    DryRunReport { verdict, answer: said.answer() }
}
