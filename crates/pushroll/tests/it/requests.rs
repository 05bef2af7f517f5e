//! The rules that hold for every call: paths, bodies, ids, problem documents.

use http::Method;
use pushroll_testkit::{
    Status, TestApp, Wire, a_device, an_app, first_12_bits_of_rand_a, user_bits,
};
use serde_json::{Value, json};
use uuid::Uuid;

/// Every call with a body that is right.
fn every_call(app: &TestApp) -> Vec<(&'static str, Value, u16)> {
    let phone = a_device().build();
    let cleanup = app.cleanup_body(&phone.user, None);
    let query = json!({
        "RegistrationRequestIds": [Uuid::nil()],
        "MobileAppId": app.id,
        "ApiToken": app.token,
    });
    vec![
        ("devices", phone.body(app), 202),
        ("devices/batch", json!([phone.body(app)]), 202),
        ("devices/status", query, 200),
        ("devices/cleanup", cleanup.clone(), 202),
        ("devices/cleanup/batch", json!([cleanup]), 202),
    ]
}

#[tokio::test]
async fn a_trailing_slash_is_accepted_on_every_path() {
    let app = an_app().await;
    for (call, body, status) in every_call(&app) {
        for call in [call.to_owned(), format!("{call}/")] {
            assert_eq!(app.post(&call, &body).await.status, status, "{call}");
        }
    }
}

#[tokio::test]
async fn http_2_in_clear_text_is_served_beside_http_1() {
    let app = an_app().await;
    for (call, body, status) in every_call(&app) {
        assert_eq!(app.post(call, &body).over_http2().await.status, status, "{call}");
    }
}

#[tokio::test]
async fn property_names_match_without_regard_to_letter_case() {
    let app = an_app().await;
    let phone = a_device().build();
    let body = json!({
        "mobileAppId": app.id,
        "USERID": phone.user,
        "apitoken": app.token,
        "apnsDEVICEtoken": phone.token,
    });
    let id = app.post("devices", &body).tracked().await.registration_id();
    assert_eq!(app.status_of_id(&id).await, Status::Success);
}

#[tokio::test]
async fn unknown_properties_are_ignored() {
    let app = an_app().await;
    let phone = a_device().build();
    let body = phone.body(&app).to_string();
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let unknown = format!(
        r#""Platform":"ios","Extra":{{"UserId":[1,{{"ApiToken":null}}],"UserID":2}},"Deep":{deep}"#
    );
    let body = format!("{{{unknown},{}", body.strip_prefix('{').unwrap());
    let request = app.client().request(Method::POST, &app.path("devices")).body(body);
    let id = request.tracked().await.registration_id();
    assert_eq!(app.status_of_id(&id).await, Status::Success);
    assert_eq!(app.devices_of(&phone.user).await.len(), 1);
}

#[tokio::test]
async fn a_property_given_twice_in_whatever_case_is_an_error() {
    let app = an_app().await;
    let whole = a_device().build().body(&app).to_string();
    let rest = whole.strip_prefix('{').unwrap();
    for twice in [r#""UserId":"x""#, r#""userid":"x""#, r#""UserId":null"#, r#""a":1,"A":1"#] {
        let problem = app
            .client()
            .request(Method::POST, &app.path("devices"))
            .body(format!("{{{twice},{rest}"))
            .await
            .problem(400);
        assert_eq!(problem.rule(), "duplicate-property", "{twice}");
        assert!(problem.field().is_some(), "{twice}");
    }
}

#[tokio::test]
async fn a_content_type_may_carry_a_charset_or_be_absent() {
    let app = an_app().await;
    let request = || app.register(&a_device().build());
    for good in ["application/json; charset=utf-8", "application/json;charset=UTF-8", "text/json"] {
        assert_eq!(request().header("content-type", good).await.status, 202, "{good}");
    }
    assert_eq!(request().without_a_content_type().await.status, 202);
}

