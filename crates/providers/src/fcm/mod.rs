//! The FCM client: a message that FCM only validates.

mod access_token;
mod credentials;
mod error_body;
mod judge;
mod request;
mod token_endpoint;

use std::sync::Arc;
use std::time::Duration;

use pushroll_domain::{Clock, DeviceToken, DryRunReport, FcmCredentials, Provider, Verdict};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use crate::answer::{ACCEPTED, Said, no_answer, timed_out};
use crate::meters::Meter;
use crate::retry_after;
use crate::transport::{Answer, ChannelKey, Host, Party, Pool, Purpose};

use access_token::{AccessToken, AccessTokens};
pub(crate) use credentials::read_service_account;
use error_body::ErrorBody;
use judge::{Judgement, judge};
pub(crate) use token_endpoint::TokenEndpoint;

/// Proves device tokens with FCM.
pub(crate) struct FcmClient {
    pool: Arc<Pool>,
    clock: Arc<dyn Clock>,
    tokens: AccessTokens,
    timeout: Duration,
    meter: Meter,
}

impl FcmClient {
    pub fn new(
        pool: Arc<Pool>,
        clock: Arc<dyn Clock>,
        endpoint: TokenEndpoint,
        timeout: Duration,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            pool,
            tokens: AccessTokens::new(Arc::clone(&clock), endpoint, tasks),
            clock,
            timeout,
            meter: Meter::new(Provider::Fcm, None),
        }
    }

    pub async fn dry_run(
        &self,
        credentials: &Arc<FcmCredentials>,
        token: &DeviceToken,
    ) -> DryRunReport {
        let began = Instant::now();
        let asked = self.ask_at_most_twice(credentials, token);
        let (report, class) = match timeout(self.timeout, asked).await {
            Ok(answered) => answered,
            Err(_) => {
                let silence = timed_out(Provider::Fcm, None);
                (silence.report, silence.class)
            }
        };
        self.meter.answered(class, began.elapsed());
        report
    }

    /// A second time only after FCM has refused the access token.
    async fn ask_at_most_twice(
        &self,
        credentials: &Arc<FcmCredentials>,
        token: &DeviceToken,
    ) -> (DryRunReport, &'static str) {
        let mut renewed = false;
        loop {
            let access = match self.tokens.current(credentials).await {
                Ok(access) => access,
                Err(report) => return (report, "no_access_token"),
            };
            let (judgement, report, class) = self.ask(credentials, &access, token).await;
            match judgement {
                Judgement::Final(_) => return (report, class),
                Judgement::RenewAccessToken if renewed => return (report, class),
                Judgement::RenewAccessToken => {
                    renewed = true;
                    self.tokens.refused(credentials, &access);
                }
            }
        }
    }

    async fn ask(
        &self,
        credentials: &FcmCredentials,
        access: &AccessToken,
        token: &DeviceToken,
    ) -> (Judgement, DryRunReport, &'static str) {
        let authority = &self.pool.endpoint(Host::Fcm).authority;
        let Ok((request, body)) = request::dry_run(authority, credentials, access, token) else {
            let said = Said {
                provider: Provider::Fcm,
                environment: None,
                status: None,
                reason: "not a request",
                detail: Some("The project id can't stand in an HTTP request; FCM was not asked."),
                provider_id: None,
                secret: token.reveal(),
            };
            let verdict = Verdict::CredentialsRefused;
            let report = DryRunReport { verdict: verdict.clone(), answer: said.answer() };
            return (Judgement::Final(verdict), report, "no_request");
        };
        let key = ChannelKey {
            host: Host::Fcm,
            credential: credentials.fingerprint,
            app: credentials.app,
            purpose: Purpose::DryRun,
        };
        match self.pool.exchange(Party { key, certificate: None }, request, body, false).await {
            Ok(answer) => self.read(&answer, token),
            Err(fault) => {
                let silence = no_answer(Provider::Fcm, None, &fault);
                (Judgement::Final(silence.report.verdict.clone()), silence.report, silence.class)
            }
        }
    }

    fn read(
        &self,
        answer: &Answer,
        token: &DeviceToken,
    ) -> (Judgement, DryRunReport, &'static str) {
        let retry_after = retry_after::read(&answer.headers, self.clock.now());
        if answer.status == 200 {
            let name = error_body::message_name(&answer.body);
            let said = Said {
                provider: Provider::Fcm,
                environment: None,
                status: Some(200),
                reason: ACCEPTED,
                detail: None,
                provider_id: name.as_deref(),
                secret: token.reveal(),
            };
            let verdict = Verdict::Accepted;
            let report = DryRunReport { verdict: verdict.clone(), answer: said.answer() };
            return (Judgement::Final(verdict), report, ACCEPTED);
        }
        let body = ErrorBody::read(&answer.body);
        let judgement = judge(answer.status, body.code(), retry_after);
        let said = Said {
            provider: Provider::Fcm,
            environment: None,
            status: Some(answer.status),
            reason: body.words().unwrap_or("no reason given"),
            detail: body.message(),
            provider_id: None,
            secret: token.reveal(),
        };
        let report = DryRunReport { verdict: judgement.verdict(), answer: said.answer() };
        (judgement, report, body.class())
    }
}
