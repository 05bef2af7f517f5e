//! APNs as a provider's server sees it: the checks that Apple makes, its answers, and the fates of
//! device tokens. It knows HTTP messages but no sockets.
//!
//! The rules are Apple's "Sending notification requests to APNs", "Handling notification responses
//! from APNs" and "Establishing a token-based connection to APNs".

mod answer;
mod certificate;
mod provider_token;
mod request;

use bytes::Bytes;
use http::HeaderValue;
use http::request::Parts;
use parking_lot::Mutex;

use crate::fate::{ApnsFate, SLOW_MS};
use crate::faults::Next;
use crate::judge::{Act, Body, Outcome};
use crate::provider::Provider;
use crate::reply::{Action, Reply};
use crate::world::World;

use answer::Refusal;
pub(crate) use certificate::ClientCertificate;
pub(crate) use provider_token::ProviderTokens;
use request::ApnsRequest;

/// The largest notification payload in bytes ("Generating a remote notification").
pub const MAX_PAYLOAD_BYTES: usize = 4096;

/// One environment of APNs.
pub(crate) struct Apns<'a> {
    pub(crate) world: &'a World,
    pub(crate) provider: Provider,
}

/// Who asks: a connection, with the credentials that it has shown.
pub(crate) struct Party<'a> {
    /// Its number, counted from 1 at the port.
    pub(crate) connection: u64,
    /// The provider tokens that it has used.
    pub(crate) tokens: &'a Mutex<ProviderTokens>,
    /// The certificate that it was opened with.
    pub(crate) certificate: Option<&'a ClientCertificate>,
}

/// What one request came to, with what the statistics want to know of it.
struct Judged {
    device: Option<String>,
    authenticated: bool,
    reason: Option<String>,
    act: Act,
    latency_ms: u64,
}