#[tokio::test]
async fn a_type_that_is_not_json_is_refused() {
    let app = an_app().await;
    for (call, body, _) in every_call(&app) {
        for bad in ["text/plain", "application/xml", "application/x-www-form-urlencoded"] {
            let answer = app.post(call, &body).header("content-type", bad).await;
            assert_eq!(answer.problem(400).field(), Some("Content-Type"), "{call} {bad}");
        }
    }
}

#[tokio::test]
async fn an_optional_property_that_is_null_or_empty_is_absent() {
    let app = an_app().await;
    for absent in [json!(null), json!("")] {
        let phone = a_device().build();
        let mut body = phone.body(&app);
        body["FcmDeviceToken"] = absent.clone();
        let id = app.post("devices", &body).tracked().await.registration_id();
        assert_eq!(app.status_of_id(&id).await, Status::Success, "{absent}");

        let mut body = app.cleanup_body(&phone.user, None);
        body["DeviceToken"] = absent.clone();
        app.post("devices/cleanup", &body).await.is_empty_202();
        assert!(app.devices_of(&phone.user).await.is_empty(), "{absent}");
    }
}

#[tokio::test]
async fn an_empty_header_is_an_absent_one() {
    let app = an_app().await;
    let answer = app
        .register(&a_device().build())
        .header("x-ms-track-registration", "")
        .header("x-ms-callback-url", "")
        .header("x-ms-status-callback-url", "")
        .header("x-ms-callback-url-headers", "not JSON, and not read")
        .await;
    answer.is_empty_202();
}

#[tokio::test]
async fn a_guid_is_read_in_any_letter_case_with_or_without_braces() {
    let app = an_app().await;
    type Write = fn(&str) -> String;
    let upper: Write = |id| id.to_uppercase();
    let braced: Write = |id| format!("{{{id}}}");
    let encoded: Write = |id| format!("%7B{}%7d", id.to_uppercase());
    for (in_body, in_path) in [(upper, upper), (braced, encoded)] {
        let path = format!("/api/v1.0/orgs/{}/pushdeviceregistration/devices", in_path(&app.org));
        let mut body = a_device().build().body(&app);
        body["MobileAppId"] = json!(in_body(&app.id));
        let id = app.client().post(&path, &body).tracked().await.registration_id();
        assert_eq!(app.status_of_id(&in_body(&id)).await, Status::Success, "{path}");
    }
}

#[tokio::test]
async fn a_guid_is_written_in_lower_case_with_hyphens() {
    let app = an_app().await;
    let phone = a_device().of_user("{00AA00AA-BB11-CC22-DD33-44EE44EE44EE}").stored(&app).await;
    for id in [&phone.id, &app.org, &app.id] {
        let uuid = Uuid::parse_str(id).unwrap();
        assert_eq!(*id, uuid.hyphenated().to_string());
    }
    let devices = app.devices_of(&phone.user).await;
    assert_eq!(devices[0]["user_id"], "00aa00aa-bb11-cc22-dd33-44ee44ee44ee");
}

#[tokio::test]
async fn anything_but_a_guid_is_refused_where_one_is_expected() {
    let app = an_app().await;
    for bad in [
        "00aa00aabb11cc22dd3344ee44ee44ee",
        "00aa00aa-bb11-cc22-dd33-44ee44ee44e",
        "00aa00aa-bb11-cc22-dd33-44ee44ee44eeg",
        "g0aa00aa-bb11-cc22-dd33-44ee44ee44ee",
        "{00aa00aa-bb11-cc22-dd33-44ee44ee44ee",
        "(00aa00aa-bb11-cc22-dd33-44ee44ee44ee)",
        "urn:uuid:00aa00aa-bb11-cc22-dd33-44ee44ee44ee",
        " 00aa00aa-bb11-cc22-dd33-44ee44ee44ee",
        "00aa-00aabb11-cc22-dd33-44ee44ee44ee",
    ] {
        let mut body = a_device().build().body(&app);
        body["MobileAppId"] = json!(bad);
        let problem = app.post("devices", &body).await.problem(400);
        assert_eq!((problem.field(), problem.rule()), (Some("MobileAppId"), "guid"), "{bad}");
    }
    let path = "/api/v1.0/orgs/contoso/pushdeviceregistration/devices";
    let answer = app.client().post(path, &a_device().build().body(&app)).await;
    assert_eq!(answer.problem(400).field(), Some("orgId"));
}

