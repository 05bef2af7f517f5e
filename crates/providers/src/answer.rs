//! The providers' words as they are kept: bounded, on one line, without tokens.

use std::time::Duration;

use pushroll_domain::{BusyScope, DryRunReport, Environment, Provider, ProviderAnswer, Verdict};

use crate::transport::{DialFault, TransportFault};

const MAX_REASON_CHARS: usize = 200;
const MAX_DETAIL_CHARS: usize = 500;
const MAX_ID_CHARS: usize = 200;
/// When to ask again after one of our own limits was met.
const OWN_LIMIT_RETRY: Duration = Duration::from_secs(1);

/// What a provider accepted a token with: it gives no reason.
pub(crate) const ACCEPTED: &str = "OK";

/// Cuts foreign words to a length and keeps them on one line. `secret` is what must not be in them.
pub(crate) fn words(text: &str, secret: &str, max_chars: usize) -> String {
    let clean = |text: &str| {
        let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
        line.take(max_chars).collect::<String>().trim().to_owned()
    };
    if secret.is_empty() || !text.contains(secret) {
        clean(text)
    } else {
        clean(&text.replace(secret, "(token)"))
    }
}

/// Words of a provider, or ours.
pub(crate) struct Said<'a> {
    pub provider: Provider,
    pub environment: Option<Environment>,
    pub status: Option<u16>,
    pub reason: &'a str,
    pub detail: Option<&'a str>,
    pub provider_id: Option<&'a str>,
    /// What must not be in the words.
    pub secret: &'a str,
}

impl Said<'_> {
    /// The words, bounded.
    pub fn answer(&self) -> ProviderAnswer {
        let bounded = |text: &str, max| words(text, self.secret, max);
        ProviderAnswer {
            provider: self.provider,
            environment: self.environment,
            status: self.status,
            reason: bounded(self.reason, MAX_REASON_CHARS),
            detail: self.detail.map(|text| bounded(text, MAX_DETAIL_CHARS)),
            provider_id: self.provider_id.map(|text| bounded(text, MAX_ID_CHARS)),
        }
    }
}

/// A report that nobody answered, and the reason's name in the metrics.
pub(crate) struct Silence {
    pub report: DryRunReport,
    pub class: &'static str,
}

/// Nobody answered within the time.
pub(crate) fn timed_out(provider: Provider, environment: Option<Environment>) -> Silence {
    let said = nothing(provider, environment, "timed out", None);
    let report = DryRunReport { verdict: Verdict::Unreachable, answer: said };
    Silence { report, class: "timed_out" }
}

/// There was no answer for this reason.
pub(crate) fn no_answer(
    provider: Provider,
    environment: Option<Environment>,
    fault: &TransportFault,
) -> Silence {
    let said = |reason: &str, detail: Option<&str>| nothing(provider, environment, reason, detail);
    let (verdict, answer, class) = match fault {
        TransportFault::Dial(fault) => {
            let (verdict, class) = match fault {
                DialFault::Lookup(_) => (Verdict::Unreachable, "lookup_failed"),
                DialFault::Tcp(_) | DialFault::TimedOut => (Verdict::Unreachable, "not_connected"),
                DialFault::Proxy(_) => (Verdict::Unreachable, "no_tunnel"),
                DialFault::Tls(_) | DialFault::NoHttp2 | DialFault::Http(_) => {
                    (Verdict::Unreachable, "no_tls")
                }
                DialFault::Certificate(_) => (Verdict::CredentialsRefused, "certificate_refused"),
            };
            (verdict, said(&fault.to_string(), fault.detail()), class)
        }
        TransportFault::Lost(words) => {
            (Verdict::Unreachable, said("connection lost", Some(words)), "connection_lost")
        }
        TransportFault::GoAway { reason, detail } => {
            (Verdict::Unreachable, said(reason, Some(detail)), "goaway")
        }
        TransportFault::Full(words) => {
            let scope = BusyScope::Device;
            let verdict = Verdict::Busy { retry_after: Some(OWN_LIMIT_RETRY), scope };
            (verdict, said("too much to do", Some(words)), "own_limit")
        }
        TransportFault::Closing => {
            (Verdict::Unreachable, said("the server is stopping", None), "closing")
        }
    };
    Silence { report: DryRunReport { verdict, answer }, class }
}

/// A report in the words of a token endpoint, or of ours about it.
pub(crate) fn oauth_said(
    verdict: Verdict,
    status: Option<u16>,
    reason: &str,
    detail: Option<&str>,
) -> DryRunReport {
    let (provider, environment, provider_id, secret) = (Provider::OAuth, None, None, "");
    let said = Said { provider, environment, status, reason, detail, provider_id, secret };
    DryRunReport { verdict, answer: said.answer() }
}

fn nothing(
    provider: Provider,
    environment: Option<Environment>,
    reason: &str,
    detail: Option<&str>,
) -> ProviderAnswer {
    let (status, provider_id, secret) = (None, None, "");
    Said { provider, environment, status, reason, detail, provider_id, secret }.answer()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_kept_on_a_line_and_stripped_of_the_token() {
        assert_eq!(words(&"é".repeat(300), "", 200).chars().count(), 200);
        assert_eq!(words("a\r\nb\u{0}", "", 200), "a  b");
        assert_eq!(words("no such token: s3cret!", "s3cret", 200), "no such token: (token)!");
    }

    #[test]
    fn our_own_limits_hold_up_one_device_only_and_count_against_nobody() {
        let silence = no_answer(Provider::Fcm, None, &TransportFault::Full("too many wait"));
        let Verdict::Busy { retry_after, scope } = silence.report.verdict else {
            panic!("{:?}", silence.report);
        };
        assert_eq!((retry_after, scope), (Some(OWN_LIMIT_RETRY), BusyScope::Device));
    }
}
