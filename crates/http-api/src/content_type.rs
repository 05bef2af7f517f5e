//! Whether a request says that its body is JSON in UTF-8.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};

use crate::faults::{At, Faults};
use crate::problem::Rule;

/// Adds a fault unless the content type is absent, empty or JSON, with no charset or UTF-8.
pub(crate) fn check(headers: &HeaderMap, faults: &mut Faults) {
    let is_good = |value: &HeaderValue| match value.as_bytes() {
        b"" | b"application/json" | b"application/json; charset=utf-8" => true,
        _ => value.to_str().is_ok_and(is_json),
    };
    if !headers.get_all(CONTENT_TYPE).iter().all(is_good) {
        faults.add(
            At::field("Content-Type"),
            Rule::ContentType,
            "Content-Type is not JSON in UTF-8.",
            "application/json, with charset=utf-8 or none; or no Content-Type at all",
        );
    }
}

/// RFC 9110, section 8.3.1.
fn is_json(value: &str) -> bool {
    let mut parts = value.split(';').map(str::trim);
    let Some((main, sub)) = parts.next().and_then(|essence| essence.split_once('/')) else {
        return value.trim().is_empty();
    };
    let is_application = main.eq_ignore_ascii_case("application");
    let is_json = if is_application && sub.len() > "+json".len() && sub.is_ascii() {
        sub[sub.len() - "+json".len()..].eq_ignore_ascii_case("+json")
    } else {
        (is_application || main.eq_ignore_ascii_case("text")) && sub.eq_ignore_ascii_case("json")
    };
    is_json
        && parts.filter(|part| !part.is_empty()).all(|parameter| {
            let Some((name, value)) = parameter.split_once('=') else { return false };
            if !name.trim().eq_ignore_ascii_case("charset") {
                return true;
            }
            let value = value.trim();
            let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
            // ASCII is UTF-8; what is not is refused where the body is read.
            ["utf-8", "utf8", "us-ascii"].iter().any(|one| value.eq_ignore_ascii_case(one))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_is_json_with_no_charset_or_utf_8() {
        for value in [
            "",
            " ",
            "application/json",
            "APPLICATION/JSON",
            "text/json",
            "application/merge-patch+json",
            "application/problem+JSON; charset=UTF-8",
            "application/json;charset=utf-8",
            "application/json; charset=\"UTF-8\"",
            "application/json; charset=us-ascii",
            "application/json ; odata.metadata=minimal; Charset=Utf-8;",
        ] {
            assert!(is_json(value), "{value}");
        }
    }

    #[test]
    fn another_type_or_charset_is_refused() {
        for value in [
            "json",
            "text/plain",
            "application/xml",
            "application/x-www-form-urlencoded",
            "application/+json",
            "text/x+json",
            "application/jsonx",
            "application/json; charset=latin1",
            "application/json; charset=\"utf-16\"",
            "application/json; charset",
            "application/json, text/plain",
            "multipart/form-data; boundary=x",
        ] {
            assert!(!is_json(value), "{value}");
        }
    }
}
