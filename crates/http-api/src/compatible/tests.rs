use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use pushroll_domain::{
    Callback, CallbackAnswer, CallbackResult, CallbackSender, FailureReason, Platform,
};
use pushroll_engine::RegisterOptions;
use serde_json::{Value as Json, json};

use super::*;

const APP: &str = "00AA00AA-bb11-cc22-dd33-44ee44ee44ee";

fn document(faults: Faults) -> Json {
    let body = faults.into_problem().into_reply().into_body();
    let bytes = futures_util::FutureExt::now_or_never(http_body_util::BodyExt::collect(body));
    serde_json::from_slice(&bytes.unwrap().unwrap().to_bytes()).unwrap()
}

fn registrations(body: &Json, many: Many) -> Result<Vec<pushroll_engine::RegisterItem>, Json> {
    let mut faults = Faults::default();
    let items = json::read(body.to_string().as_bytes(), many, &items::REGISTRATION, &mut faults);
    if faults.is_empty() { Ok(items) } else { Err(document(faults)) }
}

fn registration() -> Json {
    json!({ "MobileAppId": APP, "UserId": "me", "ApiToken": "secret", "ApnsDeviceToken": "ABCD" })
}

fn with(name: &str, value: Json) -> Json {
    let mut body = registration();
    body[name] = value;
    body
}

fn without(name: &str) -> Json {
    let mut body = registration();
    body.as_object_mut().unwrap().remove(name);
    body
}

/// Field and rule of the first fault.
fn first(problem: &Json) -> (&str, &str) {
    (problem["field"].as_str().unwrap_or("-"), problem["rule"].as_str().unwrap())
}

#[test]
fn a_registration_is_read_into_values() {
    let items = registrations(&registration(), Many::One).unwrap();
    assert_eq!(items[0].app.to_string(), APP.to_lowercase());
    assert_eq!(items[0].user.as_str(), "me");
    assert_eq!(items[0].token.reveal(), "secret");
    assert_eq!((items[0].device.platform(), items[0].device.reveal()), (Platform::Ios, "abcd"));
}

#[test]
fn every_required_field_is_told_when_it_is_missing_null_or_empty() {
    for name in ["MobileAppId", "UserId", "ApiToken"] {
        for body in [without(name), with(name, Json::Null), with(name, json!(""))] {
            let problem = registrations(&body, Many::One).unwrap_err();
            assert_eq!(first(&problem), (name, "required"), "{body}");
            assert!(problem["expected"].is_string() && problem["detail"].is_string());
        }
    }
}

#[test]
fn a_field_of_another_type_is_told() {
    for name in ["MobileAppId", "UserId", "ApiToken", "ApnsDeviceToken", "FcmDeviceToken"] {
        for value in [json!(1), json!(true), json!([APP]), json!({}), json!(-1.5)] {
            let problem = registrations(&with(name, value), Many::One).unwrap_err();
            assert_eq!(first(&problem), (name, "string-expected"));
        }
    }
}

#[test]
fn exactly_one_device_token_is_needed_and_an_empty_one_is_none() {
    let both = with("FcmDeviceToken", json!("x"));
    let empty = with("ApnsDeviceToken", json!(""));
    let mut null_and_empty = with("FcmDeviceToken", json!(""));
    null_and_empty["ApnsDeviceToken"] = Json::Null;
    for body in [both, empty, null_and_empty, without("ApnsDeviceToken")] {
        let problem = registrations(&body, Many::One).unwrap_err();
        assert_eq!(problem["rule"], "exactly-one", "{body}");
        assert!(problem["detail"].as_str().unwrap().contains("FcmDeviceToken"), "{problem}");
    }
    for other in [Json::Null, json!("")] {
        assert!(registrations(&with("FcmDeviceToken", other), Many::One).is_ok());
    }
}

