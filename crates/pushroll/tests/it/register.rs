//! Registration: fields, headers and answers.

use pushroll_domain::FailureReason::{ApiTokenNotValid, DryRunSendingFailed};
use pushroll_domain::Platform;
use pushroll_testkit::{Device, Fate, Receiver, Status, TestApp, a_device, an_app, eventually};
use serde_json::{Value, json};

#[tokio::test]
async fn without_tracking_the_answer_is_an_empty_202() {
    let app = an_app().await;
    app.register(&a_device().build()).await.is_empty_202();
    app.register_all(&[a_device().build(), a_device().build()]).await.is_empty_202();
}

#[tokio::test]
async fn with_tracking_the_answer_is_the_registrations_id() {
    let app = an_app().await;
    let answer = app.register(&a_device().build()).tracked().await;
    assert_eq!(answer.status, 202);
    let body = answer.json();
    assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["RegistrationRequestId"]);
    assert_eq!(app.status_of_id(&answer.registration_id()).await, Status::Success);
}

#[tokio::test]
async fn a_tracked_batch_is_answered_with_ids_in_request_order() {
    let app = an_app().await;
    let phones: Vec<Device> = (0..20).map(|_| a_device().on_android().build()).collect();
    let ids = app.register_all(&phones).tracked().await.registration_ids();
    assert_eq!(ids.len(), phones.len());
    for (id, phone) in ids.iter().zip(&phones) {
        assert_eq!(app.record_of(id).await["user_id"], phone.user.as_str());
    }
}

#[tokio::test]
async fn a_batch_of_100_items_may_differ_in_app_token_and_platform() {
    let shop = an_app().await;
    let bank = an_app().beside(&shop).await;
    let kinds: [(&TestApp, &str, Platform, Fate, Status); 5] = [
        (&shop, &shop.token, Platform::Ios, Fate::Accepted, Status::Success),
        (&bank, &bank.token, Platform::Android, Fate::Accepted, Status::Success),
        (&shop, &bank.token, Platform::Android, Fate::Accepted, Status::Failed(ApiTokenNotValid)),
        (&bank, &bank.token, Platform::Ios, Fate::Dead, Status::Failed(DryRunSendingFailed)),
        (&shop, "unknown", Platform::Ios, Fate::Accepted, Status::Pending),
    ];
    let items: Vec<Value> = (0..100)
        .map(|n| {
            let (app, token, platform, fate, _) = kinds[n % kinds.len()];
            a_device().on(platform).with_fate(fate).build().body_with(app, token)
        })
        .collect();
    let ids = shop.post("devices/batch", &json!(items)).tracked().await.registration_ids();
    assert_eq!(ids.len(), 100);
    for (n, id) in ids.iter().enumerate() {
        let (app, .., expected) = kinds[n % kinds.len()];
        if expected == Status::Pending {
            assert_eq!(app.status_now(id).await, expected, "item {n}");
        } else {
            assert_eq!(app.status_of_id(id).await, expected, "item {n}");
        }
    }
}

#[tokio::test]
async fn a_batch_has_1_to_100_items() {
    let app = an_app().await;
    let phones: Vec<Device> = (0..101).map(|_| a_device().on_android().build()).collect();
    app.register_all(&phones[..100]).await.is_empty_202();
    app.register_all(&phones[..1]).await.is_empty_202();
    assert_eq!(app.register_all(&phones).await.problem(400).rule(), "item-count");
    assert_eq!(app.register_all(&[]).await.problem(400).rule(), "item-count");
}

#[tokio::test]
async fn the_batch_takes_an_array_and_the_single_call_an_object() {
    let app = an_app().await;
    let phone = a_device().build().body(&app);
    assert_eq!(app.post("devices", &json!([phone])).await.problem(400).rule(), "object-expected");
    assert_eq!(app.post("devices/batch", &phone).await.problem(400).rule(), "array-expected");
}

#[tokio::test]
async fn tracking_is_true_or_false_in_any_case_and_anything_else_is_400() {
    let app = an_app().await;
    let with =
        |value: &str| app.register(&a_device().build()).header("x-ms-track-registration", value);
    for yes in ["true", "True", "TRUE"] {
        let _ = with(yes).await.registration_id();
    }
    for no in ["false", "False", "FALSE", ""] {
        with(no).await.is_empty_202();
    }
    for wrong in ["1", "yes", "truee", "true,true", "null"] {
        let problem = with(wrong).await.problem(400);
        assert_eq!(problem.field(), Some("x-ms-track-registration"), "{wrong}");
    }
}

