use std::borrow::Cow;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

/// What a test reads: three texts, as they were given.
type Read = (Option<String>, Option<String>, bool);

const SHAPE: Shape<Read, 3> = Shape {
    properties: [Property::text("MobileAppId"), Property::text("UserId"), Property::ids("Ids")],
    build: |[app, user, ids], _, _| Some((text(app), text(user), matches!(ids, Slot::Ids(_)))),
};

fn text(slot: Slot<'_>) -> Option<String> {
    match slot {
        Slot::Text(text) => Some(text.into_owned()),
        Slot::Absent | Slot::Ids(_) | Slot::Other(_) => None,
    }
}

fn reading(body: impl AsRef<[u8]>, many: Many) -> Result<Vec<Read>, Json> {
    let mut faults = Faults::default();
    let items = read(body.as_ref(), many, &SHAPE, &mut faults);
    if faults.is_empty() { Ok(items) } else { Err(document(faults)) }
}

fn document(faults: Faults) -> Json {
    let reply = faults.into_problem().into_reply();
    let body = reply.into_body();
    let bytes = futures_util::FutureExt::now_or_never(http_body_util::BodyExt::collect(body));
    serde_json::from_slice(&bytes.unwrap().unwrap().to_bytes()).unwrap()
}

fn rule(body: impl AsRef<[u8]>, many: Many) -> String {
    reading(body, many).unwrap_err()["rule"].as_str().unwrap().to_owned()
}

