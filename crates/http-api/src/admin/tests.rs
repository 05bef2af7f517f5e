use http::Method;
use serde_json::{Value as Json, json};

use super::object::{Given, Object};
use super::*;

const ID: &str = "00aa00aa-bb11-cc22-dd33-44ee44ee44ee";

fn document(problem: Problem) -> (u16, Json, Option<String>) {
    let reply = problem.into_reply();
    let (status, allow) = (reply.status().as_u16(), reply.headers().get("allow").cloned());
    let body = http_body_util::BodyExt::collect(reply.into_body());
    let bytes = futures_util::FutureExt::now_or_never(body).unwrap().unwrap().to_bytes();
    let allow = allow.map(|allow| allow.to_str().unwrap().to_owned());
    (status, serde_json::from_slice(&bytes).unwrap(), allow)
}

#[test]
fn every_operation_has_its_path_and_method() {
    let app = format!("orgs/{ID}/apps/{ID}");
    for (method, path) in [
        (Method::POST, "orgs".to_owned()),
        (Method::GET, "orgs".to_owned()),
        (Method::GET, format!("orgs/{ID}")),
        (Method::POST, format!("orgs/%7B{ID}%7D/apps")),
        (Method::GET, format!("orgs/{ID}/apps")),
        (Method::GET, app.clone()),
        (Method::PATCH, app.clone()),
        (Method::DELETE, app.clone()),
        (Method::POST, format!("{app}/tokens")),
        (Method::GET, format!("{app}/tokens")),
        (Method::DELETE, format!("{app}/tokens/{ID}")),
        (Method::GET, format!("{app}/devices")),
        (Method::GET, format!("{app}/registrations")),
        (Method::GET, format!("{app}/registrations/{ID}")),
        (Method::GET, format!("{app}/developer-information")),
        (Method::GET, format!("{app}/health")),
        (Method::POST, format!("{app}/check")),
    ] {
        assert!(Operation::of(&method, &path).is_ok(), "{method} {path}");
    }
}

#[test]
fn another_method_is_405_with_those_that_are_allowed() {
    for (path, allow) in [
        ("orgs".to_owned(), "GET, POST"),
        (format!("orgs/{ID}"), "GET"),
        (format!("orgs/{ID}/apps/{ID}"), "GET, PATCH, DELETE"),
        (format!("orgs/{ID}/apps/{ID}/tokens/{ID}"), "DELETE"),
        (format!("orgs/{ID}/apps/{ID}/check"), "POST"),
    ] {
        for method in [Method::PUT, Method::OPTIONS, Method::HEAD] {
            let (status, _, told) = document(Operation::of(&method, &path).unwrap_err());
            assert_eq!((status, told.as_deref()), (405, Some(allow)), "{method} {path}");
        }
    }
}

#[test]
fn an_unknown_path_and_an_id_that_is_none_are_404() {
    for path in ["", "x", "orgs/", "orgs/x", "orgs/x/apps", "orgs//apps"] {
        let (status, ..) = document(Operation::of(&Method::GET, path).unwrap_err());
        assert_eq!(status, 404, "{path}");
    }
    for rest in ["x", "tokens/x", "registrations/x", "devices/x", "tokens/x/y"] {
        let path = format!("orgs/{ID}/apps/{ID}/{rest}");
        assert_eq!(document(Operation::of(&Method::GET, &path).unwrap_err()).0, 404, "{path}");
    }
}

fn faults(body: &str) -> Vec<(String, String)> {
    let mut faults = Faults::default();
    if let Some(app) = Object::of_body(body.as_bytes(), &["name", "ios"], &mut faults) {
        app.required_text("name", "a name", &mut faults);
        if let Given::Value(ios) = app.object("ios", &["mode", "key"], &mut faults)
            && let Given::Value(key) = ios.object("key", &["p8"], &mut faults)
        {
            key.required_text("p8", "a file", &mut faults);
        }
    }
    if faults.is_empty() {
        return Vec::new();
    }
    let (_, problem, _) = document(faults.into_problem());
    let field = |fault: &Json| fault["field"].as_str().unwrap_or("-").to_owned();
    let told = problem["errors"].as_array().unwrap().iter();
    told.map(|fault| (field(fault), fault["rule"].as_str().unwrap().to_owned())).collect()
}

