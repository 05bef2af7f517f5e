//! Why a callback came to nothing: words for the operator, and a label for metrics. A header of the
//! caller's is never in them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use pushroll_domain::CallbackUrlFault;
use rustls::CertificateError;
use thiserror::Error;

use crate::guard::Rule;
use crate::standard_webhooks::WebhookSecretFault;

/// The most characters of a reason.
const MAX_REASON_CHARS: usize = 300;

/// Why a callback came to nothing.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error("refused: the URL {0}")]
    Url(#[from] CallbackUrlFault),
    #[error("refused: {address} is {rule}")]
    Address { address: IpAddr, rule: Rule },
    #[error("refused: {host} is at {address}, which is {rule}")]
    NameAtAddress { host: String, address: IpAddr, rule: Rule },
    #[error("refused: port {0} is not allowed")]
    Port(u16),
    #[error("the app's webhook secret {0}")]
    WebhookSecret(#[from] WebhookSecretFault),
    #[error("header {0} can't be sent")]
    Header(String),
    #[error("{host} could not be looked up: {reason}")]
    Lookup { host: String, reason: LookupFailure },
    #[error("could not connect to {address}: {}", cause.kind())]
    Connect { address: SocketAddr, cause: io::Error },
    #[error("certificate not accepted: {0}")]
    Certificate(String),
    #[error("TLS failed: {0}")]
    Tls(String),
    #[error("the receiver closed the connection without an answer")]
    Closed,
    #[error("the answer's head is longer than allowed")]
    AnswerTooLarge,
    #[error("the answer is not HTTP/1.1")]
    NotHttp,
    #[error("the connection was lost before the answer")]
    Lost,
    #[error("timed out after {} s {during}", timeout.as_secs_f64())]
    TimedOut { timeout: Duration, during: Phase },
}

/// Why a name has no address for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum LookupFailure {
    #[error("there is no such name")]
    NoSuchName,
    #[error("it has no address")]
    NoAddress,
    #[error("it is not a host name")]
    NotAName,
    #[error("the name servers failed or did not answer")]
    NoAnswer,
}

/// What was going on when the time was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Phase {
    #[error("looking the name up")]
    Lookup,
    #[error("connecting")]
    Connect,
    #[error("setting up TLS")]
    Tls,
    #[error("waiting for the answer")]
    Answer,
}

impl Failure {
    /// What a failed TLS handshake means.
    pub(crate) fn of_handshake(error: &io::Error) -> Self {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match tls {
            Some(rustls::Error::InvalidCertificate(fault)) => Self::Certificate(words(fault)),
            Some(other) => Self::Tls(other.to_string()),
            None => Self::Tls(error.kind().to_string()),
        }
    }

    /// What a failed exchange means.
    pub(crate) fn of_exchange(error: &hyper::Error) -> Self {
        if error.is_parse_too_large() {
            Self::AnswerTooLarge
        } else if error.is_parse() {
            Self::NotHttp
        } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
            Self::Closed
        } else {
            Self::Lost
        }
    }

    /// The reason for the operator, without control characters and not at any length: parts of it
    /// may be what the other side chose to say.
    pub(crate) fn reason(&self) -> String {
        let text = self.to_string();
        text.chars().filter(|c| !c.is_control()).take(MAX_REASON_CHARS).collect()
    }

    /// Whether sending it again would fail the same way, whatever the receiver and the network do.
    pub(crate) const fn is_hopeless(&self) -> bool {
        match self {
            Self::Url(_)
            | Self::Address { .. }
            | Self::Port(_)
            | Self::WebhookSecret(_)
            | Self::Header(_) => true,
            // A name may be at another address later.
            Self::NameAtAddress { .. }
            | Self::Lookup { .. }
            | Self::Connect { .. }
            | Self::Certificate(_)
            | Self::Tls(_)
            | Self::Closed
            | Self::AnswerTooLarge
            | Self::NotHttp
            | Self::Lost
            | Self::TimedOut { .. } => false,
        }
    }

    /// The label in metrics.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Url(_) | Self::Address { .. } | Self::NameAtAddress { .. } | Self::Port(_) => {
                "refused"
            }
            Self::WebhookSecret(_) | Self::Header(_) => "unsendable",
            Self::Lookup { .. } => "unresolved",
            Self::Connect { .. } => "unreachable",
            Self::Certificate(_) | Self::Tls(_) => "tls",
            Self::Closed | Self::Lost => "lost",
            Self::AnswerTooLarge | Self::NotHttp => "bad_answer",
            Self::TimedOut { .. } => "timed_out",
        }
    }
}

fn words(fault: &CertificateError) -> String {
    let words = match fault {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet"
        }
        CertificateError::UnknownIssuer => "its issuer is not trusted",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name"
        }
        CertificateError::Revoked => "it is revoked",
        CertificateError::BadSignature => "its signature is wrong",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is not for servers"
        }
        other => return other.to_string(),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_at_most_300_characters_and_none_that_controls() {
        let reason = Failure::Tls(format!("a\u{1b}[31m\r\n{}", "é".repeat(1000))).reason();
        assert_eq!(reason.chars().count(), 300);
        assert!(reason.starts_with("TLS failed: a[31mé"), "{reason}");
    }

    #[test]
    fn a_reason_names_the_rule() {
        let address = IpAddr::from([10, 0, 0, 5]);
        let refused = Failure::Address { address, rule: Rule::Private };
        assert_eq!(refused.reason(), "refused: 10.0.0.5 is a private address");
        assert_eq!(Failure::Port(8443).reason(), "refused: port 8443 is not allowed");
        let timed_out =
            Failure::TimedOut { timeout: Duration::from_secs(10), during: Phase::Answer };
        assert_eq!(timed_out.reason(), "timed out after 10 s waiting for the answer");
    }
}
