use super::*;

fn parsed(text: &str) -> Vec<(String, String)> {
    CallerHeaders::parse(text)
        .unwrap()
        .into_headers()
        .into_iter()
        .map(|(name, value)| (name, String::from_utf8(value.reveal().to_vec()).unwrap()))
        .collect()
}

fn fault(text: &str) -> CallerHeadersFault {
    CallerHeaders::parse(text).unwrap_err()
}

#[test]
fn headers_are_read_in_the_order_given() {
    let headers = parsed(r#"{"X-B": "2", "Authorization": "Bearer a b\tc", "x-a": ""}"#);
    let expected = [("X-B", "2"), ("Authorization", "Bearer a b\tc"), ("x-a", "")];
    assert_eq!(headers, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
    assert!(CallerHeaders::parse(" {} ").unwrap().is_empty());
}

#[test]
fn anything_but_a_json_object_is_refused() {
    for text in
        ["", "null", "[]", "\"x\"", "1", "{", "{\"a\":\"b\"} x", "{a: 1}", r#"{"a": "\ud800"}"#]
    {
        assert_eq!(fault(text), CallerHeadersFault::NotAnObject, "{text}");
    }
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(1000), "]".repeat(1000));
    assert_eq!(fault(&deep), CallerHeadersFault::NotAnObject);
}

#[test]
fn a_value_that_is_no_string_is_refused() {
    for value in ["1", "true", "null", "[]", "{}", "[\"x\"]"] {
        let text = format!(r#"{{"X-A": {value}}}"#);
        assert_eq!(fault(&text), CallerHeadersFault::NotAString("X-A".into()), "{text}");
    }
}

#[test]
fn at_most_20_headers_are_taken() {
    let text = |count: usize| {
        let all: Vec<String> = (0..count).map(|n| format!(r#""x-{n}":"v""#)).collect();
        format!("{{{}}}", all.join(","))
    };
    assert_eq!(CallerHeaders::parse(&text(20)).unwrap().len(), 20);
    assert_eq!(fault(&text(21)), CallerHeadersFault::TooMany);
}

#[test]
fn at_most_8_kib_of_text_are_taken() {
    let text = |bytes: usize| format!(r#"{{"x":"{}"}}"#, "v".repeat(bytes - 8));
    assert!(CallerHeaders::parse(&text(8192)).is_ok());
    assert_eq!(fault(&text(8193)), CallerHeadersFault::TooLong);
}

#[test]
fn a_name_is_a_token() {
    for name in ["", "a b", "a:", ":path", "é", "a\\n", "a\\u0000", "(a)", "a/b", "a,b", "a@b"] {
        let text = format!(r#"{{"{name}":"v"}}"#);
        assert!(matches!(fault(&text), CallerHeadersFault::Name(_)), "{text}");
    }
    assert_eq!(parsed(r#"{"!#$%&'*+-.^_`|~09azAZ":"v"}"#).len(), 1);
}

#[test]
fn a_value_is_visible_ascii_with_spaces_and_tabs_inside() {
    for value in
        [" a", "a ", "\\ta", "a\\t", "a\\nb", "a\\rb", "\\u0000", "a\\u007f", "é", "\\u00ff", " "]
    {
        let text = format!(r#"{{"X-A":"{value}"}}"#);
        assert_eq!(fault(&text), CallerHeadersFault::Value("X-A".into()), "{text}");
    }
}

#[test]
fn a_name_may_not_be_given_twice_in_whatever_letter_case() {
    for text in [r#"{"x-a":"1","x-a":"1"}"#, r#"{"x-a":"1","b":"2","X-A":"1"}"#] {
        assert!(matches!(fault(text), CallerHeadersFault::Duplicate(_)), "{text}");
    }
}

#[test]
fn hop_by_hop_and_framing_headers_are_refused_in_any_letter_case() {
    for name in [
        "Connection",
        "keep-alive",
        "PROXY-AUTHENTICATE",
        "Proxy-Authorization",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "transfer-ENCODING",
        "Upgrade",
        "HTTP2-Settings",
        "Expect",
    ] {
        let text = format!(r#"{{"{name}":"v"}}"#);
        assert_eq!(fault(&text), CallerHeadersFault::OfConnection(name.into()));
    }
}

#[test]
fn headers_that_the_service_sets_are_refused_in_any_letter_case() {
    for name in [
        "Host",
        "content-length",
        "CONTENT-TYPE",
        "webhook-id",
        "Webhook-Signature",
        "WEBHOOK-timestamp",
        "webhook-",
        "Webhook-Anything",
    ] {
        let text = format!(r#"{{"{name}":"v"}}"#);
        assert_eq!(fault(&text), CallerHeadersFault::OfService(name.into()));
    }
    assert_eq!(parsed(r#"{"X-Webhook-Id":"v","Webhook":"v","Hosts":"v"}"#).len(), 3);
}

#[test]
fn no_message_and_no_debug_shows_a_value() {
    for text in [
        r#"{"X-A":"hunter2\n"}"#,
        r#"{"X-A":["hunter2"]}"#,
        r#"{"X-A":"hunter2","x-a":"hunter2"}"#,
        r#"{"Host":"hunter2"}"#,
        r#"{"X A":"hunter2"}"#,
        r#""hunter2""#,
        r#"{"X-A":"hunter2""#,
    ] {
        let fault = fault(text);
        let shown = format!("{fault} {fault:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    let headers = CallerHeaders::parse(r#"{"X-A":"hunter2"}"#).unwrap();
    let shown = format!("{headers:?} {:?}", headers.to_sealed_text());
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_message_names_the_header_but_not_at_any_length() {
    let fault = fault(&format!(r#"{{"Webhook-{}":"v"}}"#, "x".repeat(5000)));
    assert!(fault.to_string().starts_with("header Webhook-xxx"), "{fault}");
    assert!(fault.to_string().len() < 200, "{fault}");
}

#[test]
fn the_text_that_is_stored_gives_the_same_headers_back() {
    let text = r#"{"X-A":"a \"quoted\" \\ \t\/ z","x-b":"","~":"~"}"#;
    let stored = CallerHeaders::parse(text).unwrap().to_sealed_text();
    let again = CallerHeaders::from_sealed_text(&stored).unwrap();
    let again = String::from_utf8(again.to_sealed_text().reveal().to_vec()).unwrap();
    assert_eq!(again, r#"{"X-A":"a \"quoted\" \\ \t/ z","x-b":"","~":"~"}"#);
    assert_eq!(parsed(&again), parsed(text));

    let damaged = Secret::new(vec![0xff, 0x7b]);
    assert!(CallerHeaders::from_sealed_text(&damaged).is_err());
}
