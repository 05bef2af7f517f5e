//! Times as people and the admin API write them: RFC 3339 in UTC.

use pushroll_domain::Timestamp;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Writes a time.
#[must_use]
pub fn rfc3339(at: Timestamp) -> String {
    let nanos = i128::from(at.as_millis()) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{} ms after 1970", at.as_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_utc() {
        assert_eq!(rfc3339(Timestamp::from_millis(1_767_225_600_000)), "2026-01-01T00:00:00Z");
        assert_eq!(rfc3339(Timestamp::from_millis(u64::MAX)), "18446744073709551615 ms after 1970");
    }
}
