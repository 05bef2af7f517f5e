//! The `Retry-After` of a provider's answer.

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use pushroll_domain::{Timestamp, retry_after};

/// The longest that a provider can make us wait.
const LONGEST: Duration = Duration::from_secs(3600);

/// What the answer's header asks for, if it can be read; at most an hour.
pub(crate) fn read(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?, now, LONGEST)
}
