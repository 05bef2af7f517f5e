//! `POST /v1/projects/{project}/messages:send`.

use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderValue, Method, Response};
use serde_json::json;

use super::answer::{Fault, html_response, json_response, with_type};
use super::message::{self, Target};
use crate::fate::{FcmFate, SLOW_MS};
use crate::faults::Next;
use crate::judge::{Act, Body, Outcome};
use crate::provider::Provider;
use crate::reply::{Action, Reply};
use crate::statistics::Seen;
use crate::world::World;

/// FCM HTTP v1.
pub(crate) struct Fcm<'a> {
    pub(crate) world: &'a World,
}

struct Judged {
    device: Option<String>,
    authenticated: bool,
    reason: Option<String>,
    act: Act,
    latency: Duration,
}

impl Judged {
    fn refused(fault: Fault, device: Option<String>) -> Self {
        Self {
            device,
            authenticated: false,
            reason: Some(fault.reason().to_owned()),
            act: Act::Answer(fault.into_response()),
            latency: Duration::ZERO,
        }
    }
}

impl Fcm<'_> {
    /// Judges a request whose body has arrived.
    pub(crate) fn judge(&self, connection: u64, head: Parts, body: Body) -> Outcome {
        let tally = &self.world.of(Provider::Fcm).tally;
        let judged = self.judge_whole(&head, &body);
        let status = judged.act.status();
        tally.record(&Seen {
            device: judged.device.as_deref(),
            status,
            reason: judged.reason.as_deref(),
            with_certificate: false,
        });
        tally.keep(self.world.clock.now_ms(), connection, head, body.into_bytes(), status);
        Outcome { act: judged.act, latency: judged.latency, authenticated: judged.authenticated }
    }

    fn judge_whole(&self, head: &Parts, body: &Body) -> Judged {
        let Some(project) = project_of(head.uri.path()) else {
            return Judged {
                device: None,
                authenticated: false,
                reason: None,
                act: Act::Answer(html_response(404, "Not Found")),
                latency: Duration::ZERO,
            };
        };
        if head.method != Method::POST {
            return Judged {
                device: None,
                authenticated: false,
                reason: None,
                act: Act::Answer(html_response(405, "Method Not Allowed")),
                latency: Duration::ZERO,
            };
        }
        if let Err(fault) = self.authenticate(head) {
            return Judged::refused(fault, None);
        }
        let target = match body {
            Body::TooLarge => Err(Fault::plain(400, "Request payload size exceeds the limit.")),
            Body::Whole(bytes) => message::check(bytes),
        };
        let target = match target {
            // A project that the credentials don't belong to is a fault of the configuration: it
            // carries no FcmError.
            Ok(_) if project != self.world.credentials.project_id() => {
                Err(Fault::plain(404, "Requested entity was not found."))
            }
            checked => checked,
        };
        match target {
            Ok(target) => self.judge_target(target),
            Err(fault) => Judged { authenticated: true, ..Judged::refused(fault, None) },
        }
    }

    fn authenticate(&self, head: &Parts) -> Result<(), Fault> {
        let Some(value) = head.headers.get(AUTHORIZATION) else {
            return Err(Fault::plain(
                401,
                "Request is missing required authentication credential. Expected OAuth 2 access \
                 token, login cookie or other valid authentication credential. See \
                 https://developers.google.com/identity/sign-in/web/devconsole-project.",
            ));
        };
        let token = value
            .to_str()
            .ok()
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        let now_s = self.world.clock.now_seconds();
        match token {
            Some(token) if self.world.access_tokens.is_good(token, now_s) => Ok(()),
            _ => Err(Fault::unauthenticated()),
        }
    }

    fn judge_target(&self, target: Target) -> Judged {
        let device = match target {
            Target::Device(device) => Some(device),
            Target::Many => None,
        };
        let (next, latency) = self.world.of(Provider::Fcm).faults.next(device.as_deref());
        let judged = match next {
            Next::Silence => Judged { act: Act::Silence, ..self.accepted(device) },
            Next::CredentialsRejected => {
                return Judged { latency, ..Judged::refused(Fault::unauthenticated(), device) };
            }
            Next::Scripted(reply) => {
                let late = Duration::from_millis(reply.latency_ms);
                let judged = match reply.action {
                    Action::AsUsual => self.meet_fate(device),
                    _ => self.perform(&reply, device),
                };
                Judged { latency: judged.latency + late, ..judged }
            }
            Next::AsUsual => self.meet_fate(device),
        };
        Judged { latency: judged.latency + latency, authenticated: true, ..judged }
    }

    fn meet_fate(&self, device: Option<String>) -> Judged {
        let Some(token) = device.as_deref() else { return self.accepted(device) };
        if !is_well_formed(token) {
            return Judged::refused(Fault::usual(400, None), device);
        }
        match FcmFate::of(token) {
            FcmFate::Accepted => self.accepted(device),
            FcmFate::Bad => Judged::refused(Fault::usual(400, None), device),
            FcmFate::Dead => Judged::refused(Fault::usual(404, None), device),
            FcmFate::OtherSender => Judged::refused(Fault::usual(403, None), device),
            FcmFate::Busy if self.world.of(Provider::Fcm).is_still_busy(token) => {
                let mut judged = Judged::refused(Fault::usual(503, None), device);
                if let Act::Answer(response) = &mut judged.act {
                    response.headers_mut().insert("retry-after", HeaderValue::from_static("1"));
                }
                judged
            }
            FcmFate::Busy => self.accepted(device),
            FcmFate::Slow => {
                Judged { latency: Duration::from_millis(SLOW_MS), ..self.accepted(device) }
            }
        }
    }

    fn accepted(&self, device: Option<String>) -> Judged {
        Judged {
            device,
            authenticated: true,
            reason: None,
            act: Act::Answer(self.success()),
            latency: Duration::ZERO,
        }
    }

    fn success(&self) -> Response<Bytes> {
        let project = self.world.credentials.project_id();
        let id = self.world.ids.next();
        let (time, hash) = (self.world.clock.now_ms(), id as u64);
        let name = format!("projects/{project}/messages/0:{time}%{hash:016x}");
        json_response(200, &json!({ "name": name }))
    }

    fn perform(&self, reply: &Reply, device: Option<String>) -> Judged {
        let mut judged = self.accepted(device);
        judged.act = match reply.action {
            Action::Answer | Action::AsUsual => {
                let status = reply.status.unwrap_or(200);
                let mut response = if status == 200 {
                    judged.reason.clone_from(&reply.reason);
                    self.success()
                } else {
                    let fault = Fault::usual(status, reply.reason.as_deref());
                    judged.reason = Some(fault.reason().to_owned());
                    fault.into_response()
                };
                if let Some(body) = reply.body_bytes() {
                    response =
                        with_type(status, Bytes::from(body), "application/json; charset=UTF-8");
                }
                Act::Answer(reply.with_headers(response))
            }
            Action::Silence => Act::Silence,
            Action::ResetStream => Act::ResetStream,
            Action::ResetConnection => Act::ResetConnection,
            Action::Goaway => Act::Goaway(reply.reason.clone()),
        };
        judged
    }
}

/// A registration token is opaque; only what could never be one is malformed.
fn is_well_formed(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic())
}

fn project_of(path: &str) -> Option<&str> {
    let project = path.strip_prefix("/v1/projects/")?.strip_suffix("/messages:send")?;
    (!project.is_empty() && !project.contains('/')).then_some(project)
}
