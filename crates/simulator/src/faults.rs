//! What has been scripted for one provider: replies in a queue, and faults that last until they
//! are taken back. A provider without any costs one atomic load a request.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::reply::{InvalidScript, MAX_LATENCY_MS, Reply};
use crate::tokens::SplitMix64;

/// The most replies that may wait in one queue.
pub const MAX_QUEUED_REPLIES: usize = 10_000;
/// The most device tokens that may have a queue of their own, per provider.
pub const MAX_SCRIPTED_DEVICE_TOKENS: usize = 10_000;
/// The longest device token that a script may name, in bytes.
pub const MAX_DEVICE_TOKEN_BYTES: usize = 4096;

/// A share of the requests that gets a given reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorRate {
    /// Between 0 and 1; drawn from a fixed seed, so that a run can be repeated.
    pub rate: f64,
    /// What those requests get.
    pub reply: Reply,
}

impl ErrorRate {
    pub(crate) fn check(&self) -> Result<(), InvalidScript> {
        if !(0.0..=1.0).contains(&self.rate) {
            return Err(InvalidScript::new("error_rate.rate: must be between 0 and 1"));
        }
        self.reply.check().map_err(|why| InvalidScript(format!("error_rate.reply.{why}")))
    }
}

pub(crate) fn check_latency(latency_ms: u64) -> Result<(), InvalidScript> {
    if latency_ms > MAX_LATENCY_MS {
        return Err(InvalidScript(format!("latency_ms: more than {MAX_LATENCY_MS}")));
    }
    Ok(())
}

/// Who says nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Silence {
    /// Nobody: everything is answered.
    #[default]
    None,
    /// Requests are read and never answered; the connection stays alive (PING is answered).
    Requests,
    /// Connections are accepted and then neither read nor written, as if the network had gone.
    Connections,
}

/// What a provider would do next with a request that has passed every check.
#[derive(Debug)]
pub(crate) enum Next {
    AsUsual,
    Scripted(Box<Reply>),
    CredentialsRejected,
    Silence,
}

#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// False while `state` says nothing, so that the usual request takes no lock.
    any: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    by_device: HashMap<String, VecDeque<Reply>>,
    for_all: VecDeque<Reply>,
    latency: Duration,
    error_rate: Option<ErrorRate>,
    reject_credentials: bool,
    silent: bool,
    random: SplitMix64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            by_device: HashMap::new(),
            for_all: VecDeque::new(),
            latency: Duration::ZERO,
            error_rate: None,
            reject_credentials: false,
            silent: false,
            random: SplitMix64(1),
        }
    }
}

impl Faults {
    /// The next step for a good request about `device`, and how long to hold its answer back.
    pub(crate) fn next(&self, device: Option<&str>) -> (Next, Duration) {
        if !self.any.load(Ordering::Acquire) {
            return (Next::AsUsual, Duration::ZERO);
        }
        let mut state = self.state.lock();
        let latency = state.latency;
        let next = state.next(device);
        (next, latency)
    }

    pub(crate) fn enqueue(
        &self,
        device: Option<&str>,
        replies: Vec<Reply>,
    ) -> Result<(), InvalidScript> {
        for (index, reply) in replies.iter().enumerate() {
            reply.check().map_err(|why| InvalidScript(format!("replies[{index}].{why}")))?;
        }
        self.change(|state| {
            let queue = match device {
                None => &mut state.for_all,
                Some(device) if device.is_empty() || device.len() > MAX_DEVICE_TOKEN_BYTES => {
                    return Err(InvalidScript(format!(
                        "device_token: must have 1 to {MAX_DEVICE_TOKEN_BYTES} bytes"
                    )));
                }
                Some(device) => {
                    if !state.by_device.contains_key(device)
                        && state.by_device.len() >= MAX_SCRIPTED_DEVICE_TOKENS
                    {
                        return Err(InvalidScript(format!(
                            "device_token: {MAX_SCRIPTED_DEVICE_TOKENS} tokens have scripts already"
                        )));
                    }
                    state.by_device.entry(device.to_owned()).or_default()
                }
            };
            if queue.len() + replies.len() > MAX_QUEUED_REPLIES {
                return Err(InvalidScript(format!(
                    "replies: more than {MAX_QUEUED_REPLIES} would wait in the queue"
                )));
            }
            queue.extend(replies);
            Ok(())
        })
    }

