//! Why a server did not do what it was asked.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;
use serde_json::Value;
use thiserror::Error;
use url::Url;

use super::Answer;

/// Why a server did not do what it was asked.
#[derive(Debug, Error)]
pub enum ClientFault {
    /// The address can't be used.
    #[error("{url} is no address of a server: {cause}")]
    Url {
        /// The address.
        url: String,
        /// Why.
        cause: String,
    },
    /// The token can't stand in a header.
    #[error("the admin token holds what no header can carry")]
    Token,
    /// The certificates to trust can't be read.
    #[error("{}: {cause}", file.display())]
    CaFile {
        /// The file.
        file: PathBuf,
        /// Why.
        cause: String,
    },
    /// TLS can't be set up.
    #[error("TLS can't be set up: {0}")]
    Tls(String),
    /// There is no connection; nothing was sent.
    #[error("{url} can't be reached: {cause}")]
    Unreachable {
        /// The address.
        url: Url,
        /// Why.
        cause: String,
    },
    /// There was no answer; whether it was done is not known.
    #[error("{url} gave no answer, so it is not known whether it was done: {cause}")]
    Lost {
        /// The address.
        url: Url,
        /// Why.
        cause: String,
    },
    /// What answers speaks no JSON.
    #[error("{url} answered {status}, but not as a Pushroll server does: is it the right address?")]
    NotOurs {
        /// The address.
        url: Url,
        /// The status.
        status: StatusCode,
    },
    /// The server said no.
    #[error("{0}")]
    Refused(Box<Problem>),
}

/// A problem document (RFC 9457), as far as there was one.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The status.
    pub status: StatusCode,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// The document; `null` if the answer was none.
    pub document: Value,
}

impl Problem {
    pub(super) fn of(answer: &Answer) -> Self {
        let seconds =
            answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Self {
            status: answer.status,
            retry_after: seconds.map(Duration::from_secs),
            document: serde_json::from_slice(&answer.body).unwrap_or_default(),
        }
    }

    /// The item of a batch that is at fault.
    #[must_use]
    pub fn index(&self) -> Option<usize> {
        self.document["index"].as_u64().and_then(|index| usize::try_from(index).ok())
    }

    /// What is wrong.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.document["detail"].as_str()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let details = self.document["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        let details: Vec<_> = details.iter().filter_map(|one| one["detail"].as_str()).collect();
        match (details.as_slice(), self.detail()) {
            ([], Some(detail)) => f.write_str(detail)?,
            ([], None) => write!(f, "the server answered {}", self.status)?,
            (details, _) => f.write_str(&details.join("\n"))?,
        }
        match self.retry_after {
            Some(span) => write!(f, " Try again in {} seconds.", span.as_secs()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::HeaderMap;

    fn told(status: u16, retry_after: Option<&str>, body: &'static str) -> String {
        let mut headers = HeaderMap::new();
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, seconds.parse().unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer { status, headers, body: Bytes::from_static(body.as_bytes()) };
        Problem::of(&answer).to_string()
    }

    #[test]
    fn a_problem_tells_everything_that_is_wrong_and_when_to_try_again() {
        let two =
            r#"{"detail": "a", "errors": [{"detail": "a is wrong."}, {"detail": "b is wrong."}]}"#;
        assert_eq!(told(400, None, two), "a is wrong.\nb is wrong.");
        let later = r#"{"detail": "Not now."}"#;
        assert_eq!(told(503, Some("7"), later), "Not now. Try again in 7 seconds.");
        assert_eq!(told(502, None, "<html>"), "the server answered 502 Bad Gateway");
    }
}