impl Apns<'_> {
    /// Judges a request whose body has arrived.
    pub(crate) fn judge(&self, party: &Party<'_>, head: Parts, body: Body) -> Outcome {
        let state = self.world.of(self.provider);
        let now_ms = self.world.clock.now_ms();
        let judged = self.judge_at(party, &head, &body, now_ms);
        let status = judged.act.status();
        state.tally.record(&crate::statistics::Seen {
            device: judged.device.as_deref(),
            status,
            reason: judged.reason.as_deref(),
            with_certificate: party.certificate.is_some(),
        });
        state.tally.keep(now_ms, party.connection, head, body.into_bytes(), status);
        Outcome {
            act: judged.act,
            latency: std::time::Duration::from_millis(judged.latency_ms),
            authenticated: judged.authenticated,
        }
    }

    fn judge_at(&self, party: &Party<'_>, head: &Parts, body: &Body, now_ms: i64) -> Judged {
        let mut authenticated = false;
        let checked = request::parse(head).and_then(|request| {
            self.authenticate(party, head, now_ms)?;
            authenticated = true;
            request::check(head, &request, body, party.certificate.map(|c| c.topics()))?;
            Ok(request)
        });
        let request = match checked {
            Ok(request) => request,
            Err(refusal) => {
                let apns_id = self.apns_id(head);
                return Judged {
                    device: request::parse(head).ok().map(|r| r.device.to_ascii_lowercase()),
                    authenticated,
                    act: Act::Answer(refusal.into_response(apns_id)),
                    reason: Some(refusal.reason.to_owned()),
                    latency_ms: 0,
                };
            }
        };
        let apns_id = self.apns_id(head);
        let device = request.device.to_ascii_lowercase();
        let (next, latency) = self.world.of(self.provider).faults.next(Some(&device));
        let latency_ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        let done = |act, reason, latency_ms, device| Judged {
            device: Some(device),
            authenticated,
            reason,
            act,
            latency_ms,
        };
        match next {
            Next::Silence => done(Act::Silence, None, 0, device),
            Next::CredentialsRejected => {
                let refusal = match party.certificate {
                    Some(_) => Refusal::BAD_CERTIFICATE,
                    None => Refusal::INVALID_PROVIDER_TOKEN,
                };
                let refused = self.refuse(refusal, apns_id, device, latency_ms);
                Judged { authenticated: false, ..refused }
            }
            Next::Scripted(reply) if reply.action != Action::AsUsual => {
                let latency_ms = latency_ms.saturating_add(reply.latency_ms);
                let (act, reason) = self.perform(&reply, apns_id, now_ms);
                done(act, reason, latency_ms, device)
            }
            Next::Scripted(reply) => {
                let latency_ms = latency_ms.saturating_add(reply.latency_ms);
                self.meet_fate(&request, apns_id, device, now_ms, latency_ms, authenticated)
            }
            Next::AsUsual => {
                self.meet_fate(&request, apns_id, device, now_ms, latency_ms, authenticated)
            }
        }
    }

    /// The id of the request, echoed as it was given; one is made if it has none.
    fn apns_id(&self, head: &Parts) -> HeaderValue {
        request::given_id(head)
            .cloned()
            .unwrap_or_else(|| answer::upper_case(self.world.ids.next_uuid()))
    }

    /// With a certificate, provider tokens are ignored.
    fn authenticate(&self, party: &Party<'_>, head: &Parts, now_ms: i64) -> Result<(), Refusal> {
        if let Some(certificate) = party.certificate {
            return certificate.check(self.provider, self.world, now_ms);
        }
        let jwt = provider_token::of_request(head)?;
        let is_new = party.tokens.lock().accept(jwt, self.world, now_ms)?;
        if is_new {
            self.world.of(self.provider).tally.provider_token_seen(jwt);
        }
        Ok(())
    }

    fn meet_fate(
        &self,
        request: &ApnsRequest<'_>,
        apns_id: HeaderValue,
        device: String,
        now_ms: i64,
        latency_ms: u64,
        authenticated: bool,
    ) -> Judged {
        let refusal = match ApnsFate::of(request.device) {
            ApnsFate::Accepted => None,
            ApnsFate::Bad => Some(Refusal::BAD_DEVICE_TOKEN),
            ApnsFate::Dead => Some(Refusal::unregistered(now_ms)),
            ApnsFate::SandboxOnly => {
                (self.provider == Provider::ApnsProduction).then_some(Refusal::BAD_DEVICE_TOKEN)
            }
            ApnsFate::Busy => self
                .world
                .of(self.provider)
                .is_still_busy(&device)
                .then_some(Refusal::TOO_MANY_REQUESTS),
            ApnsFate::Slow => {
                return Judged {
                    latency_ms: latency_ms.saturating_add(SLOW_MS),
                    ..self.accept(apns_id, device, latency_ms, authenticated)
                };
            }
        };
        match refusal {
            Some(refusal) => {
                Judged { authenticated, ..self.refuse(refusal, apns_id, device, latency_ms) }
            }
            None => self.accept(apns_id, device, latency_ms, authenticated),
        }
    }

    fn accept(
        &self,
        apns_id: HeaderValue,
        device: String,
        latency_ms: u64,
        authenticated: bool,
    ) -> Judged {
        let unique_id =
            (self.provider == Provider::ApnsSandbox).then(|| self.world.ids.next_uuid());
        Judged {
            device: Some(device),
            authenticated,
            reason: None,
            act: Act::Answer(answer::accepted(apns_id, unique_id)),
            latency_ms,
        }
    }

    fn refuse(
        &self,
        refusal: Refusal,
        apns_id: HeaderValue,
        device: String,
        latency_ms: u64,
    ) -> Judged {
        Judged {
            device: Some(device),
            authenticated: true,
            reason: Some(refusal.reason.to_owned()),
            act: Act::Answer(refusal.into_response(apns_id)),
            latency_ms,
        }
    }

    fn perform(&self, reply: &Reply, apns_id: HeaderValue, now_ms: i64) -> (Act, Option<String>) {
        match reply.action {
            Action::Answer | Action::AsUsual => {
                let status = reply.status.unwrap_or(200);
                let reason = match &reply.reason {
                    Some(reason) => Some(reason.clone()),
                    None if status == 200 => None,
                    None => Some(answer::usual_reason(status).to_owned()),
                };
                let body = match reply.body_bytes() {
                    Some(body) => Bytes::from(body),
                    None => reason.as_deref().map_or_else(Bytes::new, |reason| {
                        let timestamp = (status == 410).then(|| reply.timestamp.unwrap_or(now_ms));
                        answer::body(reason, timestamp)
                    }),
                };
                let response = answer::response(status, apns_id, body);
                (Act::Answer(reply.with_headers(response)), reason)
            }
            Action::Silence => (Act::Silence, None),
            Action::ResetStream => (Act::ResetStream, None),
            Action::ResetConnection => (Act::ResetConnection, None),
            Action::Goaway => (Act::Goaway(reply.reason.clone()), None),
        }
    }
}
