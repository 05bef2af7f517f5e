//! `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date.

use std::time::{Duration, UNIX_EPOCH};

use crate::time::Timestamp;

/// How long the header's value asks to wait, if it can be read; at most `longest`.
#[must_use]
pub fn retry_after(value: &str, now: Timestamp, longest: Duration) -> Option<Duration> {
    let text = value.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(text.parse().map_or(longest, Duration::from_secs).min(longest));
    }
    let date = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    let date = Timestamp::from_millis(u64::try_from(date.as_millis()).ok()?);
    Some(date.since(now).min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(3600);

    fn read_text(text: &str) -> Option<u64> {
        // 1994-11-06 08:49:00 UTC
        let now = Timestamp::from_millis(784_111_740_000);
        retry_after(text, now, LONGEST).map(|wait| wait.as_secs())
    }

    #[test]
    fn seconds_and_dates_are_read() {
        assert_eq!(read_text("7"), Some(7));
        assert_eq!(read_text(" 0 "), Some(0));
        assert_eq!(read_text("Sun, 06 Nov 1994 08:49:37 GMT"), Some(37));
        assert_eq!(read_text("Sunday, 06-Nov-94 08:49:37 GMT"), Some(37));
    }

    #[test]
    fn a_date_in_the_past_is_no_wait() {
        assert_eq!(read_text("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
    }

    #[test]
    fn nobody_can_make_us_wait_for_longer_than_we_would() {
        assert_eq!(read_text("99999999999999999999999"), Some(3600));
        assert_eq!(read_text("Sun, 06 Nov 2044 08:49:37 GMT"), Some(3600));
    }

    #[test]
    fn anything_else_is_ignored() {
        for text in ["", "soon", "-1", "1.5", "7s"] {
            assert_eq!(read_text(text), None, "{text}");
        }
    }
}