#[test]
fn property_names_match_without_regard_to_letter_case() {
    for name in ["UserId", "userId", "USERID", "uSeRiD"] {
        let body = format!(r#"{{"{name}": "me"}}"#);
        assert_eq!(reading(body, Many::One).unwrap()[0].1.as_deref(), Some("me"), "{name}");
    }
    let escaped = r#"{"\u0055ser\u0049d": "me"}"#;
    assert_eq!(reading(escaped, Many::One).unwrap()[0].1.as_deref(), Some("me"));
}

#[test]
fn unknown_properties_are_ignored_at_any_depth() {
    let deep = 100_000;
    let body = format!(
        r#"{{"x": {}{}, "y": {{"UserId": "not me", "UserId": 1}}, "UserId": "me", "z": 1e400}}"#,
        "[".repeat(deep),
        "]".repeat(deep)
    );
    assert_eq!(reading(body, Many::One).unwrap()[0].1.as_deref(), Some("me"));
}

#[test]
fn a_property_given_twice_in_whatever_case_is_a_fault_known_or_not() {
    for (body, field) in [
        (r#"{"UserId": "a", "UserId": "a"}"#, "UserId"),
        (r#"{"UserId": "a", "userid": null}"#, "UserId"),
        (r#"{"other": 1, "Other": 2}"#, "Other"),
        (r#"{"größe": 1, "GRÖSSE": 2, "GRÖßE": 3}"#, "GRÖßE"),
        (r#"{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"J":1,"j":1}"#, "j"),
        (r#"{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"A":1}"#, "A"),
    ] {
        let problem = reading(body, Many::One).unwrap_err();
        assert_eq!(problem["rule"], "duplicate-property", "{body}");
        assert_eq!(problem["field"], field, "{body}");
    }
    let in_item = reading(r#"[{}, {"UserId": "a", "USERID": "a"}]"#, Many::Array).unwrap_err();
    assert_eq!(in_item["index"], 1);
}

#[test]
fn many_faults_are_counted_and_twenty_of_them_told() {
    let members = r#""x": 1,"#.repeat(5_000);
    let problem = reading(format!(r#"{{{members}"x": 1}}"#), Many::One).unwrap_err();
    assert_eq!(problem["errors"].as_array().unwrap().len(), 20);
    assert!(problem["detail"].as_str().unwrap().contains("4980 more"), "{problem}");
}

#[test]
fn null_is_as_good_as_absent() {
    assert_eq!(reading(r#"{"UserId": null}"#, Many::One).unwrap(), [(None, None, false)]);
}

#[test]
fn what_is_not_json_is_told_with_its_place() {
    for body in [
        r#"{"UserId": "a""#,
        r#"{"UserId": "a"} x"#,
        r#"{"UserId": "a",}"#,
        r#"{"UserId": 01}"#,
        r#"{"UserId": 1e999999999}"#,
        r#"{"UserId": "\ud800"}"#,
        r#"{"\udc00": 1}"#,
        r#"{"UserId": tru}"#,
        "{\"UserId\": \"a\nb\"}",
        "{}{}",
        "nul",
        "'x'",
        "<xml/>",
    ] {
        let problem = reading(body, Many::One).unwrap_err();
        assert_eq!(problem["rule"], "json", "{body}");
        assert!(
            problem["detail"].as_str().unwrap().contains("line 1 column")
                || problem["detail"].as_str().unwrap().contains("line 2 column"),
            "{problem}"
        );
    }
}

#[test]
fn an_empty_body_is_told() {
    for body in ["", "  \r\n", "\u{feff}"] {
        let problem = reading(body, Many::One).unwrap_err();
        assert_eq!(
            (problem["rule"].as_str(), problem["detail"].as_str()),
            (Some("json"), Some("The body is empty."))
        );
    }
}

#[test]
fn a_body_that_is_not_utf_8_is_told_even_in_what_is_ignored() {
    for body in [&b"{\"x\": \"\xff\"}"[..], b"\xff\xfe{\x00}\x00", b"{\"UserId\": \"\xc3\"}"] {
        assert_eq!(rule(body, Many::One), "utf-8");
    }
}

#[test]
fn a_byte_order_mark_is_skipped() {
    assert!(reading("\u{feff}{}", Many::One).is_ok());
}

#[test]
fn a_body_or_item_of_another_type_is_told() {
    for body in ["[]", "null", "true", "1", "-1", "1.5", r#""x""#, r#""\u0041""#] {
        assert_eq!(rule(body, Many::One), "object-expected", "{body}");
    }
    for body in ["{}", "null", "1"] {
        assert_eq!(rule(body, Many::Array), "array-expected", "{body}");
    }
    for item in ["null", "[]", "1", "true", r#""x""#] {
        let problem = reading(format!("[{{}}, {item}]"), Many::Array).unwrap_err();
        assert_eq!(problem["rule"], "object-expected", "{item}");
        assert_eq!(problem["index"], 1, "{item}");
    }
}

#[test]
fn a_batch_has_1_to_100_items() {
    let batch = |count: usize| format!("[{}]", vec!["{}"; count].join(","));
    for count in [1, 100] {
        assert_eq!(reading(batch(count), Many::Array).unwrap().len(), count);
        assert_eq!(reading(batch(count), Many::OneOrArray).unwrap().len(), count);
    }
    for count in [0, 101, 5_000] {
        let problem = reading(batch(count), Many::Array).unwrap_err();
        assert_eq!(problem["rule"], "item-count");
        assert_eq!(problem["detail"], format!("The body has {count} items."));
        assert!(problem["expected"].as_str().unwrap().contains("1 to 100"));
    }
}

#[test]
fn where_a_batch_is_expected_a_single_object_may_be_accepted() {
    assert_eq!(reading("{}", Many::OneOrArray).unwrap().len(), 1);
}

#[test]
fn ids_are_read_in_their_order_and_those_that_are_none_are_remembered_by_position() {
    let good = "00aa00aa-bb11-cc22-dd33-44ee44ee44ee";
    let mut list = IdList::default();
    for element in [Some(good), None, Some(good)] {
        list.push(element.map(|text| RegistrationId::parse(text).unwrap()));
    }
    assert_eq!((list.ids.len(), list.count, list.faulty.as_slice()), (2, 3, &[1][..]));
}

#[test]
fn ids_beyond_the_most_are_only_counted() {
    let id = RegistrationId::from_bytes([7; 16]);
    let mut list = IdList::default();
    for _ in 0..50_000 {
        list.push(Some(id));
        list.push(None);
    }
    assert!(list.ids.len() <= IdList::MOST && list.faulty.len() == Faults::MOST);
    assert_eq!(list.count, 100_000);
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        ".{0,12}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
            prop::collection::vec(("(?i:UserId|MobileAppId|Ids|[a-z]{1,3})", inner), 0..5)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for many in [Many::One, Many::Array, Many::OneOrArray] {
            let _ = reading(&bytes, many);
        }
    }

    #[test]
    fn no_json_is_too_strange(body in any_json()) {
        for many in [Many::One, Many::Array, Many::OneOrArray] {
            let _ = reading(body.to_string(), many);
        }
    }

    #[test]
    fn no_json_cut_short_is_read(body in any_json(), cut in any::<prop::sample::Index>()) {
        let text = body.to_string();
        prop_assume!(body.is_object() || body.is_array());
        let at = cut.index(text.len());
        if text.is_char_boundary(at) {
            prop_assert!(reading(&text[..at], Many::OneOrArray).is_err());
        }
    }

    #[test]
    fn letter_case_makes_no_difference(upper in prop::collection::vec(any::<bool>(), 6), value in ".{0,20}") {
        let name: String = "userid".chars().zip(upper).map(|(c, up)| if up { c.to_ascii_uppercase() } else { c }).collect();
        let items = reading(json!({ name: value }).to_string(), Many::One).unwrap();
        prop_assert_eq!(items[0].1.as_deref(), Some(value.as_str()));
    }

    #[test]
    fn a_duplicate_is_found_wherever_it_is(
        names in prop::collection::btree_set("[a-z]{1,6}", 1..30),
        pick in any::<prop::sample::Index>(),
    ) {
        let names: Vec<&String> = names.iter().collect();
        let twice = names[pick.index(names.len())].to_uppercase();
        let members: Vec<String> = names.iter().map(|name| format!("\"{name}\": 1")).collect();
        let body = format!("{{{}, \"{twice}\": 1}}", members.join(", "));
        prop_assert_eq!(rule(body, Many::One), "duplicate-property");
    }
}

#[test]
fn a_text_without_escapes_is_not_copied() {
    fn build(slots: [Slot<'_>; 1], _: Option<usize>, _: &mut Faults) -> Option<bool> {
        let [slot] = slots;
        Some(matches!(slot, Slot::Text(Cow::Borrowed(_))))
    }
    let shape = Shape { properties: [Property::text("UserId")], build };
    let mut faults = Faults::default();
    assert_eq!(read(br#"{"UserId": "me"}"#, Many::One, &shape, &mut faults), [true]);
    assert_eq!(read(br#"{"UserId": "m\u0065"}"#, Many::One, &shape, &mut faults), [false]);
}
