//! The form of a GUID on the wire: 8-4-4-4-12 hexadecimal digits in any letter case, with or
//! without braces. Written lower-case with hyphens, without braces.

use thiserror::Error;
use uuid::Uuid;

/// Why a text is not a GUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected a GUID: 8-4-4-4-12 hexadecimal digits, with or without braces")]
pub struct GuidFault;

/// Reads a GUID.
///
/// # Errors
/// Anything else than 8-4-4-4-12 hexadecimal digits, with or without braces around them: neither the
/// form without hyphens nor the URN form is one.
pub fn parse_guid(text: &str) -> Result<Uuid, GuidFault> {
    let bare = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}').ok_or(GuidFault)?,
        None => text,
    };
    // At 36 bytes the parser knows no other form than the hyphenated one.
    if bare.len() != 36 {
        return Err(GuidFault);
    }
    Uuid::try_parse(bare).map_err(|_| GuidFault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_is_read_in_any_letter_case_with_or_without_braces() {
        let expected = "00aa00aa-bb11-cc22-dd33-44ee44ee44ee";
        for text in [
            expected,
            "00AA00AA-BB11-CC22-DD33-44EE44EE44EE",
            "{00aa00aa-bb11-cc22-dd33-44ee44ee44ee}",
            "{00Aa00aA-bb11-cc22-DD33-44ee44ee44EE}",
        ] {
            assert_eq!(parse_guid(text).unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn other_forms_of_a_uuid_are_no_guid() {
        for text in [
            "",
            "{}",
            "00aa00aabb11cc22dd3344ee44ee44ee",
            "urn:uuid:00aa00aa-bb11-cc22-dd33-44ee44ee44ee",
            "{00aa00aa-bb11-cc22-dd33-44ee44ee44ee",
            "00aa00aa-bb11-cc22-dd33-44ee44ee44ee}",
            "00aa00aa-bb11-cc22-dd33-44ee44ee44e",
            "00aa00aa-bb11-cc22-dd33-44ee44ee44eg",
            " 00aa00aa-bb11-cc22-dd33-44ee44ee44ee",
            "00aa00aabb-11-cc22-dd33-44ee44ee44ee",
            "{{00aa00aa-bb11-cc22-dd33-44ee44ee44ee}}",
        ] {
            assert_eq!(parse_guid(text), Err(GuidFault), "{text}");
        }
    }
}
