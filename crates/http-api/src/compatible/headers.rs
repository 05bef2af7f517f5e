//! The headers of a registration request. They hold for every item.

use http::HeaderMap;
use http::header::HeaderName;
use pushroll_domain::{CallbackOrder, CallerHeaders};
use pushroll_engine::{RegisterOptions, RequestedCallback};

use crate::faults::{At, Faults};
use crate::problem::Rule;
use crate::site::CallbackRules;

pub(super) static TRACK: HeaderName = HeaderName::from_static("x-ms-track-registration");
pub(super) static CALLBACK_URL: HeaderName = HeaderName::from_static("x-ms-callback-url");
/// The same header, as the page calls it in another place.
pub(super) static STATUS_CALLBACK_URL: HeaderName =
    HeaderName::from_static("x-ms-status-callback-url");
pub(super) static CALLBACK_HEADERS: HeaderName =
    HeaderName::from_static("x-ms-callback-url-headers");

/// Reads the headers; what is wrong with them is added to `faults`.
pub(crate) fn read(
    headers: &HeaderMap,
    rules: &CallbackRules,
    faults: &mut Faults,
) -> RegisterOptions {
    let tracked = tracked(headers, faults);
    let callback = callback(headers, rules, faults);
    RegisterOptions { tracked, callback, span: None }
}

fn tracked(headers: &HeaderMap, faults: &mut Faults) -> bool {
    const EXPECTED: &str = "true or false, in any letter case";
    match value(headers, &[&TRACK], EXPECTED, faults) {
        None => false,
        Some(text) if text.eq_ignore_ascii_case("true") => true,
        Some(text) if text.eq_ignore_ascii_case("false") => false,
        Some(_) => {
            let detail = "x-ms-track-registration is neither true nor false.";
            faults.add(At::field(TRACK.as_str()), Rule::TrackRegistration, detail, EXPECTED);
            false
        }
    }
}

fn callback(
    headers: &HeaderMap,
    rules: &CallbackRules,
    faults: &mut Faults,
) -> Option<RequestedCallback> {
    let expected = if rules.allow_http {
        "an absolute https or http URL of at most 2048 characters, without user info"
    } else {
        "an absolute https URL of at most 2048 characters, without user info"
    };
    let url = value(headers, &[&CALLBACK_URL, &STATUS_CALLBACK_URL], expected, faults)?;
    let at = || At::field(CALLBACK_URL.as_str());
    let host = match CallbackOrder::check_url(url, rules.allow_http) {
        Ok((parsed, host)) => {
            let address = CallbackOrder::literal_address(&parsed);
            if let Some(why) = address.and_then(|address| rules.sender.refuses_address(address)) {
                let detail = format!("x-ms-callback-url: {why}.");
                let expected =
                    "a host that is reachable from the internet, or that this server allows";
                faults.add(at(), Rule::CallbackAddress, detail, expected);
            }
            Some(host)
        }
        Err(fault) => {
            let detail = format!("x-ms-callback-url {fault}.");
            faults.add(at(), Rule::CallbackUrl, detail, expected);
            None
        }
    };
    let headers = caller_headers(headers, faults);
    Some(RequestedCallback { url: url.to_owned(), host: host?, headers })
}

fn caller_headers(headers: &HeaderMap, faults: &mut Faults) -> Option<CallerHeaders> {
    const EXPECTED: &str = "a JSON object of strings: at most 20 headers and 8 KiB";
    let text = value(headers, &[&CALLBACK_HEADERS], EXPECTED, faults)?;
    match CallerHeaders::parse(text) {
        Ok(parsed) => Some(parsed).filter(|parsed| !parsed.is_empty()),
        Err(fault) => {
            let detail = format!("x-ms-callback-url-headers: {fault}.");
            let at = At::field(CALLBACK_HEADERS.as_str());
            faults.add(at, Rule::CallbackHeaders, detail, EXPECTED);
            None
        }
    }
}

/// The one value that is given under these names; empty ones count for nothing.
fn value<'h>(
    headers: &'h HeaderMap,
    names: &[&'static HeaderName],
    expected: &'static str,
    faults: &mut Faults,
) -> Option<&'h str> {
    let given = names.iter().copied().flat_map(|name| {
        headers.get_all(name).into_iter().map(move |value| (name.as_str(), value))
    });
    let mut found: Option<&'h str> = None;
    for (name, value) in given {
        if value.is_empty() {
            continue;
        }
        // Between the parts of JSON a tab is as good as a space, and HTTP carries it.
        let is_control = |c: char| c.is_control() && !(c == '\t' && names == [&CALLBACK_HEADERS]);
        let text = str::from_utf8(value.as_bytes()).ok().filter(|text| !text.contains(is_control));
        let Some(text) = text else {
            let detail = format!("{name} holds something else than text in UTF-8.");
            faults.add(At::field(name), Rule::HeaderText, detail, expected);
            return None;
        };
        if found.is_some_and(|before| before != text) {
            let detail = match names {
                [_, other] => format!("{name} (or {other}) is given with two different values."),
                _ => format!("{name} is given with two different values."),
            };
            let at = At::field(names.first().map_or(name, |first| first.as_str()));
            faults.add(at, Rule::HeaderConflict, detail, "one value");
            return None;
        }
        found = Some(text);
    }
    found
}