    pub(crate) fn set_latency(&self, latency_ms: u64) -> Result<(), InvalidScript> {
        check_latency(latency_ms)?;
        self.change(|state| state.latency = Duration::from_millis(latency_ms));
        Ok(())
    }

    pub(crate) fn set_error_rate(
        &self,
        error_rate: Option<ErrorRate>,
    ) -> Result<(), InvalidScript> {
        error_rate.iter().try_for_each(ErrorRate::check)?;
        self.change(|state| state.error_rate = error_rate);
        Ok(())
    }

    pub(crate) fn set_reject_credentials(&self, reject: bool) {
        self.change(|state| state.reject_credentials = reject);
    }

    pub(crate) fn set_silent(&self, silent: bool) {
        self.change(|state| state.silent = silent);
    }

    pub(crate) fn clear(&self) {
        self.change(|state| *state = State::default());
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let result = change(&mut state);
        self.any.store(!state.is_quiet(), Ordering::Release);
        result
    }
}

impl State {
    fn is_quiet(&self) -> bool {
        self.by_device.is_empty()
            && self.for_all.is_empty()
            && self.latency.is_zero()
            && self.error_rate.is_none()
            && !self.reject_credentials
            && !self.silent
    }

    /// Silence first, credentials next, then the script of the device, the provider's, the rate.
    fn next(&mut self, device: Option<&str>) -> Next {
        if self.silent {
            return Next::Silence;
        }
        if self.reject_credentials {
            return Next::CredentialsRejected;
        }
        if let Some(device) = device
            && let Some(queue) = self.by_device.get_mut(device)
        {
            let reply = queue.pop_front();
            if queue.is_empty() {
                self.by_device.remove(device);
            }
            if let Some(reply) = reply {
                return Next::Scripted(Box::new(reply));
            }
        }
        if let Some(reply) = self.for_all.pop_front() {
            return Next::Scripted(Box::new(reply));
        }
        if let Some(error_rate) = &self.error_rate {
            // 53 bits, the whole mantissa.
            let drawn = (self.random.next() >> 11) as f64 / (1_u64 << 53) as f64;
            if drawn < error_rate.rate {
                return Next::Scripted(Box::new(error_rate.reply.clone()));
            }
        }
        Next::AsUsual
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply_of(faults: &Faults, device: Option<&str>) -> Option<u16> {
        match faults.next(device).0 {
            Next::Scripted(reply) => reply.status,
            _ => None,
        }
    }

    #[test]
    fn the_script_of_a_device_goes_before_the_provider_s_and_each_is_used_once() {
        let faults = Faults::default();
        faults.enqueue(Some("a"), vec![Reply::status(501)]).expect("legal");
        faults.enqueue(None, vec![Reply::status(502)]).expect("legal");
        assert_eq!(reply_of(&faults, Some("b")), Some(502));
        assert_eq!(reply_of(&faults, Some("a")), Some(501));
        assert_eq!(reply_of(&faults, Some("a")), None);
        assert!(!faults.any.load(Ordering::Acquire) || faults.state.lock().is_quiet());
    }

    #[test]
    fn an_error_rate_is_met_within_a_few_per_cent() {
        let faults = Faults::default();
        faults
            .set_error_rate(Some(ErrorRate { rate: 0.25, reply: Reply::status(500) }))
            .expect("legal");
        let hits = (0..10_000).filter(|_| reply_of(&faults, None).is_some()).count();
        assert!((2_300..2_700).contains(&hits), "{hits}");
    }

    #[test]
    fn a_queue_takes_no_more_than_its_limit() {
        let faults = Faults::default();
        let many = vec![Reply::accepted(); MAX_QUEUED_REPLIES];
        faults.enqueue(None, many).expect("just fits");
        assert!(faults.enqueue(None, vec![Reply::accepted()]).is_err());
    }
}