#[tokio::test]
async fn a_wrong_form_is_answered_with_a_problem_that_names_field_rule_and_what_was_expected() {
    let app = an_app().await;
    let mut body = a_device().build().body(&app);
    body["UserId"] = json!("tab\there");
    let problem = app.post("devices", &body).await.problem(400);
    assert_eq!(problem.field(), Some("UserId"));
    assert_eq!(problem.rule(), "user-id");
    assert!(problem.expected().unwrap().contains("256"));
    assert_eq!(problem.index(), None);
}

#[tokio::test]
async fn the_problem_of_a_batch_names_the_items_index() {
    let app = an_app().await;
    let mut items = vec![json!(null); 5];
    items.fill_with(|| a_device().build().body(&app));
    items[3]["ApiToken"] = json!("");
    let problem = app.post("devices/batch", &json!(items)).await.problem(400);
    assert_eq!((problem.field(), problem.index()), (Some("ApiToken"), Some(3)));
    items[3] = json!("not an object");
    let problem = app.post("devices/batch", &json!(items)).await.problem(400);
    assert_eq!(problem.index(), Some(3));
}

#[tokio::test]
async fn a_batch_with_one_bad_item_is_refused_as_a_whole_and_nothing_of_it_is_kept() {
    let app = an_app().await;
    let good: Vec<_> = (0..9).map(|_| a_device().on_android().build()).collect();
    let mut items: Vec<Value> = good.iter().map(|phone| phone.body(&app)).collect();
    items.push(json!({"MobileAppId": app.id}));
    let answer = app.post("devices/batch", &json!(items)).tracked().await;
    assert_eq!(answer.problem(400).index(), Some(9));
    // What comes after it in the same lane has ended, so nothing of it is still to come.
    a_device().on_android().stored(&app).await;
    for phone in &good {
        assert!(app.registrations_of(&phone.user).await.is_empty());
        assert_eq!(app.dry_runs_of(phone), 0);
    }
}

#[tokio::test]
async fn a_problem_document_does_not_repeat_a_secret() {
    let app = an_app().await;
    let mut body = a_device().build().body(&app);
    body["ApiToken"] = json!("secret-".repeat(80));
    body["ApnsDeviceToken"] = json!(["secret-device-token"]);
    let answer = app
        .post("devices", &body)
        .header("x-ms-callback-url", "https://user:secret-password@example.com/")
        .await;
    let document = answer.problem(400).document.to_string();
    assert!(!document.contains("secret-"), "{document}");
}

#[tokio::test]
async fn an_unknown_path_is_404() {
    let app = an_app().await;
    for target in [
        "/".to_owned(),
        "/api/v1.0".to_owned(),
        app.path("device"),
        app.path("devices/batch/more"),
        app.path("devices//"),
        app.path("devices").replace("v1.0", "v2.0"),
        "/admin/v1/nothing".to_owned(),
    ] {
        let answer = app.client().post(&target, &json!({})).bearer(app.admin_token()).await;
        let _ = answer.problem(404);
    }
}

#[tokio::test]
async fn a_wrong_method_is_405_and_names_those_that_are_allowed() {
    let app = an_app().await;
    for (call, body, _) in every_call(&app) {
        for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
            let request = app.client().request(method.clone(), &app.path(call)).json(&body);
            let answer = request.await;
            let _ = answer.problem(405);
            assert_eq!(answer.header("allow"), Some("POST"), "{method} {call}");
        }
    }
}

#[tokio::test]
async fn a_body_over_1_mib_is_413_over_http_1_and_2() {
    let app = an_app().await;
    let phone = a_device().build().body(&app).to_string();
    let most = 1024 * 1024;
    let just = format!("{phone}{}", " ".repeat(most - phone.len()));
    let over = format!("{just} ");
    let send =
        |body: &str| app.client().request(Method::POST, &app.path("devices")).body(body.to_owned());
    assert_eq!(send(&just).await.status, 202);
    let _ = send(&over).await.problem(413);
    let _ = send(&over).over_http2().await.problem(413);
}