#[tokio::test]
async fn every_required_field_is_asked_for() {
    let app = an_app().await;
    for field in ["MobileAppId", "UserId", "ApiToken"] {
        for missing in [None, Some(json!(null)), Some(json!(""))] {
            let mut body = a_device().build().body(&app);
            match missing {
                None => drop(body.as_object_mut().unwrap().remove(field)),
                Some(value) => body[field] = value,
            }
            let problem = app.post("devices", &body).await.problem(400);
            assert_eq!((problem.field(), problem.rule()), (Some(field), "required"));
        }
    }
}

#[tokio::test]
async fn a_user_id_has_1_to_256_characters_none_of_them_a_control_character() {
    let app = an_app().await;
    let with = |user: String| app.register(&a_device().of_user(user).build());
    for good in ["a".to_owned(), "ü".repeat(256), "😀".repeat(256)] {
        with(good).await.is_empty_202();
    }
    for wrong in ["ü".repeat(257), "a\nb".to_owned(), "\u{0}".to_owned(), "\u{85}".to_owned()] {
        assert_eq!(with(wrong).await.problem(400).field(), Some("UserId"));
    }
}

#[tokio::test]
async fn a_guid_for_a_user_is_normalized_and_any_other_profile_id_is_kept_byte_for_byte() {
    let app = an_app().await;
    let guid = "00AA00AA-BB11-CC22-DD33-44EE44EE44EE";
    a_device().of_user(guid).stored(&app).await;
    assert_eq!(app.devices_of(&guid.to_lowercase()).await.len(), 1);
    for user in [" A b ", "a b", "A B", "Ü", "U\u{308}", "00AA00AABB11CC22DD3344EE44EE44EE"] {
        a_device().of_user(user).stored(&app).await;
        let devices = app.devices_of(user).await;
        assert_eq!(devices.len(), 1, "{user:?}");
        assert_eq!(devices[0]["user_id"], user);
    }
}

#[tokio::test]
async fn an_api_token_has_1_to_512_characters() {
    let app = an_app().await;
    let with = |token: String| {
        let body = a_device().build().body_with(&app, &token);
        app.post("devices", &body)
    };
    with("ü".repeat(512)).await.is_empty_202();
    let problem = with("ü".repeat(513)).await.problem(400);
    assert_eq!((problem.field(), problem.rule()), (Some("ApiToken"), "api-token"));
}

#[tokio::test]
async fn exactly_one_device_token_is_needed() {
    let app = an_app().await;
    let (apns, fcm) = (a_device().on_ios().build(), a_device().on_android().build());
    let mut both = apns.body(&app);
    both["FcmDeviceToken"] = json!(fcm.token);
    let mut none = apns.body(&app);
    none.as_object_mut().unwrap().remove("ApnsDeviceToken");
    let mut empty = apns.body(&app);
    empty["ApnsDeviceToken"] = json!("");
    empty["FcmDeviceToken"] = json!(null);
    for body in [both, none, empty] {
        assert_eq!(app.post("devices", &body).await.problem(400).rule(), "exactly-one");
    }
}

#[tokio::test]
async fn both_names_of_the_callback_header_are_accepted() {
    let app = an_app().await;
    let receiver = Receiver::start().await;
    for name in ["x-ms-callback-url", "x-ms-status-callback-url"] {
        let url = receiver.url(&format!("/{name}"));
        app.register(&a_device().build()).header(name, &url).await.is_empty_202();
        receiver.callback_at(&format!("/{name}")).await;
    }
    let url = receiver.url("/both");
    let request = app.register(&a_device().build());
    let request = request.header("x-ms-callback-url", &url);
    request.header("x-ms-status-callback-url", &url).await.is_empty_202();
    receiver.callback_at("/both").await;
}

#[tokio::test]
async fn two_different_values_of_the_callback_header_are_refused() {
    let app = an_app().await;
    for other in ["x-ms-callback-url", "x-ms-status-callback-url"] {
        let request = app.register(&a_device().build());
        let request = request.header("x-ms-callback-url", "https://example.com/a");
        let problem = request.header(other, "https://example.com/b").await.problem(400);
        assert_eq!(problem.rule(), "header-conflict", "{other}");
    }
}