#[test]
fn what_is_not_known_missing_given_twice_or_of_another_type_is_named_in_dotted_form() {
    for (body, field, rule) in [
        (json!({ "name": "x", "nmae": 1 }).to_string(), "nmae", "unknown-property"),
        (json!({ "name": "x", "Name": 1 }).to_string(), "Name", "unknown-property"),
        (json!({ "name": "x", "ios": { "mod": 1 } }).to_string(), "ios.mod", "unknown-property"),
        (json!({ "name": "x", "ios": { "key": {} } }).to_string(), "ios.key.p8", "required"),
        (
            json!({ "name": "x", "ios": { "key": { "p8": 5 } } }).to_string(),
            "ios.key.p8",
            "string-expected",
        ),
        (json!({ "name": "x", "ios": 5 }).to_string(), "ios", "object-expected"),
        (json!({ "name": "" }).to_string(), "name", "required"),
        (json!({ "name": null }).to_string(), "name", "required"),
        (r#"{"name": "x", "name": "y"}"#.to_owned(), "name", "duplicate-property"),
        (
            r#"{"name": "x", "ios": {"mode": 1, "mode": 2}}"#.to_owned(),
            "ios.mode",
            "duplicate-property",
        ),
        (r#"{"name": "\ud800"}"#.to_owned(), "name", "string-expected"),
        ("[]".to_owned(), "-", "object-expected"),
        ("null".to_owned(), "-", "object-expected"),
        ("{".to_owned(), "-", "json"),
        ("{} x".to_owned(), "-", "json"),
        (String::new(), "-", "json"),
    ] {
        assert_eq!(faults(&body), [(field.to_owned(), rule.to_owned())], "{body}");
    }
    assert_eq!(faults(r#"{"name": "x", "ios": null}"#), []);
}

#[test]
fn a_deep_body_does_not_end_the_process() {
    let deep = format!(r#"{{"name": "x", "ios": {}{}}}"#, "[".repeat(200_000), "]".repeat(200_000));
    assert_eq!(faults(&deep), [("ios".to_owned(), "object-expected".to_owned())]);
}

#[test]
fn a_file_of_json_is_taken_as_an_object_or_as_a_text() {
    let mut faults = Faults::default();
    let body = r#"{"a": {"type": "x", "n": 1e2}, "b": "{\"type\": \"x\"}", "c": 5}"#;
    let body = Object::of_body(body.as_bytes(), &["a", "b", "c"], &mut faults).unwrap();
    let mut file = |name| body.file(name, "a file", &mut faults);
    assert_eq!(file("a"), Given::Value(r#"{"type": "x", "n": 1e2}"#.to_owned()));
    assert_eq!(file("b"), Given::Value(r#"{"type": "x"}"#.to_owned()));
    assert_eq!(file("c"), Given::Faulty);
    assert_eq!(file("d"), Given::Absent);
}

#[test]
fn a_whole_number_may_be_written_in_every_way_that_json_has() {
    let mut faults = Faults::default();
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let body =
        br#"{"a": 60, "b": 60.0, "c": 6e1, "d": 60.5, "e": -60, "f": "60", "g": 1e400, "h": 99}"#;
    let body = Object::of_body(body, &names, &mut faults).unwrap();
    let mut whole = |name| body.whole(name, 0..=90, "a number", &mut faults);
    for name in ["a", "b", "c"] {
        assert_eq!(whole(name), Given::Value(60), "{name}");
    }
    for name in ["d", "e", "f", "g", "h"] {
        assert_eq!(whole(name), Given::Faulty, "{name}");
    }
}
