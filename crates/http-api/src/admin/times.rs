//! Times as the administration writes and reads them: RFC 3339, written in UTC.

use std::borrow::Cow;

use pushroll_domain::Timestamp;
use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

/// A time in an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At(pub(crate) Timestamp);

impl Serialize for At {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let nanos = i128::from(self.0.as_millis()) * 1_000_000;
        let written = OffsetDateTime::from_unix_timestamp_nanos(nanos)
            .ok()
            .and_then(|time| time.format(&Rfc3339).ok());
        written.serialize(serializer)
    }
}

impl PartialSchema for At {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        ObjectBuilder::new().schema_type(Type::String).format(Some(format)).into()
    }
}

impl ToSchema for At {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Time")
    }
}

/// Reads a time; one before 1970 is as good as 1970.
pub(crate) fn read(text: &str) -> Option<Timestamp> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let millis = time.unix_timestamp_nanos() / 1_000_000;
    Some(Timestamp::from_millis(u64::try_from(millis).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_in_utc() {
        let written = |millis| serde_json::to_string(&At(Timestamp::from_millis(millis))).unwrap();
        assert_eq!(written(0), r#""1970-01-01T00:00:00Z""#);
        assert_eq!(written(1_767_225_600_120), r#""2026-01-01T00:00:00.12Z""#);
        assert_eq!(written(u64::MAX), "null");
    }

    #[test]
    fn a_time_may_be_given_in_any_offset() {
        let expected = Timestamp::from_millis(1_767_225_600_000);
        for text in
            ["2026-01-01T00:00:00Z", "2026-01-01T02:00:00.000+02:00", "2025-12-31t23:00:00-01:00"]
        {
            assert_eq!(read(text), Some(expected), "{text}");
        }
        assert_eq!(read("1969-12-31T00:00:00Z"), Some(Timestamp::from_millis(0)));
        for text in ["", "2026-01-01", "2026-01-01T00:00:00", "tomorrow", "2026-13-01T00:00:00Z"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