#[tokio::test]
async fn a_callback_url_is_absolute_of_at_most_2048_characters_and_without_user_info() {
    let app = an_app().await;
    let with = |url: &str| app.register(&a_device().build()).callback(url);
    let longest = format!("https://example.com/{}", "x".repeat(2048 - 20));
    with(&longest).await.is_empty_202();
    for wrong in [
        &format!("{longest}x"),
        "/path",
        "example.com/path",
        "//example.com/path",
        "https://",
        "ftp://example.com/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://exa mple.com/",
        "https://example.com:99999/",
        "https://[::1/",
    ] {
        let problem = with(wrong).await.problem(400);
        assert_eq!(problem.field(), Some("x-ms-callback-url"), "{wrong}");
        assert_eq!(problem.rule(), "callback-url", "{wrong}");
    }
}

/// What the header with the caller's headers is answered.
async fn with_headers(app: &TestApp, headers: &str) -> pushroll_testkit::Answer {
    let request = app.register(&a_device().build()).callback("https://example.com/");
    request.header("x-ms-callback-url-headers", headers).await
}

#[tokio::test]
async fn callback_headers_are_a_json_object_of_strings_with_at_most_20_entries_and_8_kib() {
    let app = an_app().await;
    let object = |count: usize, value: &str| {
        let entries = (0..count).map(|n| (format!("x-{n}"), json!(value)));
        Value::Object(entries.collect()).to_string()
    };
    let most_bytes = |length: usize| {
        let around = r#"{"x":""}"#.len();
        format!(r#"{{"x":"{}"}}"#, "v".repeat(length - around))
    };
    for good in ["{}".to_owned(), object(20, "v"), object(1, ""), most_bytes(8192)] {
        with_headers(&app, &good).await.is_empty_202();
    }
    for wrong in [
        object(21, "v"),
        most_bytes(8193),
        "[]".to_owned(),
        "x".to_owned(),
        r#""x""#.to_owned(),
        r#"{"x":1}"#.to_owned(),
        r#"{"x":null}"#.to_owned(),
        r#"{"x":["v"]}"#.to_owned(),
        r#"{"x":"v"} x"#.to_owned(),
    ] {
        let problem = with_headers(&app, &wrong).await.problem(400);
        assert_eq!(problem.field(), Some("x-ms-callback-url-headers"), "{wrong}");
    }
}

#[tokio::test]
async fn callback_headers_are_legal_in_http_and_none_that_are_not_the_callers_to_set() {
    let app = an_app().await;
    for good in ["Authorization", "X-Api-Key", "accept", "user-agent", "x!#$%&'*+-.^_`|~1"] {
        with_headers(&app, &json!({good: "v"}).to_string()).await.is_empty_202();
    }
    for wrong in [
        "",
        "a b",
        "a:b",
        "ä",
        "a\r\nb",
        "Connection",
        "keep-alive",
        "proxy-connection",
        "TE",
        "Trailer",
        "transfer-encoding",
        "Upgrade",
        "Host",
        "content-length",
        "Content-Type",
        "webhook-id",
        "Webhook-Signature",
        "webhook-anything",
    ] {
        let answer = with_headers(&app, &json!({wrong: "v"}).to_string()).await;
        assert_eq!(answer.problem(400).rule(), "callback-headers", "{wrong:?}");
    }
    for wrong in ["a\nb", "a\rb", "\u{0}", "ä", " a", "a "] {
        let answer = with_headers(&app, &json!({"x": wrong}).to_string()).await;
        assert_eq!(answer.problem(400).rule(), "callback-headers", "{wrong:?}");
    }
}

#[tokio::test]
async fn callback_headers_are_read_only_when_a_callback_url_is_given() {
    let app = an_app().await;
    let request = app.register(&a_device().build());
    request.header("x-ms-callback-url-headers", "no JSON at all").await.is_empty_202();
}

#[tokio::test]
async fn the_headers_of_a_batch_hold_for_every_item() {
    let app = an_app().await;
    let receiver = Receiver::start().await;
    let phones: Vec<Device> = (0..5).map(|_| a_device().on_android().build()).collect();
    let request = app.register_all(&phones).tracked().callback(&receiver.url("/"));
    let request = request.header("x-ms-callback-url-headers", r#"{"x-key":"k"}"#);
    let ids = request.await.registration_ids();
    for id in &ids {
        assert_eq!(receiver.callback_of(id).await.header("x-key"), Some("k"));
    }
    let all = eventually("five callbacks", async || {
        Some(receiver.received()).filter(|all| all.len() >= ids.len())
    });
    assert_eq!(all.await.len(), ids.len());
}
