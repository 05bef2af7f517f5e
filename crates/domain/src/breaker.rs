//! The circuit breaker of a lane: it stops asking a provider that is down or that refuses the app's
//! credentials, so that neither costs others anything, and finds out when to go on.

use std::time::Duration;

use crate::time::Timestamp;
use crate::verdict::ProviderAnswer;

/// Answers that are looked at together.
const SAMPLE: u32 = 20;
/// Over how many seconds answers are counted.
const SAMPLE_SECONDS: u64 = 10;
/// How long it stays open the first time; doubled each time that it opens again without having
/// closed.
const FIRST_OPEN: Duration = Duration::from_secs(1);
/// The longest that it stays open. A busy provider refuses each token a few times before it takes it, so what
/// is found out in between may say "not yet" many times: the pauses must not grow with it.
const LONGEST_OPEN: Duration = Duration::from_secs(5);
/// For how long registrations fail unasked after credentials were refused.
const REFUSED_FOR: Duration = Duration::from_secs(30);
/// After this long a probe counts as lost, and another may go.
const PROBE_LOST_AFTER: Duration = Duration::from_secs(30);
/// When to look again while others probe.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What an answer says about provider and credentials, whatever it says about the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// They are fine.
    Fine,
    /// The provider failed: 5xx, no answer.
    ProviderFailed,
    /// The provider asked to leave the whole app alone until then.
    Hold(Timestamp),
    /// The credentials are refused, in these words.
    CredentialsRefused(ProviderAnswer),
}

/// Whether the provider may be asked now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permit {
    /// Yes. Whatever comes of it must be [recorded](Breaker::record) with this `probe`.
    Go {
        /// Whether the answer decides how to go on.
        probe: bool,
    },
    /// Not before this time.
    Wait(Timestamp),
    /// No: the credentials were refused a moment ago, in these words.
    Fail(ProviderAnswer),
}

/// The state by name, for metrics and the admin API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// The provider is asked.
    Closed,
    /// The provider is left alone.
    Open,
    /// Some are let through to find out.
    HalfOpen,
    /// The credentials were refused.
    CredentialsRefused,
}

impl BreakerState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Closed, Self::Open, Self::HalfOpen, Self::CredentialsRefused];

    /// The name in metrics and the admin API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::CredentialsRefused => "credentials-refused",
        }
    }
}

/// A circuit breaker. Make a new one when the app's credentials change.
#[derive(Debug, Default)]
pub struct Breaker {
    state: State,
    /// Nothing is asked before this time, whatever the state.
    hold_until: Option<Timestamp>,
}

#[derive(Debug)]
enum State {
    Closed(Sample),
    Open { until: Timestamp, span: Duration },
    HalfOpen { since: Timestamp, admitted: u32, fine: u32, failed: u32, span: Duration },
    Refused { answer: ProviderAnswer, until: Timestamp, probe_since: Option<Timestamp> },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed(Sample::default())
    }
}

impl Breaker {
    /// A breaker that lets everything through.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The state by name.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        match self.state {
            State::Closed(_) => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
            State::Refused { .. } => BreakerState::CredentialsRefused,
        }
    }

    /// Asks whether the provider may be asked.
    pub fn permit(&mut self, now: Timestamp) -> Permit {
        if let Some(until) = self.hold_until {
            if now < until {
                return Permit::Wait(until);
            }
            self.hold_until = None;
        }
        if let State::Open { until, span } = self.state {
            if now < until {
                return Permit::Wait(until);
            }
            self.state = State::HalfOpen { since: now, admitted: 0, fine: 0, failed: 0, span };
        }
        match &mut self.state {
            State::Closed(_) | State::Open { .. } => Permit::Go { probe: false },
            State::HalfOpen { since, admitted, fine, failed, .. } => {
                if now.since(*since) >= PROBE_LOST_AFTER {
                    (*since, *admitted) = (now, *fine + *failed);
                }
                if *admitted >= SAMPLE {
                    return Permit::Wait(now.plus(LOOK_AGAIN));
                }
                *admitted += 1;
                Permit::Go { probe: true }
            }
            State::Refused { answer, until, probe_since } => {
                if now < *until {
                    return Permit::Fail(answer.clone());
                }
                if probe_since.is_some_and(|since| now.since(since) < PROBE_LOST_AFTER) {
                    return Permit::Wait(now.plus(LOOK_AGAIN));
                }
                *probe_since = Some(now);
                Permit::Go { probe: true }
            }
        }
    }

    /// Takes note of what came of a [`Permit::Go`].
    pub fn record(&mut self, now: Timestamp, probe: bool, signal: Signal) {
        let failed = match signal {
            Signal::Fine => false,
            Signal::ProviderFailed => true,
            Signal::Hold(until) => {
                self.hold_until = self.hold_until.max(Some(until));
                // A provider that says when to come back is there; a probe has its answer.
                false
            }
            Signal::CredentialsRefused(answer) => {
                let until = now.plus(REFUSED_FOR);
                self.state = State::Refused { answer, until, probe_since: None };
                return;
            }
        };
        match &mut self.state {
            State::Closed(sample) => {
                if sample.add(now, failed) {
                    self.state = State::Open { until: now.plus(FIRST_OPEN), span: FIRST_OPEN };
                }
            }
            State::HalfOpen { fine, failed: failures, span, .. } if probe => {
                if failed {
                    *failures += 1
                } else {
                    *fine += 1
                }
                if *failures * 2 >= SAMPLE {
                    let span = (*span * 2).min(LONGEST_OPEN);
                    self.state = State::Open { until: now.plus(span), span };
                } else if *fine * 2 > SAMPLE {
                    self.state = State::default();
                }
            }
            State::Refused { until, probe_since, .. } if probe => {
                if failed {
                    // Nothing learnt about the credentials: the next may ask.
                    (*until, *probe_since) = (now, None);
                } else {
                    self.state = State::default();
                }
            }
            // Answers to what was asked before the state changed.
            State::Open { .. } | State::HalfOpen { .. } | State::Refused { .. } => {}
        }
    }
}

/// Counts of the last [`SAMPLE_SECONDS`], by second.
#[derive(Debug, Default)]
struct Sample {
    seconds: [Second; SAMPLE_SECONDS as usize],
}

#[derive(Debug, Default, Clone, Copy)]
struct Second {
    second: u64,
    answers: u32,
    failures: u32,
}

impl Sample {
    /// Adds an answer; whether half or more of at least [`SAMPLE`] answers are now failures.
    fn add(&mut self, now: Timestamp, failed: bool) -> bool {
        let second = now.as_secs();
        let slot = &mut self.seconds[(second % SAMPLE_SECONDS) as usize];
        if slot.second != second {
            *slot = Second { second, ..Second::default() };
        }
        slot.answers = slot.answers.saturating_add(1);
        slot.failures = slot.failures.saturating_add(u32::from(failed));
        let recent = self.seconds.iter().filter(|s| s.second + SAMPLE_SECONDS > second);
        let (answers, failures) = recent.fold((0u64, 0u64), |(answers, failures), s| {
            (answers + u64::from(s.answers), failures + u64::from(s.failures))
        });
        answers >= u64::from(SAMPLE) && failures * 2 >= answers
    }
}

#[cfg(test)]
mod tests;
