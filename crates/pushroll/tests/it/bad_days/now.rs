//! The time of day, which the server as a child process takes from the machine too.

use time::OffsetDateTime;

#[expect(clippy::disallowed_methods, reason = "there is no other clock in a child process")]
pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