#[test]
fn lengths_and_characters_are_judged() {
    for (name, value, rule) in [
        ("MobileAppId", json!("00aa00aabb11cc22dd3344ee44ee44ee"), "guid"),
        ("MobileAppId", json!(" "), "guid"),
        ("UserId", json!("x".repeat(257)), "user-id"),
        ("UserId", json!("a\u{0}"), "user-id"),
        ("ApiToken", json!("x".repeat(513)), "api-token"),
    ] {
        let problem = registrations(&with(name, value), Many::One).unwrap_err();
        assert_eq!(first(&problem), (name, rule));
    }
    assert!(registrations(&with("UserId", json!("ü".repeat(256))), Many::One).is_ok());
    assert!(registrations(&with("ApiToken", json!("ü".repeat(512))), Many::One).is_ok());
    assert!(registrations(&with("ApnsDeviceToken", json!("x".repeat(9_000))), Many::One).is_ok());
    assert!(registrations(&with("MobileAppId", json!(format!("{{{APP}}}"))), Many::One).is_ok());
}

#[test]
fn all_faults_of_a_batch_are_told_with_the_items_index() {
    let batch = json!([registration(), with("UserId", json!(1)), 7, without("ApiToken")]);
    let problem = registrations(&batch, Many::Array).unwrap_err();
    let errors = problem["errors"].as_array().unwrap();
    let told: Vec<_> = errors.iter().map(|e| (e["index"].as_u64().unwrap(), first(e))).collect();
    assert_eq!(
        told,
        [
            (1, ("UserId", "string-expected")),
            (2, ("-", "object-expected")),
            (3, ("ApiToken", "required"))
        ]
    );
    assert_eq!(problem["index"], 1);
    assert_eq!(problem["status"], 400);
    assert_eq!(problem["type"], "urn:pushroll:problem:string-expected");
}

#[test]
fn a_problem_never_repeats_a_value_of_the_caller() {
    let body = json!({
        "MobileAppId": "hunter2-app", "UserId": "hunter2\n", "ApiToken": "hunter2".repeat(100),
        "ApnsDeviceToken": "hunter2", "FcmDeviceToken": "hunter2",
    });
    let problem = registrations(&body, Many::One).unwrap_err();
    assert_eq!(problem["errors"].as_array().unwrap().len(), 4);
    assert!(!problem.to_string().contains("hunter2"), "{problem}");
}

fn query(body: &Json) -> Result<items::StatusQuery, Json> {
    let mut faults = Faults::default();
    let text = body.to_string();
    let query = json::read(text.as_bytes(), Many::One, &items::STATUS_QUERY, &mut faults).pop();
    if faults.is_empty() { Ok(query.unwrap()) } else { Err(document(faults)) }
}

#[test]
fn a_status_query_has_1_to_1000_guids() {
    let body =
        |ids: Json| json!({ "registrationRequestIds": ids, "MobileAppId": APP, "ApiToken": "t" });
    assert_eq!(query(&body(json!(vec![APP; 1000]))).ok().unwrap().ids.len(), 1000);
    for (ids, rule) in [
        (json!([]), "item-count"),
        (json!(vec![APP; 1001]), "item-count"),
        (json!(APP), "array-expected"),
        (json!({}), "array-expected"),
        (Json::Null, "required"),
        (json!([APP, "x"]), "guid"),
        (json!([APP, null]), "guid"),
        (json!([1]), "guid"),
        (json!([[APP]]), "guid"),
    ] {
        let problem = query(&body(ids)).err().unwrap();
        assert_eq!(first(&problem), ("RegistrationRequestIds", rule));
    }
}

#[test]
fn a_cleanup_without_a_device_token_is_for_all_devices() {
    let cleanup = |body: &Json| {
        let mut faults = Faults::default();
        let text = body.to_string();
        let item = json::read(text.as_bytes(), Many::One, &items::CLEANUP, &mut faults).pop();
        faults.is_empty().then(|| item.unwrap().device_token)
    };
    let body = json!({ "MobileAppId": APP, "ApiToken": "t", "UserId": "me" });
    assert_eq!(cleanup(&body), Some(None));
    for (value, expected) in [
        (Json::Null, Some(None)),
        (json!(""), Some(None)),
        (json!("ABc"), Some(Some("ABc".to_owned()))),
        (json!(5), None),
    ] {
        let mut body = body.clone();
        body["DeviceToken"] = value;
        assert_eq!(cleanup(&body), expected, "{body}");
    }
}

/// Refuses loopback addresses.
struct NoLoopback;

#[async_trait::async_trait]
impl CallbackSender for NoLoopback {
    async fn send(&self, _: Callback) -> CallbackAnswer {
        let result = CallbackResult::Attempted;
        CallbackAnswer { result, retry_after: None, is_hopeless: true }
    }