#[tokio::test]
async fn an_over_long_body_is_read_and_thrown_away_so_that_the_client_sees_the_answer() {
    let app = an_app().await;
    let length = 8 * 1024 * 1024;
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n",
        app.path("devices")
    );
    let mut wire = Wire::to(app.client().address()).await;
    assert!(wire.write(head).await);
    assert!(wire.write(vec![b' '; length]).await, "hung up on before the whole was sent");
    let head = wire.read_head().await;
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
}

#[tokio::test]
async fn a_body_without_a_declared_length_is_cut_off_at_the_limit_too() {
    let app = an_app().await;
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
        app.path("devices")
    );
    let mut wire = Wire::to(app.client().address()).await;
    assert!(wire.write(head).await);
    for _ in 0..2 * 1024 {
        assert!(wire.write(format!("400\r\n{}\r\n", " ".repeat(1024))).await);
    }
    let head = wire.read_head().await;
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused() {
    let app = an_app().await;
    let good = a_device().build().body(&app).to_string();
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let bodies: [(&str, Vec<u8>); 11] = [
        ("nothing", b"".to_vec()),
        ("white space", b" \r\n\t".to_vec()),
        ("a word", b"hello".to_vec()),
        ("cut off", good.as_bytes()[..good.len() - 1].to_vec()),
        ("something behind it", format!("{good} x").into_bytes()),
        ("two objects", format!("{good}{good}").into_bytes()),
        ("a comma too many", good.replace('}', ",}").into_bytes()),
        ("single quotes", good.replace('"', "'").into_bytes()),
        ("no UTF-8", [good.as_bytes(), b" \xff"].concat()),
        ("UTF-16", good.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("deep arrays", deep.into_bytes()),
    ];
    for (what, body) in bodies {
        let request = app.client().request(Method::POST, &app.path("devices")).body(body);
        let problem = request.await.problem(400);
        assert!(problem.field().is_none(), "{what}: {}", problem.document);
    }
}

#[tokio::test]
async fn a_value_of_the_wrong_type_is_refused() {
    let app = an_app().await;
    for field in ["MobileAppId", "UserId", "ApiToken", "ApnsDeviceToken"] {
        for wrong in [json!(1), json!(true), json!([]), json!({}), json!(["x"])] {
            let mut body = a_device().build().body(&app);
            body[field] = wrong.clone();
            let problem = app.post("devices", &body).await.problem(400);
            assert_eq!(problem.field(), Some(field), "{wrong}");
        }
    }
    for wrong in [json!(null), json!(1), json!("x"), json!([])] {
        let _ = app.post("devices", &wrong).await.problem(400);
    }
}

#[tokio::test]
async fn an_id_is_a_uuid_v7_whose_rand_a_is_12_bits_of_app_and_normalized_user() {
    let app = an_app().await;
    for (user, normalized) in [
        ("{00AA00AA-BB11-CC22-DD33-44EE44EE44EE}", "00aa00aa-bb11-cc22-dd33-44ee44ee44ee"),
        ("profile-1", "profile-1"),
        (" Jürgen ", " Jürgen "),
    ] {
        let phone = a_device().of_user(user).registered(&app).await;
        assert_eq!(first_12_bits_of_rand_a(&phone.id), user_bits(&app.id, normalized), "{user}");
        let id = Uuid::parse_str(&phone.id).unwrap();
        assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
    }
    for id in [&app.org, &app.id, &app.token_id] {
        assert_eq!(Uuid::parse_str(id).unwrap().get_version_num(), 7);
    }
}

#[tokio::test]
async fn an_empty_body_is_really_empty() {
    let app = an_app().await;
    let body = a_device().build().body(&app).to_string();
    let mut wire = Wire::to(app.client().address()).await;
    let request = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        app.path("devices"),
        body.len()
    );
    assert!(wire.write(request).await);
    let answer = String::from_utf8(wire.read_to_end().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    assert!(answer.to_lowercase().contains("\r\ncontent-length: 0\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");

    app.register(&a_device().build()).over_http2().await.is_empty_202();
}