    fn refuses_address(&self, address: IpAddr) -> Option<String> {
        address.is_loopback().then(|| "the address is a loopback address".to_owned())
    }
}

fn options(headers: &[(&'static str, &[u8])], allow_http: bool) -> Result<RegisterOptions, Json> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
    }
    let mut faults = Faults::default();
    let options = headers::read(
        &map,
        &CallbackRules { allow_http, sender: Arc::new(NoLoopback) },
        &mut faults,
    );
    if faults.is_empty() { Ok(options) } else { Err(document(faults)) }
}

const URL: &str = "x-ms-callback-url";
const STATUS_URL: &str = "x-ms-status-callback-url";
const HEADERS: &str = "x-ms-callback-url-headers";
const TRACK: &str = "x-ms-track-registration";

#[test]
fn tracking_is_true_or_false_in_any_case_and_absent_or_empty_is_false() {
    for (value, tracked) in [("true", true), ("TRUE", true), ("False", false), ("", false)] {
        assert_eq!(
            options(&[(TRACK, value.as_bytes())], false).unwrap().tracked,
            tracked,
            "{value}"
        );
    }
    assert!(!options(&[], false).unwrap().tracked);
    for value in ["1", "yes", "true, true", "tru e"] {
        let problem = options(&[(TRACK, value.as_bytes())], false).unwrap_err();
        assert_eq!(first(&problem), (TRACK, "track-registration"), "{value}");
    }
    let problem = options(&[(TRACK, b"true"), (TRACK, b"false")], false).unwrap_err();
    assert_eq!(first(&problem), (TRACK, "header-conflict"));
}

#[test]
fn the_callback_url_has_two_names_and_one_value() {
    let url = b"https://Example.com/A?b#c";
    for headers in [
        vec![(URL, &url[..])],
        vec![(STATUS_URL, url)],
        vec![(URL, url), (STATUS_URL, url)],
        vec![(URL, b""), (STATUS_URL, url)],
    ] {
        let callback = options(&headers, false).unwrap().callback.unwrap();
        assert_eq!(callback.url.as_bytes(), url);
    }
    for headers in [
        [(URL, &url[..]), (STATUS_URL, b"https://example.com/A?b#c")],
        [(URL, url), (URL, b"https://x.example")],
    ] {
        let problem = options(&headers, false).unwrap_err();
        assert_eq!(first(&problem), (URL, "header-conflict"));
        assert!(!problem.to_string().contains("xample"), "{problem}");
    }
    assert!(options(&[(URL, b"")], false).unwrap().callback.is_none());
}

#[test]
fn a_callback_url_that_is_not_allowed_is_told() {
    let long = format!("https://example.com/{}", "x".repeat(2048));
    for (url, rule) in [
        ("http://example.com/", "callback-url"),
        ("example.com", "callback-url"),
        ("https://user:secret@example.com/", "callback-url"),
        (long.as_str(), "callback-url"),
        ("https://127.0.0.1/", "callback-address"),
        ("https://0x7f.1/", "callback-address"),
        ("https://[::1]:8443/", "callback-address"),
    ] {
        let problem = options(&[(URL, url.as_bytes())], false).unwrap_err();
        assert_eq!(first(&problem), (URL, rule), "{url}");
        assert!(!problem.to_string().contains("secret"), "{problem}");
    }
    assert!(options(&[(URL, b"http://example.com/")], true).is_ok());
}

#[test]
fn callback_headers_are_read_only_when_a_callback_url_is_given() {
    assert!(options(&[(HEADERS, b"not json")], false).unwrap().callback.is_none());
    let url = (URL, &b"https://example.com"[..]);
    let problem = options(&[url, (HEADERS, b"not json")], false).unwrap_err();
    assert_eq!(first(&problem), (HEADERS, "callback-headers"));
    let problem = options(&[url, (HEADERS, br#"{"Host": "hunter2"}"#)], false).unwrap_err();
    assert!(!problem.to_string().contains("hunter2"), "{problem}");
    let given = options(&[url, (HEADERS, br#"{"X-A": "1", "X-B": "2"}"#)], false).unwrap();
    assert_eq!(given.callback.unwrap().headers.unwrap().len(), 2);
    let given = options(&[url, (HEADERS, b"{\"X-A\":\t\"1\"}")], false).unwrap();
    assert_eq!(given.callback.unwrap().headers.unwrap().len(), 1, "a tab is as good as a space");
    let problem = options(&[url, (HEADERS, b"{\"X-A\": \"\xc2\x85\"}")], false).unwrap_err();
    assert_eq!(first(&problem), (HEADERS, "header-text"));
    for empty in [&b""[..], b"{}"] {
        assert!(
            options(&[url, (HEADERS, empty)], false).unwrap().callback.unwrap().headers.is_none()
        );
    }
}

#[test]
fn a_header_that_is_not_text_is_told() {
    for value in [&b"https://example.com/\xff"[..], b"https://exa\tmple.com/"] {
        let problem = options(&[(URL, value)], false).unwrap_err();
        assert_eq!(first(&problem), (URL, "header-text"));
    }
    assert!(options(&[(URL, "https://example.com/ü".as_bytes())], false).is_ok());
}

#[test]
fn an_organization_id_is_a_guid_in_any_form() {
    for segment in [
        APP,
        "{00aa00aa-bb11-cc22-dd33-44ee44ee44ee}",
        "%7B00aa00aa-bb11-cc22-dd33-44ee44ee44ee%7d",
    ] {
        let mut faults = Faults::default();
        assert_eq!(org_id(segment, &mut faults).unwrap().to_string(), APP.to_lowercase());
    }
    for segment in ["", "%", "x", "00aa00aabb11cc22dd3344ee44ee44ee"] {
        let mut faults = Faults::default();
        assert!(org_id(segment, &mut faults).is_none());
        assert_eq!(first(&document(faults)), ("orgId", "guid"), "{segment}");
    }
}

#[test]
fn answers_are_json_as_the_page_writes_it() {
    let id = RegistrationId::parse(APP).unwrap();
    let read = |bytes: Vec<u8>| serde_json::from_slice::<Json>(&bytes).unwrap();
    let one = json!({ "RegistrationRequestId": APP.to_lowercase() });
    assert_eq!(read(registration_ids(&[id], false)), one);
    assert_eq!(read(registration_ids(&[id], true)), json!([one]));
    assert_eq!(read(registration_ids(&[id, id], true)), json!([one, one]));
    let failed = FailureReason::ALL.map(|reason| Status::Ended(Outcome::Failed(reason)));
    let all = [&[Status::Pending, Status::Ended(Outcome::Success)], &failed[..]].concat();
    assert_eq!(
        read(status_list(&all)),
        json!([
            { "Status": "Pending", "FailureReason": null },
            { "Status": "Success", "FailureReason": null },
            { "Status": "Failed", "FailureReason": "DuplicateExists" },
            { "Status": "Failed", "FailureReason": "DryRunSendingFailed" },
            { "Status": "Failed", "FailureReason": "DeviceTokenTooLong" },
            { "Status": "Failed", "FailureReason": "FailedToStoreDevice" },
            { "Status": "Failed", "FailureReason": "ApiTokenNotValid" },
        ])
    );
    assert_eq!(status_list(&[]), b"[]");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_header_is_too_strange(values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 4)) {
        let mut map = HeaderMap::new();
        for (name, value) in [TRACK, URL, STATUS_URL, HEADERS].into_iter().zip(&values) {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                map.append(name, value);
            }
        }
        let rules = CallbackRules { allow_http: true, sender: Arc::new(NoLoopback) };
        headers::read(&map, &rules, &mut Faults::default());
    }

    #[test]
    fn any_form_that_is_right_is_accepted(
        user in "[^\\p{Cc}]{1,256}",
        token in "(?s).{1,512}",
        device in "(?s).{1,100}",
        is_ios in any::<bool>(),
    ) {
        let field = if is_ios { "apnsDEVICEtoken" } else { "fcmDEVICEtoken" };
        let body = json!({ "mobileappid": APP, "USERID": user, "apiToken": token, field: device, "more": [{}] });
        let items = registrations(&json!([body]), Many::Array).unwrap();
        prop_assert_eq!(items[0].token.reveal(), token);
        prop_assert_eq!(items[0].device.platform() == Platform::Ios, is_ios);
    }
}
